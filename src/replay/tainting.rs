//! Taints that follow from a node's conditions and its cordon: who sets them, and which they are.

use crate::model::{NodeView, ReadyStatus, Taint, is_lifecycle_taint};

use super::plan::NodeChange;

/// The taint of a cordoned node.
const CORDON: &str = "node.kubernetes.io/unschedulable";

/// Who gives a node the taints that follow from its Ready condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tainting {
    /// The target's node lifecycle controller, in its own time: `NoSchedule` at once, `NoExecute` when it next looks at
    /// all nodes (`pkg/controller/nodelifecycle/node_lifecycle_controller.go`, v1.37.2, `monitorNodeHealth`, every 5 s).
    Controller,
    /// The replay, together with the change itself: in lockstep a taint that comes seconds later would wake waiting pods
    /// between any two actions.
    Replay,
}

impl Tainting {
    /// Whether this change of a node needs its taints to be written.
    pub(super) fn concerns(self, change: &NodeChange) -> bool {
        let by_readiness = self == Tainting::Replay && change.ready.is_some();
        change.taints.is_some() || change.unschedulable.is_some() || by_readiness
    }

    /// The taints of a node after a change: the chosen ones as recorded; those of the node lifecycle controller as they
    /// are where it sets them, else as it would; and that of a cordon, which goes with the cordon in one step. The
    /// controller would follow a moment later, and waiting pods would be woken twice.
    pub(super) fn taints_after(self, node: NodeView<'_>, change: &NodeChange) -> Vec<Taint> {
        let chosen = change.taints.clone().unwrap_or_else(|| node.chosen_taints());
        let derived = match self {
            Tainting::Controller => {
                node.taints().into_iter().filter(|t| is_lifecycle_taint(&t.key) && t.key != CORDON).collect()
            }
            Tainting::Replay => readiness_taints(change.ready.unwrap_or_else(|| node.ready())),
        };
        let cordoned = change.unschedulable.unwrap_or_else(|| node.is_unschedulable());
        let cordon = taint(CORDON, "NoSchedule");
        chosen.into_iter().chain(derived).chain(cordoned.then_some(cordon)).collect()
    }
}

/// The taints that the node lifecycle controller derives from a Ready condition
/// (`pkg/controller/nodelifecycle/node_lifecycle_controller.go`, v1.37.2, `nodeConditionToTaintKeyStatusMap` and
/// `processTaintBaseEviction`).
pub(super) fn readiness_taints(ready: ReadyStatus) -> Vec<Taint> {
    let key = match ready {
        ReadyStatus::True => return Vec::new(),
        ReadyStatus::False => "node.kubernetes.io/not-ready",
        ReadyStatus::Unknown => "node.kubernetes.io/unreachable",
    };
    vec![taint(key, "NoSchedule"), taint(key, "NoExecute")]
}

fn taint(key: &str, effect: &str) -> Taint {
    Taint { key: key.to_owned(), value: String::new(), effect: effect.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Json;
    use serde_json::json;

    fn node() -> Json {
        json!({"spec": {"taints": [
                {"key": "gpu", "effect": "NoSchedule"},
                {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z"}]},
            "status": {"conditions": [{"type": "Ready", "status": "False"}]}})
        .into()
    }

    fn names(taints: &[Taint]) -> Vec<String> {
        taints
            .iter()
            .map(|t| format!("{}:{}", t.key.trim_start_matches("node.kubernetes.io/"), t.effect))
            .collect()
    }

    #[test]
    fn taints_of_readiness_change_with_it_where_the_replay_sets_them() {
        let node = node();
        let lost = NodeChange { ready: Some(ReadyStatus::Unknown), ..NodeChange::default() };
        assert!(Tainting::Replay.concerns(&lost) && !Tainting::Controller.concerns(&lost));
        let after = |change: &NodeChange| names(&Tainting::Replay.taints_after(NodeView(&node), change));
        assert_eq!(after(&lost), ["gpu:NoSchedule", "unreachable:NoSchedule", "unreachable:NoExecute"]);
        let back = NodeChange { ready: Some(ReadyStatus::True), ..NodeChange::default() };
        assert_eq!(after(&back), ["gpu:NoSchedule"]);
        let cordon = NodeChange { unschedulable: Some(true), ..NodeChange::default() };
        let with_cordon =
            ["gpu:NoSchedule", "not-ready:NoSchedule", "not-ready:NoExecute", "unschedulable:NoSchedule"];
        assert_eq!(after(&cordon), with_cordon);
    }

    #[test]
    fn a_controllers_taints_stay_as_they_are() {
        let node = node();
        let change =
            NodeChange { taints: Some(Vec::new()), unschedulable: Some(true), ..NodeChange::default() };
        assert!(Tainting::Controller.concerns(&change));
        let after = Tainting::Controller.taints_after(NodeView(&node), &change);
        assert_eq!(names(&after), ["not-ready:NoSchedule", "unschedulable:NoSchedule"]);
    }
}
