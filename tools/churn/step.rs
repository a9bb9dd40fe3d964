//! What the scenario can ask for, one step at a time.

use std::fmt;

use kubereel::model::{Json, Kind, NODE, ObjectKey, Text};
use serde_json::{Value, json};

use crate::kinds;
use crate::nodes::Machine;

/// One thing to do.
#[derive(Debug, Clone)]
pub enum Step {
    /// Post an object.
    Create(Json),
    /// Merge-patch an object.
    Patch { kind: Kind, key: ObjectKey, patch: Value },
    /// Delete an object; what it owns goes with it.
    Delete { kind: Kind, key: ObjectKey },
    /// Evict all pods of a cordoned node but those of daemon sets; then, if asked for, take the node away.
    Drain { node: String, remove: bool },
    /// Register one more node.
    Join(Machine),
    /// A node falls silent: no lease, no word about its pods.
    Lose(String),
    /// The silent node is taken out of the API, as a cloud provider does with a machine that is gone.
    Forget(String),
    /// Taint a node, or take the taint off again.
    Taint { node: String, taint: Value, on: bool },
}

impl Step {
    /// A merge patch of a workload; `kind` must be one of the scenario's.
    pub fn patch(kind: &str, namespace: &str, name: &str, patch: Value) -> Option<Step> {
        let kind = kinds::named(kind)?;
        Some(Step::Patch { key: key(&kind, Some(namespace), name), kind, patch })
    }

    /// Other replicas.
    pub fn scale(kind: &str, namespace: &str, name: &str, replicas: u64) -> Option<Step> {
        Step::patch(kind, namespace, name, json!({"spec": {"replicas": replicas}}))
    }

    /// A new revision of the template.
    pub fn roll_out(kind: &str, namespace: &str, name: &str, revision: u64) -> Option<Step> {
        let annotations = json!({"churn.example/revision": revision.to_string()});
        Step::patch(
            kind,
            namespace,
            name,
            json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}),
        )
    }

    /// Lifts the gates of a pod.
    pub fn ungate(namespace: &str, name: &str) -> Option<Step> {
        Step::patch("Pod", namespace, name, json!({"spec": {"schedulingGates": []}}))
    }

    /// Deletes a workload.
    pub fn delete(kind: &str, namespace: &str, name: &str) -> Option<Step> {
        let kind = kinds::named(kind)?;
        Some(Step::Delete { key: key(&kind, Some(namespace), name), kind })
    }

    /// Cordons a node, or lifts that.
    pub fn cordon(node: &str, on: bool) -> Step {
        Step::node(node, json!({"spec": {"unschedulable": on}}))
    }

    /// Sets labels of a node; null takes one off.
    pub fn label(node: &str, labels: &Value) -> Step {
        Step::node(node, json!({"metadata": {"labels": labels}}))
    }

    fn node(name: &str, patch: Value) -> Step {
        Step::Patch { key: key(&NODE, None, name), kind: NODE, patch }
    }
}

/// The key of an object.
pub fn key(kind: &Kind, namespace: Option<&str>, name: &str) -> ObjectKey {
    ObjectKey { kind: kind.name().into(), namespace: namespace.map(Text::from), name: name.into() }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Create(object) => match ObjectKey::of(object) {
                Some(key) => write!(f, "create {key}"),
                None => write!(f, "create an object without name"),
            },
            Step::Patch { key, patch, .. } => write!(f, "patch {key} {patch}"),
            Step::Delete { key, .. } => write!(f, "delete {key}"),
            Step::Drain { node, remove: false } => write!(f, "drain {node}"),
            Step::Drain { node, remove: true } => write!(f, "drain and remove {node}"),
            Step::Join(machine) => write!(f, "{} joins", machine.name()),
            Step::Lose(node) => write!(f, "{node} falls silent"),
            Step::Forget(node) => write!(f, "{node} is forgotten"),
            Step::Taint { node, taint, on: true } => write!(f, "taint {node} {taint}"),
            Step::Taint { node, taint, on: false } => write!(f, "untaint {node} {taint}"),
        }
    }
}
