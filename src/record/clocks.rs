use std::sync::Arc;
use std::time::Duration;

use crate::model::{ClockAnchor, Note, Record};
use crate::pace::Clock;
use crate::trace::Sink;

/// How often trace time is tied to the wall clock.
const INTERVAL: Duration = Duration::from_secs(10);

/// A wall clock that moves against trace time by more than this between two looks was set: slewing a clock, as NTP does,
/// moves it by at most 5 ms in that time.
const STEP: Duration = Duration::from_millis(100);

/// Ties trace time to the wall clock for ever, and says when somebody set the wall clock: trace time goes on as before.
pub(super) async fn tie(clock: Arc<dyn Clock>, sink: Sink) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut before = None;
    loop {
        ticks.tick().await;
        let anchor = ClockAnchor { at: clock.now(), wall_ns: clock.wall_ns() };
        if let Some(text) = before.and_then(|before| step(&before, &anchor)) {
            tracing::warn!("{text}");
            sink.push(Record::Note(Note { at: anchor.at, text }));
        }
        sink.push(Record::Clock(anchor.clone()));
        before = Some(anchor);
    }
}

/// Says by how much the wall clock was set between two looks.
fn step(before: &ClockAnchor, now: &ClockAnchor) -> Option<String> {
    let wall = i128::from(now.wall_ns) - i128::from(before.wall_ns);
    let moved = wall - now.at.since(before.at).as_nanos() as i128;
    let by = Duration::from_nanos(u64::try_from(moved.unsigned_abs()).unwrap_or(u64::MAX));
    let direction = if moved < 0 { "back" } else { "forward" };
    let text = || {
        format!(
            "the wall clock of the recorder went {direction} by {}; trace time goes on without a step",
            humantime::format_duration(Duration::from_millis(by.as_millis() as u64))
        )
    };
    (by >= STEP).then(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TraceTime;

    fn anchor(seconds: u64, wall_ns: i64) -> ClockAnchor {
        ClockAnchor { at: TraceTime::from_millis(seconds * 1000), wall_ns }
    }

    #[test]
    fn only_a_clock_that_was_set_is_told_of() {
        const HOUR: i64 = 3_600_000_000_000;
        let before = anchor(10, 2 * HOUR);
        assert_eq!(step(&before, &anchor(20, 2 * HOUR + 10_005_000_000)), None);
        let back = step(&before, &anchor(20, HOUR + 10_000_000_000)).unwrap();
        assert!(back.contains("back by 1h"), "{back}");
        let forward = step(&before, &anchor(20, 2 * HOUR + 12_500_000_000)).unwrap();
        assert!(forward.contains("forward by 2s 500ms"), "{forward}");
        assert!(step(&anchor(0, i64::MIN), &anchor(0, i64::MAX)).is_some());
    }
}
