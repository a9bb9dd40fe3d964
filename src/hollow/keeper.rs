use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use super::failure::Failure;
use super::fleet::Instants;
use super::meter::Meter;
use super::node::{Answer, Health, NodeTask};
use super::nodes::{NodeRequest, NodeStep, Nodes};
use crate::k8s::send_brief;
use crate::model::{Json, Text};
use crate::pace::Clock;

/// Requests of nodes about themselves that are on their way at once. A kubelet has a client of its own for them, so
/// that no pod can delay a lease.
const AT_ONCE: usize = 64;

/// The longest nap.
const NAP: Duration = Duration::from_secs(1);

/// A request that gets no answer for so long has failed (`pkg/kubelet/kubelet.go`, v1.37.2: a heartbeat client's
/// timeout is the update frequency of the status, 10 s).
const PATIENCE: Duration = Duration::from_secs(10);

/// What the keeper tells of its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// It was one way and is now another.
    Turned(Text, Health, Health),
    /// It is registered, under this UID.
    Registered(Text, Text),
}

type Hears = Arc<dyn Fn(Told) + Send + Sync>;

/// Keeps the nodes of a process: one task for all of them, however many.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    task: JoinHandle<()>,
}

struct Shared {
    nodes: Mutex<Nodes>,
    wake: Notify,
    meter: Meter,
    hears: Hears,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

impl Shared {
    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// Starts on the current runtime.
    pub(super) fn start(
        client: kube::Client,
        clock: Arc<dyn Clock>,
        are_faithful: bool,
        hears: Hears,
    ) -> Keeper {
        let nodes = Mutex::new(Nodes::new(are_faithful));
        let shared = Arc::new(Shared { nodes, wake: Notify::new(), meter: Meter::default(), hears });
        let task = tokio::spawn(keep(shared.clone(), client, clock.clone()));
        Keeper { shared, clock, task }
    }

    /// What it counts.
    pub(super) fn meter(&self) -> &Meter {
        &self.shared.meter
    }

    /// Registers a node.
    pub(super) fn register(&self, object: Json) {
        self.shared.nodes().register(object, self.clock.now());
        self.shared.wake.notify_one();
    }

    /// Keeps a node that somebody else registered.
    pub(super) fn adopt(&self, name: &str, uid: &str, reports: bool) {
        self.shared.nodes().adopt(name, uid, instants(&*self.clock), reports);
        self.shared.wake.notify_one();
    }

    /// Brings the status of a node to this object's.
    pub(super) fn change(&self, name: &str, object: Json) {
        self.shared.nodes().change(name, object, self.clock.now());
        self.shared.wake.notify_one();
    }

    /// Makes a node fail in a way, or not any more.
    pub(super) fn fail(&self, name: &str, failure: Option<Failure>) {
        let step = self.shared.nodes().fail(name, failure, instants(&*self.clock));
        self.shared.wake.notify_one();
        if let Some(NodeStep::Turned(name, before, now)) = step {
            (self.shared.hears)(Told::Turned(name, before, now));
        }
    }

    /// A node is gone.
    pub(super) fn remove(&self, name: &str) {
        self.shared.nodes().remove(name);
    }

    /// Whether a node is kept.
    pub(super) fn has(&self, name: &str) -> bool {
        self.shared.nodes().has(name)
    }

    /// How many nodes there are, and how many of them are registered.
    pub(super) fn counts(&self) -> (usize, usize) {
        self.shared.nodes().counts()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The moment on both clocks.
pub(super) fn instants(clock: &dyn Clock) -> Instants {
    Instants { trace: clock.now(), wall: wall(clock) }
}

/// The wall clock as the API writes it.
pub(super) fn wall(clock: &dyn Clock) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(clock.wall_ns())
}

async fn keep(shared: Arc<Shared>, client: kube::Client, clock: Arc<dyn Clock>) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // Before the request is made: its times are those of its sending.
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let now = instants(&*clock);
        let step = shared.nodes().fire_next(now);
        match step {
            Some(NodeStep::Turned(name, before, now)) => {
                (shared.hears)(Told::Turned(name, before, now));
            }
            Some(NodeStep::Send(request)) => {
                if request.task == NodeTask::Lease {
                    shared.meter.lease(now.trace.since(request.due));
                }
                let (shared, client, clock) = (shared.clone(), client.clone(), clock.clone());
                tokio::spawn(async move {
                    send(&shared, &client, &*clock, &request).await;
                    drop(permit);
                });
            }
            None => {
                let next = shared.nodes().next_due();
                let nap = next.map_or(NAP, |due| due.since(clock.now()).min(NAP));
                let _ = tokio::time::timeout(nap, shared.wake.notified()).await;
            }
        }
    }
}

async fn send(shared: &Shared, client: &kube::Client, clock: &dyn Clock, request: &NodeRequest) {
    let sent = clock.now();
    let result = tokio::time::timeout(PATIENCE, send_brief(client, &request.request)).await;
    let answer = match result {
        Ok(Ok(brief)) => {
            Answer { status: Some(200), uid: brief.metadata.uid, version: brief.metadata.resource_version }
        }
        Ok(Err(error)) => {
            tracing::debug!("node {}: {error}", request.name);
            Answer { status: error.status(), ..Answer::default() }
        }
        Err(_) => Answer::default(),
    };
    let now = instants(clock);
    shared.meter.request(answer.status, now.trace.since(sent));
    let registered = shared.nodes().answered(&request.name, request.task, &answer, now);
    if let Some(uid) = registered {
        (shared.hears)(Told::Registered(request.name.clone(), uid));
    }
    shared.wake.notify_one();
}
