use std::time::Duration;

use http::header::RETRY_AFTER;
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use serde::Deserialize;
use tokio::time::timeout;

use super::error::{K8sError, chain};

/// Explanations of an error are short; what is longer is no explanation.
const EXPLANATION: usize = 64 << 10;

/// Why a request brought no body.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: K8sError,
    /// How long the server asks us to stay away.
    pub(super) retry_after: Option<Duration>,
}

impl Refused {
    /// There was no answer, or none that makes sense.
    pub(super) fn broken(path: &str, what: String) -> Refused {
        Refused::of(K8sError::Transport { doing: format!("GET {path}"), what })
    }

    /// An error that says nothing of when to come again.
    pub(super) fn of(error: K8sError) -> Refused {
        Refused { error, retry_after: None }
    }
}

/// Sends a GET and returns the body of a successful answer, as a stream. `within` is how long the server may take
/// to begin its answer.
pub(super) async fn open(client: &kube::Client, path: &str, within: Duration) -> Result<Body, Refused> {
    let request = http::Request::get(path).body(Body::empty());
    let request = request.map_err(|e| Refused::broken(path, e.to_string()))?;
    begin(client, request, || format!("GET {path}"), within).await
}

/// The same for any request; `doing` says in messages what it is.
pub(super) async fn begin(
    client: &kube::Client,
    request: http::Request<Body>,
    doing: impl Fn() -> String,
    within: Duration,
) -> Result<Body, Refused> {
    let broken = |what| Refused::of(K8sError::Transport { doing: doing(), what });
    let answer = timeout(within, client.send(request)).await;
    let answer = answer.map_err(|_| broken(format!("no answer within {within:?}")))?;
    let answer = answer.map_err(|e| broken(chain(&e)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer.into_body());
    }
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let (reason, message) = explanation(answer.into_body(), within).await;
    let reason = reason.unwrap_or_else(|| status.canonical_reason().unwrap_or("error").to_owned());
    Err(Refused {
        error: K8sError::Api { doing: doing(), status: status.as_u16(), reason, message },
        retry_after: seconds.map(Duration::from_secs),
    })
}

#[derive(Deserialize)]
struct Status {
    reason: Option<String>,
    message: Option<String>,
}

/// Reason and message of a failure: of a `Status`, or whatever text a proxy sent in its place.
async fn explanation(body: Body, within: Duration) -> (Option<String>, String) {
    let whole = timeout(within, Limited::new(body, EXPLANATION).collect()).await;
    let Ok(Ok(whole)) = whole else { return (None, "without an explanation".to_owned()) };
    let bytes = whole.to_bytes();
    match serde_json::from_slice::<Status>(&bytes) {
        Ok(status) => (status.reason, status.message.unwrap_or_default()),
        Err(_) => (None, String::from_utf8_lossy(&bytes).trim().chars().take(200).collect()),
    }
}
