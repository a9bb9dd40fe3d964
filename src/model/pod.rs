use std::fmt;

use serde::{Deserialize, Serialize};

use super::Json;

/// The annotation that carries a pod's identity through replays: the UID it had in the first recording.
pub const ID_ANNOTATION: &str = "kubereel.dev/id";

/// Whether `id` can stand in the annotation and in a report line: non-empty, printable, at most 253 bytes.
pub fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 253 && id.chars().all(|c| c.is_ascii_graphic())
}

/// `status.phase` of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Accepted, not all containers running yet.
    Pending,
    /// Bound, at least one container running or restarting.
    Running,
    /// All containers ended with exit code 0.
    Succeeded,
    /// All containers ended, at least one with failure.
    Failed,
    /// The node cannot be asked.
    Unknown,
}

impl Phase {
    /// Succeeded or Failed: nothing runs any more and the resources are free.
    pub fn is_terminal(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

/// Why the control plane itself ends a pod: the reasons of the `DisruptionTarget` condition
/// (`k8s.io/api/core/v1/types.go`, v1.37.2, `PodReason…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DisruptionReason {
    /// The scheduler made room for a pod of higher priority.
    PreemptionByScheduler,
    /// A `NoExecute` taint without toleration.
    DeletionByTaintManager,
    /// Somebody called the eviction API (a drain).
    EvictionByEvictionAPI,
    /// Pod garbage collection: its node is gone.
    DeletionByPodGC,
    /// The kubelet: node pressure or shutdown.
    TerminationByKubelet,
}

impl DisruptionReason {
    /// Whether a replay must leave this to its own scheduler, controllers and nodes: all but evictions, which
    /// somebody asked for.
    pub fn is_outcome(self) -> bool {
        self != DisruptionReason::EvictionByEvictionAPI
    }
}

impl fmt::Display for DisruptionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// How a container ended, as the kubelet reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerEnd {
    /// Name of the container.
    pub name: String,
    /// Exit code, 0 for success.
    pub exit_code: i64,
    /// Restarts before the end.
    pub restarts: i64,
}

/// Reads a pod object without copying it. Absent or ill-typed fields read as absent.
#[derive(Debug, Clone, Copy)]
pub struct PodView<'a>(pub &'a Json);

impl<'a> PodView<'a> {
    /// The pod's identity over recordings and replays: the annotation where a replay made the pod, else its UID.
    pub fn id(self) -> &'a str {
        let metadata = &self.0["metadata"];
        let annotation = metadata["annotations"][ID_ANNOTATION].as_str();
        annotation.filter(|id| is_id(id)).unwrap_or_else(|| metadata["uid"].as_str().unwrap_or_default())
    }

    /// UID.
    pub fn uid(self) -> &'a str {
        self.0["metadata"]["uid"].as_str().unwrap_or_default()
    }

    /// Namespace.
    pub fn namespace(self) -> &'a str {
        self.0["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    /// Name.
    pub fn name(self) -> &'a str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// The node that the pod is bound to.
    pub fn node_name(self) -> Option<&'a str> {
        self.0["spec"]["nodeName"].as_str().filter(|name| !name.is_empty())
    }

    /// The node where the scheduler makes room for the pod.
    pub fn nominated_node(self) -> Option<&'a str> {
        self.0["status"]["nominatedNodeName"].as_str().filter(|name| !name.is_empty())
    }

    /// The scheduler that the pod asks for.
    pub fn scheduler_name(self) -> &'a str {
        self.0["spec"]["schedulerName"].as_str().unwrap_or("default-scheduler")
    }

    /// Phase; a pod without status is Pending.
    pub fn phase(self) -> Phase {
        match self.0["status"]["phase"].as_str() {
            Some("Running") => Phase::Running,
            Some("Succeeded") => Phase::Succeeded,
            Some("Failed") => Phase::Failed,
            Some("Unknown") => Phase::Unknown,
            _ => Phase::Pending,
        }
    }

    /// Whether a deletion was asked for.
    pub fn is_deleting(self) -> bool {
        self.0["metadata"]["deletionTimestamp"].is_string()
    }

    /// `metadata.deletionGracePeriodSeconds`.
    pub fn deletion_grace_seconds(self) -> Option<u64> {
        self.0["metadata"]["deletionGracePeriodSeconds"].as_u64()
    }

    /// The object of a condition by its type.
    pub fn condition(self, kind: &str) -> Option<&'a Json> {
        self.0["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
    }

    /// Whether the scheduler tried and found no node, or the pod is held by scheduling gates: `PodScheduled` is False.
    pub fn is_marked_unschedulable(self) -> bool {
        self.condition("PodScheduled").is_some_and(|c| c["status"] == "False")
    }

    /// The message of a `PodScheduled` condition that is False.
    pub fn unschedulable_message(self) -> Option<&'a str> {
        self.condition("PodScheduled").filter(|c| c["status"] == "False")?["message"].as_str()
    }

    /// Whether the `Ready` condition is True.
    pub fn is_ready(self) -> bool {
        self.condition("Ready").is_some_and(|c| c["status"] == "True")
    }

    /// Why the control plane ends this pod, where it says so.
    pub fn disruption(self) -> Option<DisruptionReason> {
        let condition = self.condition("DisruptionTarget").filter(|c| c["status"] == "True")?;
        match condition["reason"].as_str()? {
            "PreemptionByScheduler" => Some(DisruptionReason::PreemptionByScheduler),
            "DeletionByTaintManager" => Some(DisruptionReason::DeletionByTaintManager),
            "EvictionByEvictionAPI" => Some(DisruptionReason::EvictionByEvictionAPI),
            "DeletionByPodGC" => Some(DisruptionReason::DeletionByPodGC),
            "TerminationByKubelet" => Some(DisruptionReason::TerminationByKubelet),
            _ => None,
        }
    }

    /// Made by a node from a file, not by the API: the API object only mirrors it.
    pub fn is_mirror(self) -> bool {
        self.0["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string()
    }

    /// The controller that owns the pod, as `Kind/name`.
    pub fn owner(self) -> Option<String> {
        let owners = self.0["metadata"]["ownerReferences"].as_array()?;
        let owner = owners.iter().find(|o| o["controller"] == true)?;
        Some(format!("{}/{}", owner["kind"].as_str()?, owner["name"].as_str()?))
    }

    /// How each container ended; empty while one of them has not.
    pub fn container_ends(self) -> Vec<ContainerEnd> {
        let statuses = self.0["status"]["containerStatuses"].items();
        let ends: Option<Vec<_>> = statuses
            .iter()
            .map(|status| {
                Some(ContainerEnd {
                    name: status["name"].as_str()?.to_owned(),
                    exit_code: status["state"]["terminated"]["exitCode"].as_i64()?,
                    restarts: status["restartCount"].as_i64().unwrap_or(0),
                })
            })
            .collect();
        ends.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn identity_is_the_annotation_then_the_uid() {
        let recorded = json!({"metadata": {"uid": "u-1"}});
        assert_eq!(PodView(&recorded.into()).id(), "u-1");
        let replayed = json!({"metadata": {"uid": "u-2", "annotations": {ID_ANNOTATION: "u-1"}}});
        assert_eq!(PodView(&replayed.into()).id(), "u-1");
        let hostile = json!({"metadata": {"uid": "u-2", "annotations": {ID_ANNOTATION: "a\u{1b}[2J"}}});
        assert_eq!(PodView(&hostile.into()).id(), "u-2");
    }

    #[test]
    fn only_evictions_are_somebodys_wish() {
        let pod = |reason: &str| json!({"status": {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason}]}});
        let outcome = |reason| PodView(&pod(reason).into()).disruption().map(DisruptionReason::is_outcome);
        assert_eq!(outcome("PreemptionByScheduler"), Some(true));
        assert_eq!(outcome("DeletionByTaintManager"), Some(true));
        assert_eq!(outcome("EvictionByEvictionAPI"), Some(false));
        assert_eq!(outcome("SomethingNew"), None);
    }

    #[test]
    fn containers_have_ended_only_when_all_have() {
        let one = json!({"status": {"containerStatuses": [
            {"name": "a", "restartCount": 2, "state": {"terminated": {"exitCode": 3}}},
            {"name": "b", "state": {"running": {}}}]}});
        assert!(PodView(&one.into()).container_ends().is_empty());
    }
}
