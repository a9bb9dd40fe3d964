//! Static pods: those that a node runs from a file of its own. The API has a mirror of each, which the node makes again
//! when somebody deletes it (`pkg/kubelet/pod/mirror_client.go` and `pkg/kubelet/config/common.go`, v1.37.2).

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::model::Json;

/// The mirror of a static pod of a node.
pub(super) fn mirror(pod: &Value, node: &str, node_uid: &str, now: DateTime<Utc>) -> Json {
    let mut hash = hex::encode(Sha256::digest(pod.to_string()));
    // As long as a kubelet's, which is MD5.
    hash.truncate(32);
    let mut mirror = pod.clone();
    mirror["apiVersion"] = "v1".into();
    mirror["kind"] = "Pod".into();
    let name = pod["metadata"]["name"].as_str().unwrap_or("static");
    mirror["metadata"]["name"] = format!("{name}-{node}").into();
    if mirror["metadata"]["namespace"].is_null() {
        mirror["metadata"]["namespace"] = "default".into();
    }
    let annotations = &mut mirror["metadata"]["annotations"];
    for key in ["config.hash", "config.mirror"] {
        annotations[format!("kubernetes.io/{key}")] = hash.as_str().into();
    }
    annotations["kubernetes.io/config.source"] = "file".into();
    annotations["kubernetes.io/config.seen"] = now.to_rfc3339_opts(SecondsFormat::Nanos, true).into();
    mirror["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid, "controller": true}]);
    mirror["spec"]["nodeName"] = node.into();
    let mut tolerations = mirror["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    tolerations.push(json!({"operator": "Exists", "effect": "NoExecute"}));
    mirror["spec"]["tolerations"] = tolerations.into();
    mirror.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_says_whose_it_is() {
        let pod = json!({"metadata": {"name": "proxy", "namespace": "kube-system", "annotations": {"a": "b"}},
            "spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "i"}]}});
        let made = mirror(&pod, "n1", "u", DateTime::UNIX_EPOCH);
        assert_eq!(
            (&made["metadata"]["name"], &made["spec"]["nodeName"]),
            (&"proxy-n1".into(), &"n1".into())
        );
        let annotations = &made["metadata"]["annotations"];
        assert_eq!(annotations["a"], "b");
        assert_eq!(annotations["kubernetes.io/config.mirror"].as_str().unwrap().len(), 32);
        assert_eq!(annotations["kubernetes.io/config.mirror"], annotations["kubernetes.io/config.hash"]);
        assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(made["spec"]["tolerations"][0]["effect"], "NoExecute");
        let plain = mirror(&json!({"metadata": {"name": "p"}, "spec": {}}), "n1", "u", DateTime::UNIX_EPOCH);
        assert_eq!(plain["metadata"]["namespace"], "default");
    }
}
