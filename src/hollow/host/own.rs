use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::hollow::access::{Access, Change, Token};
use crate::hollow::informer::{Informer, Referred, keep};
use crate::hollow::meter::Meter;
use crate::hollow::seen::SeenPod;
use crate::k8s::{K8sError, Session, WatchLimits, Watched, Watcher};
use crate::model::Text;
use crate::pace::Clock;

/// Tokens that are asked for at once.
const AT_ONCE: usize = 64;

/// First and longest wait before a token is asked for again, as volumes are mounted
/// (`pkg/util/goroutinemap/exponentialbackoff/exponential_backoff.go`, v1.37.2).
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(122);

/// What nodes ask for on their own account besides their status, their lease and the status of their pods: watches of
/// their own, config maps, secrets and tokens of their pods.
pub(super) struct Own {
    session: Session,
    clock: Arc<dyn Clock>,
    meter: Arc<Meter>,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
}

/// What runs; whatever is dropped here ends.
#[derive(Default)]
struct State {
    access: Access,
    nodes: HashMap<Text, JoinSet<()>>,
    objects: HashMap<(Text, Referred), JoinSet<()>>,
    tokens: HashMap<Text, JoinSet<()>>,
}

impl Own {
    pub(super) fn new(session: Session, clock: Arc<dyn Clock>, meter: Arc<Meter>) -> Own {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        Own { session, clock, meter, permits, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watch by itself, not begun.
    pub(super) fn watcher<T: Watched + DeserializeOwned>(&self, (kind, scope): Informer) -> Watcher<T> {
        let clock = self.clock.clone();
        let stamp = move || clock.now();
        Watcher::<T>::of(self.session.clone(), kind, WatchLimits::default(), stamp).within(scope)
    }

    /// Keeps watches for a node whose objects nobody here looks at.
    pub(super) fn watch(&self, node: &Text, informers: Vec<Informer>) {
        for informer in informers {
            self.run(node, keep(self.watcher(informer)));
        }
    }

    /// Runs something for as long as the node is there.
    pub(super) fn run(&self, node: &Text, task: impl Future<Output = ()> + Send + 'static) {
        self.state().nodes.entry(node.clone()).or_default().spawn(task);
    }

    /// Ends all that runs: it holds on to those that hold on to this.
    pub(super) fn stop(&self) {
        *self.state() = State::default();
    }

    /// A node is gone.
    pub(super) fn drop_node(&self, node: &str) {
        self.keep_only(&HashSet::new(), node);
        self.state().nodes.remove(node);
    }

    /// These are all pods of a node.
    pub(super) fn keep_only(&self, listed: &HashSet<Text>, node: &str) {
        let mut state = self.state();
        let changes = state.access.keep_only(listed, node);
        self.carry_out(&mut state, changes);
    }

    /// A pod of one of the nodes is there.
    pub(super) fn see(&self, pod: &SeenPod) {
        let mut state = self.state();
        let changes = state.access.see(pod);
        self.carry_out(&mut state, changes);
    }

    /// A pod is gone.
    pub(super) fn forget(&self, uid: &str) {
        let mut state = self.state();
        let changes = state.access.forget(uid);
        self.carry_out(&mut state, changes);
    }

    fn carry_out(&self, state: &mut State, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Watch(node, object) => {
                    let watcher = self.watcher(object.informer());
                    state.objects.entry((node, object)).or_default().spawn(keep(watcher));
                }
                Change::Leave(node, object) => {
                    state.objects.remove(&(node, object));
                }
                Change::Ask(uid, token) => {
                    state.tokens.entry(uid).or_default().spawn(self.keep_fresh(token));
                }
                Change::Release(uid) => {
                    state.tokens.remove(&uid);
                }
            }
        }
    }

    /// Asks for a token, and again before it is too old, for ever.
    fn keep_fresh(&self, token: Token) -> impl Future<Output = ()> + Send + 'static {
        let (session, clock, meter) = (self.session.clone(), self.clock.clone(), self.meter.clone());
        let permits = self.permits.clone();
        async move {
            let mut retry = FIRST_RETRY;
            loop {
                let Ok(permit) = permits.acquire().await else { return };
                let sent = clock.now();
                let result = session.send(&token.request()).await;
                drop(permit);
                let status = result.as_ref().map_or_else(K8sError::status, |_| Some(201));
                meter.request(status, clock.now().since(sent));
                if let Err(error) = result {
                    tracing::debug!("{error}");
                    sleep(retry).await;
                    retry = (2 * retry).min(LAST_RETRY);
                } else {
                    retry = FIRST_RETRY;
                    sleep(token.refresh_after()).await;
                }
            }
        }
    }
}
