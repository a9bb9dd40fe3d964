//! The lean level: of pods and nodes what a replay submits and what a comparison reads, of other kinds everything
//! but `managedFields`.

use crate::model::{ID_ANNOTATION, Json, ObjectEvent, PodView, Text};

/// What to keep of a value. Arrays are gone through element by element.
#[derive(Debug, Clone, Copy)]
enum Keep {
    All,
    Fields(&'static [(&'static str, Keep)]),
}

use Keep::{All, Fields};

const POD: Keep = Fields(&[
    ("apiVersion", All),
    ("kind", All),
    ("metadata", POD_METADATA),
    ("spec", POD_SPEC),
    ("status", POD_STATUS),
]);

const POD_METADATA: Keep = Fields(&[
    ("annotations", Fields(&[(ID_ANNOTATION, All), ("kubernetes.io/config.mirror", All)])),
    ("creationTimestamp", All),
    ("deletionGracePeriodSeconds", All),
    ("deletionTimestamp", All),
    ("labels", All),
    ("name", All),
    ("namespace", All),
    ("ownerReferences", Fields(&[("apiVersion", All), ("controller", All), ("kind", All), ("name", All)])),
    ("resourceVersion", All),
    ("uid", All),
]);

/// What the scheduler's plugins read, and what decides how long a pod runs.
const POD_SPEC: Keep = Fields(&[
    ("activeDeadlineSeconds", All),
    ("affinity", All),
    ("containers", CONTAINER),
    ("hostNetwork", All),
    ("initContainers", CONTAINER),
    ("nodeName", All),
    ("nodeSelector", All),
    ("overhead", All),
    ("preemptionPolicy", All),
    ("priority", All),
    ("priorityClassName", All),
    ("resourceClaims", All),
    ("resources", All),
    ("restartPolicy", All),
    ("runtimeClassName", All),
    ("schedulerName", All),
    ("schedulingGates", All),
    ("schedulingGroup", All),
    ("terminationGracePeriodSeconds", All),
    ("tolerations", All),
    ("topologySpreadConstraints", All),
    ("volumes", VOLUME),
]);

const CONTAINER: Keep =
    Fields(&[("image", All), ("name", All), ("ports", PORT), ("resources", All), ("restartPolicy", All)]);

const PORT: Keep = Fields(&[("containerPort", All), ("hostIP", All), ("hostPort", All), ("protocol", All)]);

/// Volumes that bind a pod to a place; the name alone stays of the others, which a replay does not mount.
const VOLUME: Keep = Fields(&[
    ("awsElasticBlockStore", All),
    ("csi", All),
    ("ephemeral", All),
    ("gcePersistentDisk", All),
    ("iscsi", All),
    ("name", All),
    ("persistentVolumeClaim", All),
    ("rbd", All),
]);

const POD_STATUS: Keep = Fields(&[
    ("conditions", CONDITION),
    ("containerStatuses", CONTAINER_STATUS),
    ("initContainerStatuses", CONTAINER_STATUS),
    ("nominatedNodeName", All),
    ("phase", All),
    ("reason", All),
    ("resourceClaimStatuses", All),
]);

/// Times are those of the events: the API server's are whole seconds.
const CONDITION: Keep = Fields(&[("reason", All), ("status", All), ("type", All)]);

const CONTAINER_STATUS: Keep = Fields(&[
    ("name", All),
    ("ready", All),
    ("restartCount", All),
    (
        "state",
        Fields(&[
            ("running", Fields(&[])),
            ("terminated", Fields(&[("exitCode", All), ("reason", All), ("signal", All)])),
            ("waiting", Fields(&[("reason", All)])),
        ]),
    ),
]);

const NODE: Keep = Fields(&[
    ("apiVersion", All),
    ("kind", All),
    (
        "metadata",
        Fields(&[
            ("creationTimestamp", All),
            ("deletionTimestamp", All),
            ("labels", All),
            ("name", All),
            ("resourceVersion", All),
            ("uid", All),
        ]),
    ),
    ("spec", All),
    ("status", Fields(&[("allocatable", All), ("capacity", All), ("conditions", CONDITION)])),
]);

impl Keep {
    fn of(self, value: &Json) -> Json {
        match (self, value) {
            (Fields(fields), Json::Object(map)) => {
                let kept = fields.iter().filter_map(|(name, keep)| {
                    let value = map.get(name)?;
                    Some((Text::new_static(name), keep.of(value)))
                });
                Json::Object(kept.collect())
            }
            (Fields(_), Json::Array(items)) => items.iter().map(|item| self.of(item)).collect(),
            _ => value.clone(),
        }
    }
}

/// The event with what the level keeps of its object.
pub(super) fn lean(event: &ObjectEvent) -> ObjectEvent {
    let object = match event.key.kind.as_str() {
        "Pod" => lean_pod(&event.object),
        "Node" => NODE.of(&event.object),
        _ => {
            let mut object = event.object.clone();
            let metadata = object.as_object_mut().and_then(|fields| fields.get_mut("metadata"));
            if let Some(metadata) = metadata.and_then(Json::as_object_mut) {
                metadata.remove("managedFields");
            }
            object
        }
    };
    ObjectEvent { object, key: event.key.clone(), uid: event.uid.clone(), rv: event.rv.clone(), ..*event }
}

fn lean_pod(pod: &Json) -> Json {
    let mut lean = POD.of(pod);
    // Why no node fits is a decision.
    let Some(message) = PodView(pod).condition("PodScheduled").and_then(|c| c.get("message")) else {
        return lean;
    };
    let with_message = |condition: &Json| {
        let mut condition = condition.clone();
        if condition["type"] == "PodScheduled" {
            condition.set(&["message"], message.clone());
        }
        condition
    };
    let conditions = lean["status"]["conditions"].items().iter().map(with_message).collect();
    lean.set(&["status", "conditions"], conditions);
    lean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PodView, TraceTime, Verb};
    use serde_json::json;

    #[test]
    fn a_lean_pod_keeps_its_decision_and_loses_its_noise() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "5", "managedFields": [{}],
                         "annotations": {ID_ANNOTATION: "first", "noise": "x"}, "labels": {"a": "b"}},
            "spec": {"nodeName": "node-1", "tolerations": [{"key": "k"}],
                     "volumes": [{"name": "v", "configMap": {"name": "c"}}, {"name": "w", "persistentVolumeClaim": {"claimName": "x"}}],
                     "containers": [{"name": "c", "image": "i", "env": [{"name": "E"}], "resources": {"requests": {"cpu": "1"}}}]},
            "status": {"phase": "Failed", "podIP": "10.0.0.1", "conditions": [
                {"type": "PodScheduled", "status": "False", "message": "0/3 nodes", "lastTransitionTime": "2026-11-24T10:00:05Z"}],
                "containerStatuses": [{"name": "c", "restartCount": 1, "containerID": "x",
                                       "state": {"terminated": {"exitCode": 3, "containerID": "x"}}}]}});
        let event = ObjectEvent::new(TraceTime::ZERO, Verb::Modified, pod).unwrap();
        let kept = lean(&event);
        let (before, after) = (PodView(&event.object), PodView(&kept.object));
        assert_eq!(after.id(), "first");
        assert_eq!(after.unschedulable_message(), before.unschedulable_message());
        assert_eq!(after.container_ends(), before.container_ends());
        assert_eq!(after.node_name(), Some("node-1"));
        assert_eq!(
            kept.object["spec"]["volumes"],
            json!([{"name": "v"}, {"name": "w", "persistentVolumeClaim": {"claimName": "x"}}])
        );
        let text = kept.object.to_string();
        for gone in ["managedFields", "noise", "podIP", "env", "containerID", "lastTransitionTime"] {
            assert!(!text.contains(gone), "{gone} in {text}");
        }
    }

    #[test]
    fn other_kinds_stay_whole() {
        let object = json!({"apiVersion": "example.com/v1", "kind": "Thing", "any": {"thing": 1},
                            "metadata": {"name": "p", "managedFields": []}});
        let event = ObjectEvent::new(TraceTime::ZERO, Verb::Added, object).unwrap();
        assert_eq!(lean(&event).object["any"], json!({"thing": 1}));
        assert!(lean(&event).object["metadata"].get("managedFields").is_none());
    }
}
