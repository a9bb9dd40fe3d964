use std::pin::Pin;
use std::time::Duration;

use futures::{AsyncBufRead, AsyncBufReadExt};
use serde::Deserialize;

use super::error::{K8sError, chain};
use super::request::{Request, send};
use super::scope::Scope;
use crate::model::{Json, Kind, TraceTime, Verb};

/// Objects a page of a list holds, as client-go's pager asks for
/// (`k8s.io/client-go/tools/pager/pager.go` v0.37.2, `defaultPageSize`).
const PAGE: u32 = 500;

/// How long a watch runs before the server ends it: reflectors ask for 5 to 10 minutes
/// (`k8s.io/client-go/tools/cache/reflector.go` v0.37.2, `minWatchTimeout`).
const WATCH_SECONDS: u32 = 420;

const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LAST_BACKOFF: Duration = Duration::from_secs(15);

/// What a watcher saw next.
#[derive(Debug)]
pub enum Step {
    /// The whole state, at the start and again after an expiry.
    Listed {
        /// When the first page arrived.
        at: TraceTime,
        /// The objects.
        items: Vec<Json>,
        /// resourceVersion of the list.
        rv: String,
    },
    /// One change.
    Changed {
        /// When its bytes arrived.
        at: TraceTime,
        /// Added, modified or deleted.
        verb: Verb,
        /// The object.
        object: Json,
    },
    /// The stream broke. What follows says whether anything is missing.
    Interrupted(Interruption),
}

/// Why a stream broke.
#[derive(Debug)]
pub enum Interruption {
    /// The server no longer has the changes since the last one: the next step is a list.
    Expired(String),
    /// The connection failed; the watch goes on from the last change, late but complete.
    Disconnected(String),
    /// A line made no sense and was left out.
    Unreadable(String),
}

type Lines = Pin<Box<dyn AsyncBufRead + Send>>;

enum State {
    /// Nothing known: list first.
    Unlisted,
    /// Changes since this resourceVersion are wanted.
    Behind { rv: String },
    /// Changes are flowing.
    Streaming { rv: String, lines: Lines },
}

/// Lists one kind and follows its changes for ever, from the raw lines of the watch.
pub struct Watcher {
    client: kube::Client,
    kind: Kind,
    scope: Scope,
    stamp: Box<dyn Fn() -> TraceTime + Send + Sync>,
    state: State,
    backoff: Duration,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct WatchLine {
    #[serde(rename = "type")]
    event: String,
    object: Json,
}

impl Watcher {
    /// A watcher of a kind over all namespaces; `stamp` tells the time at which bytes arrive.
    pub fn new(
        client: kube::Client,
        kind: Kind,
        stamp: impl Fn() -> TraceTime + Send + Sync + 'static,
    ) -> Watcher {
        let scope = Scope::default();
        Watcher {
            client,
            kind,
            scope,
            stamp: Box::new(stamp),
            state: State::Unlisted,
            backoff: FIRST_BACKOFF,
        }
    }

    /// Only the objects that are in scope.
    #[must_use]
    pub fn within(self, scope: Scope) -> Watcher {
        Watcher { scope, ..self }
    }

    /// The next step. After an error the same call may be tried again.
    ///
    /// # Errors
    /// Only a list can fail for good (no permission, no such kind); a watch that breaks is an interruption.
    pub async fn next(&mut self) -> Result<Step, K8sError> {
        loop {
            match std::mem::replace(&mut self.state, State::Unlisted) {
                State::Unlisted => return self.list().await,
                State::Behind { rv } => {
                    if let Some(interruption) = self.connect(rv).await {
                        return Ok(Step::Interrupted(interruption));
                    }
                }
                State::Streaming { rv, lines } => {
                    if let Some(step) = self.read_line(rv, lines).await {
                        return Ok(step);
                    }
                }
            }
        }
    }

    async fn list(&mut self) -> Result<Step, K8sError> {
        let mut items = Vec::new();
        let mut first = None;
        let mut token = String::new();
        loop {
            let path = format!("{}limit={PAGE}&continue={token}", self.scope.collection(&self.kind));
            let reply = send(&self.client, &Request::get(path)).await?;
            let at = *first.get_or_insert_with(|| (self.stamp)());
            let page = reply.body;
            items.extend(page["items"].items().iter().map(|object| self.kind.typed(object.clone())));
            page["metadata"]["continue"].as_str().unwrap_or_default().clone_into(&mut token);
            if token.is_empty() {
                let rv = page["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
                self.state = State::Behind { rv: rv.clone() };
                return Ok(Step::Listed { at, items, rv });
            }
        }
    }

    async fn connect(&mut self, rv: String) -> Option<Interruption> {
        let path = format!(
            "{}watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={rv}",
            self.scope.collection(&self.kind)
        );
        let request = match http::Request::get(path).body(Vec::new()) {
            Ok(request) => request,
            Err(error) => return Some(Interruption::Unreadable(error.to_string())),
        };
        match self.client.request_stream(request).await {
            Ok(lines) => {
                self.state = State::Streaming { rv, lines: Box::pin(lines) };
                None
            }
            Err(kube::Error::Api(status)) if status.code == 410 => {
                Some(Interruption::Expired(status.message))
            }
            Err(error) => {
                self.state = State::Behind { rv };
                tokio::time::sleep(self.backoff).await;
                self.backoff = (self.backoff * 2).min(LAST_BACKOFF);
                Some(Interruption::Disconnected(chain(&error)))
            }
        }
    }

    /// Reads one line; `None` where it brought nothing to tell.
    async fn read_line(&mut self, rv: String, mut lines: Lines) -> Option<Step> {
        let mut line = Vec::new();
        let got = lines.read_until(b'\n', &mut line).await;
        let at = (self.stamp)();
        match got {
            // The server ends every watch after its timeout: go on from the last change.
            Ok(0) => {
                self.state = State::Behind { rv };
                None
            }
            Err(error) => {
                self.state = State::Behind { rv };
                Some(Step::Interrupted(Interruption::Disconnected(chain(&error))))
            }
            Ok(_) => self.decode(at, rv, lines, &line),
        }
    }

    fn decode(&mut self, at: TraceTime, rv: String, lines: Lines, line: &[u8]) -> Option<Step> {
        let line: WatchLine = match serde_json::from_slice(line) {
            Ok(line) => line,
            Err(error) => {
                self.state = State::Streaming { rv, lines };
                return Some(Step::Interrupted(Interruption::Unreadable(error.to_string())));
            }
        };
        self.backoff = FIRST_BACKOFF;
        let verb = match line.event.as_str() {
            "ADDED" => Verb::Added,
            "MODIFIED" => Verb::Modified,
            "DELETED" => Verb::Deleted,
            "ERROR" => return Some(Step::Interrupted(self.server_error(&line.object, rv))),
            _ => {
                let rv = new_rv(&line.object).unwrap_or(rv);
                self.state = State::Streaming { rv, lines };
                return None;
            }
        };
        let rv = new_rv(&line.object).unwrap_or(rv);
        self.state = State::Streaming { rv, lines };
        Some(Step::Changed { at, verb, object: line.object })
    }

    fn server_error(&mut self, status: &Json, rv: String) -> Interruption {
        let message = status["message"].as_str().unwrap_or("unknown error").to_owned();
        if status["code"] == 410_i64 {
            self.state = State::Unlisted;
            Interruption::Expired(message)
        } else {
            self.state = State::Behind { rv };
            Interruption::Disconnected(message)
        }
    }
}

fn new_rv(object: &Json) -> Option<String> {
    object["metadata"]["resourceVersion"].as_str().map(str::to_owned)
}
