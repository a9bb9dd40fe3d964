use serde_json::{Map, Value};

use super::NodeChange;
use crate::model::{Json, Map as Shared, NodeView};

/// What changed about a node that is an input: labels, chosen taints, cordon, resources, Ready.
pub(super) fn change(before: &Json, after: &Json) -> NodeChange {
    let (old, new) = (NodeView(before), NodeView(after));
    let differs = |same: bool| !same;
    NodeChange {
        labels: differs(old.labels() == new.labels()).then(|| merge_patch(old.labels(), new.labels())),
        taints: differs(old.chosen_taints() == new.chosen_taints()).then(|| new.chosen_taints()),
        unschedulable: differs(old.is_unschedulable() == new.is_unschedulable())
            .then(|| new.is_unschedulable()),
        resources: differs(old.resources() == new.resources())
            .then(|| (new.resources().0.clone(), new.resources().1.clone())),
        ready: differs(old.ready() == new.ready()).then(|| new.ready()),
    }
}

/// The RFC 7386 merge patch from one flat map to another: absent keys become null.
pub(super) fn merge_patch(before: &Json, after: &Json) -> Value {
    let empty = Shared::default();
    let (old, new) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    let mut patch = Map::new();
    for (key, value) in new.iter().filter(|(key, value)| old.get(key) != Some(value)) {
        patch.insert(key.to_string(), value.to_value());
    }
    for key in old.keys().filter(|key| !new.contains_key(key)) {
        patch.insert(key.to_string(), Value::Null);
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ReadyStatus;
    use serde_json::json;

    #[test]
    fn only_inputs_count_as_changes() {
        let before = json!({"metadata": {"labels": {"a": "1", "b": "2"}},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "1"}]}});
        let mut after = before.clone();
        after["status"]["conditions"][0]["lastHeartbeatTime"] = "2".into();
        after["spec"]["taints"] = json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]);
        assert!(change(&Json::from(&before), &Json::from(&after)).is_empty());
        after["metadata"]["labels"] = json!({"a": "1", "c": "3"});
        after["status"]["conditions"][0]["status"] = "Unknown".into();
        let change = change(&before.into(), &after.into());
        assert_eq!(change.labels, Some(json!({"b": null, "c": "3"})));
        assert_eq!(change.ready, Some(ReadyStatus::Unknown));
        assert_eq!((change.taints, change.unschedulable, change.resources), (None, None, None));
    }
}
