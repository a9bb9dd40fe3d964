//! What a plan is about to do, without doing it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::Serialize;

use super::plan::{Action, Left, Plan, Submission};
use crate::model::{ActionKind, Json, Map, NodeView, PodView, Requests, TraceTime, parse_quantity_milli};

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
    /// What it is about to do.
    pub fn outlook(&self) -> Outlook {
        let mut inputs = BTreeMap::new();
        for timed in &self.actions {
            *inputs.entry(timed.action.kind()).or_default() += 1;
        }
        let (impossible, impossible_pods) = impossible(self);
        Outlook {
            plan_sha256: self.digest(),
            span_seconds: self.end.since(self.origin).as_secs_f64(),
            inputs,
            peak_inputs_per_second: peak_rate(self.actions.iter().map(|timed| timed.at)),
            context: self.context.len(),
            nodes: self.nodes.len(),
            placed: self.placed.len(),
            resources: demand(self),
            impossible,
            impossible_pods,
            left_out: self.left.clone(),
        }
    }

    fn submissions(&self) -> impl Iterator<Item = (TraceTime, &Submission)> {
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
        let asked = Requests::of(&pod.object);
        steps.extend(ends.map(|end| (end, false, asked.clone())));
        steps.push((at, true, asked));
    }
    steps.sort_by_key(|(at, comes, _)| (*at, *comes));
    let mut now: HashMap<String, i128> = HashMap::new();
    let mut all: BTreeMap<String, Demand> = BTreeMap::new();
    for (_, comes, asked) in steps {
        for (name, milli) in asked.iter() {
            let held = now.entry(name.to_owned()).or_default();
            *held += if comes { i128::from(milli) } else { -i128::from(milli) };
            let demand = all.entry(name.to_owned()).or_default();
            demand.peak_asked = demand.peak_asked.max(*held as f64 / 1000.0);
        }
    }
    for node in &plan.nodes {
        for (name, milli) in allocatable(NodeView(node).resources().1) {
            all.entry(name).or_default().there += milli as f64 / 1000.0;
        }
    }
    all
}

/// Resources, in thousandths of their units.
fn allocatable(resources: &Json) -> BTreeMap<String, i128> {
    let entries = resources.as_object();
    let milli = |(name, quantity): (&crate::model::Text, &Json)| {
        Some((name.to_string(), parse_quantity_milli(quantity.as_str()?)?))
    };
    entries.into_iter().flat_map(Map::iter).filter_map(milli).collect()
}

/// Pods that ask for more than any node has, or for labels that no node bears: the first of them, and how many.
fn impossible(plan: &Plan) -> (Vec<Impossible>, usize) {
    let fleet = fleet(plan);
    let mut reasons: HashMap<(Requests, BTreeMap<String, String>), Option<String>> = HashMap::new();
    let (mut named, mut count) = (Vec::new(), 0);
    for (_, submission) in plan.submissions() {
        let wants = (Requests::of(&submission.object), submission.object["spec"]["nodeSelector"].texts());
        let reason =
            reasons.entry(wants).or_insert_with_key(|(asked, selector)| why_not(asked, selector, &fleet));
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

/// Every kind of node that there ever is: what it has, and its labels.
fn fleet(plan: &Plan) -> BTreeSet<NodeKind> {
    let mut now: HashMap<String, NodeKind> = HashMap::new();
    let mut all = BTreeSet::new();
    let kind = |node: &Json| (allocatable(NodeView(node).resources().1), NodeView(node).labels().texts());
    for node in &plan.nodes {
        now.insert(NodeView(node).name().to_owned(), kind(node));
    }
    all.extend(now.values().cloned());
    for timed in &plan.actions {
        match &timed.action {
            Action::CreateNode { object } => {
                all.insert(kind(object));
                now.insert(NodeView(object).name().to_owned(), kind(object));
            }
            Action::UpdateNode { name, change } => {
                let Some(kind) = now.get_mut(name) else { continue };
                if let Some((_, resources)) = &change.resources {
                    kind.0 = allocatable(resources);
                }
                for (key, value) in change.labels.iter().filter_map(serde_json::Value::as_object).flatten() {
                    match value.as_str() {
                        Some(value) => kind.1.insert(key.clone(), value.to_owned()),
                        None => kind.1.remove(key),
                    };
                }
                all.insert(kind.clone());
            }
            _ => {}
        }
    }
    all
}

type NodeKind = (BTreeMap<String, i128>, BTreeMap<String, String>);

fn why_not(
    asked: &Requests,
    selector: &BTreeMap<String, String>,
    fleet: &BTreeSet<NodeKind>,
) -> Option<String> {
    let selected: Vec<&NodeKind> =
        fleet.iter().filter(|(_, labels)| selector.iter().all(|(k, v)| labels.get(k) == Some(v))).collect();
    if selected.is_empty() {
        let wanted: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let wanted = if wanted.is_empty() { String::new() } else { format!(" with {}", wanted.join(",")) };
        return Some(format!("there is no node{wanted}"));
    }
    let has = |node: &NodeKind, name: &str| node.0.get(name).copied().unwrap_or(0);
    let fits = |node: &&NodeKind| asked.iter().all(|(name, milli)| i128::from(milli) <= has(node, name));
    if selected.iter().any(fits) {
        return None;
    }
    let beyond = asked.iter().find_map(|(name, milli)| {
        let most = selected.iter().map(|node| has(node, name)).max().unwrap_or(0);
        let units = |milli: i128| milli as f64 / 1000.0;
        (i128::from(milli) > most).then(|| {
            format!("it asks for {} of {name}, no node has more than {}", units(milli.into()), units(most))
        })
    });
    Some(beyond.unwrap_or_else(|| "no node has all that it asks for".to_owned()))
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
        let outlook = plan().outlook();
        assert_eq!(outlook.inputs, BTreeMap::from([(ActionKind::CreatePod, 5), (ActionKind::UpdateNode, 1)]));
        assert_eq!((outlook.peak_inputs_per_second, outlook.nodes, outlook.placed), (2, 1, 0));
        // `short` is gone when the others come.
        let cpu = outlook.resources["cpu"];
        assert!((cpu.peak_asked - 9.0).abs() < 1e-9 && (cpu.there - 3.5).abs() < 1e-9, "{cpu:?}");
        assert_eq!(outlook.plan_sha256, plan().digest());
    }

    #[test]
    fn pods_that_no_node_can_hold_are_named_with_the_reason() {
        let outlook = plan().outlook();
        let named: Vec<(&str, &str)> =
            outlook.impossible.iter().map(|i| (i.pod.as_str(), i.reason.as_str())).collect();
        let huge = ("n/huge", "it asks for 4 of cpu, no node has more than 3.5");
        assert_eq!(named, [huge, ("n/far", "there is no node with zone=b")]);
        assert_eq!(outlook.impossible_pods, 2);
    }
}
