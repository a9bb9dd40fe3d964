//! The shapes of the cluster's nodes.

use std::collections::BTreeMap;

use kubereel::hollow::NodeShape;
use kubereel::model::Json;
use serde_json::json;

const ZONES: [&str; 3] = ["zone-a", "zone-b", "zone-c"];

/// What a class of nodes has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 8 CPUs, 32 GiB.
    Small,
    /// 16 CPUs, 64 GiB.
    Large,
    /// 16 CPUs, 64 GiB, four accelerators, tainted for those who want them.
    Gpu,
}

impl Class {
    /// The instance type in the node's label.
    pub fn instance_type(self) -> &'static str {
        match self {
            Class::Small => "m8",
            Class::Large => "m16",
            Class::Gpu => "g16",
        }
    }
}

/// A node to register.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its place in the order of registration, from 1: name, addresses and zone follow from it. Zones shift with every
    /// round of classes, so that each class has nodes in each.
    pub number: u64,
    /// Its class.
    pub class: Class,
}

impl Machine {
    /// `node-07`.
    pub fn name(&self) -> String {
        format!("node-{:02}", self.number)
    }

    /// The object as a kubelet would know it.
    pub fn object(&self) -> Json {
        let (cpu, memory) = match self.class {
            Class::Small => ("8", "32Gi"),
            Class::Large | Class::Gpu => ("16", "64Gi"),
        };
        let quantity = |(k, v): (&str, &str)| (k.to_owned(), v.to_owned());
        let mut resources: BTreeMap<String, String> =
            [("cpu", cpu), ("memory", memory), ("ephemeral-storage", "200Gi"), ("pods", "110")]
                .map(quantity)
                .into();
        let mut taints = Vec::new();
        if self.class == Class::Gpu {
            resources.insert("nvidia.com/gpu".to_owned(), "4".to_owned());
            taints.push(json!({"key": "gpu", "value": "true", "effect": "NoSchedule"}));
        }
        let labels = [
            ("topology.kubernetes.io/region", "region-1"),
            ("topology.kubernetes.io/zone", ZONES[(self.number + self.number / 6) as usize % ZONES.len()]),
            ("node.kubernetes.io/instance-type", self.class.instance_type()),
        ];
        let shape = NodeShape { name: self.name(), labels: labels.map(quantity).into(), taints, resources };
        let mut object = shape.to_object();
        let cidr = format!("10.244.{}.0/24", self.number % 256);
        object.set(&["spec", "podCIDR"], cidr.as_str().into());
        let addresses = json!([
            {"type": "InternalIP", "address": format!("10.255.0.{}", self.number % 256)},
            {"type": "Hostname", "address": self.name()},
        ]);
        object.set(&["status", "addresses"], addresses.into());
        object
    }
}

/// The first nodes of a cluster: one in six has accelerators, the others are half small and half large.
pub fn first(count: u64) -> Vec<Machine> {
    let class = |number: u64| match number % 6 {
        0 => Class::Gpu,
        odd if odd % 2 == 1 => Class::Small,
        _ => Class::Large,
    };
    (1..=count).map(|number| Machine { number, class: class(number) }).collect()
}
