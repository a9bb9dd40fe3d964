use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::driver::{Done, Outlet};
use super::fleet::{HollowRequest, Outcome};
use super::meter::Meter;
use crate::k8s::{K8sError, Request, send_brief};
use crate::pace::Clock;

/// Requests of pods that are on their way at once.
const AT_ONCE: usize = 128;

/// A request that gets no answer for so long has failed; servers give up after a minute (`--request-timeout`).
const PATIENCE: Duration = Duration::from_mins(1);

/// Sends requests of pods, and counts them.
pub(super) struct Connections {
    client: kube::Client,
    clock: Arc<dyn Clock>,
    pub(super) meter: Arc<Meter>,
    open: Arc<AtomicUsize>,
}

impl Connections {
    pub(super) fn new(client: kube::Client, clock: Arc<dyn Clock>) -> Connections {
        Connections { client, clock, meter: Arc::default(), open: Arc::default() }
    }

    /// Requests without an answer yet.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Outlet for Connections {
    fn has_room(&self) -> bool {
        self.open() < AT_ONCE
    }

    fn send(&self, request: HollowRequest, done: Done) {
        self.open.fetch_add(1, Ordering::Relaxed);
        let client = self.client.clone();
        let (clock, meter, open) = (self.clock.clone(), self.meter.clone(), self.open.clone());
        tokio::spawn(async move {
            let mut outcome = Outcome::Done;
            for http in request.read.iter().chain([&request.request]) {
                let sent = clock.now();
                let result = attempt(&client, http).await;
                meter.request(
                    result.as_ref().map_or_else(K8sError::status, |()| Some(200)),
                    clock.now().since(sent),
                );
                if let Err(error) = result {
                    outcome = Outcome::of(error.status());
                    tracing::debug!("{}: {error}", request.key);
                    break;
                }
            }
            open.fetch_sub(1, Ordering::Relaxed);
            done(outcome);
        });
    }
}

async fn attempt(client: &kube::Client, request: &Request) -> Result<(), K8sError> {
    match tokio::time::timeout(PATIENCE, send_brief(client, request)).await {
        Ok(result) => result.map(|_| ()),
        Err(_) => Err(K8sError::Transport {
            doing: request.describe(),
            what: format!("no answer within {PATIENCE:?}"),
        }),
    }
}
