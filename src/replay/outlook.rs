//! What a plan is about to do, without doing it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::Serialize;

use super::plan::{Action, Left, NodeChange, Plan, Submission};
use crate::model::{ActionKind, Amounts, Machine, PodView, Requests, TraceTime, Wants, allocatable, amounts};

/// A plan in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outlook {
    /// [`Plan::digest`].
    pub plan_sha256: String,
    /// Length of the play, seconds of the trace.
    pub span_seconds: f64,
    /// Inputs by kind.
    pub inputs: BTreeMap<ActionKind, u64>,
    /// The most inputs within a second of the trace.
    pub peak_inputs_per_second: u64,
    /// Objects other than pods and nodes that are there when the play starts.
    pub context: usize,
    /// Nodes that are there when the play starts.
    pub nodes: usize,
    /// Pods that are bound when the play starts.
    pub placed: usize,
    /// By resource.
    pub resources: BTreeMap<String, Demand>,
    /// Pods that no node could ever hold, at most [`NAMED`] of them.
    pub impossible: Vec<Impossible>,
    /// How many pods no node could ever hold.
    pub impossible_pods: usize,
    /// Pods that took the place of a preempted one in the recording: replayed as recorded, or left out in a closed loop.
    pub replacements: usize,
    /// Places that a closed loop refills.
    pub refills: usize,
    /// What is not replayed, by reason.
    pub left_out: Left,
}

/// How many pods are named.
pub const NAMED: usize = 20;

/// What pods ask of a resource and what nodes have of it, in its unit (cores, bytes, pieces).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Demand {
    /// The most that pods ask for at once, if each lives as long as it did in the recording.
    pub peak_asked: f64,
    /// What the nodes have for pods when the play starts.
    pub there: f64,
}

/// A pod that no node could ever hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Impossible {
    /// Its namespace and name.
    pub pod: String,
    /// Why, in words.
    pub reason: String,
}

impl Plan {
    /// What it is about to do; its digest is known to who asks.
    pub fn outlook(&self, plan_sha256: String) -> Outlook {
        let mut inputs = BTreeMap::new();
        for timed in &self.actions {
            *inputs.entry(timed.action.kind()).or_default() += 1;
        }
        let (impossible, impossible_pods) = self.impossible();
        Outlook {
            plan_sha256,
            span_seconds: self.end.since(self.origin).as_secs_f64(),
            inputs,
            peak_inputs_per_second: peak_rate(self.actions.iter().map(|timed| timed.at)),
            context: self.context.len(),
            nodes: self.nodes.len(),
            placed: self.placed.len(),
            resources: demand(self),
            impossible,
            impossible_pods,
            replacements: self.replacements.len(),
            refills: self.refills.len(),
            left_out: self.left.clone(),
        }
    }

    /// Pods that no node can hold, even empty: the first of them, and how many.
    pub(super) fn impossible(&self) -> (Vec<Impossible>, usize) {
        let fleet = fleet(self);
        let mut reasons: HashMap<String, Option<String>> = HashMap::new();
        let (mut named, mut count) = (Vec::new(), 0);
        for (_, submission) in self.submissions() {
            let wants = Wants::of(&submission.object);
            let reason = reasons.entry(wants.key()).or_insert_with(|| wants.why_not(fleet.iter()));
            let Some(reason) = reason else { continue };
            count += 1;
            if named.len() < NAMED {
                let pod = PodView(&submission.object);
                named.push(Impossible {
                    pod: format!("{}/{}", pod.namespace(), pod.name()),
                    reason: reason.clone(),
                });
            }
        }
        (named, count)
    }

    /// The pods that it places and submits, and when.
    pub(super) fn submissions(&self) -> impl Iterator<Item = (TraceTime, &Submission)> {
        let placed = self.placed.iter().map(|pod| (self.origin, pod));
        placed.chain(self.actions.iter().filter_map(|timed| match &timed.action {
            Action::CreatePod(pod) => Some((timed.at, pod)),
            _ => None,
        }))
    }
}

/// The most instants within any second; they come in order.
fn peak_rate(times: impl Iterator<Item = TraceTime>) -> u64 {
    let mut window = std::collections::VecDeque::new();
    let mut peak = 0;
    for at in times {
        window.push_back(at);
        while window.front().is_some_and(|first| at.since(*first) >= Duration::from_secs(1)) {
            window.pop_front();
        }
        peak = peak.max(window.len() as u64);
    }
    peak
}

fn demand(plan: &Plan) -> BTreeMap<String, Demand> {
    let deleted: HashMap<&str, TraceTime> = plan
        .actions
        .iter()
        .filter_map(|timed| match &timed.action {
            Action::DeletePod { id, .. } => Some((id.as_str(), timed.at)),
            _ => None,
        })
        .collect();
    // What is given back at an instant is free for what is asked for then.
    let mut steps: Vec<(TraceTime, bool, Requests)> = Vec::new();
    for (at, pod) in plan.submissions() {
        let behaviour = plan.behaviours.get(&pod.id);
        let ended = behaviour.and_then(|b| Some(at + b.start_latency + b.run.as_ref()?.after));
        let ends = [ended, deleted.get(pod.id.as_str()).copied()].into_iter().flatten().min();
        if ends.is_some_and(|end| end <= at) {
            continue;
        }
        let asked = Requests::of(&pod.object);
        steps.extend(ends.map(|end| (end, false, asked.clone())));
        steps.push((at, true, asked));
    }
    steps.sort_by_key(|(at, comes, _)| (*at, *comes));
    let (mut now, mut all) = (Amounts::default(), BTreeMap::<String, Demand>::new());
    for (_, comes, asked) in steps {
        for (name, milli) in asked.iter() {
            if comes {
                now.add(name, milli);
            } else {
                now.sub(name, milli);
            }
            let demand = all.entry(name.to_owned()).or_default();
            demand.peak_asked = demand.peak_asked.max(now.get(name) as f64 / 1000.0);
        }
    }
    for (name, milli) in plan.nodes.iter().flat_map(allocatable) {
        all.entry(name.to_string()).or_default().there += milli as f64 / 1000.0;
    }
    all
}

/// Every node as it ever is.
fn fleet(plan: &Plan) -> BTreeSet<Machine> {
    let mut now: HashMap<String, Machine> = HashMap::new();
    let mut all = BTreeSet::new();
    for machine in plan.nodes.iter().map(Machine::of) {
        now.insert(machine.name.to_string(), machine.clone());
        all.insert(machine);
    }
    for timed in &plan.actions {
        match &timed.action {
            Action::CreateNode { object } => {
                let machine = Machine::of(object);
                now.insert(machine.name.to_string(), machine.clone());
                all.insert(machine);
            }
            Action::UpdateNode { name, change } => {
                if let Some(machine) = now.get_mut(name) {
                    changed(machine, change);
                    all.insert(machine.clone());
                }
            }
            _ => {}
        }
    }
    all
}

fn changed(machine: &mut Machine, change: &NodeChange) {
    if let Some((_, resources)) = &change.resources {
        machine.allocatable = amounts(resources).collect();
    }
    if let Some(taints) = &change.taints {
        machine.taints.clone_from(taints);
    }
    for (key, value) in change.labels.iter().filter_map(serde_json::Value::as_object).flatten() {
        match value.as_str() {
            Some(value) => machine.labels.insert(key.clone(), value.to_owned()),
            None => machine.labels.remove(key),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use serde_json::{Value, json};

    use super::*;
    use crate::model::{ObjectEvent, Record, Synced, Verb};

    fn event(seconds: u64, verb: Verb, object: Value) -> Record {
        Record::Object(ObjectEvent::new(TraceTime::from_millis(seconds * 1000), verb, object).unwrap())
    }

    fn pod(name: &str, cpu: &str, zone: Option<&str>, phase: &str) -> Value {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n", "uid": name},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}, "status": {"phase": phase}});
        if let Some(zone) = zone {
            pod["spec"]["nodeSelector"] = json!({"zone": zone});
        }
        pod
    }

    fn plan() -> Plan {
        let node = |zone: &str| {
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"zone": zone}},
                "status": {"allocatable": {"cpu": "3500m", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]}})
        };
        let records = vec![
            event(0, Verb::Initial, node("a")),
            Record::Synced(Synced { at: TraceTime::ZERO, kind: "Pod".into(), rv: "1".into() }),
            event(1, Verb::Added, pod("short", "2", None, "Pending")),
            event(3, Verb::Modified, pod("short", "2", None, "Succeeded")),
            event(4, Verb::Added, pod("huge", "4", None, "Pending")),
            event(4, Verb::Added, pod("far", "1", Some("b"), "Pending")),
            event(10, Verb::Added, pod("late", "3", Some("a"), "Pending")),
            event(11, Verb::Added, pod("soon", "1", Some("c"), "Pending")),
            event(12, Verb::Modified, node("c")),
        ];
        let Ok(plan) = Plan::build(records.into_iter().map(Ok::<_, Infallible>));
        plan
    }

    #[test]
    fn a_plan_in_numbers() {
        let outlook = plan().outlook(String::new());
        assert_eq!(outlook.inputs, BTreeMap::from([(ActionKind::CreatePod, 5), (ActionKind::UpdateNode, 1)]));
        assert_eq!((outlook.peak_inputs_per_second, outlook.nodes, outlook.placed), (2, 1, 0));
        // `short` is gone when the others come.
        let cpu = outlook.resources["cpu"];
        assert!((cpu.peak_asked - 9.0).abs() < 1e-9 && (cpu.there - 3.5).abs() < 1e-9, "{cpu:?}");
    }

    #[test]
    fn pods_that_no_node_can_hold_are_named_with_the_reason() {
        let outlook = plan().outlook(String::new());
        let named: Vec<(&str, &str)> =
            outlook.impossible.iter().map(|i| (i.pod.as_str(), i.reason.as_str())).collect();
        let huge = ("n/huge", "asks for 4 of cpu, the largest node that it may use has 3.5");
        assert_eq!(named, [huge, ("n/far", "no node is labelled zone=b")]);
        assert_eq!(outlook.impossible_pods, 2);
    }
}
