//! Rules about which pods are near each other.

use std::collections::HashMap;

use super::{Rule, SLACK, Violation};
use crate::diff::{Facts, NodeFacts, Pod};
use crate::model::{Json, Map, Selector, TraceTime, wants_node};

/// Which pods a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Group {
    namespaces: Vec<String>,
    selector: Selector,
}

impl Group {
    fn holds(&self, pod: Pod<'_>) -> bool {
        self.namespaces.iter().any(|own| own == pod.namespace()) && self.selector.matches(&pod.shape().labels)
    }
}

/// One rule of a pod.
#[derive(Debug, Clone)]
enum Demand {
    Near(Group),
    Apart(Group),
    Spread { group: Group, max_skew: u64 },
}

/// Bound pods with their nodes.
#[derive(Debug, Default)]
struct Members {
    pods: HashMap<u32, u32>,
    /// Those that are going down.
    going: HashMap<u32, u32>,
}

/// Where the pods of each group are.
#[derive(Debug, Default)]
pub(super) struct Topology {
    /// Bound pods of each group that a rule of the reel names.
    groups: HashMap<Group, Members>,
    /// Bindings that look wrong, to be looked at again.
    suspects: Vec<(TraceTime, u32, u32, Rule)>,
}

impl Topology {
    pub(super) fn of(facts: &Facts) -> Topology {
        let mut topology = Topology::default();
        let mut seen = std::collections::HashSet::new();
        for pod in facts.pods().filter(|pod| seen.insert((pod.own().shape, pod.own().namespace))) {
            for (_, demand) in demands(pod) {
                let (Demand::Near(group) | Demand::Apart(group) | Demand::Spread { group, .. }) = demand;
                topology.groups.entry(group).or_default();
            }
        }
        topology
    }

    pub(super) fn bind(&mut self, facts: &Facts, pod: u32, node: u32) {
        for (group, members) in &mut self.groups {
            if group.holds(facts.pod(pod)) {
                members.pods.insert(pod, node);
            }
        }
    }

    /// Pods that are going down no longer count for spreading (`pkg/scheduler/framework/plugins/podtopologyspread/
    /// common.go`, v1.37.2, `countPodsMatchSelector`).
    pub(super) fn terminate(&mut self, facts: &Facts, pod: u32) {
        for (group, members) in &mut self.groups {
            if group.holds(facts.pod(pod))
                && let Some(node) = members.pods.remove(&pod)
            {
                members.going.insert(pod, node);
            }
        }
    }

    pub(super) fn free(&mut self, facts: &Facts, pod: u32) {
        for (group, members) in &mut self.groups {
            if group.holds(facts.pod(pod)) {
                members.pods.remove(&pod);
                members.going.remove(&pod);
            }
        }
        self.suspects.retain(|(_, suspect, ..)| *suspect != pod);
    }

    /// Notes a binding that looks wrong.
    pub(super) fn suspect(&mut self, facts: &Facts, at: TraceTime, pod: u32, node: u32) {
        if !self.groups.is_empty() {
            let broken: Vec<Rule> = self.broken(facts, at, pod, node).map(|(rule, _)| rule).collect();
            self.suspects.extend(broken.into_iter().map(|rule| (at, pod, node, rule)));
        }
    }

    /// The bindings that look wrong for long enough by `now`.
    pub(super) fn settle(&mut self, facts: &Facts, now: TraceTime) -> Vec<Violation> {
        if self.suspects.is_empty() {
            return Vec::new();
        }
        let due = |(at, ..): &(TraceTime, u32, u32, Rule)| *at + SLACK < now;
        let (due, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.suspects).into_iter().partition(due);
        self.suspects = rest;
        let confirm = |(at, pod, node, rule)| {
            let found = self.broken(facts, at, pod, node).find(|(again, _)| *again == rule);
            let node = facts.nodes[node as usize].name.to_string();
            found.map(|(_, detail)| Violation { rule, at, pod, node, detail })
        };
        due.into_iter().filter_map(confirm).collect()
    }

    /// The rules of a bound pod that are broken now.
    fn broken<'s>(
        &'s self,
        facts: &'s Facts,
        at: TraceTime,
        pod: u32,
        node: u32,
    ) -> impl Iterator<Item = (Rule, String)> + 's {
        let pod = facts.pod(pod);
        demands(pod).into_iter().filter_map(move |(key, demand)| {
            let here = facts.nodes[node as usize].at(at)?.labels.get(&key)?.clone();
            let domain = |node: u32| facts.nodes[node as usize].at(at)?.labels.get(&key).cloned();
            let others = |group: &Group| -> Vec<u32> {
                let members = &self.groups[group];
                members
                    .pods
                    .iter()
                    .chain(&members.going)
                    .filter(|(other, _)| **other != pod.index)
                    .map(|(_, n)| *n)
                    .collect()
            };
            match demand {
                Demand::Near(group) => {
                    let others = others(&group);
                    let alone = others.is_empty() && group.holds(pod);
                    let near = others.into_iter().any(|node| domain(node).as_ref() == Some(&here));
                    (!alone && !near)
                        .then(|| (Rule::PodAffinity, format!("no pod that it needs in {key}={here}")))
                }
                Demand::Apart(group) => {
                    let near = others(&group).into_iter().any(|node| domain(node).as_ref() == Some(&here));
                    near.then(|| (Rule::PodAffinity, format!("a pod that it shuns in {key}={here}")))
                }
                Demand::Spread { group, max_skew } => {
                    let mut counts: HashMap<String, u64> = HashMap::new();
                    let eligible = |facts: &NodeFacts, name: &str| {
                        wants_node(&pod.shape().node_selector, &pod.shape().affinity, name, &facts.labels)
                    };
                    for node in &facts.nodes {
                        let now = node.at(at).filter(|facts| eligible(facts, &node.name));
                        if let Some(value) = now.and_then(|facts| facts.labels.get(&key)) {
                            counts.entry(value.clone()).or_default();
                        }
                    }
                    for node in self.groups[&group].pods.values() {
                        if let Some(count) = domain(*node).and_then(|value| counts.get_mut(&value)) {
                            *count += 1;
                        }
                    }
                    let own = counts.get(&here).copied()?;
                    let skew = own - counts.values().copied().min().unwrap_or(0);
                    (skew > max_skew).then(|| {
                        (Rule::TopologySpread, format!("{key}: skew {skew}, at most {max_skew} wanted"))
                    })
                }
            }
        })
    }
}

/// The rules of a pod that must hold, with their topology keys. Terms with a namespace selector, and constraints that
/// count tainted nodes or want a number of domains, are left out: too much besides pods and nodes goes into them.
fn demands(pod: Pod<'_>) -> Vec<(String, Demand)> {
    let shape = pod.shape();
    let mut found = Vec::new();
    for (kind, apart) in [("podAffinity", false), ("podAntiAffinity", true)] {
        let terms = &shape.affinity[kind]["requiredDuringSchedulingIgnoredDuringExecution"];
        for term in terms.items().iter().filter(|term| term["namespaceSelector"].is_null()) {
            let given: Vec<String> =
                term["namespaces"].items().iter().filter_map(|n| n.as_str().map(str::to_owned)).collect();
            let namespaces = if given.is_empty() { vec![pod.namespace().to_owned()] } else { given };
            let group = Group { namespaces, selector: selector(term, &shape.labels) };
            found.push((key(term), if apart { Demand::Apart(group) } else { Demand::Near(group) }));
        }
    }
    for constraint in shape.spread.items() {
        let is_plain = constraint["whenUnsatisfiable"] == "DoNotSchedule"
            && constraint["minDomains"].is_null()
            && constraint["nodeTaintsPolicy"] != "Honor"
            && constraint["nodeAffinityPolicy"] != "Ignore";
        if is_plain {
            let group = Group {
                namespaces: vec![pod.namespace().to_owned()],
                selector: selector(constraint, &shape.labels),
            };
            let max_skew = constraint["maxSkew"].as_u64().unwrap_or(1);
            found.push((key(constraint), Demand::Spread { group, max_skew }));
        }
    }
    found
}

fn key(term: &Json) -> String {
    term["topologyKey"].as_str().unwrap_or_default().to_owned()
}

fn selector(term: &Json, labels: &Json) -> Selector {
    let keys = term["matchLabelKeys"].items().iter().filter_map(Json::as_str);
    let own = |key: &str| {
        Some((key.to_owned(), labels.as_object().and_then(|own: &Map| own.get(key))?.as_str()?.to_owned()))
    };
    keys.filter_map(own)
        .fold(Selector::read(&term["labelSelector"]), |selector, (key, value)| selector.and(&key, &value))
}
