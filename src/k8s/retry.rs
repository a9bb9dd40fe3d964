use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::error::K8sError;
use super::open::Refused;
use super::request::{Reply, Request, exchange};
use crate::model::{Failure, Json, Text, TraceTime};

/// How long a server may take for one answer: an API server gives up on a request itself after a minute
/// (`--request-timeout`).
const ANSWERS_WITHIN: Duration = Duration::from_secs(70);

/// How often the patience is asked for during a long wait.
const SLICE: Duration = Duration::from_millis(100);

/// For how long requests are made again that a server may take later: without an answer, 429, 5xx.
#[derive(Clone)]
pub struct Patience {
    /// For so long after the first try.
    pub within: Duration,
    /// And only while this says yes.
    pub goes_on: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Patience {
    /// One try.
    pub fn none() -> Patience {
        Patience { within: Duration::ZERO, goes_on: Arc::new(|| false) }
    }
}

impl std::fmt::Debug for Patience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patience").field("within", &self.within).finish_non_exhaustive()
    }
}

/// Whether a server does not answer, so that people hear of it once and not once a request.
#[derive(Debug, Default)]
pub(super) struct Outage(AtomicBool);

impl Outage {
    /// A request without answer is to be made again.
    fn begins(&self, error: &K8sError) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!("{error}; requests without answer are made again");
        }
    }

    fn ends(&self) {
        if self.0.swap(false, Ordering::Relaxed) {
            tracing::info!("the API server answers again");
        }
    }
}

/// Sends a request until it succeeds, fails for good, or patience is over. Waits as long as the server asks in
/// `Retry-After`, and with growing, jittered pauses besides. Says how often it was made again.
pub(super) async fn persist(
    client: &kube::Client,
    request: &Request,
    patience: &Patience,
    outage: &Outage,
    now: &(dyn Fn() -> TraceTime + Send + Sync),
) -> (Result<Reply, K8sError>, u32) {
    let over = now() + patience.within;
    let (mut backoff, mut retries, mut unsure) = (Backoff::default(), 0, false);
    loop {
        let refused = match exchange(client, request, ANSWERS_WITHIN).await {
            Ok(reply) => {
                outage.ends();
                return (Ok(reply), retries);
            }
            Err(refused) => refused,
        };
        if unsure && let Some(reply) = took_effect(client, request, &refused).await {
            return (Ok(reply), retries);
        }
        let failure = Failure::of_status(refused.error.status().unwrap_or(0));
        let wait = backoff.wait(refused.retry_after);
        let may_pass = failure.is_some_and(Failure::may_pass) && (patience.goes_on)();
        if !may_pass || now() + wait > over || !pause(wait, patience).await {
            return (Err(refused.error), retries);
        }
        if failure == Some(Failure::NoAnswer) {
            outage.begins(&refused.error);
        }
        unsure |= failure != Some(Failure::Throttled);
        retries += 1;
    }
}

/// Waits; says whether patience lasted.
async fn pause(wait: Duration, patience: &Patience) -> bool {
    let woken = async {
        while (patience.goes_on)() {
            sleep(SLICE).await;
        }
    };
    timeout(wait, woken).await.is_err()
}

#[derive(Deserialize)]
struct Posted {
    metadata: Json,
}

/// An earlier try whose answer was lost may have been carried out. Then a creation meets its own object, and a deletion
/// none.
async fn took_effect(client: &kube::Client, request: &Request, refused: &Refused) -> Option<Reply> {
    match refused.error.status()? {
        404 if request.is_deletion() => Some(Reply { body: Json::Null }),
        409 if request.is_creation() => {
            let posted: Posted = serde_json::from_slice(request.body()).ok()?;
            let name = posted.metadata["name"].as_str()?;
            let found = exchange(client, &request.get_created(name), ANSWERS_WITHIN).await.ok()?;
            is_own(&posted.metadata, &found.body["metadata"]).then_some(found)
        }
        _ => None,
    }
}

/// Whether an object has all annotations of the one that was posted: those of a replay name run and pod.
fn is_own(posted: &Json, found: &Json) -> bool {
    let annotations = posted["annotations"].as_object();
    annotations.is_some_and(|all| {
        all.iter().all(|(key, value): (&Text, &Json)| found["annotations"][key.as_str()] == *value)
    })
}
