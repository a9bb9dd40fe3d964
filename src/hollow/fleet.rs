use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::address::{Addresses, PodAddresses, Range};
use super::behaviour::PodBehaviour;
use super::pod::{
    Habits, Obligation, PodEffect, PodInput, PodLife, PodShape, Resize, Shapes, Stage, Told, Transitions,
    Usage, admit,
};
use super::seen::{SeenNode, SeenPod};
use super::timers::Timers;
use crate::k8s::Request;
use crate::model::{ActionKind, Json, ObjectEvent, ObjectKey, Text, TraceTime, Verb};

mod hosted;
mod images;
mod look;
mod outbox;
mod telling;
#[cfg(test)]
mod tests;

pub use hosted::NodeNews;
use hosted::{HollowNode, Hosted, resumed_addresses, start_second};
use outbox::Outbox;
use telling::{About, Telling};

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
    /// A request whose answer nobody waits for.
    fn unanswered(key: ObjectKey, due: TraceTime, request: Request) -> HollowRequest {
        HollowRequest { key, due, action: None, read: None, request, uid: None }
    }

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
    /// Nodes that will see which images they have.
    looks: Timers<Text>,
    /// Pods with something to send, in the order in which it came up.
    ready: VecDeque<(TraceTime, Text)>,
    /// Events to be posted.
    tellings: VecDeque<Telling>,
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
            looks: Timers::default(),
            ready: VecDeque::new(),
            tellings: VecDeque::new(),
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
    pub fn see_node(&mut self, seen: &SeenNode) -> NodeNews {
        let node = self.nodes.entry(seen.name().clone()).or_default();
        // Others never report any.
        if self.habits.posts_events {
            node.images.see(&seen.status.images);
        }
        node.see(seen)
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
            self.forget(&event.uid, now);
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
        // The API's object of a static pod goes; the pod itself knows nothing of that.
        if pod.is_deleting() && !pod.is_mirror() {
            let grace = Duration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(30));
            self.step(uid, PodInput::DeletionAsked(grace), now);
        }
    }

    /// A pod is gone from the API.
    pub fn forget(&mut self, uid: &str, now: TraceTime) {
        let Some(hosted) = self.pods.remove(uid) else { return };
        self.addresses.give_back(hosted.addresses);
        if let Some(node) = self.nodes.get_mut(&hosted.node) {
            node.pods.remove(uid);
            if hosted.life.is_active() {
                node.usage.remove(&hosted.shape.placement);
                self.retry_resizes(&hosted.node, now);
            }
        }
    }

    /// Forgets the pods that a complete list did not hold: of a node, or of all nodes.
    pub fn keep_only(&mut self, listed: &HashSet<Text>, node: Option<&str>, now: TraceTime) {
        let of_node = |hosted: &Hosted| node.is_none_or(|node| hosted.node == node);
        let gone = self.pods.iter().filter(|(uid, pod)| of_node(pod) && !listed.contains(*uid));
        for uid in gone.map(|(uid, _)| uid.clone()).collect::<Vec<_>>() {
            self.forget(&uid, now);
        }
    }

    fn follow(&mut self, pod: &SeenPod, now: TraceTime) {
        let uid = &pod.metadata.uid;
        let shape = self.shapes.of(pod);
        let Some(hosted) = self.pods.get_mut(uid) else { return };
        hosted.generation = pod.metadata.generation;
        hosted.usage = pod.usage();
        let gates = shape.open_gates(pod);
        let ended_elsewhere = pod.phase().is_terminal() && hosted.life.is_active();
        if ended_elsewhere {
            // Pod garbage collection, or whoever else may write a status.
            hosted.life.phase = pod.phase();
            if !matches!(hosted.life.stage, Stage::Terminating { .. } | Stage::Down | Stage::Removed) {
                hosted.life.stage = Stage::Ended;
            }
            let (name, shape) = (hosted.node.clone(), hosted.shape.clone());
            if let Some(node) = self.nodes.get_mut(&name) {
                node.usage.remove(&shape.placement);
            }
            self.retry_resizes(&name, now);
        } else if hosted.life.is_active() && shape.is_resized(hosted.wanted.as_ref().unwrap_or(&hosted.shape))
        {
            self.resize(uid, shape, now);
        }
        self.step(uid, PodInput::Gates(gates), now);
        self.reconcile(pod, now);
    }

    /// Reports a pod again that is ready and that somebody else has written down as not ready, as the node lifecycle
    /// controller does with those of a node that was silent (`pkg/kubelet/status/status_manager.go`, v1.37.2,
    /// `needsReconcile`).
    fn reconcile(&mut self, pod: &SeenPod, now: TraceTime) {
        let uid = &pod.metadata.uid;
        let Some(hosted) = self.pods.get_mut(uid) else { return };
        let was_shown = std::mem::replace(&mut hosted.shown_ready, pod.is_ready());
        if was_shown && !hosted.shown_ready && hosted.status(uid, "").is_ready() {
            hosted.outbox.report.get_or_insert((now, false));
            self.enqueue(uid);
        }
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
            usage: pod.usage(),
            // Whoever kept it before has said so, if its containers run.
            shown_ready: resumed,
            outbox: Outbox::default(),
        };
        self.pods.insert(uid.clone(), hosted);
        self.step(&uid, input, now);
        self.reconcile(pod, now);
    }

    /// Gives a running pod the resources that its spec asks for now, if the node has them (KEP-1287).
    fn resize(&mut self, uid: &Text, wanted: Arc<PodShape>, now: TraceTime) {
        let Some(hosted) = self.pods.get_mut(uid) else { return };
        let Some(node) = self.nodes.get_mut(&hosted.node) else { return };
        node.usage.remove(&hosted.shape.placement);
        let was_pending = hosted.wanted.take().is_some();
        match admit(&wanted.placement, &node.facts, &node.usage) {
            Ok(()) => {
                hosted.shape = wanted;
                hosted.resize = if was_pending { Resize::Done } else { Resize::None };
            }
            Err(why) => {
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

    /// A pod has left room on a node: resizes that waited for some are done if they fit now, by name (kubelets go by
    /// priority first: `pkg/kubelet/allocation/allocation_manager.go`, v1.37.2, `sortPendingResizes`).
    fn retry_resizes(&mut self, node: &Text, now: TraceTime) {
        let Some(pods) = self.nodes.get(node).map(|node| &node.pods) else { return };
        let waiting = pods.iter().filter_map(|uid| {
            let hosted = self.pods.get(uid)?;
            let deferred = matches!(hosted.resize, Resize::Deferred(_)) && hosted.life.is_active();
            deferred.then(|| (hosted.key.clone(), uid.clone()))
        });
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort();
        for (_, uid) in waiting {
            let Some((hosted, node)) = self.pods.get(&uid).zip(self.nodes.get(node)) else { continue };
            let Some(wanted) = hosted.wanted.clone() else { continue };
            let mut others = node.usage.clone();
            others.remove(&hosted.shape.placement);
            if admit(&wanted.placement, &node.facts, &others).is_ok() {
                self.resize(&uid, wanted, now);
            }
        }
    }

    /// A node under care is registered, under this UID.
    pub fn node_registered(&mut self, name: &str, uid: &Text) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.uid = uid.clone();
        }
    }

    /// Whether anything is owed: armed, waiting to be sent, or sent without an answer.
    pub fn owes(&self) -> bool {
        self.next_due().is_some() || self.pods.values().any(|pod| pod.outbox.flight.is_some())
    }

    /// When the next obligation is due.
    pub fn next_due(&self) -> Option<TraceTime> {
        let waiting = self.ready.front().map(|(due, _)| *due);
        let event = self.tellings.front().map(|telling| telling.due);
        let timers = [self.timers.next_due(), self.looks.next_due()];
        waiting.into_iter().chain(event).chain(timers.into_iter().flatten()).min()
    }

    /// Meets the next obligations that are due at or before `now`, up to the first that needs a request.
    pub fn fire_next(&mut self, now: Instants) -> Option<HollowRequest> {
        loop {
            if let Some(telling) = self.tellings.pop_front() {
                return Some(self.event(telling, now.wall));
            }
            while let Some((_, uid)) = self.ready.pop_front() {
                if let Some(request) = self.request(&uid, now.wall) {
                    return Some(request);
                }
            }
            if let Some((due, node)) = self.looks.pop_due(now.trace) {
                if let Some(request) = self.look_at_images(&node, due) {
                    return Some(request);
                }
                continue;
            }
            let (due, Timer { obligation, uid, .. }) = self.timers.pop_due(now.trace)?;
            if obligation == Obligation::Retry {
                self.enqueue(&uid);
                continue;
            }
            // From the due time, not from now: a late driver must not stretch the pod's run time.
            let wall = now.wall.timestamp();
            self.step(&uid, PodInput::Due(obligation, wall), due);
        }
    }

    fn step(&mut self, uid: &Text, input: PodInput, now: TraceTime) {
        let Some(hosted) = self.pods.get_mut(uid) else { return };
        let Some(node) = self.nodes.get_mut(&hosted.node) else { return };
        let was_active = hosted.life.is_active();
        let (behaviour, shape) = (&hosted.behaviour, &hosted.shape);
        let mut pulled = Vec::new();
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
                    if told == Told::Pulled {
                        pulled.push(shape.containers[usize::from(container)].image.clone());
                    }
                    let (key, node) = (hosted.key.clone(), hosted.node.clone());
                    let about = About::Container {
                        key,
                        uid: uid.clone(),
                        node,
                        shape: shape.clone(),
                        container,
                        told,
                    };
                    self.tellings.push_back(Telling { due: now, about });
                }
            }
        }
        let ended = was_active && !hosted.life.is_active();
        if ended {
            node.usage.remove(&hosted.shape.placement);
        }
        let name = hosted.node.clone();
        for image in pulled {
            self.pull(&name, &image, now);
        }
        if ended {
            self.retry_resizes(&name, now);
        }
        self.enqueue(uid);
    }
}
