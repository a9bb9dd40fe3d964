//! What the scheduler reads of a pod, kept once for all pods that are alike.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

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
    fn of(pod: &Json) -> Shape {
        let (spec, metadata) = (&pod["spec"], &pod["metadata"]);
        let mut shape = Shape {
            requests: Requests::of(pod),
            priority: spec["priority"].as_i64().unwrap_or(0) as i32,
            labels: metadata["labels"].clone(),
            node_selector: spec["nodeSelector"].clone(),
            affinity: spec["affinity"].clone(),
            tolerations: spec["tolerations"].clone(),
            spread: spec["topologySpreadConstraints"].clone(),
            ports: host_ports(spec),
            alike: 0,
        };
        let mut hasher = FixedState::default().build_hasher();
        metadata["namespace"].as_str().unwrap_or_default().hash(&mut hasher);
        (&shape.requests, shape.priority, &shape.ports).hash(&mut hasher);
        for part in [&shape.labels, &shape.node_selector, &shape.affinity, &shape.tolerations, &shape.spread]
        {
            hash_json(part, &mut hasher);
        }
        shape.alike = hasher.finish();
        shape
    }
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
    pub(super) fn intern(&mut self, pod: &Json) -> u32 {
        let shape = Shape::of(pod);
        let list = &mut self.list;
        let found = self.table.find(shape.alike, |at| list[*at as usize] == shape);
        if let Some(at) = found {
            return *at;
        }
        let at = list.len() as u32;
        let hash = shape.alike;
        list.push(shape);
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
    use serde_json::json;

    #[test]
    fn pods_are_alike_by_what_the_scheduler_reads() {
        let pod = |namespace: &str, cpu: &str, name: &str| -> Json {
            json!({"metadata": {"namespace": namespace, "name": name, "labels": {"app": "web"}},
                   "spec": {"nodeName": name, "containers": [{"resources": {"requests": {"cpu": cpu}}}]}})
            .into()
        };
        let mut shapes = Shapes::default();
        let first = shapes.intern(&pod("a", "1", "p"));
        assert_eq!(shapes.intern(&pod("a", "1", "q")), first);
        assert_ne!(shapes.intern(&pod("a", "2", "p")), first);
        assert_ne!(shapes.intern(&pod("b", "1", "p")), first);
    }

    #[test]
    fn ports_of_the_node_conflict_by_number_protocol_and_address() {
        let pod: Json = json!({"spec": {"containers": [{"ports": [{"containerPort": 80, "hostPort": 80},
            {"containerPort": 81, "hostPort": 80, "hostIP": "10.0.0.1", "protocol": "UDP"},
            {"containerPort": 82, "hostPort": 80, "hostIP": "10.0.0.1"}, {"containerPort": 9}]}]}})
        .into();
        let ports = Shape::of(&pod).ports;
        assert_eq!(ports.len(), 3);
        assert!(ports[0].conflicts(&ports[2]) && !ports[0].conflicts(&ports[1]));
    }
}
