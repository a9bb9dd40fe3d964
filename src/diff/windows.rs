use std::time::Duration;

use super::Facts;
use super::steps::Change;
use crate::model::TraceTime;

/// How long a window is.
const WINDOW: Duration = Duration::from_secs(1);

/// What happened in a window of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Pods bound.
    pub(super) bound: u64,
    /// Whether a pod waited all the time: only then the number is the scheduler's and not that of the arrivals.
    pub(super) saturated: bool,
}

/// The pods that count, over a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Queue {
    /// Seconds from the first arrival to the last binding, those without a binding included.
    pub(super) windows: Vec<Window>,
    /// Sum of what all pods waited, seconds.
    pub(super) backlog: f64,
    /// Most pods that waited at once.
    pub(super) most_waiting: u64,
}

impl Queue {
    /// Goes through a run once.
    pub(super) fn of(facts: &Facts) -> Queue {
        let (mut queue, mut waiting) = (Queue::default(), 0_u64);
        let mut open: Option<(TraceTime, TraceTime, Window)> = None;
        let mut whole = 0;
        for step in facts.steps.iter().filter(|step| facts.pods[step.pod as usize].is_counted()) {
            let (end, last, window) =
                open.get_or_insert((step.at + WINDOW, step.at, Window { bound: 0, saturated: false }));
            queue.backlog += waiting as f64 * step.at.since(*last).as_secs_f64();
            *last = (*last).max(step.at);
            while step.at >= *end {
                queue.windows.push(*window);
                *window = Window { bound: 0, saturated: waiting > 0 };
                *end = *end + WINDOW;
            }
            match step.change() {
                Change::Arrive => waiting += 1,
                Change::Bind(_) => {
                    waiting = waiting.saturating_sub(1);
                    window.bound += 1;
                    whole = queue.windows.len();
                }
                Change::Leave => waiting = waiting.saturating_sub(1),
                Change::Terminate(_) | Change::Free(_) | Change::Resize(_) => {}
            }
            window.saturated &= waiting > 0;
            queue.most_waiting = queue.most_waiting.max(waiting);
        }
        if let Some((_, last, _)) = open {
            queue.backlog += waiting as f64 * facts.span.end.since(last).as_secs_f64();
        }
        // The window of the last binding is not over.
        queue.windows.truncate(whole);
        queue
    }

    /// Pods bound a second while pods waited all the time; `None` with fewer than `least` such seconds.
    pub(super) fn saturated_rate(&self, least: usize) -> Option<f64> {
        let rates: Vec<u64> = self.windows.iter().filter(|w| w.saturated).map(|w| w.bound).collect();
        (rates.len() >= least.max(1)).then(|| rates.iter().sum::<u64>() as f64 / rates.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::testing::Run;

    #[test]
    fn a_queue_over_time_by_hand() {
        let mut run = Run::in_mode("r", "open");
        // Ten at once, four bound a second; then nothing for two seconds; then one.
        for n in 0..10 {
            run.pod(&format!("p{n}")).added(0).bound(250 * (n + 1), "n1");
        }
        run.pod("late").added(5_000).bound(5_100, "n1");
        let queue = Queue::of(&run.facts());
        let bound: Vec<_> = queue.windows.iter().map(|window| window.bound).collect();
        assert_eq!(bound, [3, 4, 3, 0, 0]);
        let saturated: Vec<_> = queue.windows.iter().map(|window| window.saturated).collect();
        assert_eq!(
            saturated,
            [false, true, false, false, false],
            "the first window began with an empty queue"
        );
        assert_eq!((queue.saturated_rate(1), queue.saturated_rate(2)), (Some(4.0), None));
        assert_eq!(queue.most_waiting, 10);
        assert!((queue.backlog - (0.25 * 55.0 + 0.1)).abs() < 1e-9, "{}", queue.backlog);
    }
}
