use anyhow::bail;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::pace::Stop;

/// Waits for Ctrl-C, SIGTERM or SIGHUP and names it.
pub(super) async fn interrupted() -> &'static str {
    tokio::select! {
        () = received(SignalKind::interrupt()) => "SIGINT",
        () = received(SignalKind::terminate()) => "SIGTERM",
        () = received(SignalKind::hangup()) => "SIGHUP",
    }
}

async fn received(kind: SignalKind) {
    match signal(kind) {
        Ok(mut stream) => wait(&mut stream).await,
        // Without a handler the signal ends the process by itself.
        Err(error) => {
            tracing::warn!("cannot listen for signals: {error}");
            std::future::pending::<()>().await;
        }
    }
}

async fn wait(stream: &mut Signal) {
    if stream.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Runs work that a first signal asks to stop in good order and a second one ends at once.
///
/// # Errors
/// Those of the work, or that it was ended.
pub(super) async fn stoppable<T>(work: impl AsyncFnOnce(Stop) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let stop = Stop::default();
    let twice = async {
        interrupted().await;
        tracing::warn!("stopping; what has been recorded is being sealed (again to end at once)");
        stop.stop();
        interrupted().await
    };
    tokio::select! {
        done = work(stop.clone()) => done,
        signal = twice => bail!("ended at once by a second {signal}; the reel is unsealed but readable"),
    }
}
