use std::convert::Infallible;

use serde_json::{Value, json};

use super::*;
use crate::model::{ObjectEvent, Record, Synced, TraceTime, Verb};

fn event(millis: u64, verb: Verb, object: Value) -> Record {
    Record::Object(ObjectEvent::new(TraceTime::from_millis(millis), verb, object).unwrap())
}

/// A plan of one large node, these context objects and a pod for each of these specs.
fn plan(context: &[Value], specs: &[Value]) -> Plan {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
        "status": {"allocatable": {"cpu": "4", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]}});
    let mut records = vec![event(0, Verb::Initial, node)];
    records.extend(context.iter().map(|object| event(1, Verb::Initial, object.clone())));
    records.push(Record::Synced(Synced {
        at: TraceTime::from_millis(2),
        kind: "Pod".into(),
        rv: "1".into(),
    }));
    for (n, spec) in specs.iter().enumerate() {
        let name = format!("web-{n}");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": spec, "status": {"phase": "Pending"},
            "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": "web"}}});
        records.push(event(10 + n as u64, Verb::Added, pod));
    }
    let Ok(plan) = Plan::build(records.into_iter().map(Ok::<_, Infallible>));
    plan
}

fn facts(objects: &[(&str, &[&str])]) -> TargetFacts {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let objects = objects.iter().map(|(kind, all)| ((*kind).to_owned(), names(all)));
    TargetFacts { objects: objects.collect(), ..TargetFacts::default() }
}

/// A target that has nothing but the namespace of the pods.
fn empty() -> TargetFacts {
    facts(&[("Namespace", &["shop"])])
}

fn said(plan: &Plan, target: &TargetFacts) -> Vec<String> {
    check(plan, target, Mode::Lockstep, false).iter().map(ToString::to_string).collect()
}

fn class(api: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "uid": name, "namespace": "shop"},
        "value": 1, "handler": "h", "spec": {}})
}

#[test]
fn a_plan_that_the_target_can_take_has_no_findings() {
    assert_eq!(said(&plan(&[], &[json!({})]), &empty()), [""; 0]);
}

#[test]
fn what_pods_name_and_nobody_has_is_said_with_the_consequence() {
    let all = [
        (
            "PriorityClass.scheduling.k8s.io",
            json!({"priorityClassName": "gold"}),
            "priority class gold",
            "refuse",
        ),
        ("RuntimeClass.node.k8s.io", json!({"runtimeClassName": "kata"}), "runtime class kata", "refuse"),
        (
            "StorageClass.storage.k8s.io",
            json!({"volumes": [{"ephemeral": {"volumeClaimTemplate": {"spec": {"storageClassName": "fast"}}}}]}),
            "storage class fast",
            "stay pending",
        ),
        (
            "PersistentVolumeClaim",
            json!({"volumes": [{"persistentVolumeClaim": {"claimName": "data"}}]}),
            "volume claim shop/data",
            "stay pending",
        ),
        (
            "ResourceClaim.resource.k8s.io",
            json!({"resourceClaims": [{"name": "gpu", "resourceClaimName": "one"}]}),
            "resource claim shop/one",
            "stay pending",
        ),
    ];
    for (kind, spec, named, consequence) in all {
        let plan = plan(&[], &[spec.clone(), spec]);
        let with = |names: &[&str]| said(&plan, &facts(&[("Namespace", &["shop"]), (kind, names)]));
        let found = with(&[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("warning: {named}, named by 2 pods, is neither")), "{found:?}");
        assert!(found[0].contains(consequence) && found[0].ends_with("shop/web-0, shop/web-1"), "{found:?}");
        let name = named.rsplit(' ').next().unwrap();
        assert_eq!(with(&[name]), [""; 0], "the target has it");
        assert_eq!(said(&plan, &empty()), [""; 0], "nothing is said of what cannot be listed");
    }
    let found = said(&plan(&[], &[json!({})]), &facts(&[("Namespace", &["default"])]));
    assert!(found[0].contains("namespace shop") && found[0].contains("refuse"), "{found:?}");
}

#[test]
fn what_the_trace_brings_along_is_there() {
    let brings = [class("scheduling.k8s.io/v1", "PriorityClass", "gold"), class("v1", "Namespace", "shop")];
    let target = facts(&[("Namespace", &[]), ("PriorityClass.scheduling.k8s.io", &[])]);
    assert_eq!(said(&plan(&brings, &[json!({"priorityClassName": "gold"})]), &target), [""; 0]);
}

#[test]
fn a_kind_that_is_not_served_is_an_error_with_its_objects() {
    let plan = plan(&[class("policy/v1", "PodDisruptionBudget", "web")], &[]);
    let mut target = empty();
    let kind = "policy/v1 PodDisruptionBudget".to_owned();
    target.not_served.insert(kind.clone(), vec!["policy/v1beta1".to_owned()]);
    let found = said(&plan, &target);
    assert!(
        found[0].starts_with("error: the target does not serve policy/v1 PodDisruptionBudget"),
        "{found:?}"
    );
    assert!(found[0].contains("it serves policy/v1beta1") && found[0].contains("shop/web"), "{found:?}");
    target.not_served.insert(kind, Vec::new());
    assert!(said(&plan, &target)[0].contains("not there at all"));
}

#[test]
fn what_was_recorded_in_a_version_of_old_is_said() {
    let old = class("policy/v1beta1", "PodDisruptionBudget", "web");
    let found = said(&plan(&[old], &[]), &empty());
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("policy/v1beta1") && found[0].contains("made as policy/v1"), "{found:?}");
    assert!(found[0].contains("shop/web"), "{found:?}");
}

#[test]
fn a_target_in_use_and_missing_rights_come_before_warnings() {
    let used = |ours, kind: &str| Used { kind: kind.to_owned(), ours, count: 3, example: "n7".to_owned() };
    let target = TargetFacts {
        used: vec![used(false, "nodes"), used(true, "pods")],
        denied: vec!["create nodes".to_owned(), "patch pods/status".to_owned()],
        ..empty()
    };
    let plan = plan(&[], &[json!({"nodeSelector": {"disk": "ssd"}})]);
    let found = check(&plan, &target, Mode::Open { speed: 1.0 }, false);
    let words =
        ["no replay made, such as n7", "kubereel clean", "create nodes, patch pods/status", "disk=ssd"];
    assert_eq!(found.len(), words.len());
    for (finding, words) in found.iter().zip(words) {
        assert!(finding.text.contains(words), "{finding}");
    }
    assert_eq!(found.iter().filter(|finding| finding.severity == Severity::Error).count(), 3);
    let allowed = check(&plan, &target, Mode::Open { speed: 1.0 }, true);
    assert_eq!(allowed.len(), 2, "{allowed:?}");
}

#[test]
fn crowds_behind_a_hard_constraint_are_named_in_lockstep_alone() {
    let spread = |when: &str| {
        let constraint = json!({"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": when,
            "labelSelector": {"matchLabels": {"app": "web"}}});
        json!({"topologySpreadConstraints": [constraint]})
    };
    let hard = spread("DoNotSchedule");
    let found = said(&plan(&[], &[hard.clone(), hard.clone()]), &empty());
    assert!(found[0].contains("shop/web") && found[0].contains("--runs 2"), "{found:?}");
    assert_eq!(said(&plan(&[], std::slice::from_ref(&hard)), &empty()), [""; 0], "one pod is no crowd");
    assert_eq!(said(&plan(&[], &[spread("ScheduleAnyway"), spread("ScheduleAnyway")]), &empty()), [""; 0]);
    let open = check(&plan(&[], &[hard.clone(), hard]), &empty(), Mode::Open { speed: 1.0 }, false);
    assert_eq!(open, []);
}

#[test]
fn a_plan_needs_what_its_actions_and_its_nodes_do() {
    let words: Vec<String> =
        needs::of(&plan(&[class("policy/v1", "PodDisruptionBudget", "web")], &[json!({})]))
            .iter()
            .map(ToString::to_string)
            .collect();
    for need in [
        "create nodes",
        "watch pods",
        "create pods",
        "patch pods/status",
        "update leases.coordination.k8s.io",
        "create poddisruptionbudgets.policy",
    ] {
        assert!(words.iter().any(|word| word == need), "{need} is not in {words:?}");
    }
    assert!(!words.iter().any(|word| word == "delete nodes"), "{words:?}");
}
