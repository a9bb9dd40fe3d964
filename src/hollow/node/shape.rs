use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use crate::model::{Json, NodeView, ReadyStatus};

/// A hollow node made up from numbers, for fleets without a trace.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeShape {
    /// Name.
    pub name: String,
    /// Labels besides `kubernetes.io/hostname`.
    pub labels: BTreeMap<String, String>,
    /// Taints, as in `spec.taints`.
    pub taints: Vec<Value>,
    /// Capacity and allocatable, as Kubernetes quantities by resource name.
    pub resources: BTreeMap<String, String>,
}

impl NodeShape {
    /// The object as a kubelet would know it.
    pub fn to_object(&self) -> Json {
        let mut labels: Map<String, Value> =
            self.labels.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
        labels.insert("kubernetes.io/hostname".to_owned(), self.name.as_str().into());
        for prefix in ["", "beta."] {
            labels.insert(format!("{prefix}kubernetes.io/os"), "linux".into());
            labels.insert(format!("{prefix}kubernetes.io/arch"), "amd64".into());
        }
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": self.name, "labels": labels},
            "spec": {"taints": self.taints},
            "status": {"capacity": self.resources, "allocatable": self.resources},
        })
        .into()
    }
}

/// What is posted to register a node: the given object with its identity removed, the given annotations added and
/// the conditions of a kubelet without pressure, Ready unless the object says otherwise. Taints of the node lifecycle controller are not carried over: it sets them
/// again from the conditions.
pub fn registration(object: &Json, annotations: &BTreeMap<String, String>, now: DateTime<Utc>) -> Json {
    let view = NodeView(object);
    let mut metadata = json!({"name": view.name(), "labels": view.labels(), "annotations": {}});
    for (key, value) in annotations {
        metadata["annotations"][key] = value.as_str().into();
    }
    let mut spec = object["spec"].as_object().cloned().unwrap_or_default();
    spec.remove("configSource");
    spec.insert("taints", json!(view.chosen_taints()).into());
    let mut status = object["status"].as_object().cloned().unwrap_or_default();
    status.insert("conditions", json!(conditions(view, now)).into());
    if !status.contains_key("addresses") {
        let addresses = json!([
            {"type": "InternalIP", "address": "10.255.0.1"}, {"type": "Hostname", "address": view.name()}]);
        status.insert("addresses", addresses.into());
    }
    status.remove("images");
    json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": status}).into()
}

/// The conditions of a kubelet without pressure (`pkg/kubelet/nodestatus/setters.go`, v1.37.2).
fn conditions(node: NodeView<'_>, now: DateTime<Utc>) -> Vec<Value> {
    let (ready, why) = match (node.has_ready_condition(), node.ready()) {
        (false, _) | (true, ReadyStatus::True) => ("True", "KubeletReady"),
        (true, ReadyStatus::False) => ("False", "KubeletNotReady"),
        (true, ReadyStatus::Unknown) => ("Unknown", "NodeStatusUnknown"),
    };
    let time = now.to_rfc3339_opts(SecondsFormat::Secs, true);
    let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "lastHeartbeatTime": time, "lastTransitionTime": time});
    vec![
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID"),
        condition("Ready", ready, why),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_keeps_what_schedules_and_drops_what_identifies() {
        let recorded = Json::from(json!({
            "metadata": {"name": "n1", "uid": "old", "resourceVersion": "9", "labels": {"zone": "a"},
                         "annotations": {"secret": "x"}},
            "spec": {"podCIDR": "10.1.0.0/24", "unschedulable": true, "taints": [
                {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}, {"key": "gpu", "effect": "NoSchedule"}]},
            "status": {"allocatable": {"cpu": "4"}, "conditions": [{"type": "Ready", "status": "Unknown"}]}}));
        let own = BTreeMap::from([("kubereel.dev/run".to_owned(), "r".to_owned())]);
        let node = registration(&recorded, &own, DateTime::UNIX_EPOCH);
        assert_eq!(node["metadata"]["uid"], Value::Null);
        assert_eq!(node["metadata"]["annotations"], json!({"kubereel.dev/run": "r"}));
        assert_eq!(node["spec"]["podCIDR"], "10.1.0.0/24");
        let view = NodeView(&node);
        assert!(view.is_unschedulable());
        assert_eq!(view.taints().len(), 1);
        assert_eq!(view.ready(), ReadyStatus::Unknown, "as recorded");
        let fresh = NodeShape { name: "n2".into(), ..NodeShape::default() }.to_object();
        assert_eq!(NodeView(&registration(&fresh, &own, DateTime::UNIX_EPOCH)).ready(), ReadyStatus::True);
        assert_eq!(view.resources().1["cpu"], "4");
    }
}
