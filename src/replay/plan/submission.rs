use serde_json::json;

use super::Submission;
use crate::model::{ID_ANNOTATION, Json, Map, PodView};

/// Prefix of the volumes that the `ServiceAccount` admission plugin injects
/// (`plugin/pkg/admission/serviceaccount/admission.go`, v1.37.2, `ServiceAccountVolumeName`).
const TOKEN_VOLUME: &str = "kube-api-access-";

/// Spec fields that admission computes, or that tie the pod to what a target does not have. Priority is computed
/// from the class again; a service account and pull secrets decide nothing about placement.
const DROPPED: &[&str] = &[
    "ephemeralContainers",
    "imagePullSecrets",
    "overhead",
    "preemptionPolicy",
    "priority",
    "serviceAccount",
    "serviceAccountName",
];

/// What is posted for a recorded pod: name, namespace, labels, annotations and spec, with its identity in an
/// annotation; without owners and finalizers, which the target's controllers would act on. The node name stays
/// only for pods that no scheduler decides about.
pub(super) fn submission(pod: PodView<'_>, keep_node: bool) -> Submission {
    let mut annotations = pod.0["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    annotations.insert(ID_ANNOTATION, pod.id().into());
    let mut spec = pod.0["spec"].as_object().cloned().unwrap_or_default();
    for field in DROPPED {
        spec.remove(field);
    }
    // A class is looked up again; a bare priority without class is 0 and needs no word.
    if !keep_node {
        spec.remove("nodeName");
    }
    drop_token_volumes(&mut spec);
    spec.insert("automountServiceAccountToken", Json::Bool(false));
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": pod.name(), "namespace": pod.namespace(),
            "labels": pod.0["metadata"]["labels"], "annotations": annotations,
        },
        "spec": spec,
    });
    Submission { id: pod.id().to_owned(), object: object.into() }
}

fn drop_token_volumes(spec: &mut Map) {
    drop_injected(spec, "volumes");
    for list in ["containers", "initContainers"] {
        let Some(containers) = spec.get(list).and_then(Json::as_array) else { continue };
        let without = |container: &Json| {
            let mut container = container.clone();
            if let Some(fields) = container.as_object_mut() {
                drop_injected(fields, "volumeMounts");
            }
            container
        };
        let containers = containers.iter().map(without).collect();
        spec.insert(list, containers);
    }
}

fn drop_injected(fields: &mut Map, list: &str) {
    let injected = |item: &Json| item["name"].as_str().is_some_and(|name| name.starts_with(TOKEN_VOLUME));
    if let Some(items) = fields.get(list).and_then(Json::as_array) {
        let kept = items.iter().filter(|item| !injected(item)).cloned().collect();
        fields.insert(list, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_keeps_the_scheduling_problem_and_drops_ties() {
        let recorded = Json::from(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u1", "labels": {"app": "a"},
                "ownerReferences": [{"kind": "ReplicaSet"}], "finalizers": ["batch.kubernetes.io/job-tracking"]},
            "spec": {"nodeName": "n7", "priority": 100, "priorityClassName": "high", "serviceAccountName": "sa",
                "tolerations": [{"operator": "Exists"}],
                "volumes": [{"name": "kube-api-access-x"}, {"name": "data", "emptyDir": {}}],
                "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}},
                    "volumeMounts": [{"name": "kube-api-access-x"}, {"name": "data"}]}]},
            "status": {"phase": "Running"}}));
        let pod = submission(PodView(&recorded), false);
        assert_eq!(pod.id, "u1");
        let object = pod.object;
        assert_eq!(object["metadata"]["annotations"][ID_ANNOTATION], "u1");
        assert_eq!(object["metadata"].get("ownerReferences"), None);
        assert_eq!(object["metadata"].get("finalizers"), None);
        assert_eq!(object.get("status"), None);
        let spec = &object["spec"];
        assert_eq!((spec.get("nodeName"), spec.get("priority")), (None, None));
        assert_eq!(spec["priorityClassName"], "high");
        assert_eq!(spec["tolerations"][0]["operator"], "Exists");
        assert_eq!(spec["volumes"], json!([{"name": "data", "emptyDir": {}}]));
        assert_eq!(spec["containers"][0]["volumeMounts"], json!([{"name": "data"}]));
        assert_eq!(submission(PodView(&recorded), true).object["spec"]["nodeName"], "n7");
    }

    #[test]
    fn a_replayed_run_keeps_the_first_identity() {
        let again = Json::from(json!({"metadata": {"uid": "u2", "annotations": {ID_ANNOTATION: "u1"}}}));
        assert_eq!(submission(PodView(&again), false).id, "u1");
    }
}
