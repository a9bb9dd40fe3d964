use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::endpoint::{METRICS_PATH_ANNOTATION, metrics_path};
use super::node::{NodeShape, registration};
use crate::model::{Json, Taint};

/// Label of every hollow node: what is to run for real keeps away from it.
pub const HOLLOW_LABEL: &str = "kubereel.dev/hollow";

/// Hollow nodes that are alike.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeGroup {
    /// What their names begin with; a number from 0 follows.
    pub name_prefix: String,
    /// How many there are.
    pub nodes: u32,
    /// Capacity by resource, as Kubernetes quantities.
    pub capacity: BTreeMap<String, String>,
    /// Allocatable by resource, where it differs from the capacity.
    pub allocatable: BTreeMap<String, String>,
    /// Labels besides those that every kubelet sets.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Taints that they register with.
    pub taints: Vec<Taint>,
    /// Pods that each of them runs from a file of its own.
    pub static_pods: Vec<Value>,
}

/// The node groups of a file.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeGroups {
    /// All of them.
    pub groups: Vec<NodeGroup>,
}

/// One process of several that share the nodes: number `index`, from 0, of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which one.
    pub index: u32,
    /// Of how many.
    pub count: u32,
}

impl Default for Shard {
    /// All nodes.
    fn default() -> Self {
        Shard { index: 0, count: 1 }
    }
}

impl fmt::Display for Shard {
    /// `1/3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    /// `0/3`, `1/3`, `2/3`.
    fn from_str(text: &str) -> Result<Shard, String> {
        let shard = text.split_once('/').and_then(|(index, count)| {
            Some(Shard { index: index.trim().parse().ok()?, count: count.trim().parse().ok()? })
        });
        shard.filter(|shard| shard.index < shard.count).ok_or_else(|| {
            format!("{text:?} is no shard: write 0/3, 1/3 or 2/3 for the first, second or third of three")
        })
    }
}

/// What the nodes of a process have in common.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kubelet {
    /// The version that they say they are.
    pub(super) version: String,
    /// The address of all of them; absent: each has a made-up one of its own.
    pub(super) address: Option<IpAddr>,
    /// Where the kubelet's endpoint listens.
    pub(super) listens: IpAddr,
    /// On which port.
    pub(super) port: u16,
}

impl NodeGroup {
    /// The names of the nodes of a shard.
    pub(super) fn names(&self, shard: Shard) -> impl Iterator<Item = String> {
        let mine = (0..self.nodes).filter(move |n| n % shard.count == shard.index);
        mine.map(|n| format!("{}{n}", self.name_prefix))
    }

    /// A node as its kubelet registers it. `address` is its InternalIP.
    pub(super) fn object(&self, name: &str, address: &str, kubelet: &Kubelet, now: DateTime<Utc>) -> Json {
        let taints = self.taints.iter().map(|taint| json!(taint)).collect();
        let mut labels = self.labels.clone();
        labels.insert(HOLLOW_LABEL.to_owned(), "true".to_owned());
        let shape = NodeShape { name: name.to_owned(), labels, taints, resources: self.capacity.clone() };
        let mut object = shape.to_object();
        let mut allocatable = self.capacity.clone();
        allocatable.extend(self.allocatable.clone());
        object.set(&["status", "allocatable"], json!(allocatable).into());
        object.set(&["spec", "providerID"], format!("kubereel://{name}").as_str().into());
        let mut addresses = vec![
            json!({"type": "InternalIP", "address": address}),
            json!({"type": "Hostname", "address": name}),
        ];
        // Nobody answers at an address that is made up.
        if kubelet.address.is_none() {
            addresses.push(json!({"type": "InternalDNS", "address": kubelet.listens.to_string()}));
        }
        object.set(&["status", "addresses"], json!(addresses).into());
        object.set(&["status", "nodeInfo"], node_info(name, &kubelet.version).into());
        let endpoints = json!({"kubeletEndpoint": {"Port": kubelet.port}});
        object.set(&["status", "daemonEndpoints"], endpoints.into());
        let mut annotations = self.annotations.clone();
        annotations.insert(super::host::OWNER_ANNOTATION.to_owned(), "hollow".to_owned());
        annotations.insert(METRICS_PATH_ANNOTATION.to_owned(), metrics_path(name));
        let mut node = registration(&object, &annotations, now);
        node.set(&["status", "images"], images().into());
        node
    }
}

fn node_info(name: &str, version: &str) -> Value {
    // Of a machine that does not exist: what identifies it follows from its name.
    let id =
        |purpose: &str| format!("{:013x}", (super::chance::chance(name, purpose) * 2f64.powi(52)) as u64);
    json!({
        "machineID": format!("{0}{0}000000", id("machine")),
        "systemUUID": format!("00000000-0000-0000-0000-{}", &id("system")[1..]),
        "bootID": format!("00000000-0000-0000-0000-{}", &id("boot")[1..]),
        "kernelVersion": "6.12.0-hollow", "osImage": "kubereel hollow node",
        "containerRuntimeVersion": concat!("hollow://", env!("CARGO_PKG_VERSION")),
        "kubeletVersion": version, "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
    })
}

/// As many as a kubelet reports of a few (`nodeStatusMaxImages` is 50): schedulers score by them.
fn images() -> Value {
    json!([{"names": ["registry.k8s.io/pause:3.10"], "sizeBytes": 320_368}])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NodeView;

    #[test]
    fn shards_have_every_node_once() {
        let group = NodeGroup { name_prefix: "n-".into(), nodes: 7, ..NodeGroup::default() };
        let shard = |index| group.names(Shard { index, count: 3 }).collect::<Vec<_>>();
        assert_eq!(shard(1), ["n-1", "n-4"]);
        assert_eq!((0..3).map(|index| shard(index).len()).sum::<usize>(), 7);
        assert_eq!("1/3".parse(), Ok(Shard { index: 1, count: 3 }));
        for bad in ["", "3/3", "1", "-1/3", "1/0"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_node_has_what_its_group_says() {
        let group: NodeGroup = serde_json::from_value(json!({"namePrefix": "gpu-", "nodes": 1,
            "capacity": {"cpu": "72", "nvidia.com/gpu": "8"}, "allocatable": {"cpu": "71"},
            "taints": [{"key": "gpu", "effect": "NoSchedule"}], "labels": {"zone": "a"}}))
        .unwrap();
        let kubelet = Kubelet {
            version: "v1.37.2".into(),
            address: None,
            listens: IpAddr::from([127, 0, 0, 1]),
            port: 10250,
        };
        let node = group.object("gpu-0", "10.1.2.3", &kubelet, DateTime::UNIX_EPOCH);
        let view = NodeView(&node);
        assert_eq!((&view.resources().0["cpu"], &view.resources().1["cpu"]), (&"72".into(), &"71".into()));
        assert_eq!(view.resources().1["nvidia.com/gpu"], "8");
        assert_eq!(view.taints()[0].key, "gpu");
        assert_eq!(
            (view.labels()["zone"].as_str(), view.labels()["kubernetes.io/os"].as_str()),
            (Some("a"), Some("linux"))
        );
        assert_eq!(node["status"]["addresses"][0]["address"], "10.1.2.3");
        assert_eq!(node["status"]["nodeInfo"]["machineID"].as_str().unwrap().len(), 32);
        let unknown = json!({"namePrefix": "x", "cpus": 3});
        assert!(serde_json::from_value::<NodeGroup>(unknown).is_err());
    }
}
