use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt, stream};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::adopt::{Adopt, status_of_adopted};
use super::behaviour::{ContainerRun, PodBehaviour, annotated_behaviour};
use super::distribution::Distribution;
use super::driver::Driver;
use super::endpoint::{Endpoint, EndpointError, Residents};
use super::failure::FAILURE_ANNOTATION;
use super::fleet::Fleet;
use super::group::{Kubelet, NodeGroup, Shard};
use super::keeper::{Keeper, Told, instants};
use super::meter::Readings;
use super::outlet::Connections;
use super::pod::Habits;
use super::seen::{SeenNode, SeenPod};
use super::watch::{Sight, follow};
use crate::k8s::{K8sError, Request, Scope, Target, WatchLimits, Watcher, send, send_brief};
use crate::model::{Json, NODE, ObjectKey, POD};
use crate::pace::Clock;

/// Annotation that marks an object as made by kubereel without a replay (`kubereel hollow`, generators).
pub const OWNER_ANNOTATION: &str = "kubereel.dev/owner";

/// The longest time for which the fleet is not looked at, should nobody wake it.
const NAP: Duration = Duration::from_secs(1);

/// Requests that are on their way at once when the nodes are removed.
const REMOVE_AT_ONCE: usize = 32;

/// How faithfully nodes send what kubelets send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// One watch for all nodes, no reads, no events: the least load on the API server.
    #[default]
    Light,
    /// What a kubelet sends.
    Kubelet,
}

impl Profile {
    fn habits(self) -> Habits {
        let faithful = self == Profile::Kubelet;
        Habits {
            reads_first: faithful,
            reports_admission: faithful,
            reports_termination: true,
            posts_events: faithful,
            admits: true,
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

struct Shared {
    client: kube::Client,
    clock: Arc<dyn Clock>,
    options: HostOptions,
    kubelet: Kubelet,
    fleet: Arc<Mutex<Fleet>>,
    driver: Driver,
    keeper: Keeper,
    connections: Arc<Connections>,
    /// What is registered of each group's nodes.
    groups: Mutex<HashMap<String, NodeGroup>>,
    addresses: AtomicU32,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Host {
    /// Starts on the current runtime; there are no nodes yet but those that are adopted.
    pub fn start(target: &Target, clock: &Arc<dyn Clock>, options: HostOptions) -> Host {
        let fleet = Fleet::new(move |pod| options.defaults.behaviour(pod))
            .with_habits(options.profile.habits())
            .with_shard(options.shard.index, options.shard.count);
        let fleet = Arc::new(Mutex::new(fleet));
        let connections = Arc::new(Connections::new(vec![target.client.clone()], clock.clone()));
        let now = clock.clone();
        let driver =
            Driver::with(fleet.clone(), connections.clone(), clock.clone(), Arc::new(move || now.now()), NAP);
        let hears = fleet.clone();
        let told = move |told: Told| {
            if let Told::Silence(name, is_silent) = told {
                lock(&hears).silence(&name, is_silent);
            }
        };
        let keeper = Keeper::start(vec![target.client.clone()], clock.clone(), Arc::new(told));
        let version = Some(options.kubelet_version.clone()).filter(|v| !v.is_empty());
        let kubelet = Kubelet {
            version: version.unwrap_or_else(|| target.version.clone()),
            address: options.node_ip,
            listens: options.kubelet.ip(),
            port: options.kubelet.port(),
        };
        let shared = Arc::new(Shared {
            client: target.client.clone(),
            clock: clock.clone(),
            options,
            kubelet,
            fleet,
            driver,
            keeper,
            connections,
            groups: Mutex::default(),
            addresses: AtomicU32::new(0),
        });
        let watches = watches(target, &shared, clock);
        Host { shared, watches }
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
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The watches that all nodes share.
fn watches(target: &Target, shared: &Arc<Shared>, clock: &Arc<dyn Clock>) -> Vec<JoinHandle<()>> {
    let stamp = |clock: Arc<dyn Clock>| move || clock.now();
    let limits = WatchLimits::default();
    let nodes = Watcher::<SeenNode>::of(target.session(), NODE, limits, stamp(clock.clone()));
    let bound = Scope { fields: "spec.nodeName!=".to_owned(), ..Scope::default() };
    let pods = Watcher::<SeenPod>::of(target.session(), POD, limits, stamp(clock.clone())).within(bound);
    let (of_nodes, of_pods) = (shared.clone(), shared.clone());
    vec![
        tokio::spawn(follow(nodes, Arc::new(move |sight| of_nodes.clone().see_node(sight)))),
        tokio::spawn(follow(pods, Arc::new(move |sight| of_pods.see_pod(sight)))),
    ]
}

impl Shared {
    fn see_pod(&self, sight: Sight<SeenPod>) {
        let now = self.clock.now();
        self.driver.tell(|fleet| match sight {
            Sight::There(pod) => fleet.see(&pod, now),
            Sight::Gone(pod) => fleet.forget(&pod.metadata.uid),
            Sight::All(listed) => fleet.keep_only(&listed),
        });
    }

    fn see_node(self: Arc<Self>, sight: Sight<SeenNode>) {
        match sight {
            Sight::There(node) => {
                let name = node.name().clone();
                if !self.keeper.has(&name) {
                    if !self
                        .options
                        .adopt
                        .as_ref()
                        .is_some_and(|adopt| adopt.takes(&node, self.options.shard))
                    {
                        return;
                    }
                    self.clone().adopt(&node);
                }
                self.driver.tell(|fleet| fleet.see_node(&node));
                let failure = node.metadata.annotations.get(FAILURE_ANNOTATION);
                match failure.map(|text| text.parse()).transpose() {
                    Ok(failure) => self.keeper.fail(&name, failure),
                    Err(what) => tracing::warn!("node {name}: annotation {FAILURE_ANNOTATION}: {what}"),
                }
            }
            Sight::Gone(node) => self.drop_node(node.name()),
            Sight::All(_) => {}
        }
    }

    /// Keeps a node that somebody else made, with the pods that are on it already.
    fn adopt(self: Arc<Self>, node: &SeenNode) {
        let name = node.name().to_string();
        self.driver.tell(|fleet| fleet.see_node(node));
        self.keeper.adopt(&name, &node.metadata.uid, true);
        let address = node.internal_ip().map_or_else(|| self.address(), ToString::to_string);
        let now = instants(&*self.clock).wall;
        self.keeper.change(&name, status_of_adopted(node, &address, &self.kubelet, now));
        tokio::spawn(async move {
            if let Err(error) = self.list_pods(&name).await {
                tracing::warn!("node {name}: its pods cannot be listed: {error}");
            }
        });
    }

    async fn list_pods(&self, node: &str) -> Result<(), K8sError> {
        let path = format!("{}?fieldSelector=spec.nodeName%3D{node}", POD.path());
        let list = send(&self.client, &Request::get(path)).await?;
        for item in list.body["items"].items() {
            if let Ok(pod) = SeenPod::deserialize(item) {
                self.see_pod(Sight::There(pod));
            }
        }
        Ok(())
    }

    fn drop_node(&self, name: &str) {
        self.keeper.remove(name);
        self.driver.tell(|fleet| fleet.remove_node(name));
    }

    /// Registers what is new and changes what has changed; returns what is to be deleted.
    fn set_groups(&self, groups: &[NodeGroup]) -> Vec<String> {
        let mut wanted: BTreeMap<String, &NodeGroup> = BTreeMap::new();
        for group in groups {
            wanted.extend(group.names(self.options.shard).map(|name| (name, group)));
        }
        let mut known = lock(&self.groups);
        let now = instants(&*self.clock).wall;
        for (name, group) in &wanted {
            let before = known.get(name);
            if before == Some(*group) {
                continue;
            }
            if before.is_some() && self.keeper.has(name) {
                let own = lock(&self.fleet).node_address(name).map(str::to_owned);
                let object = group.object(name, &own.unwrap_or_else(|| self.address()), &self.kubelet, now);
                self.keeper.change(name, object);
            } else {
                let object = group.object(name, &self.address(), &self.kubelet, now);
                // Before it exists, so that no pod can be bound to a node that the fleet does not know.
                self.driver.tell(|fleet| fleet.add_node(&object));
                self.keeper.register(object);
            }
            known.insert(name.clone(), (*group).clone());
        }
        let gone: Vec<String> = known.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        known.retain(|name, _| wanted.contains_key(name));
        gone
    }

    /// The address of all nodes, or a new one: shards take turns.
    fn address(&self) -> String {
        if let Some(address) = self.kubelet.address {
            return address.to_string();
        }
        let Shard { index, count } = self.options.shard;
        let offset = self.addresses.fetch_add(1, Ordering::Relaxed).wrapping_mul(count).wrapping_add(index);
        // Class E: no host and no pod has such an address.
        Ipv4Addr::from(u32::from(Ipv4Addr::new(240, 0, 0, 1)).wrapping_add(offset)).to_string()
    }

    async fn delete(&self, names: Vec<String>) -> Result<(), K8sError> {
        let requests = names.into_iter().map(|name| async move {
            self.drop_node(&name);
            let key = ObjectKey { kind: "Node".into(), namespace: None, name: name.into() };
            match send_brief(&self.client, &Request::delete(&NODE, &key, None, None)).await {
                Err(error) if error.status() != Some(404) => Err(error),
                _ => Ok(()),
            }
        });
        let results: Vec<_> = stream::iter(requests).buffer_unordered(REMOVE_AT_ONCE).collect().await;
        results.into_iter().collect()
    }
}
