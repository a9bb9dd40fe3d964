use std::time::Duration;

use crate::model::TraceTime;

/// Maps the time line of a trace to the clock of a run: `due = start + (t - origin) / speed`.
///
/// One formula from one anchor: no gap is slept on its own, so nothing drifts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timeline {
    /// Where the run clock stands at `origin`.
    pub start: TraceTime,
    /// The trace instant that plays first.
    pub origin: TraceTime,
    /// Trace seconds per run second, above 0.
    pub speed: f64,
}

impl Timeline {
    /// When a trace instant is due on the run clock. Instants before the origin are due at the start.
    pub fn due(&self, at: TraceTime) -> TraceTime {
        self.start + self.shrink(at.since(self.origin))
    }

    /// The trace instant that plays when the run clock shows `now`.
    pub fn trace_time(&self, now: TraceTime) -> TraceTime {
        self.origin + Duration::from_nanos((now.since(self.start).as_nanos() as f64 * self.speed) as u64)
    }

    fn shrink(&self, trace: Duration) -> Duration {
        Duration::from_nanos((trace.as_nanos() as f64 / self.speed).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ten_times_faster_is_a_tenth() {
        let line = Timeline {
            start: TraceTime::from_millis(500),
            origin: TraceTime::from_millis(1_000),
            speed: 10.0,
        };
        assert_eq!(line.due(TraceTime::from_millis(3_000)), TraceTime::from_millis(700));
        assert_eq!(line.due(TraceTime::ZERO), TraceTime::from_millis(500));
        assert_eq!(line.trace_time(TraceTime::from_millis(700)), TraceTime::from_millis(3_000));
    }

    proptest! {
        #[test]
        fn order_is_kept_and_the_way_back_is_close(a in 0..1u64 << 50, b in 0..1u64 << 50, speed in 0.01..1000.0f64) {
            let line = Timeline { start: TraceTime::ZERO, origin: TraceTime::ZERO, speed };
            let (a, b) = (TraceTime::from_nanos(a.min(b)), TraceTime::from_nanos(a.max(b)));
            prop_assert!(line.due(a) <= line.due(b));
            let back = line.trace_time(line.due(b)).as_nanos().abs_diff(b.as_nanos());
            prop_assert!(back as f64 <= speed + 1.0 + b.as_nanos() as f64 * 1e-9, "{back} ns off");
        }
    }
}
