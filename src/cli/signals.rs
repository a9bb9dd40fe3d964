use anyhow::{Context, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::pace::Stop;

/// The signals that ask for the end. Listened to from one place, so that two that come at once count as two.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Signals> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            Some(()) = self.interrupt.recv() => "SIGINT",
            Some(()) = self.terminate.recv() => "SIGTERM",
            Some(()) = self.hangup.recv() => "SIGHUP",
            else => std::future::pending().await,
        }
    }
}

/// Waits for Ctrl-C, SIGTERM or SIGHUP and names it.
pub(super) async fn interrupted() -> &'static str {
    match Signals::listen() {
        Ok(mut signals) => signals.next().await,
        // Without a handler the signal ends the process by itself.
        Err(error) => {
            tracing::warn!("{error:#}");
            std::future::pending().await
        }
    }
}

/// What becomes of a command's work when it is asked to end, and asked again.
pub(super) struct Ending {
    pub(super) first: &'static str,
    pub(super) second: &'static str,
}

const REEL: Ending =
    Ending { first: "what has been recorded is being sealed", second: "the reel is unsealed but readable" };

/// Runs work that writes a reel; see [`ending_with`].
///
/// # Errors
/// Those of the work, or that it was ended.
pub(super) async fn stoppable<T>(work: impl AsyncFnOnce(Stop) -> anyhow::Result<T>) -> anyhow::Result<T> {
    ending_with(REEL, work).await
}

/// Runs work that a first signal asks to stop in good order and a second one ends at once.
///
/// # Errors
/// Those of the work, or that it was ended.
pub(super) async fn ending_with<T>(
    ending: Ending,
    work: impl AsyncFnOnce(Stop) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let stop = Stop::default();
    let mut signals = Signals::listen()?;
    let twice = async {
        signals.next().await;
        tracing::warn!("stopping; {} (again to end at once)", ending.first);
        stop.stop();
        signals.next().await
    };
    tokio::select! {
        done = work(stop.clone()) => done,
        signal = twice => bail!("ended at once by a second {signal}; {}", ending.second),
    }
}
