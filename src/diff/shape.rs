//! What the scheduler reads of a pod, kept once for all pods that are alike.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::sight::SpecSight;
use crate::model::{Json, Requests, Text};

/// A port of the node itself that a pod takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Number.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Text,
    /// Address; `0.0.0.0` is all.
    pub address: Text,
}

impl HostPort {
    /// Whether both cannot be had on one node (`pkg/scheduler/framework/types.go`, v1.37.2, `HostPortInfo.CheckConflict`).
    pub fn conflicts(&self, other: &HostPort) -> bool {
        let any = |port: &HostPort| port.address == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (any(self) || any(other) || self.address == other.address)
    }
}

/// What the scheduler reads of a pod, besides names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// What it asks of a node.
    pub requests: Requests,
    /// `spec.priority`, 0 where absent.
    pub priority: i32,
    /// `metadata.labels`.
    pub labels: Json,
    /// `spec.nodeSelector`.
    pub node_selector: Json,
    /// `spec.affinity`.
    pub affinity: Json,
    /// `spec.tolerations`.
    pub tolerations: Json,
    /// `spec.topologySpreadConstraints`.
    pub spread: Json,
    /// Ports of the node.
    pub ports: Vec<HostPort>,
    /// A hash of all of it and of the namespace, the same in every reel: pods of equal hash are exchangeable.
    pub alike: u64,
}

impl Shape {
    fn of(pod: &Json, asked: &Requests, alike: u64) -> Shape {
        let spec = &pod["spec"];
        Shape {
            requests: asked.clone(),
            priority: priority(spec),
            labels: pod["metadata"]["labels"].clone(),
            node_selector: spec["nodeSelector"].clone(),
            affinity: spec["affinity"].clone(),
            tolerations: spec["tolerations"].clone(),
            spread: spec["topologySpreadConstraints"].clone(),
            ports: host_ports(spec),
            alike,
        }
    }

    /// Whether a pod has this shape.
    fn is_of(&self, pod: &Json, asked: &Requests) -> bool {
        let spec = &pod["spec"];
        self.requests == *asked
            && self.labels == pod["metadata"]["labels"]
            && self.priority == priority(spec)
            && self.node_selector == spec["nodeSelector"]
            && self.affinity == spec["affinity"]
            && self.tolerations == spec["tolerations"]
            && self.spread == spec["topologySpreadConstraints"]
            && self.ports == host_ports(spec)
    }
}

/// A hash of all that the scheduler reads of a `spec`, but for what it asks for; the same in every reel.
pub(super) fn hash_spec(spec: &Json) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    (priority(spec), host_ports(spec)).hash(&mut hasher);
    for part in ["nodeSelector", "affinity", "tolerations", "topologySpreadConstraints"] {
        hash_json(&spec[part], &mut hasher);
    }
    hasher.finish()
}

/// A hash of a namespace, of what is read of a `spec` and of labels; the same in every reel.
fn hash_pod(pod: &Json, spec: &SpecSight) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    let metadata = &pod["metadata"];
    metadata["namespace"].as_str().unwrap_or_default().hash(&mut hasher);
    (&spec.wish.requests, spec.wish.hash).hash(&mut hasher);
    hash_json(&metadata["labels"], &mut hasher);
    hasher.finish()
}

fn priority(spec: &Json) -> i32 {
    spec["priority"].as_i64().unwrap_or(0) as i32
}

fn host_ports(spec: &Json) -> Vec<HostPort> {
    let ports = spec["containers"].items().iter().flat_map(|container| container["ports"].items());
    let host_network = spec["hostNetwork"].as_bool().unwrap_or(false);
    ports
        .filter_map(|port| {
            let number = port["hostPort"].as_u64().filter(|number| *number > 0);
            let number = number.or_else(|| port["containerPort"].as_u64().filter(|_| host_network))?;
            let text = |field: &str, absent: &'static str| {
                let given = port[field].as_text().filter(|text| !text.is_empty());
                given.cloned().unwrap_or(Text::new_static(absent))
            };
            Some(HostPort {
                port: u16::try_from(number).ok()?,
                protocol: text("protocol", "TCP"),
                address: text("hostIP", "0.0.0.0"),
            })
        })
        .collect()
}

fn hash_json(value: &Json, to: &mut impl Hasher) {
    match value {
        Json::Null => to.write_u8(0),
        Json::Bool(yes) => yes.hash(to),
        Json::Number(number) => number.hash(to),
        Json::String(text) => text.as_str().hash(to),
        Json::Array(items) => {
            to.write_usize(items.len());
            items.iter().for_each(|item| hash_json(item, to));
        }
        Json::Object(map) => {
            to.write_usize(map.len());
            for (key, value) in map.iter() {
                key.as_str().hash(to);
                hash_json(value, to);
            }
        }
    }
}

/// Shapes, each kept once.
#[derive(Debug, Clone, Default)]
pub(super) struct Shapes {
    list: Vec<Shape>,
    table: HashTable<u32>,
}

impl Shapes {
    /// The number of a pod's shape.
    pub(super) fn intern(&mut self, pod: &Json, spec: &SpecSight) -> u32 {
        let (list, hash) = (&mut self.list, hash_pod(pod, spec));
        let is_same = |at: &u32| {
            let known = &list[*at as usize];
            known.alike == hash && known.is_of(pod, &spec.wish.requests)
        };
        if let Some(at) = self.table.find(hash, is_same) {
            return *at;
        }
        let at = list.len() as u32;
        list.push(Shape::of(pod, &spec.wish.requests, hash));
        self.table.insert_unique(hash, at, |at| list[*at as usize].alike);
        at
    }

    /// All shapes; a pod's shape number is a position here.
    pub(super) fn list(&self) -> &[Shape] {
        &self.list
    }
}

impl PartialEq for Shapes {
    fn eq(&self, other: &Shapes) -> bool {
        self.list == other.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::sight::{Nodes, Sights};
    use crate::diff::texts::Texts;
    use serde_json::json;

    #[test]
    fn pods_are_alike_by_what_the_scheduler_reads() {
        let pod = |namespace: &str, cpu: &str, name: &str| -> Json {
            json!({"metadata": {"namespace": namespace, "name": name, "labels": {"app": "web"}},
                   "spec": {"nodeName": name, "containers": [{"resources": {"requests": {"cpu": cpu}}}]}})
            .into()
        };
        let mut shapes = Shapes::default();
        let mut intern = |pod: Json| {
            let (spec, _) = Sights::default().of(&pod, &mut Nodes::default(), &mut Texts::default());
            shapes.intern(&pod, &spec)
        };
        let first = intern(pod("a", "1", "p"));
        assert_eq!(intern(pod("a", "1", "q")), first);
        assert_ne!(intern(pod("a", "2", "p")), first);
        assert_ne!(intern(pod("b", "1", "p")), first);
    }

    #[test]
    fn ports_of_the_node_conflict_by_number_protocol_and_address() {
        let pod: Json = json!({"spec": {"containers": [{"ports": [{"containerPort": 80, "hostPort": 80},
            {"containerPort": 81, "hostPort": 80, "hostIP": "10.0.0.1", "protocol": "UDP"},
            {"containerPort": 82, "hostPort": 80, "hostIP": "10.0.0.1"}, {"containerPort": 9}]}]}})
        .into();
        let ports = host_ports(&pod["spec"]);
        assert_eq!(ports.len(), 3);
        assert!(ports[0].conflicts(&ports[2]) && !ports[0].conflicts(&ports[1]));
    }
}
