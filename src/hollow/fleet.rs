use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::address::{Addresses, PodAddresses, Range};
use super::behaviour::PodBehaviour;
use super::event;
use super::pod::{
    Habits, NodeFacts, Obligation, PodEffect, PodInput, PodLife, PodShape, Resize, Shapes, Stage, StatusOf,
    Transitions, Usage, admit, patch,
};
use super::seen::{SeenNode, SeenPod};
use super::timers::Timers;
use crate::k8s::{PatchType, Request};
use crate::model::{ActionKind, Json, ObjectEvent, ObjectKey, POD, Text, TraceTime, Verb};

#[cfg(test)]
mod tests;

/// Address of a node that does not say its own.
const NO_ADDRESS: &str = "10.255.0.1";

/// First and longest wait before a report is sent again that did not get through; a kubelet's status manager looks
/// again every 10 s (`pkg/kubelet/status/status_manager.go`, v1.37.2, `syncPeriod`).
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// One moment on both time lines: the trace's, which decides, and the wall clock's, which objects show.
#[derive(Debug, Clone, Copy)]
pub struct Instants {
    /// Trace time.
    pub trace: TraceTime,
    /// Wall clock.
    pub wall: DateTime<Utc>,
}

/// A request that a hollow node makes.
#[derive(Debug, Clone, PartialEq)]
pub struct HollowRequest {
    /// About this pod.
    pub key: ObjectKey,
    /// When it was due in trace time.
    pub due: TraceTime,
    /// Set for the ends of pods, which a run's reel records; absent for mere status and for events.
    pub action: Option<ActionKind>,
    /// What to get before, as a kubelet does; what it answers does not matter.
    pub read: Option<Request>,
    /// What to send.
    pub request: Request,
    /// The pod that waits for the answer; absent for events, which nobody waits for.
    pub(super) uid: Option<Text>,
}

impl HollowRequest {
    /// Who waits for the answer; nobody does for an event's.
    pub fn waiting(&self) -> Option<Waiting> {
        self.uid.clone().map(Waiting)
    }
}

/// The pod that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting(Text);

/// How a request went, as far as the fleet must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Accepted.
    Done,
    /// Refused for good: the pod is not there any more, or is another one.
    Refused,
    /// It did not get through: to be sent again.
    Failed,
}

impl Outcome {
    /// Of an HTTP status; none where there was no answer.
    pub fn of(status: Option<u16>) -> Outcome {
        match status {
            Some(200..300) => Outcome::Done,
            Some(401 | 403 | 408 | 429 | 500..) | None => Outcome::Failed,
            Some(_) => Outcome::Refused,
        }
    }
}

/// What a pod waits for from the API.
#[derive(Debug, Default)]
struct Outbox {
    /// Its status has changed: since when that is due, and whether it is the pod's end.
    report: Option<(TraceTime, bool)>,
    /// It is to be removed, since then.
    remove: Option<TraceTime>,
    /// What is on its way.
    flight: Option<Flight>,
    /// It stands in line.
    queued: bool,
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
enum Flight {
    Report(TraceTime, bool),
    Remove(TraceTime),
}

impl Outbox {
    fn due(&self) -> Option<TraceTime> {
        self.report.map(|(due, _)| due).or(self.remove)
    }
}

#[derive(Debug)]
struct Hosted {
    key: ObjectKey,
    node: Text,
    /// As allocated; what a resize asks for beyond it stands in `wanted`.
    shape: Arc<PodShape>,
    wanted: Option<Arc<PodShape>>,
    resize: Resize,
    life: PodLife,
    behaviour: PodBehaviour,
    addresses: PodAddresses,
    transitions: Transitions,
    generation: i64,
    outbox: Outbox,
}

#[derive(Debug, Default)]
struct HollowNode {
    facts: NodeFacts,
    host: Text,
    ranges: Vec<Range>,
    usage: Usage,
    pods: HashSet<Text>,
    /// It has stopped: nothing is done for its pods until it is back.
    is_silent: bool,
}

/// An obligation to a pod. At one instant admissions go first and pods go by name, so that the order does not depend
/// on the order in which bindings were seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Timer {
    obligation: Obligation,
    key: ObjectKey,
    uid: Text,
}

type BehaviourOf = Arc<dyn Fn(&SeenPod) -> PodBehaviour + Send + Sync>;

/// All hollow nodes of a process and the pods on them. Pure: objects and instants in, requests out.
pub struct Fleet {
    behaviour_of: BehaviourOf,
    habits: Habits,
    nodes: HashMap<Text, HollowNode>,
    pods: HashMap<Text, Hosted>,
    shapes: Shapes,
    addresses: Addresses,
    timers: Timers<Timer>,
    /// Pods with something to send, in the order in which it came up.
    ready: VecDeque<(TraceTime, Text)>,
    events: VecDeque<HollowRequest>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet")
            .field("nodes", &self.nodes.len())
            .field("pods", &self.pods.len())
            .finish_non_exhaustive()
    }
}

impl Fleet {
    /// An empty fleet; `behaviour_of` says how each pod starts, runs and ends.
    pub fn new(behaviour_of: impl Fn(&SeenPod) -> PodBehaviour + Send + Sync + 'static) -> Fleet {
        Fleet {
            behaviour_of: Arc::new(behaviour_of),
            habits: Habits { reports_admission: true, ..Habits::default() },
            nodes: HashMap::new(),
            pods: HashMap::new(),
            shapes: Shapes::default(),
            addresses: Addresses::default(),
            timers: Timers::default(),
            ready: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The same with these habits.
    #[must_use]
    pub fn with_habits(self, habits: Habits) -> Fleet {
        Fleet { habits, ..self }
    }

    /// The same for part `index` of `count` processes: pods of different parts never share an address.
    #[must_use]
    pub fn with_shard(self, index: u32, count: u32) -> Fleet {
        Fleet { addresses: Addresses::with_shared(Range::shared(index, count)), ..self }
    }

    /// Takes a node under care: from now on the pods bound to it run.
    pub fn add_node(&mut self, node: &Json) {
        if let Ok(node) = SeenNode::deserialize(node) {
            self.see_node(&node);
        }
    }

    /// Takes note of what a node under care looks like now.
    pub fn see_node(&mut self, seen: &SeenNode) {
        let node = self.nodes.entry(seen.name().clone()).or_default();
        node.facts = NodeFacts::of(seen);
        node.host = seen.internal_ip().cloned().unwrap_or_else(|| NO_ADDRESS.into());
        node.ranges = seen.pod_cidrs().iter().filter_map(|cidr| Range::parse(cidr)).collect();
    }

    /// Lets a node go: nothing more is done for its pods.
    pub fn remove_node(&mut self, name: &str) {
        let Some(node) = self.nodes.remove(name) else { return };
        for uid in node.pods {
            if let Some(hosted) = self.pods.remove(&uid) {
                self.addresses.give_back(hosted.addresses);
            }
        }
    }

    /// A node stops, or is back and does what it owes.
    pub fn silence(&mut self, name: &str, is_silent: bool) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        node.is_silent = is_silent;
        if !is_silent {
            for uid in node.pods.iter().cloned().collect::<Vec<_>>() {
                self.enqueue(&uid);
            }
        }
    }

    /// Takes note of a pod event. What follows from it is armed and comes out of [`Fleet::fire_next`].
    pub fn observe(&mut self, event: &ObjectEvent, now: TraceTime) {
        if event.verb == Verb::Deleted {
            self.forget(&event.uid);
        } else if let Ok(pod) = SeenPod::deserialize(&event.object) {
            self.see(&pod, now);
        }
    }

    /// Takes note of what a pod looks like now.
    pub fn see(&mut self, pod: &SeenPod, now: TraceTime) {
        if !self.nodes.contains_key(&pod.spec.node_name) {
            return;
        }
        if self.pods.contains_key(&pod.metadata.uid) {
            self.follow(pod, now);
        } else {
            self.take_in(pod, now);
        }
        let uid = &pod.metadata.uid;
        if pod.is_deleting() && !pod.is_mirror() {
            let grace = Duration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(30));
            self.step(uid, PodInput::DeletionAsked(grace), now);
        }
    }

    /// A pod is gone from the API.
    pub fn forget(&mut self, uid: &str) {
        let Some(hosted) = self.pods.remove(uid) else { return };
        self.addresses.give_back(hosted.addresses);
        if let Some(node) = self.nodes.get_mut(&hosted.node) {
            node.pods.remove(uid);
            if hosted.life.is_active() {
                node.usage.remove(&hosted.shape.placement);
            }
        }
    }

    /// Forgets the pods that a complete list did not hold.
    pub fn keep_only(&mut self, listed: &HashSet<Text>) {
        let gone: Vec<Text> = self.pods.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
        for uid in gone {
            self.forget(&uid);
        }
    }

    fn follow(&mut self, pod: &SeenPod, now: TraceTime) {
        let uid = &pod.metadata.uid;
        let shape = self.shapes.of(pod);
        let Some(hosted) = self.pods.get_mut(uid) else { return };
        hosted.generation = pod.metadata.generation;
        let gates = shape.open_gates(pod);
        let ended_elsewhere = pod.phase().is_terminal() && hosted.life.is_active();
        if ended_elsewhere {
            // Pod garbage collection, or whoever else may write a status.
            hosted.life.phase = pod.phase();
            if !matches!(hosted.life.stage, Stage::Terminating(_) | Stage::Removed) {
                hosted.life.stage = Stage::Ended;
            }
            let (node, shape) = (hosted.node.clone(), hosted.shape.clone());
            if let Some(node) = self.nodes.get_mut(&node) {
                node.usage.remove(&shape.placement);
            }
        } else if hosted.life.is_active() && shape.is_resized(hosted.wanted.as_ref().unwrap_or(&hosted.shape))
        {
            self.resize(uid, shape, now);
        }
        self.step(uid, PodInput::Gates(gates), now);
    }

    /// Takes in a pod that was bound to one of our nodes.
    fn take_in(&mut self, pod: &SeenPod, now: TraceTime) {
        let shape = self.shapes.of(pod);
        let Some(node) = self.nodes.get_mut(&pod.spec.node_name) else { return };
        let mut life = PodLife::new();
        let resumed = pod.phase() != crate::model::Phase::Pending;
        let mut addresses = PodAddresses::default();
        if resumed {
            addresses = resumed_addresses(pod);
            self.addresses.keep(addresses);
            let restarts: Vec<u32> = pod.status.container_statuses.iter().map(|c| c.restart_count).collect();
            life.resume(&shape, start_second(pod), &restarts);
        } else if !shape.host_network {
            addresses = self.addresses.take(&node.ranges);
        }
        let input = match admit(&shape.placement, &node.facts, &node.usage) {
            _ if resumed => PodInput::Resumed(pod.phase()),
            Err(rejection) if self.habits.admits && !pod.is_deleting() => PodInput::Rejected(rejection),
            _ => PodInput::Bound,
        };
        if !pod.phase().is_terminal() {
            node.usage.add(&shape.placement);
        }
        let uid = pod.metadata.uid.clone();
        node.pods.insert(uid.clone());
        let hosted = Hosted {
            key: ObjectKey {
                kind: "Pod".into(),
                namespace: Some(pod.metadata.namespace.clone()),
                name: pod.metadata.name.clone(),
            },
            node: pod.spec.node_name.clone(),
            behaviour: (self.behaviour_of)(pod),
            shape,
            wanted: None,
            resize: Resize::None,
            life,
            addresses,
            transitions: Transitions::default(),
            generation: pod.metadata.generation,
            outbox: Outbox::default(),
        };
        self.pods.insert(uid.clone(), hosted);
        self.step(&uid, input, now);
    }

    /// Gives a running pod the resources that its spec asks for now, if the node has them (KEP-1287).
    fn resize(&mut self, uid: &Text, wanted: Arc<PodShape>, now: TraceTime) {
        let Some(hosted) = self.pods.get_mut(uid) else { return };
        let Some(node) = self.nodes.get_mut(&hosted.node) else { return };
        node.usage.remove(&hosted.shape.placement);
        match (admit(&wanted.placement, &node.facts, &node.usage), hosted.wanted.take()) {
            (Ok(()), pending) => {
                hosted.shape = wanted;
                hosted.resize = if pending.is_some() { Resize::Done } else { Resize::None };
            }
            (Err(why), _) => {
                let ever = admit(&wanted.placement, &node.facts, &Usage::default()).is_ok();
                hosted.resize =
                    if ever { Resize::Deferred(why.message) } else { Resize::Infeasible(why.message) };
                hosted.wanted = Some(wanted);
            }
        }
        node.usage.add(&hosted.shape.placement);
        hosted.outbox.report.get_or_insert((now, false));
        self.enqueue(uid);
    }

    /// Whether anything is owed: armed, waiting to be sent, or sent without an answer.
    pub fn owes(&self) -> bool {
        self.next_due().is_some() || self.pods.values().any(|pod| pod.outbox.flight.is_some())
    }

    /// When the next obligation is due.
    pub fn next_due(&self) -> Option<TraceTime> {
        let waiting = self.ready.front().map(|(due, _)| *due);
        let event = self.events.front().map(|event| event.due);
        waiting.into_iter().chain(event).chain(self.timers.next_due()).min()
    }

    /// Meets the next obligations that are due at or before `now`, up to the first that needs a request.
    pub fn fire_next(&mut self, now: Instants) -> Option<HollowRequest> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            while let Some((_, uid)) = self.ready.pop_front() {
                if let Some(request) = self.request(&uid, now.wall) {
                    return Some(request);
                }
            }
            let (due, Timer { obligation, uid, .. }) = self.timers.pop_due(now.trace)?;
            if obligation == Obligation::Retry {
                self.enqueue(&uid);
                continue;
            }
            // From the due time, not from now: a late driver must not stretch the pod's run time.
            let wall = now.wall.timestamp();
            self.step_at(&uid, PodInput::Due(obligation, wall), due, Some(now.wall));
        }
    }

    /// Takes note of how the request went for which a pod waits; nobody waits for others.
    pub fn answered(&mut self, waiting: Option<&Waiting>, outcome: Outcome, now: TraceTime) {
        let Some(Waiting(uid)) = waiting else { return };
        let Some(hosted) = self.pods.get_mut(uid) else { return };
        let outbox = &mut hosted.outbox;
        let Some(flight) = outbox.flight.take() else { return };
        if outcome == Outcome::Failed {
            match flight {
                Flight::Report(due, ends) => {
                    let again = outbox.report.map_or((due, ends), |(_, later)| (due, ends || later));
                    outbox.report = Some(again);
                }
                Flight::Remove(due) => outbox.remove = Some(due),
            }
            let wait = FIRST_RETRY.saturating_mul(1 << outbox.failures.min(10)).min(LAST_RETRY);
            // Between half of it and all, by name: pods that failed together do not come back together.
            let wait = wait.mul_f64(0.5 + super::chance::chance(uid, "retry") / 2.0);
            outbox.failures += 1;
            let timer = Timer { obligation: Obligation::Retry, key: hosted.key.clone(), uid: uid.clone() };
            self.timers.arm(now + wait, timer);
            return;
        }
        outbox.failures = 0;
        if hosted.resize == Resize::Done {
            hosted.resize = Resize::None;
        }
        self.enqueue(uid);
    }

    fn step(&mut self, uid: &Text, input: PodInput, now: TraceTime) {
        self.step_at(uid, input, now, None);
    }

    fn step_at(&mut self, uid: &Text, input: PodInput, now: TraceTime, wall: Option<DateTime<Utc>>) {
        let Some(hosted) = self.pods.get_mut(uid) else { return };
        let Some(node) = self.nodes.get_mut(&hosted.node) else { return };
        let was_active = hosted.life.is_active();
        let (behaviour, shape) = (&hosted.behaviour, &hosted.shape);
        for effect in hosted.life.step(input, now, behaviour, shape, self.habits) {
            match effect {
                PodEffect::Arm(obligation, at) => {
                    let timer = Timer { obligation, key: hosted.key.clone(), uid: uid.clone() };
                    self.timers.arm(at, timer);
                }
                PodEffect::Report => {
                    hosted.outbox.report.get_or_insert((now, false));
                }
                PodEffect::ReportEnd => hosted.outbox.report = Some((now, true)),
                PodEffect::Remove => hosted.outbox.remove = Some(now),
                PodEffect::Tell(told, container) => {
                    let about = event::About {
                        key: &hosted.key,
                        uid,
                        node: &hosted.node,
                        container: &shape.containers[usize::from(container)],
                    };
                    let request = event::post(&about, told, now, wall);
                    let event = HollowRequest {
                        key: hosted.key.clone(),
                        due: now,
                        action: None,
                        read: None,
                        request,
                        uid: None,
                    };
                    self.events.push_back(event);
                }
            }
        }
        let freed = was_active && !hosted.life.is_active();
        if freed {
            node.usage.remove(&hosted.shape.placement);
        }
        self.enqueue(uid);
    }

    /// Puts a pod in line that has something to send and nothing on its way.
    fn enqueue(&mut self, uid: &Text) {
        let Some(hosted) = self.pods.get_mut(uid) else { return };
        let silent = self.nodes.get(&hosted.node).is_none_or(|node| node.is_silent);
        let outbox = &mut hosted.outbox;
        if let Some(due) = outbox.due()
            && !silent
            && !outbox.queued
            && outbox.flight.is_none()
        {
            outbox.queued = true;
            self.ready.push_back((due, uid.clone()));
        }
    }

    fn request(&mut self, uid: &Text, wall: DateTime<Utc>) -> Option<HollowRequest> {
        let hosted = self.pods.get_mut(uid)?;
        let node = self.nodes.get(&hosted.node)?;
        hosted.outbox.queued = false;
        if node.is_silent || hosted.outbox.flight.is_some() {
            return None;
        }
        let key = hosted.key.clone();
        if let Some((due, ends)) = hosted.outbox.report.take() {
            hosted.outbox.flight = Some(Flight::Report(due, ends));
            let status = StatusOf {
                uid,
                generation: hosted.generation,
                life: &hosted.life,
                shape: &hosted.shape,
                addresses: hosted.addresses,
                host: &node.host,
                resize: &hosted.resize,
            };
            let body = patch(&status, &mut hosted.transitions, wall.timestamp());
            let namespace = key.namespace.as_deref();
            let path = format!("{}/{}/status", POD.path_in(namespace), key.name);
            return Some(HollowRequest {
                due,
                action: ends.then_some(ActionKind::FinishPod),
                read: self.habits.reads_first.then(|| Request::get_object(&POD, &key)),
                request: Request::patch_with(path, PatchType::Strategic, body),
                uid: Some(uid.clone()),
                key,
            });
        }
        let due = hosted.outbox.remove.take()?;
        hosted.outbox.flight = Some(Flight::Remove(due));
        Some(HollowRequest {
            due,
            action: Some(ActionKind::TerminatePod),
            read: None,
            request: Request::delete(&POD, &key, Some(0), Some(uid)),
            uid: Some(uid.clone()),
            key,
        })
    }

    /// The nodes under care.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(Text::as_str)
    }

    /// How many pods they have.
    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    /// How many requests wait to be sent.
    pub fn queued(&self) -> usize {
        self.ready.len() + self.events.len()
    }

    /// The address of a node.
    pub fn node_address(&self, name: &str) -> Option<&str> {
        self.nodes.get(name).map(|node| node.host.as_str())
    }

    /// The node with this address; `None` where there is none or more than one.
    pub fn node_at(&self, address: &str) -> Option<&str> {
        let mut there = self.nodes.iter().filter(|(_, node)| node.host == address);
        let (name, _) = there.next()?;
        there.next().is_none().then_some(name.as_str())
    }

    /// The pods of a node as objects, as far as they are remembered: names, requests, status; `None` for a node that is
    /// not under care.
    pub fn pods_on(&self, node: &str) -> Option<Vec<Json>> {
        let node = self.nodes.get(node)?;
        Some(node.pods.iter().filter_map(|uid| Some(remembered(uid, self.pods.get(uid)?, node))).collect())
    }

    /// One pod by its name.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<Json> {
        let named = |pod: &Hosted| pod.key.name == name && pod.key.namespace.as_deref() == Some(namespace);
        let (uid, pod) = self.pods.iter().find(|(_, pod)| named(pod))?;
        Some(remembered(uid, pod, self.nodes.get(&pod.node)?))
    }
}

fn remembered(uid: &Text, pod: &Hosted, node: &HollowNode) -> Json {
    let status = StatusOf {
        uid,
        generation: pod.generation,
        life: &pod.life,
        shape: &pod.shape,
        addresses: pod.addresses,
        host: &node.host,
        resize: &pod.resize,
    };
    // Nothing is reported by this: the times of the last changes stay as they are.
    let mut transitions = pod.transitions;
    let status = patch(&status, &mut transitions, 0);
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap_or_default();
    let container = |c: &super::pod::ContainerShape| {
        serde_json::json!({"name": c.name, "image": c.image,
            "resources": {"requests": c.resources.requests, "limits": c.resources.limits}})
    };
    let (inits, main) = pod.shape.containers.split_at(pod.shape.inits);
    serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": pod.key.name, "namespace": pod.key.namespace, "uid": uid},
        "spec": {"nodeName": pod.node, "containers": main.iter().map(container).collect::<Vec<_>>(),
                 "initContainers": inits.iter().map(container).collect::<Vec<_>>()},
        "status": status["status"],
    })
    .into()
}

fn resumed_addresses(pod: &SeenPod) -> PodAddresses {
    if pod.spec.host_network {
        return PodAddresses::default();
    }
    let mut ips = pod.status.pod_ips.iter().map(|ip| ip.ip.parse().ok());
    PodAddresses { first: ips.next().flatten(), second: ips.next().flatten() }
}

fn start_second(pod: &SeenPod) -> i64 {
    let time = pod.status.start_time.as_deref().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    time.map_or(0, |time| time.timestamp())
}
