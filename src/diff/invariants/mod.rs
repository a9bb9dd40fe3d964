//! What no scheduler may do, whatever it is compared with.
//!
//! What is checked is what was there in the reel when a pod was bound. Nodes come on another watch than pods: a rule
//! about a node counts as broken only if every version of the node in the second before breaks it. Bindings are sent
//! in parallel: a rule about other pods counts as broken only if it still is a second later.

mod priority;
#[cfg(test)]
mod tests;
mod topology;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::steps::Change;
use super::usage::Usage;
use super::{Facts, NodeFacts, Origin, Shape};
use crate::model::{Taint, TraceTime, tolerates, wants_node};
use topology::Topology;

/// How far watches may be apart.
const SLACK: Duration = Duration::from_secs(1);

/// A rule that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Pods on a node ask for more than it has.
    OverCommit,
    /// A taint that the pod does not tolerate.
    Taint,
    /// The pod's node selector or required node affinity does not match the node.
    NodeAffinity,
    /// Required affinity or anti-affinity to other pods.
    PodAffinity,
    /// A topology spread constraint with `DoNotSchedule`.
    TopologySpread,
    /// A port of the node that another pod has.
    HostPort,
    /// A pod was bound to a second node.
    DoubleBind,
    /// A pod was removed for one that is not of higher priority.
    VictimPriority,
    /// Preemption took more pods than a disruption budget allows. A scheduler may do so where nothing else helps, so
    /// it counts only beside a run that did not.
    DisruptionBudget,
}

impl Rule {
    /// The rule as written in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::OverCommit => "over-commit",
            Rule::Taint => "taint",
            Rule::NodeAffinity => "node-affinity",
            Rule::PodAffinity => "pod-affinity",
            Rule::TopologySpread => "topology-spread",
            Rule::HostPort => "host-port",
            Rule::DoubleBind => "double-bind",
            Rule::VictimPriority => "victim-priority",
            Rule::DisruptionBudget => "disruption-budget",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule broken by one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// When the pod was bound, or removed.
    pub at: TraceTime,
    /// Number of the pod.
    pub pod: u32,
    /// Name of the node.
    pub node: String,
    /// With the numbers.
    pub detail: String,
}

/// All rules that a run breaks, in order of time.
pub fn violations(facts: &Facts) -> Vec<Violation> {
    let mut check = Check {
        facts,
        on: vec![Vec::new(); facts.nodes.len()],
        usage: Usage::of(facts),
        by_hand: vec![TraceTime::ZERO; facts.nodes.len()],
        topology: Topology::of(facts),
        found: Vec::new(),
    };
    for step in &facts.steps {
        check.found.extend(check.topology.settle(facts, step.at));
        check.usage.step(step);
        let pod = step.pod;
        match step.change() {
            Change::Bind(node) => check.bind(step.at, pod, node),
            Change::Terminate(_) => check.topology.terminate(facts, pod),
            Change::Free(node) => {
                check.on[node as usize].retain(|other| *other != pod);
                check.topology.free(facts, pod);
            }
            Change::Arrive | Change::Leave | Change::Resize(_) => {}
        }
    }
    check.found.extend(check.topology.settle(facts, TraceTime::from_nanos(u64::MAX)));
    for (at, pod, node) in &facts.double_binds {
        let first = facts.pod(*pod).node_name().unwrap_or_default().to_owned();
        let node = facts.nodes[*node as usize].name.to_string();
        let detail = format!("bound to {node} after {first}");
        check.found.push(Violation { rule: Rule::DoubleBind, at: *at, pod: *pod, node, detail });
    }
    check.found.extend(priority::violations(facts));
    check.found.sort_by_key(|violation| violation.at);
    check.found
}

struct Check<'f> {
    facts: &'f Facts,
    /// Pods on each node.
    on: Vec<Vec<u32>>,
    /// What they ask for, resizes in place included.
    usage: Usage<'f>,
    /// When something was last put on a node past the scheduler.
    by_hand: Vec<TraceTime>,
    topology: Topology,
    found: Vec<Violation>,
}

impl Check<'_> {
    fn bind(&mut self, at: TraceTime, pod: u32, node: u32) {
        let (facts, index) = (self.facts, node as usize);
        self.on[index].push(pod);
        self.topology.bind(facts, pod, node);
        if facts.pods[pod as usize].origin != Origin::Played {
            self.by_hand[index] = at;
            return;
        }
        let history = &facts.nodes[index];
        let versions: Vec<&NodeFacts> = history.between(at - SLACK, at + SLACK).collect();
        let before: Vec<&NodeFacts> = history.between(at - SLACK, at).collect();
        let shape = facts.pod(pod).shape();
        let broken = [
            self.overcommit(at, shape, index, &versions),
            taint(shape, &before),
            affinity(shape, &history.name, &before),
            self.port(shape, pod, index),
        ];
        for (rule, detail) in broken.into_iter().flatten() {
            self.found.push(Violation { rule, at, pod, node: history.name.to_string(), detail });
        }
        self.topology.suspect(facts, at, pod, node);
    }

    /// Only what the pod itself asks for counts: the scheduler looks no further (`pkg/scheduler/framework/plugins/
    /// noderesources/fit.go`, v1.37.2, `fitsRequest`).
    fn overcommit(
        &self,
        at: TraceTime,
        shape: &Shape,
        node: usize,
        versions: &[&NodeFacts],
    ) -> Option<(Rule, String)> {
        if versions.is_empty() || at.since(self.by_hand[node]) < SLACK && self.by_hand[node] > TraceTime::ZERO
        {
            return None;
        }
        let most = |resource: &str| versions.iter().map(|v| v.allocatable(resource)).max().unwrap_or(0);
        for (resource, _) in shape.requests.iter() {
            let (sum, has) = (self.asked(node, resource), most(resource));
            if sum > has {
                let text = |milli: u64| format!("{}", milli as f64 / 1000.0);
                let detail = format!("{resource}: {} asked of {}", text(sum), text(has));
                return Some((Rule::OverCommit, detail));
            }
        }
        let (pods, has) = (self.on[node].len() as u64, most("pods") / 1000);
        (has > 0 && pods > has).then(|| (Rule::OverCommit, format!("{pods} pods where {has} may be")))
    }

    /// How much of a resource the pods of a node ask for, thousandths of its unit.
    fn asked(&self, node: usize, resource: &str) -> u64 {
        match resource {
            "cpu" => self.usage.on[node].cpu_milli,
            "memory" => self.usage.on[node].memory_bytes.saturating_mul(1000),
            other => {
                let of = |pod: &u32| self.usage.asked(*pod).requests.iter().find(|(own, _)| *own == other);
                self.on[node].iter().filter_map(of).map(|(_, milli)| milli).sum()
            }
        }
    }

    fn port(&self, shape: &Shape, pod: u32, node: usize) -> Option<(Rule, String)> {
        if shape.ports.is_empty() {
            return None;
        }
        let others = self.on[node].iter().filter(|other| **other != pod);
        let conflict = |other: &&u32| {
            let theirs = &self.facts.pod(**other).shape().ports;
            theirs.iter().any(|their| shape.ports.iter().any(|own| own.conflicts(their)))
        };
        let other = others.clone().find(conflict)?;
        Some((Rule::HostPort, format!("a port of {} too", self.facts.pod(*other))))
    }
}

fn taint(shape: &Shape, before: &[&NodeFacts]) -> Option<(Rule, String)> {
    let untolerated = |node: &&NodeFacts| repelling(node).find(|taint| !tolerates(&shape.tolerations, taint));
    let taints: Option<Vec<_>> = before.iter().map(untolerated).collect();
    let taint = taints?.pop()?;
    Some((Rule::Taint, format!("{}={}:{} is not tolerated", taint.key, taint.value, taint.effect)))
}

fn affinity(shape: &Shape, name: &str, before: &[&NodeFacts]) -> Option<(Rule, String)> {
    let wanted = |node: &&NodeFacts| wants_node(&shape.node_selector, &shape.affinity, name, &node.labels);
    let is_broken = !before.is_empty() && !before.iter().any(wanted);
    is_broken.then(|| (Rule::NodeAffinity, "the node's labels do not match".to_owned()))
}

/// Taints that keep pods off; `spec.unschedulable` is one.
fn repelling(node: &NodeFacts) -> impl Iterator<Item = Taint> {
    let cordon = node.unschedulable.then(|| Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    });
    let taints = node.taints.iter().chain(&node.health_taints).cloned().chain(cordon);
    taints.filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
}
