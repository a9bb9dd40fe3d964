use std::collections::BTreeMap;

use super::{Json, NodeView, Requests, Taint, Text, allocatable, tolerates, wants_node};

/// What the scheduler's filters read of a node that is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Machine {
    /// Its name.
    pub name: Text,
    /// What pods may ask of it, in thousandths of each resource's unit.
    pub allocatable: Vec<(Text, u64)>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The taints that people and controllers gave it; those that follow from its conditions come and go.
    pub taints: Vec<Taint>,
}

impl Machine {
    /// Reads a node.
    pub fn of(node: &Json) -> Machine {
        let view = NodeView(node);
        Machine {
            name: view.name().into(),
            allocatable: allocatable(node).collect(),
            labels: view.labels().texts(),
            taints: view.chosen_taints(),
        }
    }

    fn has(&self, resource: &str) -> u64 {
        self.allocatable.iter().find(|(own, _)| own == resource).map_or(0, |(_, milli)| *milli)
    }

    fn holds(&self, requests: &Requests) -> bool {
        requests.iter().all(|(name, milli)| self.has(name) >= milli)
    }
}

/// What a pod wants of a node, whatever else is on it.
#[derive(Debug, Clone)]
pub struct Wants {
    /// What it asks for.
    pub requests: Requests,
    node_selector: Json,
    affinity: Json,
    tolerations: Json,
}

impl Wants {
    /// Reads a pod.
    pub fn of(pod: &Json) -> Wants {
        let spec = &pod["spec"];
        Wants {
            requests: Requests::of(pod),
            node_selector: spec["nodeSelector"].clone(),
            affinity: spec["affinity"].clone(),
            tolerations: spec["tolerations"].clone(),
        }
    }

    /// The same text for pods that want the same.
    pub fn key(&self) -> String {
        let asked: Vec<_> = self.requests.iter().collect();
        let affinity = &self.affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        format!("{asked:?}{}{affinity}{}", self.node_selector, self.tolerations)
    }

    /// Why none of these nodes can hold such a pod, in words; `None` where one can.
    pub fn why_not<'m>(&self, machines: impl Iterator<Item = &'m Machine> + Clone) -> Option<String> {
        let wanted = |m: &&Machine| wants_node(&self.node_selector, &self.affinity, &m.name, &m.labels);
        let repels = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
        let open = |m: &&Machine| m.taints.iter().filter(repels).all(|t| tolerates(&self.tolerations, t));
        let usable = machines.clone().filter(wanted).filter(open);
        if usable.clone().any(|machine| machine.holds(&self.requests)) {
            return None;
        }
        if machines.clone().next().is_none() {
            return Some("there are no nodes".to_owned());
        }
        if !machines.clone().any(|machine| wanted(&machine)) {
            return Some(self.no_node_wanted(machines));
        }
        let mut usable = usable.peekable();
        if usable.peek().is_none() {
            return Some("all nodes that it asks for have taints that it does not tolerate".to_owned());
        }
        let usable: Vec<&Machine> = usable.collect();
        let most = |name: &str| usable.iter().map(|machine| machine.has(name)).max().unwrap_or(0);
        let short = self.requests.iter().find(|(name, milli)| most(name) < *milli);
        Some(match short {
            Some((name, milli)) => format!(
                "asks for {} of {name}, the largest node that it may use has {}",
                milli as f64 / 1e3,
                most(name) as f64 / 1e3
            ),
            None => "no single node that it may use has all that it asks for".to_owned(),
        })
    }

    fn no_node_wanted<'m>(&self, mut machines: impl Iterator<Item = &'m Machine>) -> String {
        if machines.any(|m| wants_node(&self.node_selector, &Json::Null, &m.name, &m.labels)) {
            return "no node meets its node affinity".to_owned();
        }
        let labels: Vec<String> =
            self.node_selector.texts().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("no node is labelled {}", labels.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn machines() -> Vec<Machine> {
        let node = |name: &str, cpu: &str, taints: serde_json::Value| {
            let node = json!({"metadata": {"name": name, "labels": {"disk": name}}, "spec": {"taints": taints},
                "status": {"allocatable": {"cpu": cpu, "memory": "1Gi"}}});
            Machine::of(&node.into())
        };
        let gpu =
            json!([{"key": "gpu", "effect": "NoSchedule"}, {"key": "old", "effect": "PreferNoSchedule"}]);
        vec![node("a", "4", json!([])), node("b", "64", gpu)]
    }

    fn why(spec: &serde_json::Value) -> Option<String> {
        Wants::of(&json!({"spec": spec}).into()).why_not(machines().iter())
    }

    #[test]
    fn what_keeps_a_pod_off_every_node_is_said() {
        let asks = |cpu: &str| json!([{"resources": {"requests": {"cpu": cpu}}}]);
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["z"]}]}]}}});
        let tolerates = json!([{"key": "gpu", "operator": "Exists"}]);
        for (spec, expected) in [
            (json!({"containers": asks("4")}), None),
            (
                json!({"containers": asks("8")}),
                Some("asks for 8 of cpu, the largest node that it may use has 4"),
            ),
            (json!({"containers": asks("8"), "tolerations": tolerates}), None),
            (json!({"nodeSelector": {"disk": "c"}}), Some("no node is labelled disk=c")),
            (json!({"affinity": affinity}), Some("no node meets its node affinity")),
            (
                json!({"nodeSelector": {"disk": "b"}}),
                Some("all nodes that it asks for have taints that it does not tolerate"),
            ),
            (
                json!({"containers": [{"resources": {"requests": {"nvidia.com/gpu": "1"}}}]}),
                Some("asks for 1 of nvidia.com/gpu, the largest node that it may use has 0"),
            ),
        ] {
            assert_eq!(why(&spec).as_deref(), expected, "{spec}");
        }
        let any = Wants::of(&json!({}).into());
        assert_eq!(any.why_not([].iter()).as_deref(), Some("there are no nodes"));
    }

    #[test]
    fn the_largest_nodes_may_each_lack_something_else() {
        let node = |cpu: &str, memory: &str| {
            Machine::of(&json!({"status": {"allocatable": {"cpu": cpu, "memory": memory}}}).into())
        };
        let both =
            json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "4", "memory": "4"}}}]}});
        let said = Wants::of(&both.into()).why_not([node("4", "1"), node("1", "4")].iter());
        assert_eq!(said.as_deref(), Some("no single node that it may use has all that it asks for"));
    }
}
