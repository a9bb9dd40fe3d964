use serde_json::{Value, json};

use super::{Action, Left};
use crate::model::{CONTEXT_KINDS, Json, Kind, ObjectEvent, Verb};

/// Kinds that decide nothing once owner references are gone: the scheduler looks a pod's controller up by its owner
/// reference (`pkg/scheduler/framework/plugins/helper/spread.go`, v1.37.2, `DefaultSelector`).
const OWNERS: &[&str] = &["ReplicaSet.apps", "StatefulSet.apps", "ReplicationController"];

/// Names that every cluster makes for itself.
fn is_built_in(kind: &Kind, object: &Json) -> bool {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match kind.kind.as_ref() {
        "Namespace" => name == "default" || name.starts_with("kube-"),
        "PriorityClass" => name.starts_with("system-"),
        "Service" => name == "kubernetes" && object["metadata"]["namespace"] == "default",
        _ => false,
    }
}

/// The action for an event of a context kind, `None` where it decides nothing.
pub(super) fn action(event: &ObjectEvent, left: &mut Left) -> Option<Action> {
    let kind = CONTEXT_KINDS.iter().find(|k| k.name() == event.key.kind)?.clone();
    let object = &event.object;
    if is_built_in(&kind, object) {
        return None;
    }
    if OWNERS.contains(&event.key.kind.as_str()) {
        return None;
    }
    let body = match kind.kind.as_ref() {
        "Namespace" => json!({"spec": {}}),
        "PriorityClass" => pick(object, &["value", "globalDefault", "preemptionPolicy"]),
        "RuntimeClass" => pick(object, &["handler", "overhead", "scheduling"]),
        "PodDisruptionBudget" => pick(object, &["spec"]),
        // Only the selector counts: it is what default topology spreading reads.
        "Service" => json!({"spec": {"clusterIP": "None", "selector": object["spec"]["selector"]}}),
        _ => {
            if event.verb == Verb::Initial || event.verb == Verb::Added {
                left.count(format!("{} not replayed yet", event.key.kind));
            }
            return None;
        }
    };
    let status = (kind.kind == "PodDisruptionBudget" && object["status"].as_object().is_some())
        .then(|| json!({"status": object["status"]}));
    Some(match event.verb {
        Verb::Initial | Verb::Added => {
            Action::CreateContext { object: named(&kind, object, body).into(), kind, status }
        }
        Verb::Modified if kind.kind == "PodDisruptionBudget" => {
            Action::UpdateContext { kind, key: event.key.clone(), patch: Some(body), status }
        }
        Verb::Modified => return None,
        // Deleting a namespace takes all that is in it along, which the trace says object by object.
        Verb::Deleted if kind.kind == "Namespace" => return None,
        Verb::Deleted => Action::DeleteContext { kind, key: event.key.clone() },
    })
}

/// In which version an object was recorded and in which it is made, where these differ.
pub(super) fn converted(event: &ObjectEvent, action: &Action) -> Option<String> {
    let Action::CreateContext { kind, .. } = action else { return None };
    let (recorded, made) = (event.object["apiVersion"].as_str()?, kind.api_version());
    (recorded != made)
        .then(|| format!("objects were recorded as {recorded} {}, and are made as {made}", kind.kind))
}

/// Position of a context action among those of the initial state: the order of [`CONTEXT_KINDS`].
pub(super) fn rank(action: &Action) -> usize {
    let kind = action.key().kind;
    CONTEXT_KINDS.iter().position(|k| k.name() == kind).unwrap_or(CONTEXT_KINDS.len())
}

fn pick(object: &Json, fields: &[&str]) -> Value {
    let kept = fields.iter().filter_map(|f| object.get(f).map(|v| ((*f).to_owned(), v.to_value())));
    Value::Object(kept.collect())
}

fn named(kind: &Kind, object: &Json, mut body: Value) -> Value {
    body["apiVersion"] = kind.api_version().into();
    body["kind"] = kind.kind.as_ref().into();
    body["metadata"] = json!({"name": object["metadata"]["name"], "labels": object["metadata"]["labels"]});
    if kind.namespaced {
        body["metadata"]["namespace"] = object["metadata"]["namespace"].to_value();
    }
    body
}
