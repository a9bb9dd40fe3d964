use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::chance::chance;
use super::group::{Kubelet, Shard};
use super::node::registration;
use super::seen::SeenNode;
use crate::model::{Json, Text};

/// Which nodes made by others are kept: all that have these labels or annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopt {
    /// Key and, if it matters, value.
    wanted: Vec<(bool, Text, Option<Text>)>,
}

impl FromStr for Adopt {
    type Err = String;

    /// `type=hollow`, `annotation:kwok.x-k8s.io/node=fake`, several with commas: all of them must hold.
    fn from_str(text: &str) -> Result<Adopt, String> {
        let one = |term: &str| {
            let (is_annotation, term) = match term.trim().strip_prefix("annotation:") {
                Some(rest) => (true, rest),
                None => (false, term.trim()),
            };
            let (key, value) = term.split_once('=').map_or((term, None), |(key, value)| (key, Some(value)));
            let key = key.trim_end_matches('=');
            (!key.is_empty())
                .then(|| (is_annotation, key.into(), value.map(|v| v.trim_start_matches('=').into())))
        };
        let wanted: Option<Vec<_>> = text.split(',').map(one).collect();
        wanted.map(|wanted| Adopt { wanted }).ok_or_else(|| {
            format!(
                "{text:?} is no selector: write KEY=VALUE for a label, annotation:KEY=VALUE for an annotation"
            )
        })
    }
}

impl Adopt {
    /// Whether a node is to be kept, by this shard.
    pub(super) fn takes(&self, node: &SeenNode, shard: Shard) -> bool {
        let (labels, annotations) = (&node.metadata.labels, &node.metadata.annotations);
        let holds = |(is_annotation, key, value): &(bool, Text, Option<Text>)| {
            let found: Option<&Text> = if *is_annotation { annotations.get(key) } else { labels.get(key) };
            found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        let part = (chance(node.name(), "shard") * f64::from(shard.count)) as u32;
        self.wanted.iter().all(holds) && part == shard.index
    }
}

/// What the status of an adopted node says: what a kubelet reports, but for what its maker has set.
pub(super) fn status_of_adopted(
    node: &SeenNode,
    address: &str,
    kubelet: &Kubelet,
    now: DateTime<Utc>,
) -> Json {
    let name = node.name();
    let object = json!({"metadata": {"name": name, "uid": node.metadata.uid}, "status": {
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "nodeInfo": {"kubeletVersion": kubelet.version, "operatingSystem": "linux", "architecture": "amd64"},
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}}}});
    registration(&object.into(), &BTreeMap::new(), now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_look_at_labels_and_annotations() {
        let node = json!({"metadata": {"name": "n", "labels": {"type": "hollow"}, "annotations": {"kwok.x-k8s.io/node": "fake"}}});
        let node: SeenNode = serde_json::from_value(node).unwrap();
        let takes = |text: &str| text.parse::<Adopt>().unwrap().takes(&node, Shard::default());
        assert!(takes("type=hollow") && takes("type") && takes("annotation:kwok.x-k8s.io/node=fake"));
        assert!(takes("type==hollow,annotation:kwok.x-k8s.io/node"));
        assert!(!takes("type=real") && !takes("type=hollow,other") && !takes("annotation:type=hollow"));
        for bad in ["", "=x", "a,,b"] {
            assert!(bad.parse::<Adopt>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_node_belongs_to_one_shard() {
        let adopt: Adopt = "a".parse().unwrap();
        for n in 0..50 {
            let node = json!({"metadata": {"name": format!("n{n}"), "labels": {"a": ""}}});
            let node: SeenNode = serde_json::from_value(node).unwrap();
            let takers = (0..3).filter(|index| adopt.takes(&node, Shard { index: *index, count: 3 })).count();
            assert_eq!(takers, 1);
        }
    }
}
