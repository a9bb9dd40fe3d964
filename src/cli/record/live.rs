//! What a recording shows while it runs: a line on a terminal, log lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::pace::{Clock, SystemClock};
use crate::record::{Snapshot, Status};

/// How often the line on a terminal changes.
const REFRESH: Duration = Duration::from_millis(500);

/// Shows how it goes, for ever.
pub(super) async fn show<T>(status: &Status, log_every: Duration) -> T {
    let clock = SystemClock::start();
    let terminal = std::io::stderr().is_terminal();
    let line = terminal.then(|| {
        let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
    });
    let mut before = (clock.now(), 0);
    loop {
        tokio::time::sleep(if terminal { REFRESH } else { log_every }).await;
        let (at, now) = (clock.now(), status.snapshot());
        let events = now.total.event_count();
        let per_second = events.saturating_sub(before.1) as f64 / at.since(before.0).as_secs_f64().max(1e-3);
        before = (at, events);
        match &line {
            Some(line) => {
                line.set_message(text(&now, per_second));
                line.tick();
            }
            None => log(&now, events, per_second),
        }
    }
}

/// `12 events/s, 1,204 objects, 3.1 MiB, lag 0 ms, 0 gaps`.
fn text(now: &Snapshot, per_second: f64) -> String {
    let objects: u64 = now.objects.values().sum();
    let waiting = match now.uploads.waiting {
        0 => String::new(),
        files => format!(", {files} uploads waiting"),
    };
    format!(
        "{per_second:.0} events/s, {} objects, {}, lag {} ms, {} gaps{waiting}",
        HumanCount(objects),
        HumanBytes(now.total.bytes),
        now.lag.as_millis(),
        now.total.gap_count()
    )
}

fn log(now: &Snapshot, events: u64, per_second: f64) {
    tracing::info!(
        events,
        events_per_second = per_second.round(),
        objects = now.objects.values().sum::<u64>(),
        bytes = now.total.bytes,
        lag_ms = now.lag.as_millis() as u64,
        gaps = now.total.gap_count(),
        files_sealed = now.files,
        uploads_waiting = now.uploads.waiting,
        "recording"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_line_says_what_matters() {
        let mut now = Snapshot { objects: BTreeMap::from([("Pod".to_owned(), 1204)]), ..Snapshot::default() };
        assert_eq!(text(&now, 12.4), "12 events/s, 1,204 objects, 0 B, lag 0 ms, 0 gaps");
        now.uploads.waiting = 2;
        assert!(text(&now, 0.0).ends_with("2 uploads waiting"));
    }
}
