use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::model::{DisruptionReason, Json, NodeView, ObjectEvent, Phase, PodView, ReadyStatus, Text, Verb};

/// The scheduler whose rest lockstep waits for.
pub(super) const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// A pod as the observer last saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodNow {
    pub(super) id: String,
    pub(super) node: Option<String>,
    pub(super) phase: Phase,
    pub(super) deleting: bool,
    /// `PodScheduled` is False: tried in vain, or gated.
    pub(super) marked: bool,
    pub(super) scheduler: String,
    pub(super) object: Json,
}

impl PodNow {
    /// Running, or ended: nothing of its start is outstanding.
    pub(super) fn has_started(&self) -> bool {
        self.phase == Phase::Running || self.phase.is_terminal()
    }
}

/// What the observer knows of a pod that the trace speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whereabouts<'a> {
    /// It is there, with this UID.
    Here(&'a str),
    /// It was there: a pod of its name is another one.
    Gone,
    /// Its creation is on its way.
    Unseen,
}

/// How often things happened that the scheduler counts too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) pods_assigned: u64,
    pub(super) assigned_pods_gone: u64,
    pub(super) nodes_added: u64,
    pub(super) nodes_gone: u64,
    /// Pods that the scheduler preempted and that are going down.
    pub(super) victims: u64,
    /// Changes of nodes that wake pods: allocatable, labels, taints, conditions, each counted on its own
    /// (`pkg/scheduler/framework/events.go`, v1.37.2, `NodeSchedulingPropertiesChange`).
    pub(super) node_updates: u64,
    /// Changes of pods that were not bound before and after.
    pub(super) pending_updates: u64,
    /// Pods that no longer wait: bound, ended or deleted. Up to v1.34 the scheduler has a handler of its own for them,
    /// which wakes pods where one with a nominated node was bound.
    pub(super) pending_gone: u64,
}

/// The target as the run's recorder sees it.
#[derive(Debug, Default)]
pub(super) struct WorldState {
    pub(super) pods: HashMap<Text, PodNow>,
    uid_of_id: HashMap<String, Text>,
    seen_ids: HashSet<String>,
    pub(super) nodes: HashMap<Text, Json>,
    pub(super) counts: Counts,
    /// Ids of pods that the scheduler preempted, until somebody takes them.
    pub(super) preempted: Vec<String>,
    pods_rv: u64,
    nodes_rv: u64,
}

impl WorldState {
    fn observe(&mut self, event: &ObjectEvent) {
        let rv = event.rv.parse().unwrap_or(0);
        match event.key.kind.as_str() {
            "Pod" => {
                self.pods_rv = self.pods_rv.max(rv);
                self.observe_pod(event);
            }
            "Node" => {
                self.nodes_rv = self.nodes_rv.max(rv);
                self.observe_node(event);
            }
            _ => {}
        }
    }

    fn observe_pod(&mut self, event: &ObjectEvent) {
        let pod = PodView(&event.object);
        let now = PodNow {
            id: pod.id().to_owned(),
            node: pod.node_name().map(str::to_owned),
            phase: pod.phase(),
            deleting: pod.is_deleting(),
            marked: pod.is_marked_unschedulable(),
            scheduler: pod.scheduler_name().to_owned(),
            object: event.object.clone(),
        };
        let preempted = now.deleting && pod.disruption() == Some(DisruptionReason::PreemptionByScheduler);
        let before = self.pods.get(&event.uid);
        if preempted && !before.is_some_and(|p| p.deleting) {
            self.counts.victims += 1;
            self.preempted.push(now.id.clone());
        }
        let waits = |node: &Option<String>| node.is_none() && now.scheduler == DEFAULT_SCHEDULER;
        if event.verb == Verb::Modified && waits(&now.node) && before.is_some_and(|p| waits(&p.node)) {
            self.counts.pending_updates += 1;
        }
        let was_waiting = before.is_some_and(|p| waits(&p.node) && !p.phase.is_terminal());
        let waits_no_more = !waits(&now.node) || now.phase.is_terminal() || event.verb == Verb::Deleted;
        self.counts.pending_gone += u64::from(was_waiting && waits_no_more);
        let was_assigned = before.is_some_and(|p| p.node.is_some());
        let was_gone = before.is_some_and(|p| p.phase.is_terminal());
        if now.node.is_some() && !was_assigned && !now.phase.is_terminal() {
            self.counts.pods_assigned += 1;
        }
        // The scheduler's informer leaves ended pods out (`pkg/scheduler/scheduler.go`, v1.37.2, `newPodInformer`),
        // so an end and a deletion look alike to it.
        let gone = now.phase.is_terminal() || event.verb == Verb::Deleted;
        if gone && !was_gone && was_assigned {
            self.counts.assigned_pods_gone += 1;
        }
        if event.verb == Verb::Deleted {
            // A deletion that a list showed does not tell the id.
            let id = self.pods.remove(&event.uid).map_or(now.id, |pod| pod.id);
            if self.uid_of_id.get(&id) == Some(&event.uid) {
                self.uid_of_id.remove(&id);
            }
        } else {
            self.uid_of_id.insert(now.id.clone(), event.uid.clone());
            self.seen_ids.insert(now.id.clone());
            self.pods.insert(event.uid.clone(), now);
        }
    }

    fn observe_node(&mut self, event: &ObjectEvent) {
        let name = event.key.name.clone();
        if event.verb == Verb::Deleted {
            self.counts.nodes_gone += u64::from(self.nodes.remove(&name).is_some());
        } else if let Some(before) = self.nodes.insert(name, event.object.clone()) {
            self.counts.node_updates += node_changes(NodeView(&before), NodeView(&event.object));
        } else {
            self.counts.nodes_added += 1;
        }
    }

    /// The UID that a pod has in the target, while it is there.
    pub(super) fn uid_of(&self, id: &str) -> Option<&str> {
        self.uid_of_id.get(id).map(Text::as_str)
    }

    /// A pod's creation was refused: whatever bears its name is another one.
    pub(super) fn refused(&mut self, id: &str) {
        self.seen_ids.insert(id.to_owned());
    }

    /// What is known of a pod by its id.
    pub(super) fn whereabouts(&self, id: &str) -> Whereabouts<'_> {
        match self.uid_of(id) {
            Some(uid) => Whereabouts::Here(uid),
            None if self.seen_ids.contains(id) => Whereabouts::Gone,
            None => Whereabouts::Unseen,
        }
    }

    /// Whether the observer has seen this version of a pod.
    pub(super) fn has_seen_pod(&self, rv: u64) -> bool {
        self.pods_rv >= rv
    }

    /// Whether the observer has seen this version of a node.
    pub(super) fn has_seen_node(&self, rv: u64) -> bool {
        self.nodes_rv >= rv
    }

    /// The pods that a node runs.
    pub(super) fn pods_on(&self, node: &str) -> Vec<Json> {
        let here = |p: &&PodNow| p.node.as_deref() == Some(node) && !p.phase.is_terminal() && !p.deleting;
        self.pods.values().filter(here).map(|p| p.object.clone()).collect()
    }

    /// Whether a scheduler has said something about a pod of the trace, or never will.
    pub(super) fn is_decided(&self, id: &str) -> bool {
        match self.whereabouts(id) {
            Whereabouts::Gone => true,
            Whereabouts::Unseen => false,
            Whereabouts::Here(uid) => self
                .pods
                .get(uid)
                .is_none_or(|pod| pod.node.is_some() || pod.marked || pod.phase.is_terminal()),
        }
    }

    /// Pods that wait for a scheduler of this name.
    pub(super) fn pending(&self, scheduler: &str) -> impl Iterator<Item = &PodNow> {
        let scheduler = scheduler.to_owned();
        self.pods
            .values()
            .filter(move |p| p.node.is_none() && !p.phase.is_terminal() && p.scheduler == scheduler)
    }

    /// Whether the node lifecycle controller has drawn its conclusions about every node.
    pub(super) fn nodes_are_settled(&self) -> bool {
        self.nodes.values().all(|node| {
            let node = NodeView(node);
            let cordon_taint = node.taints().iter().any(|t| t.key == "node.kubernetes.io/unschedulable");
            let healthy = node.ready() == ReadyStatus::True;
            node.has_health_taint() != healthy && cordon_taint == node.is_unschedulable()
        })
    }
}

/// How many events a scheduler makes of a node's change.
fn node_changes(before: NodeView<'_>, after: NodeView<'_>) -> u64 {
    let statuses = |node: NodeView<'_>| -> BTreeMap<String, String> {
        let conditions = node.0["status"]["conditions"].items();
        conditions.iter().map(|c| (c["type"].to_string(), c["status"].to_string())).collect()
    };
    let changes = [
        before.resources().1 != after.resources().1,
        before.labels() != after.labels(),
        before.taints() != after.taints(),
        statuses(before) != statuses(after),
        before.is_unschedulable() && !after.is_unschedulable(),
    ];
    changes.into_iter().map(u64::from).sum()
}

/// The state, shared between the recorder, which writes it, and the run, which waits for it to change.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    state: Arc<Mutex<WorldState>>,
    changed: Arc<Notify>,
}

impl World {
    /// Takes note of an event.
    pub(super) fn observe(&self, event: &ObjectEvent) {
        self.state().observe(event);
        self.changed.notify_waiters();
    }

    /// The state, locked.
    pub(super) fn state(&self) -> MutexGuard<'_, WorldState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next change, at most `limit`.
    pub(super) async fn change(&self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.changed.notified()).await;
    }

    /// Waits until `done`, at most `limit`; says whether it came true.
    pub(super) async fn until(&self, limit: Duration, mut done: impl FnMut(&WorldState) -> bool) -> bool {
        let wait = async {
            while !done(&self.state()) {
                // A change between the look and the wait must not cost more than this.
                self.change(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TraceTime;
    use serde_json::json;

    fn pod(verb: Verb, node: Option<&str>, phase: &str) -> ObjectEvent {
        let mut object = json!({"apiVersion": "v1", "kind": "Pod", "spec": {}, "status": {"phase": phase},
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "5"}});
        if let Some(node) = node {
            object["spec"]["nodeName"] = node.into();
        }
        ObjectEvent::new(TraceTime::ZERO, verb, object).unwrap()
    }

    #[test]
    fn counts_follow_the_schedulers_informer() {
        let mut world = WorldState::default();
        world.observe(&pod(Verb::Added, None, "Pending"));
        assert_eq!(world.pending("default-scheduler").count(), 1);
        world.observe(&pod(Verb::Modified, Some("n1"), "Pending"));
        world.observe(&pod(Verb::Modified, Some("n1"), "Running"));
        assert_eq!((world.counts.pods_assigned, world.counts.assigned_pods_gone), (1, 0));
        assert_eq!(world.counts.pending_gone, 1);
        world.observe(&pod(Verb::Modified, Some("n1"), "Succeeded"));
        world.observe(&pod(Verb::Deleted, Some("n1"), "Succeeded"));
        assert_eq!((world.counts.pods_assigned, world.counts.assigned_pods_gone), (1, 1));
        assert_eq!(world.whereabouts("u"), Whereabouts::Gone);
        assert_eq!(world.whereabouts("other"), Whereabouts::Unseen);
        world.refused("other");
        assert_eq!(world.whereabouts("other"), Whereabouts::Gone);
        assert!(world.has_seen_pod(5) && !world.has_seen_pod(6));
    }

    #[test]
    fn a_pod_that_a_list_no_longer_holds_is_gone_under_its_id() {
        let mut world = WorldState::default();
        let mut made = pod(Verb::Added, Some("n1"), "Running");
        made.object.set(&["metadata", "annotations", crate::model::ID_ANNOTATION], "id-1".into());
        world.observe(&made);
        assert_eq!(world.whereabouts("id-1"), Whereabouts::Here("u"));
        let names = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "u"}});
        world.observe(&ObjectEvent::new(TraceTime::ZERO, Verb::Deleted, names).unwrap());
        assert_eq!(world.whereabouts("id-1"), Whereabouts::Gone);
        assert_eq!(world.counts.assigned_pods_gone, 1);
    }

    #[test]
    fn a_new_node_is_unsettled_until_its_taint_is_lifted() {
        let node = |taints: serde_json::Value, ready: &str| {
            let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {"taints": taints},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}});
            let mut world = WorldState::default();
            world.observe(&ObjectEvent::new(TraceTime::ZERO, Verb::Added, object).unwrap());
            world.nodes_are_settled()
        };
        let taint = json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]);
        assert!(!node(taint.clone(), "True"));
        assert!(node(json!([]), "True"));
        assert!(!node(json!([]), "False"));
        assert!(node(taint, "False"));
    }
}
