//! The cluster as the scenario sees it: an API to ask, and hollow nodes that run what is bound to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use kubereel::hollow::{
    Driver, Fleet, HollowRequest, Leases, PodBehaviour, annotated_behaviour, registration,
};
use kubereel::k8s::{Answer, Reply, Request, Step as Seen, Submitter, WatchLimits, Watcher, send};
use kubereel::model::{Json, Kind, NODE, ObjectEvent, ObjectKey, POD, TraceTime, Verb};
use kubereel::pace::Clock;
use kubereel::replay::OWNER_ANNOTATION;
use tokio::task::JoinHandle;

use crate::nodes::Machine;
use crate::step::key;

const LANES: usize = 8;

/// How long a hollow pod takes to stop.
const STOPS_WITHIN: Duration = Duration::from_millis(1200);

/// API and hollow nodes.
pub struct Stage {
    pub client: kube::Client,
    pub clock: Arc<dyn Clock>,
    fleet: Arc<Mutex<Fleet>>,
    leases: Leases,
    watch: JoinHandle<()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Stage {
    /// Starts what runs the nodes; there are none yet.
    pub fn set(client: &kube::Client, clock: Arc<dyn Clock>) -> Stage {
        let fleet = Arc::new(Mutex::new(Fleet::new(|pod| {
            annotated_behaviour(pod, PodBehaviour { termination: STOPS_WITHIN, ..PodBehaviour::default() })
        })));
        let (now, stamp) = (clock.clone(), clock.clone());
        let stamp: Arc<dyn Fn() -> TraceTime + Send + Sync> = Arc::new(move || stamp.now());
        let submitter = Submitter::start(client, LANES, &stamp);
        let driver = Driver::start(
            fleet.clone(),
            submitter,
            clock.clone(),
            Arc::new(move || now.now()),
            Arc::new(complain),
        );
        let stamp = clock.clone();
        let watcher = Watcher::new(client.clone(), POD, WatchLimits::default(), move || stamp.now());
        Stage {
            client: client.clone(),
            leases: Leases::start(client.clone(), clock.clone()),
            watch: tokio::spawn(follow(watcher, driver, clock.clone())),
            clock,
            fleet,
        }
    }

    /// Registers a node and keeps it alive.
    pub async fn join(&self, machine: &Machine) -> anyhow::Result<()> {
        let own = BTreeMap::from([(OWNER_ANNOTATION.to_owned(), "churn".to_owned())]);
        let now = chrono::DateTime::from_timestamp_nanos(self.clock.wall_ns());
        let node = registration(&machine.object(), &own, now);
        self.fleet().add_node(&node);
        let reply = self.create(&node).await?;
        self.leases.add(&machine.name(), reply.body["metadata"]["uid"].as_str().unwrap_or_default());
        Ok(())
    }

    /// The node does nothing any more; its object stays.
    pub fn silence(&self, node: &str) {
        self.leases.remove(node);
        self.fleet().remove_node(node);
    }

    /// Deletes the node's object.
    pub async fn forget(&self, node: &str) -> anyhow::Result<()> {
        self.silence(node);
        self.send(&Request::delete(&NODE, &key(&NODE, None, node), None, None)).await?;
        Ok(())
    }

    /// Posts an object of any kind that the scenario knows.
    pub async fn create(&self, object: &Json) -> anyhow::Result<Reply> {
        let kind = object["kind"].as_str().and_then(crate::kinds::named);
        let kind: Kind = kind.with_context(|| format!("no kind of the scenario: {}", object["kind"]))?;
        self.send(&Request::create(&kind, object)).await
    }

    /// Sends a request whose refusal ends the scenario.
    pub async fn send(&self, request: &Request) -> anyhow::Result<Reply> {
        Ok(send(&self.client, request).await?)
    }

    /// The pods that are bound to a node.
    pub async fn pods_on(&self, node: &str) -> anyhow::Result<Vec<Json>> {
        self.list(&format!("{}?fieldSelector=spec.nodeName%3D{node}", POD.path())).await
    }

    /// The items of a list.
    pub async fn list(&self, path: &str) -> anyhow::Result<Vec<Json>> {
        let reply = self.send(&Request::get(path.to_owned())).await?;
        Ok(reply.body["items"].items().to_vec())
    }

    fn fleet(&self) -> std::sync::MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows the hollow nodes what happens to pods.
async fn follow(mut watcher: Watcher, driver: Driver, clock: Arc<dyn Clock>) {
    loop {
        let event = match watcher.next().await {
            Ok(Seen::Listed { at, object }) => ObjectEvent::new(at, Verb::Initial, object),
            Ok(Seen::Changed { at, verb, object }) => ObjectEvent::new(at, verb, object),
            Ok(Seen::Interrupted(interruption)) => {
                tracing::warn!("the nodes' watch of pods: {interruption:?}");
                None
            }
            Ok(Seen::ListStarted | Seen::ListDone { .. } | Seen::Complete { .. }) => None,
            Err(error) => {
                tracing::warn!("the nodes cannot list pods: {error}");
                None
            }
        };
        if let Some(event) = event {
            driver.observe(&event, clock.now());
        }
    }
}

/// A pod that is gone (404) or was replaced (409) needs no report.
fn complain(request: &HollowRequest, answer: &Answer) {
    if let Err(error) = &answer.result
        && !matches!(error.status(), Some(404 | 409))
    {
        tracing::warn!("{}: {error}", request.request.describe());
    }
}

/// The key of a pod from a list, whose items do not name their kind.
pub fn pod_key(pod: &Json) -> ObjectKey {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
    key(&POD, Some(text("namespace")), text("name"))
}
