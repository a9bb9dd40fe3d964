//! What can be seen of a fleet from outside.

use serde_json::{Value, json};

use super::{Fleet, HollowNode, Hosted};
use crate::hollow::pod::{ContainerShape, patch};
use crate::model::{Json, Text};

impl Fleet {
    /// The nodes under care.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(Text::as_str)
    }

    /// How many pods they have.
    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    /// How many requests wait to be sent.
    pub fn queued(&self) -> usize {
        self.ready.len() + self.tellings.len()
    }

    /// The address of a node.
    pub fn node_address(&self, name: &str) -> Option<&str> {
        self.nodes.get(name).map(|node| node.host.as_str())
    }

    /// The node with this address; `None` where there is none or more than one.
    pub fn node_at(&self, address: &str) -> Option<&str> {
        let mut there = self.nodes.iter().filter(|(_, node)| node.host == address);
        let (name, _) = there.next()?;
        there.next().is_none().then_some(name.as_str())
    }

    /// The pods of a node as objects, as far as they are remembered: names, usage by annotation, requests, status; `None`
    /// for a node that is not under care.
    pub fn pods_on(&self, node: &str) -> Option<Vec<Json>> {
        let node = self.nodes.get(node)?;
        Some(node.pods.iter().filter_map(|uid| Some(remembered(uid, self.pods.get(uid)?, node))).collect())
    }

    /// One pod by its name.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<Json> {
        let named = |pod: &Hosted| pod.key.name == name && pod.key.namespace.as_deref() == Some(namespace);
        let (uid, pod) = self.pods.iter().find(|(_, pod)| named(pod))?;
        Some(remembered(uid, pod, self.nodes.get(&pod.node)?))
    }
}

fn remembered(uid: &Text, pod: &Hosted, node: &HollowNode) -> Json {
    // Nothing is reported by this: the times of the last changes stay as they are.
    let mut transitions = pod.transitions;
    let status = patch(&pod.status(uid, &node.host), &mut transitions, 0);
    let status: Value = serde_json::from_slice(&status).unwrap_or_default();
    let container = |c: &ContainerShape| {
        json!({"name": c.name, "image": c.image,
            "resources": {"requests": c.resources.requests, "limits": c.resources.limits}})
    };
    let (inits, main) = pod.shape.containers.split_at(pod.shape.inits);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": pod.key.name, "namespace": pod.key.namespace, "uid": uid,
            "annotations": pod.usage},
        "spec": {"nodeName": pod.node, "containers": main.iter().map(container).collect::<Vec<_>>(),
                 "initContainers": inits.iter().map(container).collect::<Vec<_>>()},
        "status": status["status"],
    })
    .into()
}
