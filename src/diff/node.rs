use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

use crate::model::{Json, Map, NodeView, Taint, parse_quantity_milli};

const HOSTNAME_LABEL: &str = "kubernetes.io/hostname";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
const TOPOLOGY_PREFIX: &str = "topology.kubernetes.io/";

/// From this many nodes on, a label that has another value on each of them names the node rather than its kind.
const ENOUGH_TO_CALL_UNIQUE: usize = 8;

/// One node as last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `status.allocatable`, thousandths of each resource's unit.
    pub allocatable: BTreeMap<String, i128>,
    /// Taints that people and other controllers set.
    pub taints: Vec<Taint>,
    /// Names the node's class: nodes of equal text have equal allocatable resources, chosen taints and labels, but
    /// for labels that only name the node. Those are `kubernetes.io/hostname`, labels that contain the name of every
    /// node that has them, and labels with another value on each of at least eight nodes; topology labels always
    /// count.
    pub class: Arc<str>,
}

impl NodeFacts {
    /// Reads a node; its class is known when all nodes are: [`classify`].
    pub(super) fn of(node: NodeView<'_>) -> NodeFacts {
        let mut taints = node.chosen_taints();
        taints.sort();
        NodeFacts {
            labels: entries(node.labels(), |v| v.as_str().map(str::to_owned)),
            allocatable: entries(node.resources().1, |v| parse_quantity_milli(v.as_str()?)),
            taints,
            class: Arc::from(""),
        }
    }

    /// The zone label, empty where there is none.
    pub fn zone(&self) -> &str {
        self.labels.get(ZONE_LABEL).map_or("", String::as_str)
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

/// Gives every node its class. Which labels only name a node shows when all nodes are known.
pub(super) fn classify(nodes: &mut BTreeMap<Arc<str>, NodeFacts>) {
    let naming = naming_labels(nodes);
    let mut classes: HashMap<String, Arc<str>> = HashMap::new();
    for node in nodes.values_mut() {
        let text = node.class_text(&naming);
        node.class = classes.entry(text).or_insert_with_key(|text| Arc::from(text.as_str())).clone();
    }
}

fn naming_labels(nodes: &BTreeMap<Arc<str>, NodeFacts>) -> HashSet<String> {
    struct Seen<'a> {
        values: HashSet<&'a str>,
        nodes: usize,
        with_name: usize,
    }
    let mut seen: HashMap<&str, Seen<'_>> = HashMap::new();
    for (name, node) in nodes {
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
        let mut facts: BTreeMap<Arc<str>, NodeFacts> =
            nodes.iter().map(|(name, object)| (Arc::from(*name), NodeFacts::of(NodeView(object)))).collect();
        classify(&mut facts);
        facts.into_values().map(|node| node.class).collect()
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
