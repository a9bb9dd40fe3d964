//! What a replay shows while it runs: a bar on a terminal, log lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::model::RunPhase;
use crate::replay::{RunSnapshot, RunStatus};

/// How often the bar changes.
const REFRESH: Duration = Duration::from_millis(250);

/// How often a log line says how it is going, where there is no terminal.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// Shows how a run is going, for ever.
pub(super) async fn show<T>(status: &RunStatus) -> T {
    let terminal = std::io::stderr().is_terminal();
    let bar = terminal.then(|| {
        let style = ProgressStyle::with_template("{elapsed} [{bar:24}] {msg}");
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    });
    loop {
        tokio::time::sleep(if terminal { REFRESH } else { LOG_EVERY }).await;
        let Some(now) = status.snapshot() else { continue };
        match &bar {
            Some(bar) => {
                bar.set_length(now.inputs);
                bar.set_position(now.handed_over.min(now.inputs));
                bar.set_message(text(&now));
            }
            None if now.phase == RunPhase::Play => tracing::info!("{}", text(&now)),
            None => {}
        }
    }
}

/// `play: trace 12s of 60s, 340 of 1,204 inputs, 3 pending, 300 bound, 2 open, late 0.4ms`.
fn text(now: &RunSnapshot) -> String {
    let phase = match now.phase {
        RunPhase::WarmUp => "warm-up",
        RunPhase::Play => "play",
        RunPhase::Drain => "drain",
        RunPhase::End => "end",
    };
    format!(
        "{phase}: trace {:.0?} of {:.0?}, {} of {} inputs, {} pending, {} bound, {} open, late {:.1?}",
        Duration::from_secs(now.played.as_secs()),
        Duration::from_secs(now.span.as_secs()),
        HumanCount(now.handed_over),
        HumanCount(now.inputs),
        now.pending,
        now.bound,
        now.open,
        now.late
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_matters() {
        let now = RunSnapshot {
            phase: RunPhase::Play,
            played: Duration::from_millis(12_345),
            span: Duration::from_mins(1),
            handed_over: 340,
            inputs: 1204,
            pending: 3,
            bound: 300,
            open: 2,
            late: Duration::from_micros(420),
        };
        assert_eq!(
            text(&now),
            "play: trace 12s of 60s, 340 of 1,204 inputs, 3 pending, 300 bound, 2 open, late 420.0µs"
        );
    }
}
