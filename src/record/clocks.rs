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
    use crate::trace::{Header, Reader, ReelThread, WriteOptions};

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

    /// Trace time follows the paused clock of the test; somebody sets the wall clock back by an hour after 15 s.
    #[derive(Debug)]
    struct SetBack(tokio::time::Instant);

    impl Clock for SetBack {
        fn now(&self) -> TraceTime {
            TraceTime::from_nanos(self.0.elapsed().as_nanos() as u64)
        }

        fn wall_ns(&self) -> i64 {
            let elapsed = self.0.elapsed();
            let hour = if elapsed > Duration::from_secs(15) { 3_600_000_000_000 } else { 0 };
            1_700_000_000_000_000_000 + elapsed.as_nanos() as i64 - hour
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_set_back_by_an_hour_is_told_once_and_trace_time_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.reel");
        let reel = ReelThread::start(&path, &Header::default(), WriteOptions::default()).unwrap();
        let clock = Arc::new(SetBack(tokio::time::Instant::now()));
        let _ = tokio::time::timeout(Duration::from_secs(45), tie(clock, reel.sink())).await;
        reel.seal().unwrap();
        let records: Vec<Record> = Reader::open(&path).unwrap().map(Result::unwrap).collect();
        let told: Vec<_> = records
            .iter()
            .filter_map(|record| match record {
                Record::Note(note) => Some((note.at.as_secs_f64(), note.text.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!((told[0].0 - 20.0).abs() < 0.1 && told[0].1.contains("back by 1h"), "{told:?}");
        assert!(records.is_sorted_by_key(Record::at));
        assert_eq!(records.len(), 6);
    }
}
