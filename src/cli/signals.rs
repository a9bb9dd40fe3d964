use tokio::signal::unix::{Signal, SignalKind, signal};

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
