//! The table of inputs and outcomes, event by event.

use std::convert::Infallible;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::model::{ObjectEvent, Phase, Record, Synced, Verb};

fn at(millis: u64) -> TraceTime {
    TraceTime::from_millis(millis)
}

fn event(millis: u64, verb: Verb, object: Value) -> Record {
    Record::Object(ObjectEvent::new(at(millis), verb, object).unwrap())
}

fn plan(records: Vec<Record>) -> Plan {
    let synced = Record::Synced(Synced { at: at(100), kind: "Pod".into(), rv: "1".into() });
    let all = std::iter::once(synced).chain(records);
    let Ok(plan) = Plan::build(all.map(Ok::<_, Infallible>));
    plan
}

fn pod(node: Option<&str>, phase: &str) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c"}]},
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "a"}}, "status": {"phase": phase}});
    if let Some(node) = node {
        pod["spec"]["nodeName"] = node.into();
    }
    pod
}

/// The pod with its deletion asked for, for this reason.
fn deleting(mut pod: Value, reason: Option<&str>) -> Value {
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    pod["metadata"]["deletionGracePeriodSeconds"] = 7.into();
    if let Some(reason) = reason {
        pod["status"]["conditions"] =
            json!([{"type": "DisruptionTarget", "status": "True", "reason": reason}]);
    }
    pod
}

fn kinds(plan: &Plan) -> Vec<(u64, ActionKind)> {
    plan.actions.iter().map(|t| (t.at.as_nanos() / 1_000_000, t.action.kind())).collect()
}

#[test]
fn a_binding_is_no_input_and_run_times_count_from_the_pods_own_start() {
    let plan = plan(vec![
        event(1_000, Verb::Added, pod(None, "Pending")),
        event(1_050, Verb::Modified, pod(Some("n1"), "Pending")),
        event(1_250, Verb::Modified, pod(Some("n1"), "Running")),
        event(6_250, Verb::Modified, pod(Some("n1"), "Failed")),
    ]);
    assert_eq!(kinds(&plan), [(1_000, ActionKind::CreatePod)]);
    let behaviour = &plan.behaviours["u"];
    assert_eq!(behaviour.start_latency, Duration::from_millis(200));
    let run = behaviour.run.as_ref().unwrap();
    assert_eq!((run.after, run.phase), (Duration::from_secs(5), Phase::Failed));
}

#[test]
fn a_deletion_that_somebody_asked_for_is_an_input_with_its_grace() {
    for reason in [None, Some("EvictionByEvictionAPI")] {
        let plan = plan(vec![
            event(1_000, Verb::Added, pod(None, "Pending")),
            event(2_000, Verb::Modified, deleting(pod(Some("n1"), "Running"), reason)),
            event(2_300, Verb::Deleted, deleting(pod(Some("n1"), "Running"), reason)),
        ]);
        assert_eq!(kinds(&plan), [(1_000, ActionKind::CreatePod), (2_000, ActionKind::DeletePod)]);
        assert!(matches!(&plan.actions[1].action, Action::DeletePod { grace: Some(7), .. }));
        assert_eq!(plan.behaviours["u"].termination, Duration::from_millis(300));
    }
}

#[test]
fn a_deletion_by_the_control_plane_is_left_to_the_targets_own() {
    for reason in
        ["PreemptionByScheduler", "DeletionByTaintManager", "DeletionByPodGC", "TerminationByKubelet"]
    {
        let plan = plan(vec![
            event(1_000, Verb::Added, pod(None, "Pending")),
            event(2_000, Verb::Modified, deleting(pod(Some("n1"), "Running"), Some(reason))),
            event(2_300, Verb::Deleted, deleting(pod(Some("n1"), "Failed"), Some(reason))),
        ]);
        assert_eq!(kinds(&plan), [(1_000, ActionKind::CreatePod)], "{reason}");
        assert_eq!(plan.left.0.values().sum::<u64>(), 1);
        assert_eq!(plan.behaviours["u"].run, None, "a failure in the course of a deletion is no run time");
    }
}

#[test]
fn a_pending_pod_goes_without_a_mark_before() {
    let plan = plan(vec![
        event(1_000, Verb::Added, pod(None, "Pending")),
        event(1_500, Verb::Deleted, pod(None, "Pending")),
    ]);
    assert_eq!(kinds(&plan), [(1_000, ActionKind::CreatePod), (1_500, ActionKind::DeletePod)]);
}

#[test]
fn what_is_there_at_the_start_is_placed_or_waits() {
    let mut waiting = pod(None, "Pending");
    waiting["metadata"]["uid"] = "w".into();
    let mut ended = pod(Some("n1"), "Succeeded");
    ended["metadata"]["uid"] = "e".into();
    let plan = plan(vec![
        event(50, Verb::Initial, pod(Some("n1"), "Running")),
        event(50, Verb::Initial, waiting),
        event(50, Verb::Initial, ended),
    ]);
    assert_eq!(plan.placed.len(), 1);
    assert_eq!(plan.placed[0].object["spec"]["nodeName"], "n1");
    assert_eq!(kinds(&plan), [(100, ActionKind::CreatePod)], "at the origin");
    assert_eq!(plan.left.0.values().sum::<u64>(), 1);
}

#[test]
fn labels_and_gates_are_inputs_but_not_the_labels_that_binding_brings() {
    let gated = |gates: Value, labels: Value| {
        let mut pod = pod(None, "Pending");
        pod["spec"]["schedulingGates"] = gates;
        pod["metadata"]["labels"] = labels;
        pod
    };
    let mut bound = gated(json!([]), json!({"app": "b", "topology.kubernetes.io/zone": "z"}));
    bound["spec"]["nodeName"] = "n1".into();
    let plan = plan(vec![
        event(1_000, Verb::Added, gated(json!([{"name": "g"}]), json!({"app": "a"}))),
        event(2_000, Verb::Modified, gated(json!([]), json!({"app": "b"}))),
        event(2_100, Verb::Modified, bound),
    ]);
    assert_eq!(kinds(&plan), [(1_000, ActionKind::CreatePod), (2_000, ActionKind::UpdatePod)]);
    let Action::UpdatePod { patch, .. } = &plan.actions[1].action else { panic!() };
    assert_eq!(*patch, json!({"metadata": {"labels": {"app": "b"}}, "spec": {"schedulingGates": []}}));
}

#[test]
fn nodes_come_change_and_go() {
    let node = |ready: &str, taint: &str| {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
            "spec": {"taints": [{"key": taint, "effect": "NoSchedule"}]},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    };
    let plan = plan(vec![
        event(1_000, Verb::Added, node("False", "node.kubernetes.io/not-ready")),
        event(1_500, Verb::Modified, node("False", "node.kubernetes.io/memory-pressure")),
        event(2_000, Verb::Modified, node("Unknown", "gpu")),
        event(3_000, Verb::Deleted, node("Unknown", "gpu")),
    ]);
    let expected =
        [(1_000, ActionKind::CreateNode), (2_000, ActionKind::UpdateNode), (3_000, ActionKind::DeleteNode)];
    assert_eq!(kinds(&plan), expected);
    let Action::UpdateNode { change, .. } = &plan.actions[1].action else { panic!() };
    assert_eq!(change.ready, Some(ReadyStatus::Unknown));
    assert_eq!(change.taints.as_ref().map(Vec::len), Some(1));
}

#[test]
fn context_is_made_first_and_owners_are_left_alone() {
    let object = |api: &str, kind: &str, name: &str| {
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "n", "uid": "x"},
            "spec": {"selector": {"app": "a"}, "clusterIP": "10.0.0.1"}, "value": 7})
    };
    let plan = plan(vec![
        event(10, Verb::Initial, object("scheduling.k8s.io/v1", "PriorityClass", "high")),
        event(20, Verb::Initial, object("v1", "Namespace", "n")),
        event(10, Verb::Initial, object("scheduling.k8s.io/v1", "PriorityClass", "system-node-critical")),
        event(10, Verb::Initial, object("apps/v1", "ReplicaSet", "rs")),
        event(10, Verb::Initial, object("v1", "PersistentVolume", "pv")),
        event(500, Verb::Added, object("v1", "Service", "web")),
    ]);
    let first: Vec<_> = plan.context.iter().map(|t| t.action.key().kind).collect();
    assert_eq!(first, ["Namespace", "PriorityClass.scheduling.k8s.io"], "whatever came first");
    assert_eq!(kinds(&plan), [(500, ActionKind::CreateContext)]);
    let Action::CreateContext { object, .. } = &plan.actions[0].action else { panic!() };
    assert_eq!(object["spec"], json!({"clusterIP": "None", "selector": {"app": "a"}}));
    assert_eq!(plan.left.0.keys().collect::<Vec<_>>(), ["PersistentVolume not replayed yet"]);
}

#[test]
fn the_same_records_make_the_same_plan() {
    let records = || {
        (0..20).map(|n| {
            let mut pod = pod(None, "Pending");
            pod["metadata"]["uid"] = format!("u{n}").into();
            event(1_000 + n % 3, Verb::Added, pod)
        })
    };
    let (a, b) = (plan(records().collect()), plan(records().collect()));
    assert_eq!(a.actions, b.actions);
    assert!(a.actions.windows(2).all(|pair| pair[0].at <= pair[1].at));
}
