//! What hollow nodes read of the objects that the API server sends. Everything else in them is passed over by the
//! decoder, so that a pod of 8 KB costs some hundred bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::endpoint::{USAGE_CPU, USAGE_MEMORY};
use crate::model::{Phase, Taint, Text, is_id};

/// Resource quantities by name, as texts.
pub(super) type Resources = BTreeMap<Text, Text>;

/// A pod, as far as its node must know it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SeenPod {
    pub(super) metadata: PodMeta,
    pub(super) spec: PodSpec,
    pub(super) status: PodStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodMeta {
    pub(super) name: Text,
    pub(super) namespace: Text,
    pub(super) uid: Text,
    pub(super) resource_version: Text,
    pub(super) generation: i64,
    pub(super) annotations: Option<PodAnnotations>,
    deletion_timestamp: Option<IgnoredAny>,
    pub(super) deletion_grace_period_seconds: Option<u64>,
    owner_references: Vec<Owner>,
}

/// The annotations that a hollow node heeds.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodAnnotations {
    #[serde(rename = "kubereel.dev/id")]
    id: Option<Text>,
    #[serde(rename = "kubereel.dev/run-seconds")]
    pub(super) run_seconds: Option<Text>,
    #[serde(rename = "kubereel.dev/exit-code")]
    pub(super) exit_code: Option<Text>,
    #[serde(rename = "kubereel.dev/failures")]
    pub(super) failures: Option<Text>,
    #[serde(rename = "kubereel.dev/start-millis")]
    pub(super) start_millis: Option<Text>,
    #[serde(rename = "kubereel.dev/init-seconds")]
    pub(super) init_seconds: Option<Text>,
    #[serde(rename = "kubereel.dev/init-exit-code")]
    pub(super) init_exit_code: Option<Text>,
    #[serde(rename = "kubereel.dev/termination-seconds")]
    pub(super) termination_seconds: Option<Text>,
    #[serde(rename = "kubereel.dev/usage-cpu")]
    usage_cpu: Option<Text>,
    #[serde(rename = "kubereel.dev/usage-memory")]
    usage_memory: Option<Text>,
    #[serde(rename = "kwok.x-k8s.io/usage-cpu")]
    kwok_usage_cpu: Option<Text>,
    #[serde(rename = "kwok.x-k8s.io/usage-memory")]
    kwok_usage_memory: Option<Text>,
    #[serde(rename = "kubernetes.io/config.mirror")]
    mirror: Option<Text>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Owner {
    kind: Text,
    uid: Text,
    controller: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) node_name: Text,
    pub(super) init_containers: Vec<SeenContainer>,
    pub(super) containers: Vec<SeenContainer>,
    pub(super) restart_policy: Text,
    pub(super) host_network: bool,
    pub(super) readiness_gates: Vec<ReadinessGate>,
    pub(super) active_deadline_seconds: Option<u64>,
    pub(super) service_account_name: Text,
    pub(super) volumes: Vec<Volume>,
    pub(super) image_pull_secrets: Vec<Named>,
    pub(super) tolerations: Vec<Toleration>,
    pub(super) overhead: Resources,
    pub(super) resources: Option<SeenResources>,
    pub(super) node_selector: BTreeMap<Text, Text>,
    pub(super) affinity: Option<Affinity>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SeenContainer {
    pub(super) name: Text,
    pub(super) image: Text,
    pub(super) restart_policy: Text,
    pub(super) restart_policy_rules: Vec<SeenRestartRule>,
    pub(super) resources: SeenResources,
    pub(super) env: Vec<Env>,
    pub(super) env_from: Vec<Refers>,
    pub(super) ports: Vec<Port>,
    pub(super) startup_probe: Option<SeenProbe>,
    pub(super) readiness_probe: Option<SeenProbe>,
    lifecycle: Lifecycle,
}

/// What a container does when it exits with certain codes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SeenRestartRule {
    pub(super) action: Text,
    pub(super) exit_codes: Option<SeenExitCodes>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub(super) struct SeenExitCodes {
    pub(super) operator: Text,
    pub(super) values: Vec<i32>,
}

/// Hooks, as far as they say how long they take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Lifecycle {
    pre_stop: Hook,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
struct Hook {
    sleep: Sleep,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
struct Sleep {
    seconds: u64,
}

/// When a probe is made; what it asks does not matter, since it succeeds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SeenProbe {
    pub(super) initial_delay_seconds: u32,
    pub(super) period_seconds: u32,
    pub(super) success_threshold: u32,
}

impl SeenProbe {
    /// From the start of the container to the last success that is needed: probes are made at every period from the
    /// start on, but not within the initial delay (`pkg/kubelet/prober/worker.go`, v1.37.2, `doProbe`).
    fn succeeds_after(self) -> Duration {
        let period = u64::from(self.period_seconds.max(1));
        let first = u64::from(self.initial_delay_seconds).div_ceil(period);
        let more = u64::from(self.success_threshold.saturating_sub(1));
        Duration::from_secs((first + more).saturating_mul(period))
    }
}

impl SeenContainer {
    /// Of an init container: whether it goes on running (KEP-753).
    pub(super) fn is_sidecar(&self) -> bool {
        self.restart_policy == "Always"
    }

    /// From its start until its startup probe has succeeded.
    pub(super) fn started_after(&self) -> Duration {
        self.startup_probe.map_or(Duration::ZERO, SeenProbe::succeeds_after)
    }

    /// From its start until it is ready: the readiness probe waits for the startup probe.
    pub(super) fn ready_after(&self) -> Duration {
        let by_own = self.readiness_probe.map_or(Duration::ZERO, SeenProbe::succeeds_after);
        by_own.max(self.started_after())
    }

    /// How long its preStop hook sleeps; what others do takes no time here.
    pub(super) fn pre_stop(&self) -> Duration {
        Duration::from_secs(self.lifecycle.pre_stop.sleep.seconds)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Port {
    #[serde(rename = "hostPort")]
    pub(super) of_host: u16,
    #[serde(rename = "hostIP")]
    pub(super) host_ip: Text,
    pub(super) protocol: Text,
}

/// Requests and limits of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SeenResources {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) requests: Resources,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) limits: Resources,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Env {
    pub(super) value_from: Option<Refers>,
}

/// The object that a variable, a container's environment or a source of a projected volume comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Refers {
    #[serde(alias = "configMapKeyRef", alias = "configMapRef")]
    pub(super) config_map: Option<Named>,
    #[serde(alias = "secretKeyRef", alias = "secretRef")]
    pub(super) secret: Option<Named>,
    pub(super) service_account_token: Option<TokenSource>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    #[serde(alias = "secretName")]
    pub(super) name: Text,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ReadinessGate {
    pub(super) condition_type: Text,
}

/// A volume, as far as it refers to other objects.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Volume {
    pub(super) config_map: Option<Named>,
    pub(super) secret: Option<Named>,
    pub(super) projected: Projected,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Projected {
    pub(super) sources: Vec<Refers>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct TokenSource {
    pub(super) audience: Text,
    pub(super) expiration_seconds: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub(super) struct Toleration {
    pub(super) key: Text,
    pub(super) operator: Text,
    pub(super) value: Text,
    pub(super) effect: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Affinity {
    pub(super) node_affinity: Option<NodeAffinity>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub(super) required: Option<NodeSelector>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NodeSelector {
    pub(super) node_selector_terms: Vec<NodeSelectorTerm>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NodeSelectorTerm {
    pub(super) match_expressions: Vec<Requirement>,
    pub(super) match_fields: Vec<Requirement>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub(super) struct Requirement {
    pub(super) key: Text,
    pub(super) operator: Text,
    pub(super) values: Vec<Text>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodStatus {
    pub(super) phase: Text,
    pub(super) conditions: Vec<SeenCondition>,
    pub(super) start_time: Option<Text>,
    #[serde(rename = "podIPs")]
    pub(super) pod_ips: Vec<Ip>,
    pub(super) container_statuses: Vec<SeenContainerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SeenCondition {
    #[serde(rename = "type")]
    pub(super) kind: Text,
    pub(super) status: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ip {
    pub(super) ip: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SeenContainerStatus {
    pub(super) name: Text,
    pub(super) restart_count: u32,
}

impl SeenPod {
    /// The pod's identity over recordings and replays: the annotation where a replay made the pod, else its UID.
    pub fn id(&self) -> &str {
        let annotation = self.annotations().and_then(|a| a.id.as_deref());
        annotation.filter(|id| is_id(id)).unwrap_or(&self.metadata.uid)
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// `metadata.namespace`.
    pub fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    /// Whether the controller that owns it is of this kind.
    pub fn is_owned_by(&self, kind: &str) -> bool {
        self.metadata.owner_references.iter().any(|owner| owner.controller && owner.kind == kind)
    }

    /// The UID of the controller that owns it.
    pub(super) fn owner_uid(&self) -> Option<&str> {
        self.metadata.owner_references.iter().find(|owner| owner.controller).map(|owner| owner.uid.as_str())
    }

    /// The names of its containers, in order.
    pub fn container_names(&self) -> impl Iterator<Item = &str> {
        self.spec.containers.iter().map(|container| container.name.as_str())
    }

    pub(super) fn annotations(&self) -> Option<&PodAnnotations> {
        self.metadata.annotations.as_ref()
    }

    /// Whether its condition Ready holds.
    pub(super) fn is_ready(&self) -> bool {
        self.status.conditions.iter().any(|c| c.kind == "Ready" && c.status == "True")
    }

    /// The annotations that say what it uses: nothing is allocated for a pod without.
    pub(super) fn usage(&self) -> BTreeMap<&'static str, Text> {
        let Some(annotations) = self.annotations() else { return BTreeMap::new() };
        let of = [
            (USAGE_CPU[0], &annotations.usage_cpu),
            (USAGE_CPU[1], &annotations.kwok_usage_cpu),
            (USAGE_MEMORY[0], &annotations.usage_memory),
            (USAGE_MEMORY[1], &annotations.kwok_usage_memory),
        ];
        of.into_iter().filter_map(|(name, usage)| Some((name, usage.clone()?))).collect()
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether a node made it from a file: the API object only mirrors it.
    pub(super) fn is_mirror(&self) -> bool {
        self.annotations().is_some_and(|a| a.mirror.is_some())
    }

    pub(super) fn phase(&self) -> Phase {
        match self.status.phase.as_str() {
            "Running" => Phase::Running,
            "Succeeded" => Phase::Succeeded,
            "Failed" => Phase::Failed,
            "Unknown" => Phase::Unknown,
            _ => Phase::Pending,
        }
    }
}

/// A node, as far as the one who plays it must know it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SeenNode {
    pub(super) metadata: NodeMeta,
    pub(super) spec: NodeSpec,
    pub(super) status: NodeStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NodeMeta {
    pub(super) name: Text,
    pub(super) uid: Text,
    pub(super) resource_version: Text,
    pub(super) labels: BTreeMap<Text, Text>,
    pub(super) annotations: BTreeMap<Text, Text>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeSpec {
    #[serde(rename = "podCIDR")]
    pub(super) pod_cidr: Text,
    #[serde(rename = "podCIDRs")]
    pub(super) pod_cidrs: Vec<Text>,
    pub(super) taints: Vec<Taint>,
    pub(super) unschedulable: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeStatus {
    pub(super) capacity: Resources,
    pub(super) allocatable: Resources,
    pub(super) addresses: Vec<Address>,
    pub(super) conditions: Vec<SeenCondition>,
    pub(super) images: Vec<SeenImage>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SeenImage {
    pub(super) names: Vec<Text>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) size_bytes: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Address {
    #[serde(rename = "type")]
    pub(super) kind: Text,
    pub(super) address: Text,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
pub(super) fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl SeenNode {
    /// Name.
    pub fn name(&self) -> &Text {
        &self.metadata.name
    }

    /// The first address of the kind `InternalIP`.
    pub(super) fn internal_ip(&self) -> Option<&Text> {
        self.status.addresses.iter().find(|a| a.kind == "InternalIP").map(|a| &a.address)
    }

    /// Its PodCIDRs: `spec.podCIDRs`, or the one of `spec.podCIDR`.
    pub(super) fn pod_cidrs(&self) -> &[Text] {
        if self.spec.pod_cidrs.is_empty() && !self.spec.pod_cidr.is_empty() {
            std::slice::from_ref(&self.spec.pod_cidr)
        } else {
            &self.spec.pod_cidrs
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Json;
    use serde_json::json;

    #[test]
    fn a_pod_reads_the_same_from_text_and_from_a_value() {
        let pod = json!({
            "metadata": {"name": "p", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {"kubereel.dev/id": "first", "other": "x"},
                "ownerReferences": [{"kind": "Job", "name": "j", "controller": true}]},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
            "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]}});
        let text: SeenPod = serde_json::from_str(&pod.to_string()).unwrap();
        let value = SeenPod::deserialize(&Json::from(pod)).unwrap();
        for pod in [text, value] {
            assert_eq!((pod.id(), pod.phase()), ("first", Phase::Running));
            assert!(pod.is_deleting() && pod.is_owned_by("Job") && !pod.is_owned_by("ReplicaSet"));
            assert_eq!(pod.spec.containers[0].resources.requests["cpu"], "1");
            assert_eq!(pod.status.pod_ips[0].ip, "10.0.0.1");
        }
    }

    #[test]
    fn a_node_has_both_of_its_ranges_or_its_only_one() {
        let node = |spec: serde_json::Value| -> SeenNode {
            serde_json::from_value(json!({"metadata": {"name": "n"}, "spec": spec})).unwrap()
        };
        let both = node(json!({"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24", "fd00::/64"]}));
        assert_eq!(both.pod_cidrs().len(), 2);
        assert_eq!(node(json!({"podCIDR": "10.0.0.0/24"})).pod_cidrs(), ["10.0.0.0/24"]);
        assert!(node(json!({})).pod_cidrs().is_empty());
    }
}
