use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::model::TraceTime;

/// What is due later, by when; at one instant by itself, so that the order does not depend on who came first.
#[derive(Debug)]
pub(super) struct Timers<T> {
    heap: BinaryHeap<Reverse<(TraceTime, T)>>,
}

impl<T: Ord> Default for Timers<T> {
    fn default() -> Self {
        Timers { heap: BinaryHeap::new() }
    }
}

impl<T: Ord> Timers<T> {
    /// Arms one.
    pub(super) fn arm(&mut self, at: TraceTime, what: T) {
        self.heap.push(Reverse((at, what)));
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<TraceTime> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next one that is due at or before `now`.
    pub(super) fn pop_due(&mut self, now: TraceTime) -> Option<(TraceTime, T)> {
        self.next_due().filter(|at| *at <= now)?;
        self.heap.pop().map(|Reverse(due)| due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_by_time_and_then_by_themselves() {
        let mut timers = Timers::default();
        let at = TraceTime::from_millis;
        for (when, what) in [(2, "b"), (1, "z"), (2, "a"), (9, "late")] {
            timers.arm(at(when), what);
        }
        let due: Vec<_> = std::iter::from_fn(|| timers.pop_due(at(5))).map(|(_, what)| what).collect();
        assert_eq!((due, timers.next_due()), (vec!["z", "a", "b"], Some(at(9))));
    }
}
