//! What a kubelet asks around its registration besides the registration itself, in the order in which hollow kubelets of
//! kubemark v1.37.2 asked it by an API server's audit log. Some of these looks are parts of the kubelet that start before
//! their node is there; an API server cannot tell why it is asked.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::body::Identity;
use super::life::Health;
use crate::k8s::{PatchType, Request};
use crate::model::Json;

const CSI_NODES: &str = "/apis/storage.k8s.io/v1/csinodes";

/// How many looks there are before.
pub(super) const LOOKS: usize = 6;

/// How many steps there are afterwards.
pub(super) const STEPS: usize = 5;

/// A look before the registration.
pub(super) fn look(own: &Identity, number: usize) -> Option<Request> {
    Some(match number {
        0 => Request::get(format!("{CSI_NODES}/{}", own.name)),
        2 => own.read_lease(),
        1 | 3..LOOKS => own.read(),
        _ => return None,
    })
}

/// A step afterwards: it becomes ready once it has a `CSINode`.
pub(super) fn settle(own: &Identity, number: usize, now: DateTime<Utc>) -> Option<Request> {
    Some(match number {
        0 => Request::patch_with(
            format!("/api/v1/nodes/{}/status", own.name),
            PatchType::Strategic,
            b"{}".to_vec(),
        ),
        1 => own.read(),
        2 => Request::get(format!("{CSI_NODES}/{}", own.name)),
        3 => Request::post(CSI_NODES.to_owned(), &csi_node(own)),
        4 => own.heartbeat(Health::Ready, now.timestamp(), now),
        _ => return None,
    })
}

/// `pkg/volume/csi/nodeinfomanager/nodeinfomanager.go`, v1.37.2, `CreateCSINode`, without drivers.
fn csi_node(own: &Identity) -> serde_json::Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "spec": {"drivers": []},
        "metadata": {"name": own.name, "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": own.name, "uid": own.uid}]}})
}

/// A node as it is posted: not ready, since it has no `CSINode` yet.
pub(super) fn not_yet_ready(object: &Json) -> Json {
    let mut conditions: Vec<serde_json::Value> =
        object["status"]["conditions"].items().iter().map(Json::to_value).collect();
    for condition in conditions.iter_mut().filter(|c| c["type"] == "Ready") {
        condition["status"] = "False".into();
        condition["reason"] = "KubeletNotReady".into();
        condition["message"] = "CSINode is not yet initialized".into();
    }
    let mut object = object.clone();
    object.set(&["status", "conditions"], json!(conditions).into());
    object
}
