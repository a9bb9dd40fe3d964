use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

use crate::model::{Json, Map, NodeView, Taint, TraceTime, is_lifecycle_taint, parse_quantity_milli};

const HOSTNAME_LABEL: &str = "kubernetes.io/hostname";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
const TOPOLOGY_PREFIX: &str = "topology.kubernetes.io/";

/// From this many nodes on, a label that has another value on each of them names the node rather than its kind.
const ENOUGH_TO_CALL_UNIQUE: usize = 8;

/// A node at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `status.allocatable`, thousandths of each resource's unit.
    pub allocatable: BTreeMap<String, i128>,
    /// Taints that people and other controllers set, sorted.
    pub taints: Vec<Taint>,
    /// Taints that the node lifecycle controller set, sorted.
    pub health_taints: Vec<Taint>,
    /// Cordoned.
    pub unschedulable: bool,
    /// Names the node's class: nodes of equal text have equal allocatable resources, chosen taints and labels, but
    /// for labels that only name the node. Those are `kubernetes.io/hostname`, labels that contain the name of every
    /// node that has them, and labels with another value on each of at least eight nodes; topology labels always
    /// count.
    pub class: Arc<str>,
}

impl NodeFacts {
    /// Reads a node; its class is known when all nodes are: [`classify`].
    pub(super) fn of(node: NodeView<'_>) -> NodeFacts {
        let (mut health_taints, mut taints): (Vec<_>, Vec<_>) =
            node.taints().into_iter().partition(|taint| is_lifecycle_taint(&taint.key));
        taints.sort();
        health_taints.sort();
        NodeFacts {
            labels: entries(node.labels(), |v| v.as_str().map(str::to_owned)),
            allocatable: entries(node.resources().1, |v| parse_quantity_milli(v.as_str()?)),
            taints,
            health_taints,
            unschedulable: node.is_unschedulable(),
            class: Arc::from(""),
        }
    }

    /// The zone label, empty where there is none.
    pub fn zone(&self) -> &str {
        self.labels.get(ZONE_LABEL).map_or("", String::as_str)
    }

    /// How much of a resource pods may ask for, thousandths of its unit; 0 where the node has none.
    pub fn allocatable(&self, resource: &str) -> u64 {
        self.allocatable.get(resource).map_or(0, |milli| u64::try_from(*milli).unwrap_or(0))
    }

    fn class_text(&self, naming: &HashSet<String>) -> String {
        let mut text = String::new();
        for (resource, milli) in &self.allocatable {
            let _ = write!(text, "{resource}={milli};");
        }
        for (key, value) in self.labels.iter().filter(|(key, _)| !naming.contains(*key)) {
            let _ = write!(text, "{key}:{value};");
        }
        for taint in &self.taints {
            let _ = write!(text, "{}~{}~{};", taint.key, taint.value, taint.effect);
        }
        text
    }
}

fn entries<T>(object: &Json, read: impl Fn(&Json) -> Option<T>) -> BTreeMap<String, T> {
    let fields = object.as_object().into_iter().flat_map(Map::iter);
    fields.filter_map(|(key, value)| Some((key.to_string(), read(value)?))).collect()
}

/// A node over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHistory {
    /// Its name.
    pub name: Arc<str>,
    /// What it was from when on; `None` from when it was gone. Empty for a node that only pods name.
    pub versions: Vec<(TraceTime, Option<NodeFacts>)>,
}

impl NodeHistory {
    /// The node as last seen while it was there.
    pub fn last(&self) -> Option<&NodeFacts> {
        self.versions.iter().rev().find_map(|(_, facts)| facts.as_ref())
    }

    /// The node at a time; `None` where it was not there.
    pub fn at(&self, time: TraceTime) -> Option<&NodeFacts> {
        let known = self.versions.partition_point(|(from, _)| *from <= time);
        self.versions[..known].last()?.1.as_ref()
    }

    /// What the node was between two times, both included.
    pub fn between(&self, from: TraceTime, to: TraceTime) -> impl Iterator<Item = &NodeFacts> {
        let first = self.versions.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        let versions = self.versions[first..].iter().take_while(move |(at, _)| *at <= to);
        versions.filter_map(|(_, facts)| facts.as_ref())
    }

    pub(super) fn push(&mut self, at: TraceTime, facts: Option<NodeFacts>) {
        let is_same = self.versions.last().is_some_and(|(_, last)| *last == facts);
        if !is_same {
            self.versions.push((at, facts));
        }
    }
}

/// Gives every node its class. Which labels only name a node shows when all nodes are known.
pub(super) fn classify(nodes: &mut [NodeHistory]) {
    let naming = naming_labels(nodes);
    let mut classes: HashMap<String, Arc<str>> = HashMap::new();
    let versions = nodes.iter_mut().flat_map(|node| &mut node.versions);
    for facts in versions.filter_map(|(_, facts)| facts.as_mut()) {
        let text = facts.class_text(&naming);
        facts.class = classes.entry(text).or_insert_with_key(|text| Arc::from(text.as_str())).clone();
    }
}

fn naming_labels(nodes: &[NodeHistory]) -> HashSet<String> {
    struct Seen<'a> {
        values: HashSet<&'a str>,
        nodes: usize,
        with_name: usize,
    }
    let mut seen: HashMap<&str, Seen<'_>> = HashMap::new();
    for (name, node) in nodes.iter().filter_map(|node| Some((&node.name, node.last()?))) {
        for (key, value) in &node.labels {
            let entry =
                seen.entry(key).or_insert_with(|| Seen { values: HashSet::new(), nodes: 0, with_name: 0 });
            entry.values.insert(value);
            entry.nodes += 1;
            entry.with_name += usize::from(value.contains(&**name));
        }
    }
    let names_nodes = |key: &str, seen: &Seen<'_>| {
        let unique = seen.nodes >= ENOUGH_TO_CALL_UNIQUE && seen.values.len() == seen.nodes;
        key == HOSTNAME_LABEL || !key.starts_with(TOPOLOGY_PREFIX) && (unique || seen.with_name == seen.nodes)
    };
    seen.iter().filter(|(key, seen)| names_nodes(key, seen)).map(|(key, _)| (*key).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn classes(nodes: &[(&str, Json)]) -> Vec<Arc<str>> {
        let history = |(name, object): &(&str, Json)| NodeHistory {
            name: Arc::from(*name),
            versions: vec![(TraceTime::ZERO, Some(NodeFacts::of(NodeView(object))))],
        };
        let mut nodes: Vec<_> = nodes.iter().map(history).collect();
        classify(&mut nodes);
        nodes.iter().filter_map(|node| Some(node.last()?.class.clone())).collect()
    }

    fn node(labels: &serde_json::Value, cpu: &str) -> Json {
        json!({"metadata": {"labels": labels}, "status": {"allocatable": {"cpu": cpu}}}).into()
    }

    #[test]
    fn labels_that_name_the_node_do_not_split_a_class() {
        let of = |name: &str, cpu| {
            let labels = json!({HOSTNAME_LABEL: name, "vendor/host": format!("host-{name}"), "disk": "ssd"});
            node(&labels, cpu)
        };
        let found = classes(&[("n1", of("n1", "4")), ("n2", of("n2", "4000m")), ("n3", of("n3", "8"))]);
        assert_eq!(found[0], found[1]);
        assert_ne!(found[0], found[2]);
    }

    #[test]
    fn zones_split_a_class_even_where_each_node_has_its_own() {
        let nodes: Vec<_> = (0..9)
            .map(|i| (["a", "b", "c", "d", "e", "f", "g", "h", "i"][i], i))
            .map(|(name, i)| {
                (name, node(&json!({ZONE_LABEL: format!("zone-{i}"), "serial": i.to_string()}), "4"))
            })
            .collect();
        let found = classes(&nodes);
        assert_ne!(found[0], found[1]);
        assert!(!found[0].contains("serial"));
    }

    #[test]
    fn chosen_taints_split_a_class_and_health_taints_do_not() {
        let tainted = |key: &str| -> Json {
            json!({"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}}).into()
        };
        let found = classes(&[
            ("n1", json!({}).into()),
            ("n2", tainted("node.kubernetes.io/not-ready")),
            ("n3", tainted("gpu")),
        ]);
        assert_eq!(found[0], found[1]);
        assert_ne!(found[0], found[2]);
    }
}
