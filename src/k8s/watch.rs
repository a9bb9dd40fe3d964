use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};

use super::backoff::{Backoff, jittered};
use super::error::{K8sError, chain};
use super::lines::{Ended, Lines};
use super::open::{Refused, open};
use super::scope::Scope;
use super::session::{Generation, Session};
use super::step::{Interruption, Step, WatchLimits};
use super::wire::{Line, Objects, Page, Parts, ReadObjects, Watched};
use crate::model::{Json, Kind, Rules, TraceTime};

#[cfg(test)]
mod tests;

/// Objects a page of a list holds, as client-go's pager asks for
/// (`k8s.io/client-go/tools/pager/pager.go` v0.37.2, `defaultPageSize`).
const PAGE: u32 = 500;

/// How long a server may take to begin an answer: its own limit (`--request-timeout`) is a minute.
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);

/// A server that cannot go on from a version accepts the watch and says so in its first line, at once. One that is
/// silent for so long has nothing to object.
const OBJECTS_WITHIN: Duration = Duration::from_secs(2);

/// A watch that lived for so long was no failure, even if it brought nothing.
const LIVED: Duration = Duration::from_secs(1);

enum State {
    /// Nothing is known: list first.
    Unlisted,
    /// A list is coming page by page.
    Paging(Pages),
    /// A list is coming as events of a watch, which goes on when it is complete.
    Listing(Lines),
    /// Changes since this version are wanted.
    Behind { rv: String },
    /// Changes are flowing.
    Following(Stream),
}

/// The rest of a paged list.
struct Pages {
    /// When the page arrived.
    at: TraceTime,
    items: VecDeque<Box<RawValue>>,
    /// The `continue` token of the next page, empty on the last.
    next: String,
    rv: String,
}

struct Stream {
    lines: Lines,
    rv: String,
    since: TraceTime,
    /// Whether the server has shown that it goes on from `rv`.
    accepted: bool,
}

/// Lists one kind and follows its changes for ever, from the raw lines of the watch.
///
/// Every failure but a refusal is survived: the next call waits as long as it should and tries again, from the
/// last version seen where there is one.
pub struct Watcher<T = Json> {
    session: Session,
    /// The credentials of the latest request.
    generation: Generation,
    kind: Kind,
    scope: Scope,
    limits: WatchLimits,
    stamp: Box<dyn Fn() -> TraceTime + Send + Sync>,
    state: State,
    objects: Box<dyn ReadObjects<T>>,
    backoff: Backoff,
    /// Waited for before the next request.
    pause: Duration,
    /// Whether the server offers lists as streams; not asked again after a refusal.
    offers_streams: bool,
    /// Whether the next list is paged, after one that broke off.
    paged_next: bool,
}

impl<T> std::fmt::Debug for Watcher<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Watcher {
    /// A watcher of whole objects of a kind over all namespaces; `stamp` tells the time at which bytes arrive.
    pub fn new(
        session: impl Into<Session>,
        kind: Kind,
        limits: WatchLimits,
        stamp: impl Fn() -> TraceTime + Send + Sync + 'static,
    ) -> Watcher {
        Watcher::with(session, kind, limits, stamp, Box::new(Objects::new(Arc::new(()))))
    }

    /// Objects without what the rules say.
    #[must_use]
    pub fn reading(self, rules: Arc<dyn Rules>) -> Watcher {
        Watcher { objects: Box::new(Objects::new(rules)), ..self }
    }
}

impl<T: Watched> Watcher<T> {
    /// The same for what a type keeps of each object.
    pub fn of(
        session: impl Into<Session>,
        kind: Kind,
        limits: WatchLimits,
        stamp: impl Fn() -> TraceTime + Send + Sync + 'static,
    ) -> Watcher<T>
    where
        T: DeserializeOwned,
    {
        Watcher::with(session, kind, limits, stamp, Box::new(Parts))
    }

    fn with(
        session: impl Into<Session>,
        kind: Kind,
        limits: WatchLimits,
        stamp: impl Fn() -> TraceTime + Send + Sync + 'static,
        objects: Box<dyn ReadObjects<T>>,
    ) -> Watcher<T> {
        Watcher {
            session: session.into(),
            generation: Generation::default(),
            kind,
            scope: Scope::default(),
            limits,
            stamp: Box::new(stamp),
            state: State::Unlisted,
            objects,
            backoff: Backoff::default(),
            pause: Duration::ZERO,
            offers_streams: true,
            paged_next: false,
        }
    }

    /// Only the objects that are in scope.
    #[must_use]
    pub fn within(self, scope: Scope) -> Watcher<T> {
        Watcher { scope, ..self }
    }

    /// The next step. Dropping the future loses nothing that a later call would not bring. After an error the same
    /// call may be tried again.
    ///
    /// # Errors
    /// The server refuses the list or the watch for a reason that waiting does not mend: no permission, no such kind.
    pub async fn next(&mut self) -> Result<Step<T>, K8sError> {
        loop {
            // Even a wait of no length takes a tick of the timer, a millisecond.
            if !self.pause.is_zero() {
                sleep(self.pause).await;
                self.pause = Duration::ZERO;
            }
            let step = match &self.state {
                State::Unlisted => self.start_list().await?,
                State::Paging(_) => self.next_item().await?,
                State::Listing(_) => self.next_listed().await,
                State::Behind { .. } => self.connect().await?,
                State::Following(_) => self.next_change().await,
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    async fn start_list(&mut self) -> Result<Option<Step<T>>, K8sError> {
        if !self.offers_streams || self.paged_next {
            return self.fetch_page(String::new()).await;
        }
        let path = self.watch_path("sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
        match self.open(&path).await {
            Ok(body) => {
                self.state = State::Listing(Lines::new(body));
                Ok(Some(Step::ListStarted))
            }
            // Older servers do not know the option, or have it switched off.
            Err(refused) if matches!(refused.error.status(), Some(400 | 404..=406 | 422 | 501)) => {
                self.offers_streams = false;
                Ok(None)
            }
            Err(refused) => self.failed(refused).await.map(Some),
        }
    }

    /// Gets the page after a `continue` token, or the first one.
    async fn fetch_page(&mut self, token: String) -> Result<Option<Step<T>>, K8sError> {
        let path = format!("{}limit={PAGE}&continue={token}", self.scope.collection(&self.kind));
        let page = match self.open(&path).await {
            Ok(body) => self.read_page(&path, body).await,
            Err(refused) => Err(refused),
        };
        match page {
            Ok(pages) => {
                self.state = State::Paging(pages);
                self.backoff.reset();
                Ok(token.is_empty().then_some(Step::ListStarted))
            }
            // The state that the pages show is gone from the server: begin with a new one.
            Err(refused) if refused.error.status() == Some(410) && !token.is_empty() => {
                self.pause = self.backoff.wait(refused.retry_after);
                self.state = State::Unlisted;
                Ok(None)
            }
            Err(refused) => self.failed(refused).await.map(Some),
        }
    }

    async fn read_page(&mut self, path: &str, body: Body) -> Result<Pages, Refused> {
        let bytes: Bytes = match timeout(self.limits.silence, body.collect()).await {
            Ok(Ok(whole)) => whole.to_bytes(),
            Ok(Err(error)) => return Err(Refused::broken(path, chain(&error))),
            Err(_) => return Err(Refused::broken(path, "the list does not arrive".to_owned())),
        };
        let at = (self.stamp)();
        let page: Page = serde_json::from_slice(&bytes)
            .map_err(|e| Refused::broken(path, format!("the answer is no list: {e}")))?;
        let items = page.items.unwrap_or_default().into();
        Ok(Pages { at, items, next: page.metadata.token, rv: page.metadata.version })
    }

    async fn next_item(&mut self) -> Result<Option<Step<T>>, K8sError> {
        let State::Paging(pages) = &mut self.state else { return Ok(None) };
        let at = pages.at;
        if let Some(item) = pages.items.pop_front() {
            return Ok(Some(match self.objects.object(item.get().as_bytes()) {
                Ok(item) => Step::Listed { at, object: item.typed(&self.kind) },
                Err(what) => Step::Interrupted(Interruption::Unreadable(what)),
            }));
        }
        if !pages.next.is_empty() {
            let token = pages.next.clone();
            return self.fetch_page(token).await;
        }
        let rv = std::mem::take(&mut pages.rv);
        self.state = State::Behind { rv: rv.clone() };
        self.paged_next = false;
        Ok(Some(Step::ListDone { at, rv }))
    }

    async fn next_listed(&mut self) -> Option<Step<T>> {
        let State::Listing(lines) = &mut self.state else { return None };
        let line = match timeout(self.limits.silence, lines.next(&self.stamp)).await {
            Ok(Ok((at, line))) => self.objects.line(&line).map(|line| (at, line)),
            Ok(Err(Ended::Closed)) => Err("the stream ended".to_owned()),
            Ok(Err(Ended::Broken(what))) => Err(what),
            Err(_) => Err(self.silent()),
        };
        match line {
            Ok((at, Line::Change { object, .. })) => Some(Step::Listed { at, object }),
            Ok((at, Line::Bookmark { rv, ends_list: true })) => {
                self.follow(at, rv.clone());
                Some(Step::ListDone { at, rv })
            }
            Ok((_, Line::Bookmark { .. })) => None,
            Ok((_, Line::Error { message: what, .. })) | Err(what) => {
                self.pause = self.backoff.wait(None);
                self.paged_next = true;
                self.state = State::Unlisted;
                let what = format!("the streamed list broke off: {what}");
                Some(Step::Interrupted(Interruption::Disconnected(what)))
            }
        }
    }

    /// The streamed list is complete: its lines go on as a watch.
    fn follow(&mut self, at: TraceTime, rv: String) {
        self.backoff.reset();
        self.state = match std::mem::replace(&mut self.state, State::Unlisted) {
            State::Listing(lines) => State::Following(Stream { lines, rv, since: at, accepted: true }),
            other => other,
        };
    }

    async fn connect(&mut self) -> Result<Option<Step<T>>, K8sError> {
        let State::Behind { rv } = &self.state else { return Ok(None) };
        let rv = rv.clone();
        let path = self.watch_path(&format!("resourceVersion={rv}"));
        match self.open(&path).await {
            Ok(body) => {
                let stream = Stream { lines: Lines::new(body), rv, since: (self.stamp)(), accepted: false };
                self.state = State::Following(stream);
                Ok(None)
            }
            Err(refused) if matches!(refused.error.status(), Some(400 | 410 | 422)) => {
                Ok(Some(self.expired(refused.error.to_string())))
            }
            Err(refused) => self.failed(refused).await.map(Some),
        }
    }

    /// Reads one line; `None` where it brought nothing to tell.
    async fn next_change(&mut self) -> Option<Step<T>> {
        let State::Following(stream) = &mut self.state else { return None };
        let patience = if stream.accepted { self.limits.silence } else { OBJECTS_WITHIN };
        match timeout(patience, stream.lines.next(&self.stamp)).await {
            Ok(Ok((at, line))) => self.take_line(at, &line),
            Ok(Err(Ended::Closed)) => self.closed(),
            Ok(Err(Ended::Broken(what))) => Some(self.behind(what)),
            Err(_) if stream.accepted => {
                let what = self.silent();
                Some(self.behind(what))
            }
            Err(_) => {
                stream.accepted = true;
                self.backoff.reset();
                Some(Step::Complete { at: (self.stamp)() })
            }
        }
    }

    fn take_line(&mut self, at: TraceTime, line: &[u8]) -> Option<Step<T>> {
        let State::Following(stream) = &mut self.state else { return None };
        let step = match self.objects.line(line) {
            Ok(Line::Change { verb, object }) => {
                if let Some(new) = object.version() {
                    new.clone_into(&mut stream.rv);
                }
                Step::Changed { at, verb, object }
            }
            Ok(Line::Bookmark { rv, .. }) => {
                stream.rv = rv;
                Step::Complete { at }
            }
            Ok(Line::Error { code: 410, message }) => return Some(self.expired(message)),
            Ok(Line::Error { message, .. }) => return Some(self.behind(message)),
            // The change in it is known from nowhere but a list.
            Err(what) => {
                self.pause = self.backoff.wait(None);
                self.state = State::Unlisted;
                return Some(Step::Interrupted(Interruption::Unreadable(what)));
            }
        };
        stream.accepted = true;
        self.backoff.reset();
        Some(step)
    }

    /// The server has ended the watch in good order, as it does after the watch's lifetime.
    fn closed(&mut self) -> Option<Step<T>> {
        let State::Following(stream) = &mut self.state else { return None };
        let lived = (self.stamp)().since(stream.since) >= LIVED;
        if lived || stream.accepted {
            let rv = std::mem::take(&mut stream.rv);
            self.state = State::Behind { rv };
            self.pause = if lived { Duration::ZERO } else { self.backoff.wait(None) };
            return None;
        }
        Some(self.behind("the server ended the watch at once".to_owned()))
    }

    /// The connection is gone; the changes since the last one are asked for again.
    fn behind(&mut self, what: String) -> Step<T> {
        if let State::Following(stream) = &mut self.state {
            let rv = std::mem::take(&mut stream.rv);
            self.state = State::Behind { rv };
        }
        self.pause = self.backoff.wait(None);
        Step::Interrupted(Interruption::Disconnected(what))
    }

    fn expired(&mut self, what: String) -> Step<T> {
        self.state = State::Unlisted;
        Step::Interrupted(Interruption::Expired(what))
    }

    fn silent(&self) -> String {
        format!(
            "nothing came for {:?}, not even a bookmark: the connection is half-open",
            self.limits.silence
        )
    }

    /// A request failed; it is made again, unless waiting does not mend it.
    async fn failed(&mut self, refused: Refused) -> Result<Step<T>, K8sError> {
        self.pause = self.backoff.wait(refused.retry_after);
        let error = match refused.error.status() {
            Some(401) => self.session.renew(self.generation).await.err().unwrap_or(refused.error),
            None | Some(408 | 409 | 410 | 429 | 500..) => refused.error,
            Some(_) => return Err(refused.error),
        };
        Ok(Step::Interrupted(Interruption::Disconnected(error.to_string())))
    }

    async fn open(&mut self, path: &str) -> Result<Body, Refused> {
        let (client, generation) = self.session.client().await;
        self.generation = generation;
        open(&client, path, ANSWERS_WITHIN.min(self.limits.silence)).await
    }

    fn watch_path(&self, from: &str) -> String {
        let seconds = jittered(self.limits.lifetime).as_secs().max(1);
        let path = self.scope.collection(&self.kind);
        format!("{path}watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&{from}")
    }
}
