use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::own::Own;
use super::{HostOptions, lock};
use crate::hollow::adopt::status_of_adopted;
use crate::hollow::driver::Driver;
use crate::hollow::event::NodeTold;
use crate::hollow::failure::FAILURE_ANNOTATION;
use crate::hollow::fleet::Fleet;
use crate::hollow::group::{Kubelet, NodeGroup, Shard};
use crate::hollow::informer;
use crate::hollow::keeper::{Keeper, Told, instants};
use crate::hollow::node::Health;
use crate::hollow::outlet::Connections;
use crate::hollow::seen::{SeenNode, SeenPod};
use crate::hollow::static_pod::mirror;
use crate::hollow::watch::{Sight, follow};
use crate::k8s::{K8sError, PatchType, Request, Scope, Target, send, send_brief};
use crate::model::{Json, NODE, ObjectKey, POD, Text};
use crate::pace::Clock;

/// The longest time for which the fleet is not looked at, should nobody wake it.
const NAP: Duration = Duration::from_secs(1);

/// Requests that are on their way at once when the nodes are removed.
const REMOVE_AT_ONCE: usize = 32;

/// First and longest wait before a static pod's mirror is made again that could not be made.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// What the tasks of a host share.
pub(super) struct Shared {
    /// Itself, for tasks that outlive a call.
    me: Weak<Shared>,
    client: kube::Client,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) options: HostOptions,
    kubelet: Kubelet,
    pub(super) fleet: Arc<Mutex<Fleet>>,
    driver: Driver,
    pub(super) keeper: Keeper,
    pub(super) connections: Arc<Connections>,
    pub(super) own: Own,
    /// What is registered of each group's nodes.
    groups: Mutex<HashMap<String, Arc<NodeGroup>>>,
    addresses: AtomicU32,
}

impl Shared {
    /// Starts on the current runtime, without watches.
    pub(super) async fn start(
        target: &Target,
        clock: &Arc<dyn Clock>,
        options: HostOptions,
    ) -> Result<Arc<Shared>, K8sError> {
        // Nodes and pods apart, so that no pod can delay a lease.
        let (for_nodes, for_pods) = (target.multiplexed().await?, target.multiplexed().await?);
        let defaults = options.defaults;
        let fleet = Fleet::new(move |pod| defaults.behaviour(pod))
            .with_habits(options.profile.habits())
            .with_shard(options.shard.index, options.shard.count);
        let fleet = Arc::new(Mutex::new(fleet));
        let connections = Arc::new(Connections::new(for_pods, clock.clone()));
        let now = clock.clone();
        let driver =
            Driver::with(fleet.clone(), connections.clone(), clock.clone(), Arc::new(move || now.now()), NAP);
        let version = Some(options.kubelet_version.clone()).filter(|v| !v.is_empty());
        let kubelet = Kubelet {
            version: version.unwrap_or_else(|| target.version.clone()),
            address: options.node_ip,
            listens: options.kubelet.ip(),
            port: options.kubelet.port(),
        };
        let own = Own::new(target.session(), clock.clone(), connections.meter.clone());
        Ok(Arc::new_cyclic(|me: &Weak<Shared>| {
            let hearer = me.clone();
            let hears = move |told: Told| {
                if let Some(shared) = hearer.upgrade() {
                    shared.hear(told);
                }
            };
            let is_faithful = options.profile.is_faithful();
            Shared {
                me: me.clone(),
                client: target.client.clone(),
                clock: clock.clone(),
                options,
                kubelet,
                fleet,
                driver,
                keeper: Keeper::start(for_nodes, clock.clone(), is_faithful, Arc::new(hears)),
                connections,
                own,
                groups: Mutex::default(),
                addresses: AtomicU32::new(0),
            }
        }))
    }

    /// The watches that all nodes share: kubelets have their own, but must find the nodes that they adopt.
    pub(super) fn watches(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let mut watches = Vec::new();
        let is_faithful = self.options.profile.is_faithful();
        if self.options.morph.kubelet && (!is_faithful || self.options.adopt.is_some()) {
            let shared = self.clone();
            let nodes = self.own.watcher::<SeenNode>((NODE, Scope::default()));
            watches.push(tokio::spawn(follow(nodes, Arc::new(move |sight| shared.see_node(sight, None)))));
        }
        if self.options.morph.kubelet && !is_faithful {
            let shared = self.clone();
            let bound = Scope { fields: "spec.nodeName!=".to_owned(), ..Scope::default() };
            let pods = self.own.watcher::<SeenPod>((POD, bound));
            watches.push(tokio::spawn(follow(pods, Arc::new(move |sight| shared.see_pod(sight, None)))));
        }
        watches
    }

    fn hear(&self, told: Told) {
        match told {
            Told::Registered(name, uid) => self.registered(&name, &uid),
            Told::Turned(name, before, now) => {
                if before == Health::Silent || now == Health::Silent {
                    self.driver.tell(|fleet| fleet.silence(&name, now == Health::Silent));
                }
                let told = match (before, now) {
                    (_, Health::NotReady) => Some(NodeTold::NotReady),
                    (Health::NotReady, Health::Ready) => Some(NodeTold::Ready),
                    _ => None,
                };
                self.tell(&name, told);
            }
        }
    }

    /// Posts events of a node about itself, if its profile does.
    fn tell(&self, name: &str, told: impl IntoIterator<Item = NodeTold>) {
        if self.options.profile.habits().posts_events {
            let now = self.clock.now();
            self.driver.tell(|fleet| told.into_iter().for_each(|told| fleet.tell_node(name, told, now)));
        }
    }

    /// A node is there: its programs start to look around.
    fn registered(&self, name: &Text, uid: &Text) {
        self.driver.tell(|fleet| fleet.node_registered(name, uid));
        self.tell(name, NodeTold::AT_START);
        if self.options.profile.is_faithful() {
            self.own.watch(name, informer::of_kubelet(name));
            self.watch_itself(name);
        }
        if self.options.morph.proxy {
            self.start_proxy(name);
        }
        let statics = lock(&self.groups).get(name.as_str()).map(|group| group.static_pods.clone());
        for pod in statics.unwrap_or_default() {
            self.post_mirror(name, mirror(&pod, name, uid, instants(&*self.clock).wall));
        }
    }

    /// A kubelet's own watches of its node and of its pods.
    fn watch_itself(&self, name: &Text) {
        let Some(shared) = self.me.upgrade() else { return };
        let nodes = self.own.watcher::<SeenNode>(informer::node(name));
        let pods = self.own.watcher::<SeenPod>(informer::pods(name));
        let (of_nodes, itself) = (shared.clone(), name.clone());
        self.own.run(name, follow(nodes, Arc::new(move |sight| of_nodes.see_node(sight, Some(&itself)))));
        let (of_pods, node) = (shared, name.clone());
        self.own.run(name, follow(pods, Arc::new(move |sight| of_pods.see_pod(sight, Some(&node)))));
    }

    fn start_proxy(&self, name: &Text) {
        self.own.watch(name, informer::of_proxy(name));
        let now = self.clock.now();
        self.driver.tell(|fleet| fleet.tell_node(name, NodeTold::ProxyStarting, now));
    }

    /// Makes the mirror of a static pod, as often as it takes while its node is there.
    fn post_mirror(&self, node: &Text, mirror: Json) {
        let Some(shared) = self.me.upgrade() else { return };
        let name = node.clone();
        self.own.run(node, async move {
            let request = Request::create(&POD, &mirror);
            let mut wait = FIRST_RETRY;
            while let Err(error) = send_brief(&shared.client, &request).await {
                match error.status() {
                    // It is there: of the process before this one, or of a try whose answer was lost.
                    Some(409) => break,
                    Some(400 | 403 | 422) => {
                        tracing::warn!("node {name}: a static pod has no mirror: {error}");
                        break;
                    }
                    _ => sleep(wait).await,
                }
                wait = (2 * wait).min(LAST_RETRY);
            }
        });
    }

    /// Sends a request of a node's whose answer changes nothing.
    fn send(&self, node: &Text, request: Request) {
        let client = self.client.clone();
        self.own.run(node, async move {
            if let Err(error) = send_brief(&client, &request).await {
                tracing::debug!("{error}");
            }
        });
    }

    /// Somebody deletes a static pod's mirror: it goes at once, since the pod itself has nothing to end.
    fn let_mirror_go(&self, pod: &SeenPod) {
        let meta = &pod.metadata;
        let key = ObjectKey {
            kind: "Pod".into(),
            namespace: Some(meta.namespace.clone()),
            name: meta.name.clone(),
        };
        self.send(&pod.spec.node_name, Request::delete(&POD, &key, Some(0), Some(&meta.uid)));
    }

    /// A static pod's mirror is gone: a new one comes, if its node still has the pod.
    fn replace_mirror(&self, pod: &SeenPod) {
        let node = &pod.spec.node_name;
        let statics = lock(&self.groups).get(node.as_str()).map(|group| group.static_pods.clone());
        let (Some(statics), Some(uid)) = (statics, pod.owner_uid()) else { return };
        let now = instants(&*self.clock).wall;
        let mut mirrors = statics.iter().map(|pod| mirror(pod, node, uid, now));
        let same = |mirror: &Json| mirror["metadata"]["name"].as_str() == Some(pod.name());
        if let Some(mirror) = mirrors.find(same) {
            self.post_mirror(node, mirror);
        }
    }

    /// `node`: whose own watch it is; none for the one that all share.
    fn see_pod(&self, sight: Sight<SeenPod>, node: Option<&str>) {
        let now = self.clock.now();
        let is_ours = |pod: &SeenPod| pod.is_mirror() && self.keeper.has(&pod.spec.node_name);
        match &sight {
            Sight::There(pod) if pod.is_deleting() && is_ours(pod) => self.let_mirror_go(pod),
            Sight::Gone(pod) if is_ours(pod) => self.replace_mirror(pod),
            _ => {}
        }
        if let Some(node) = node {
            match &sight {
                Sight::There(pod) => self.own.see(pod),
                Sight::Gone(pod) => self.own.forget(&pod.metadata.uid),
                Sight::All(listed) => self.own.keep_only(listed, node),
            }
        }
        self.driver.tell(|fleet| match sight {
            Sight::There(pod) => fleet.see(&pod, now),
            Sight::Gone(pod) => fleet.forget(&pod.metadata.uid, now),
            Sight::All(listed) => fleet.keep_only(&listed, node, now),
        });
    }

    /// `itself`: whose own watch it is; none for the one that all share.
    fn see_node(&self, sight: Sight<SeenNode>, itself: Option<&str>) {
        match sight {
            Sight::There(node) => {
                let name = node.name().clone();
                let shard = self.options.shard;
                if !self.keeper.has(&name) {
                    if !self.options.adopt.as_ref().is_some_and(|adopt| adopt.takes(&node, shard)) {
                        return;
                    }
                    self.adopt(&node);
                }
                let news = self.driver.tell(|fleet| fleet.see_node(&node));
                self.tell(&name, news.told);
                if !news.allocatable.is_empty() {
                    let status = json!({"status": {"allocatable": news.allocatable}});
                    let key = ObjectKey::node(name.clone());
                    self.send(&name, Request::patch(&NODE, &key, Some("status"), PatchType::Merge, &status));
                }
                let failure = node.metadata.annotations.get(FAILURE_ANNOTATION);
                match failure.map(|text| text.parse()).transpose() {
                    Ok(failure) => self.keeper.fail(&name, failure),
                    Err(what) => tracing::warn!("node {name}: annotation {FAILURE_ANNOTATION}: {what}"),
                }
            }
            Sight::Gone(node) => self.drop_node(node.name()),
            // It went while nobody looked. The list of all nodes may be older than the latest of them.
            Sight::All(listed) => {
                if let Some(name) = itself.filter(|_| listed.is_empty()) {
                    self.drop_node(name);
                }
            }
        }
    }

    /// Keeps a node that somebody else made, with the pods that are on it already.
    fn adopt(&self, node: &SeenNode) {
        let name = node.name().to_string();
        self.driver.tell(|fleet| fleet.see_node(node));
        self.keeper.adopt(&name, &node.metadata.uid, true);
        let address = node.internal_ip().map_or_else(|| self.address(), ToString::to_string);
        let now = instants(&*self.clock).wall;
        self.keeper.change(&name, status_of_adopted(node, &address, &self.kubelet, now));
        // A kubelet's own watch begins with a list.
        if let Some(shared) = self.me.upgrade().filter(|_| !self.options.profile.is_faithful()) {
            tokio::spawn(async move {
                if let Err(error) = shared.list_pods(&name).await {
                    tracing::warn!("node {name}: its pods cannot be listed: {error}");
                }
            });
        }
    }

    async fn list_pods(&self, node: &str) -> Result<(), K8sError> {
        let path = format!("{}?fieldSelector=spec.nodeName%3D{node}", POD.path());
        let list = send(&self.client, &Request::get(path)).await?;
        for item in list.body["items"].items() {
            if let Ok(pod) = SeenPod::deserialize(item) {
                self.see_pod(Sight::There(pod), None);
            }
        }
        Ok(())
    }

    fn drop_node(&self, name: &str) {
        self.keeper.remove(name);
        self.own.drop_node(name);
        self.driver.tell(|fleet| fleet.remove_node(name));
    }

    /// Registers what is new and changes what has changed; returns what is to be deleted.
    pub(super) fn set_groups(&self, groups: &[NodeGroup]) -> Vec<String> {
        let mut wanted: BTreeMap<String, Arc<NodeGroup>> = BTreeMap::new();
        for group in groups {
            let shared = Arc::new(group.clone());
            wanted.extend(group.names(self.options.shard).map(|name| (name, shared.clone())));
        }
        let mut known = lock(&self.groups);
        let now = instants(&*self.clock).wall;
        for (name, group) in &wanted {
            let before = known.get(name);
            if before == Some(group) {
                continue;
            }
            if !self.options.morph.kubelet {
                self.start_proxy(&name.as_str().into());
                known.insert(name.clone(), group.clone());
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
            known.insert(name.clone(), group.clone());
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

    pub(super) async fn delete(&self, names: Vec<String>) -> Result<(), K8sError> {
        let requests = names.into_iter().map(|name| async move {
            self.drop_node(&name);
            if !self.options.morph.kubelet {
                return Ok(());
            }
            let key = ObjectKey::node(name);
            match send_brief(&self.client, &Request::delete(&NODE, &key, None, None)).await {
                Err(error) if error.status() != Some(404) => Err(error),
                _ => Ok(()),
            }
        });
        let results: Vec<_> = stream::iter(requests).buffer_unordered(REMOVE_AT_ONCE).collect().await;
        results.into_iter().collect()
    }
}
