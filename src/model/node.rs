use serde::{Deserialize, Serialize};

use super::Json;

/// `status` of a node's `Ready` condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReadyStatus {
    /// The kubelet says it is healthy.
    True,
    /// The kubelet says it is not.
    False,
    /// The kubelet has not been heard of (or has never reported).
    Unknown,
}

/// A node taint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value, empty where absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// Whether the node lifecycle controller owns this taint key: it follows from conditions and from
/// `spec.unschedulable`, so a replay derives it again (`pkg/controller/nodelifecycle/node_lifecycle_controller.go`,
/// v1.37.2, `nodeConditionToTaintKeyStatusMap`).
pub fn is_lifecycle_taint(key: &str) -> bool {
    matches!(
        key,
        "node.kubernetes.io/not-ready"
            | "node.kubernetes.io/unreachable"
            | "node.kubernetes.io/unschedulable"
            | "node.kubernetes.io/memory-pressure"
            | "node.kubernetes.io/disk-pressure"
            | "node.kubernetes.io/pid-pressure"
            | "node.kubernetes.io/network-unavailable"
            | "node.cloudprovider.kubernetes.io/uninitialized"
    )
}

/// Reads a node object without copying it. Absent or ill-typed fields read as absent.
#[derive(Debug, Clone, Copy)]
pub struct NodeView<'a>(pub &'a Json);

impl<'a> NodeView<'a> {
    /// Name.
    pub fn name(self) -> &'a str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// `metadata.labels`.
    pub fn labels(self) -> &'a Json {
        &self.0["metadata"]["labels"]
    }

    /// Cordoned.
    pub fn is_unschedulable(self) -> bool {
        self.0["spec"]["unschedulable"].as_bool().unwrap_or(false)
    }

    /// All taints, in order.
    pub fn taints(self) -> Vec<Taint> {
        let taints = self.0["spec"]["taints"].items();
        taints.iter().filter_map(|t| Taint::deserialize(t).ok()).collect()
    }

    /// The taints that people and other controllers set: all but those of the node lifecycle controller.
    pub fn chosen_taints(self) -> Vec<Taint> {
        self.taints().into_iter().filter(|t| !is_lifecycle_taint(&t.key)).collect()
    }

    /// Whether a taint of the node lifecycle controller stands that a healthy node does not have.
    pub fn has_health_taint(self) -> bool {
        self.taints()
            .iter()
            .any(|t| is_lifecycle_taint(&t.key) && t.key != "node.kubernetes.io/unschedulable")
    }

    /// Whether there is a `Ready` condition at all.
    pub fn has_ready_condition(self) -> bool {
        self.ready_condition().is_some()
    }

    fn ready_condition(self) -> Option<&'a Json> {
        self.0["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == "Ready")
    }

    /// The `Ready` condition; a node that never reported is Unknown.
    pub fn ready(self) -> ReadyStatus {
        match self.ready_condition().and_then(|c| c["status"].as_str()) {
            Some("True") => ReadyStatus::True,
            Some("False") => ReadyStatus::False,
            _ => ReadyStatus::Unknown,
        }
    }

    /// `status.capacity` and `status.allocatable`.
    pub fn resources(self) -> (&'a Json, &'a Json) {
        (&self.0["status"]["capacity"], &self.0["status"]["allocatable"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn taints_of_the_lifecycle_controller_are_told_from_chosen_ones() {
        let node = Json::from(json!({"spec": {"taints": [
            {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
            {"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}}));
        let view = NodeView(&node);
        assert_eq!(view.taints().len(), 2);
        assert_eq!(view.chosen_taints().iter().map(|t| t.key.as_str()).collect::<Vec<_>>(), ["gpu"]);
        assert!(view.has_health_taint());
        assert_eq!(view.ready(), ReadyStatus::Unknown);
    }

    #[test]
    fn a_cordon_is_no_health_problem() {
        let node = Json::from(json!({"spec": {"unschedulable": true, "taints": [
            {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}}));
        assert!(!NodeView(&node).has_health_taint());
        assert!(NodeView(&node).is_unschedulable());
    }
}
