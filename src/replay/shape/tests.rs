use std::convert::Infallible;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::model::{ActionKind, ObjectEvent, Phase, Record, Synced, TraceTime, Verb};
use crate::replay::plan::Action;

fn event(seconds: u64, verb: Verb, object: Value) -> Record {
    Record::Object(ObjectEvent::new(TraceTime::from_millis(seconds * 1000), verb, object).unwrap())
}

fn node(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
                   "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn pod(name: &str, node: Option<&str>, phase: &str) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c"}]},
        "metadata": {"name": name, "namespace": "n", "uid": format!("u-{name}"), "labels": {"app": "a"}},
        "status": {"phase": phase}});
    if let Some(node) = node {
        pod["spec"]["nodeName"] = node.into();
    }
    pod
}

/// Two nodes and a bound pod at the start; at 10 s a pod that runs for 5 s from 12 s; at 100 s node `n1` goes.
fn plan() -> Plan {
    let records = vec![
        event(0, Verb::Initial, node("n1")),
        event(0, Verb::Initial, node("n2")),
        event(0, Verb::Initial, pod("old", Some("n1"), "Running")),
        Record::Synced(Synced { at: TraceTime::from_millis(1000), kind: "Pod".into(), rv: "1".into() }),
        event(10, Verb::Added, pod("web", None, "Pending")),
        event(11, Verb::Modified, pod("web", Some("n2"), "Pending")),
        event(12, Verb::Modified, pod("web", Some("n2"), "Running")),
        event(17, Verb::Modified, pod("web", Some("n2"), "Succeeded")),
        event(100, Verb::Deleted, node("n1")),
    ];
    let Ok(plan) = Plan::build(records.into_iter().map(Ok::<_, Infallible>));
    plan
}

/// Second, kind and name of each input.
fn inputs(plan: &Plan) -> Vec<(u64, ActionKind, String)> {
    let input = |t: &crate::replay::TimedAction| {
        (t.at.as_nanos() / 1_000_000_000, t.action.kind(), t.action.key().name.to_string())
    };
    plan.actions.iter().map(input).collect()
}

fn names(nodes: &[Json]) -> Vec<&str> {
    nodes.iter().map(|node| node["metadata"]["name"].as_str().unwrap()).collect()
}

#[test]
fn the_default_changes_nothing() {
    assert_eq!(plan().shaped(&Shape::default()).digest(), plan().digest());
}

#[test]
fn twice_the_pods_are_copies_with_names_ids_and_behaviours_of_their_own() {
    let shaped = plan().shaped(&Shape { scale_pods: 2.0, ..Shape::default() });
    assert_eq!(shaped.placed.len(), 1, "a copy of a bound pod looks for a place of its own");
    let create = |second, name: &str| (second, ActionKind::CreatePod, name.to_owned());
    assert_eq!(inputs(&shaped)[..3], [create(1, "old-x2"), create(10, "web"), create(10, "web-x2")]);
    let Action::CreatePod(old) = &shaped.actions[0].action else { panic!() };
    assert_eq!(
        (old.id.as_str(), PodView(&old.object).id(), PodView(&old.object).node_name()),
        ("u-old~2", "u-old~2", None)
    );
    assert_eq!(shaped.behaviours["u-web~2"], shaped.behaviours["u-web"]);
}

#[test]
fn a_fraction_takes_the_same_pods_for_the_same_seed() {
    let half = |seed| {
        let shape = Shape { scale_pods: 0.5, seed, ..Shape::default() };
        let kept = |n: &u32| copies(shape.scale_pods, seed, "pod", &format!("pod-{n}")) > 0;
        (0..1000).filter(kept).collect::<Vec<u32>>()
    };
    assert_eq!(half(1), half(1));
    assert_ne!(half(1), half(2));
    assert!((400..600).contains(&half(1).len()));
    let none = plan().shaped(&Shape { scale_pods: 0.0, ..Shape::default() });
    assert_eq!((none.placed.len(), inputs(&none).len()), (0, 1));
    assert_eq!(none.left.0["pods left out by the filter or the scale"], 2);
}

#[test]
fn filters_keep_pods_by_namespace_and_label() {
    let with = |namespaces: &[&str], labels: &[(&str, &str)]| {
        let filter = PodFilter {
            namespaces: namespaces.iter().map(|n| (*n).to_owned()).collect(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        };
        plan().shaped(&Shape { filter, ..Shape::default() }).placed.len()
    };
    assert_eq!(
        (with(&["n", "m"], &[("app", "a")]), with(&["m"], &[]), with(&[], &[("app", "b")])),
        (1, 0, 0)
    );
}

#[test]
fn nodes_are_multiplied_with_what_happens_to_them() {
    let shaped = plan().shaped(&Shape { scale_nodes: 2.0, ..Shape::default() });
    assert_eq!(names(&shaped.nodes), ["n1", "n1-x2", "n2", "n2-x2"]);
    assert_eq!(shaped.nodes[1]["metadata"]["labels"]["kubernetes.io/hostname"], "n1-x2");
    let gone: Vec<String> =
        inputs(&shaped).into_iter().filter(|i| i.1 == ActionKind::DeleteNode).map(|i| i.2).collect();
    assert_eq!(gone, ["n1", "n1-x2"]);
}

#[test]
fn another_fleet_takes_no_part_in_what_happened_to_the_recorded_one() {
    let fleet = vec![Json::from(node("big"))];
    let shaped = plan().shaped(&Shape { fleet: Some(fleet), ..Shape::default() });
    assert_eq!(names(&shaped.nodes), ["big"]);
    // Its old node is not there: it is submitted at the start.
    assert_eq!(shaped.placed, []);
    let create = |second, name: &str| (second, ActionKind::CreatePod, name.to_owned());
    assert_eq!(inputs(&shaped), [create(1, "old"), create(10, "web")]);
}

#[test]
fn capacity_is_multiplied_and_rounded_down() {
    let shaped = plan().shaped(&Shape { capacity_factor: 0.3, ..Shape::default() });
    let allocatable = &shaped.nodes[0]["status"]["allocatable"];
    assert_eq!((&allocatable["cpu"], &allocatable["pods"]), (&"1200m".into(), &"33".into()));
    assert_eq!(allocatable["memory"].as_str(), Some("2576980377"));
}

#[test]
fn run_times_and_start_latencies_are_set() {
    let of = |run_time, start_latency| {
        let shaped = plan().shaped(&Shape { run_time, start_latency, ..Shape::default() });
        let behaviour = &shaped.behaviours["u-web"];
        let run = behaviour.run.as_ref().unwrap();
        assert_eq!(run.phase, Phase::Succeeded);
        (run.after.as_secs(), behaviour.start_latency.as_secs())
    };
    assert_eq!(of(RunTime::Recorded, None), (5, 1));
    assert_eq!(of(RunTime::Factor(3.0), Some(Duration::from_secs(9))), (15, 9));
    assert_eq!(of(RunTime::Fixed(Duration::from_mins(1)), None), (60, 1));
}

#[test]
fn idle_time_is_cut_and_all_later_times_move() {
    let shaped = plan().shaped(&Shape { skip_idle: Some(Duration::from_secs(4)), ..Shape::default() });
    let times: Vec<u64> = inputs(&shaped).iter().map(|i| i.0).collect();
    // The play starts at 1 s; the pod comes after 9 s, node n1 goes 90 s later.
    assert_eq!(times, [5, 9]);
    assert_eq!(shaped.end, TraceTime::from_millis(9000));
}
