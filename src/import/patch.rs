//! Strategic merge patches, as kubelets, controllers and schedulers send them
//! (`k8s.io/apimachinery/pkg/util/strategicpatch/patch.go`, v0.37.2).

use crate::model::{Json, Map, Text};

/// By which field the elements of a list are told apart, for the lists of pods and nodes that are merged: the
/// `patchMergeKey` tags of `k8s.io/api/core/v1/types.go`, v0.37.2. Other lists are replaced.
const MERGE_KEYS: &[(&str, &str)] = &[
    ("addresses", "type"),
    ("conditions", "type"),
    ("containers", "name"),
    ("env", "name"),
    ("ephemeralContainers", "name"),
    ("hostAliases", "ip"),
    ("hostIPs", "ip"),
    ("imagePullSecrets", "name"),
    ("initContainers", "name"),
    ("ownerReferences", "uid"),
    ("podIPs", "ip"),
    ("ports", "containerPort"),
    ("resourceClaimStatuses", "name"),
    ("resourceClaims", "name"),
    ("schedulingGates", "name"),
    ("topologySpreadConstraints", "topologyKey"),
    ("volumeDevices", "devicePath"),
    ("volumeMounts", "mountPath"),
    ("volumes", "name"),
];

/// Lists of plain values that are merged.
const MERGED_VALUES: &[&str] = &["finalizers"];

/// Replaces, deletes or merges a map or an element.
const DIRECTIVE: &str = "$patch";
/// Values to take out of a list of plain values; the list's name follows.
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
/// The order of a merged list; the list's name follows.
const ORDER: &str = "$setElementOrder/";
/// The keys of a map that stay.
const RETAIN: &str = "$retainKeys";

/// The value with a patch applied.
pub fn strategic(value: &Json, patch: &Json) -> Json {
    let Some(patch) = patch.as_object() else { return patch.clone() };
    let empty = Map::default();
    let mut merged = match patch.get(DIRECTIVE).and_then(Json::as_str) {
        Some("replace") => return Json::Object(plain(patch)),
        Some("delete") => return Json::Null,
        _ => value.as_object().unwrap_or(&empty).clone(),
    };
    if let Some(retained) = patch.get(RETAIN) {
        let kept = |key: &Text| retained.items().iter().any(|item| item == key.as_str());
        merged = merged.iter().filter(|(key, _)| kept(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
    }
    for (key, change) in patch.iter() {
        if let Some(list) = key.strip_prefix(DELETE_FROM) {
            let gone = change.items();
            if let Some(items) = merged.get(list).and_then(Json::as_array) {
                let kept = items.iter().filter(|item| !gone.contains(item)).cloned().collect();
                merged.insert(list, kept);
            }
        } else if !key.starts_with('$') {
            merge(&mut merged, key, change, patch.get(&format!("{ORDER}{key}")));
        }
    }
    Json::Object(merged)
}

/// A map without directives.
fn plain(map: &Map) -> Map {
    map.iter().filter(|(key, _)| !key.starts_with('$')).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn merge(into: &mut Map, key: &Text, change: &Json, order: Option<&Json>) {
    let own = into.get(key).unwrap_or(&Json::Null);
    let merged = match change {
        Json::Null => {
            into.remove(key);
            return;
        }
        Json::Object(_) => strategic(own, change),
        Json::Array(items) if MERGED_VALUES.contains(&key.as_str()) => {
            let added = items.iter().filter(|item| !own.items().contains(item));
            own.items().iter().chain(added).cloned().collect()
        }
        Json::Array(items) => match MERGE_KEYS.iter().find(|(list, _)| list == key) {
            Some((_, by)) => list(own.items(), items, by, order),
            None => change.clone(),
        },
        _ => change.clone(),
    };
    if merged.is_null() {
        into.remove(key);
    } else {
        into.insert(key.clone(), merged);
    }
}

/// A list whose elements are merged by a field.
fn list(own: &[Json], changes: &[Json], by: &str, order: Option<&Json>) -> Json {
    if changes.iter().any(|change| change[DIRECTIVE] == "replace") {
        return changes.iter().filter(|change| change[DIRECTIVE] != "replace").cloned().collect();
    }
    let mut merged = own.to_vec();
    for change in changes {
        let at = merged.iter().position(|item| item[by] == change[by]);
        match at {
            Some(at) if change[DIRECTIVE] == "delete" => drop(merged.remove(at)),
            Some(at) => merged[at] = strategic(&merged[at], change),
            None if change[DIRECTIVE] == "delete" => {}
            None => merged.push(strategic(&Json::Null, change)),
        }
    }
    if let Some(order) = order {
        let place = |item: &Json| order.items().iter().position(|named| named[by] == item[by]);
        merged.sort_by_key(|item| place(item).unwrap_or(usize::MAX));
    }
    merged.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn patched(value: &Value, patch: &Value) -> Value {
        strategic(&value.into(), &patch.into()).to_value()
    }

    #[test]
    fn conditions_merge_by_type_and_keep_their_order() {
        let pod = json!({"status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False", "reason": "x"}]}});
        let patch = json!({"status": {"phase": "Running", "$setElementOrder/conditions": [
            {"type": "Ready"}, {"type": "Initialized"}, {"type": "PodScheduled"}],
            "conditions": [{"type": "Ready", "status": "True", "reason": null}, {"type": "Initialized", "status": "True"}]}});
        assert_eq!(
            patched(&pod, &patch),
            json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"},
                {"type": "Initialized", "status": "True"}, {"type": "PodScheduled", "status": "True"}]}})
        );
    }

    #[test]
    fn directives_delete_replace_and_retain() {
        let value = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "strategy": {"a": 1, "b": 2}},
            "metadata": {"finalizers": ["x", "y"], "labels": {"k": "v"}}});
        let patch = json!({
            "spec": {"containers": [{"name": "a", "$patch": "delete"}], "strategy": {"$retainKeys": ["b", "c"], "c": 3}},
            "metadata": {"$deleteFromPrimitiveList/finalizers": ["x"], "labels": {"$patch": "replace", "new": "1"}}});
        assert_eq!(
            patched(&value, &patch),
            json!({"spec": {"containers": [{"name": "b"}], "strategy": {"b": 2, "c": 3}},
                   "metadata": {"finalizers": ["y"], "labels": {"new": "1"}}})
        );
        assert_eq!(patched(&value, &json!({"spec": null})), json!({"metadata": value["metadata"]}));
    }

    #[test]
    fn lists_without_a_key_are_replaced() {
        let value =
            json!({"status": {"containerStatuses": [{"name": "a"}]}, "spec": {"taints": [{"key": "k"}]}});
        let patch = json!({"status": {"containerStatuses": [{"name": "b"}]}, "spec": {"taints": null}});
        assert_eq!(
            patched(&value, &patch),
            json!({"status": {"containerStatuses": [{"name": "b"}]}, "spec": {}})
        );
    }
}
