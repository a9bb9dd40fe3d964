//! Each rule broken by one pod is found and nothing else, and kept by the same pod it is not.

use serde_json::{Value, json};

use super::*;
use crate::diff::testing::{Run, Script};

/// A node with a taint and a label in zone a, and a plain one in zone b; a pod of app `db` on the first.
fn found(plant: impl FnOnce(&mut Run)) -> Vec<(Rule, String)> {
    let mut run = Run::lockstep("r");
    let labels = json!({"kubernetes.io/hostname": "n1", "topology.kubernetes.io/zone": "a", "disk": "ssd"});
    run.object(
        0,
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": labels},
        "spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]},
        "status": {"allocatable": {"cpu": "4"}}}),
    );
    run.node("n2", "4", "b");
    tolerant(&mut run, "db").with("metadata", "labels", json!({"app": "db"})).added(10).bound(20, "n1");
    plant(&mut run);
    let facts = run.facts();
    violations(&facts).into_iter().map(|v| (v.rule, facts.pod(v.pod).id().to_owned())).collect()
}

fn tolerant<'r>(run: &'r mut Run, id: &str) -> Script<'r> {
    run.pod(id).with("spec", "tolerations", json!([{"key": "gpu", "operator": "Exists"}]))
}

fn one(rule: Rule, pod: &str) -> Vec<(Rule, String)> {
    vec![(rule, pod.to_owned())]
}

/// A pod with one field of its spec that is bound well after the nodes are known.
fn with(field: &'static str, value: Value, node: &'static str) -> impl FnOnce(&mut Run) {
    move |run| drop(tolerant(run, "p").with("spec", field, value).added(5_000).bound(5_010, node))
}

#[test]
fn a_taint() {
    assert_eq!(found(|run| drop(run.pod("p").added(5_000).bound(5_010, "n1"))), one(Rule::Taint, "p"));
    assert_eq!(found(|run| drop(tolerant(run, "p").added(5_000).bound(5_010, "n1"))), []);
}

#[test]
fn a_node_selector() {
    let selector = || json!({"disk": "ssd"});
    assert_eq!(found(with("nodeSelector", selector(), "n2")), one(Rule::NodeAffinity, "p"));
    assert_eq!(found(with("nodeSelector", selector(), "n1")), []);
}

#[test]
fn affinity_to_and_from_other_pods() {
    let term = |kind: &str| {
        let term = json!({"topologyKey": "topology.kubernetes.io/zone", "labelSelector": {"matchLabels": {"app": "db"}}});
        json!({kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})
    };
    assert_eq!(found(with("affinity", term("podAffinity"), "n2")), one(Rule::PodAffinity, "p"));
    assert_eq!(found(with("affinity", term("podAffinity"), "n1")), []);
    assert_eq!(found(with("affinity", term("podAntiAffinity"), "n1")), one(Rule::PodAffinity, "p"));
    assert_eq!(found(with("affinity", term("podAntiAffinity"), "n2")), []);
}

#[test]
fn topology_spread() {
    let constraint = || {
        json!([{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}}}])
    };
    let second = |node: &'static str| {
        move |run: &mut Run| {
            for (id, at, node) in [("first", 1_000, "n1"), ("p", 5_000, node)] {
                tolerant(run, id)
                    .with("spec", "topologySpreadConstraints", constraint())
                    .added(at)
                    .bound(at + 10, node);
            }
        }
    };
    assert_eq!(found(second("n1")), one(Rule::TopologySpread, "p"));
    assert_eq!(found(second("n2")), []);
}

#[test]
fn a_port_of_the_node() {
    let containers = || json!([{"ports": [{"containerPort": 80, "hostPort": 80}]}]);
    let second = |node: &'static str| {
        move |run: &mut Run| {
            for (id, at, node) in [("first", 1_000, "n1"), ("p", 5_000, node)] {
                tolerant(run, id).with("spec", "containers", containers()).added(at).bound(at + 10, node);
            }
        }
    };
    assert_eq!(found(second("n1")), one(Rule::HostPort, "p"));
    assert_eq!(found(second("n2")), []);
}

#[test]
fn a_second_binding() {
    let twice = |run: &mut Run| drop(tolerant(run, "p").added(5_000).bound(5_010, "n1").bound(5_020, "n2"));
    assert_eq!(found(twice), one(Rule::DoubleBind, "p"));
}

#[test]
fn a_disruption_budget() {
    let preempted = |least: u64| {
        move |run: &mut Run| {
            run.object(
                100,
                json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": {"name": "web", "namespace": "prod"},
                "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": "web"}}}}),
            );
            tolerant(run, "other").added(1_000).bound(1_010, "n1").running(1_020);
            tolerant(run, "p").added(1_000).bound(1_010, "n2").running(1_020).preempted(5_000);
        }
    };
    assert_eq!(found(preempted(2)), one(Rule::DisruptionBudget, "p"));
    assert_eq!(found(preempted(1)), []);
}
