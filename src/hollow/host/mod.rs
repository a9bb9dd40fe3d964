mod own;
mod shared;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::adopt::Adopt;
use super::behaviour::{ContainerRun, PodBehaviour, annotated_behaviour};
use super::distribution::Distribution;
use super::endpoint::{Endpoint, EndpointError, Residents};
use super::fleet::Fleet;
use super::group::{NodeGroup, Shard};
use super::meter::Readings;
use super::pod::Habits;
use super::seen::SeenPod;
use crate::k8s::{K8sError, Target};
use crate::model::Json;
use crate::pace::Clock;
use shared::Shared;

/// Annotation that marks an object as made by kubereel without a replay (`kubereel hollow`, generators).
pub const OWNER_ANNOTATION: &str = "kubereel.dev/owner";

/// How faithfully nodes send what kubelets send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// One watch for all nodes, no reads, no events: the least load on the API server.
    #[default]
    Light,
    /// What a kubelet sends.
    Kubelet,
}

/// Which programs of a node are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Morph {
    /// The kubelet: without it, the nodes are somebody else's.
    pub kubelet: bool,
    /// The kube-proxy.
    pub proxy: bool,
}

impl Default for Morph {
    /// The kubelet alone.
    fn default() -> Self {
        Morph { kubelet: true, proxy: false }
    }
}

impl Profile {
    /// Whether nodes ask all that kubelets ask.
    fn is_faithful(self) -> bool {
        self == Profile::Kubelet
    }

    fn habits(self) -> Habits {
        let faithful = self.is_faithful();
        Habits {
            reads_first: faithful,
            reports_admission: faithful,
            reports_termination: true,
            reports_steps: faithful,
            posts_events: faithful,
            admits: true,
            probes_and_hooks: true,
        }
    }
}

/// How pods behave that do not say so themselves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Defaults {
    /// From binding to the start of the first container.
    pub start_latency: Distribution,
    /// How long the containers of a Job's pod run.
    pub job_run_time: Distribution,
    /// How long containers take to stop.
    pub termination: Distribution,
}

impl Default for Defaults {
    fn default() -> Self {
        let constant = Distribution::Constant;
        Defaults {
            start_latency: constant(Duration::ZERO),
            job_run_time: constant(Duration::from_secs(1)),
            termination: constant(Duration::ZERO),
        }
    }
}

impl Defaults {
    fn behaviour(&self, pod: &SeenPod) -> PodBehaviour {
        let sample = |of: Distribution, purpose: &str| of.sample(pod.id(), purpose);
        let exit = pod
            .is_owned_by("Job")
            .then(|| ContainerRun { after: sample(self.job_run_time, "run"), ..ContainerRun::default() });
        let otherwise = PodBehaviour {
            start_latency: sample(self.start_latency, "start"),
            termination: sample(self.termination, "termination"),
            exit,
            ..PodBehaviour::default()
        };
        annotated_behaviour(pod, otherwise)
    }
}

/// What a process plays.
#[derive(Debug, Clone, PartialEq)]
pub struct HostOptions {
    /// How faithfully.
    pub profile: Profile,
    /// Which programs.
    pub morph: Morph,
    /// Which part of the nodes.
    pub shard: Shard,
    /// Nodes made by others that are kept as well.
    pub adopt: Option<Adopt>,
    /// How pods behave.
    pub defaults: Defaults,
    /// The kubelet version that nodes show; the API server's if empty.
    pub kubelet_version: String,
    /// The InternalIP of all nodes; absent: each has a made-up one.
    pub node_ip: Option<IpAddr>,
    /// Where the kubelet's endpoint listens.
    pub kubelet: SocketAddr,
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Nodes of this process.
    pub nodes: usize,
    /// Of them registered.
    pub registered: usize,
    /// Pods on them.
    pub pods: usize,
    /// Requests of pods that wait to be sent.
    pub queued: usize,
    /// Requests of pods without an answer yet.
    pub open: usize,
}

/// Hollow nodes on a cluster, until it is dropped.
pub struct Host {
    shared: Arc<Shared>,
    watches: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Host {
    /// Starts on the current runtime; there are no nodes yet but those that are adopted.
    ///
    /// # Errors
    /// As [`Target::multiplexed`].
    pub async fn start(
        target: &Target,
        clock: &Arc<dyn Clock>,
        options: HostOptions,
    ) -> Result<Host, K8sError> {
        let shared = Shared::start(target, clock, options).await?;
        let watches = shared.watches();
        Ok(Host { shared, watches })
    }

    /// Brings the nodes to these groups: registers what is new, brings changed capacity to those that are there, deletes
    /// what is in no group any more.
    ///
    /// # Errors
    /// Where a node that is to go cannot be deleted.
    pub async fn set_groups(&self, groups: &[NodeGroup]) -> Result<(), K8sError> {
        let gone = self.shared.set_groups(groups);
        self.shared.delete(gone).await
    }

    /// How many there are.
    pub fn counts(&self) -> Counts {
        let (nodes, registered) = self.shared.keeper.counts();
        let (pods, queued) = {
            let fleet = lock(&self.shared.fleet);
            (fleet.pod_count(), fleet.queued())
        };
        Counts { nodes, registered, pods, queued, open: self.shared.connections.open() }
    }

    /// What was counted of the nodes' own requests, and of those of their pods.
    pub fn readings(&self) -> (Readings, Readings) {
        (self.shared.keeper.meter().read(), self.shared.connections.meter.read())
    }

    /// The fleet, for who wants to look at it.
    pub fn fleet(&self) -> Arc<Mutex<Fleet>> {
        self.shared.fleet.clone()
    }

    /// Serves the kubelet's endpoint of these nodes to whoever connects to `listener`, until it is dropped.
    ///
    /// # Errors
    /// Where no certificate can be made.
    pub fn serve(&self, listener: TcpListener) -> Result<Endpoint, EndpointError> {
        Endpoint::start(listener, Hosted(self.shared.fleet.clone()), self.shared.clock.clone())
    }

    /// Deletes the nodes that this process registered, not those that it adopted.
    ///
    /// # Errors
    /// The first that cannot be deleted.
    pub async fn remove_nodes(&self) -> Result<(), K8sError> {
        let gone = self.shared.set_groups(&[]);
        self.shared.delete(gone).await
    }
}

/// What the endpoint tells about, straight from the fleet.
struct Hosted(Arc<Mutex<Fleet>>);

impl Residents for Hosted {
    fn node_at(&self, address: IpAddr) -> Option<String> {
        lock(&self.0).node_at(&address.to_string()).map(str::to_owned)
    }

    fn pods_on(&self, node: &str) -> Option<Vec<Json>> {
        lock(&self.0).pods_on(node)
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<Json> {
        lock(&self.0).pod(namespace, name)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for watch in &self.watches {
            watch.abort();
        }
        self.shared.own.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
