use super::*;
use crate::hollow::behaviour::RunEnd;
use crate::model::Phase;
use serde_json::json;

fn fleet() -> Fleet {
    let mut fleet = Fleet::new(|_| PodBehaviour {
        start_latency: Duration::from_millis(100),
        run: Some(RunEnd { after: Duration::from_secs(1), phase: Phase::Succeeded, containers: vec![] }),
        termination: Duration::from_secs(3),
        ..PodBehaviour::default()
    });
    fleet.add_node(&json!({"metadata": {"name": "n1"}, "spec": {"podCIDR": "10.9.0.0/24"}}).into());
    fleet
}

fn pod(node: &str, deleting: bool) -> ObjectEvent {
    let mut object = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": node, "containers": []},
        "metadata": {"name": "p", "namespace": "a", "uid": "u"}});
    if deleting {
        object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        object["metadata"]["deletionGracePeriodSeconds"] = 1.into();
    }
    ObjectEvent::new(TraceTime::ZERO, Verb::Modified, object).unwrap()
}

fn at(millis: u64) -> Instants {
    Instants { trace: TraceTime::from_millis(millis), wall: DateTime::UNIX_EPOCH }
}

/// All that is due until then, as descriptions.
fn fire(fleet: &mut Fleet, millis: u64) -> Vec<String> {
    let mut fired = Vec::new();
    while let Some(request) = fleet.fire_next(at(millis)) {
        fleet.answered(request.waiting().as_ref(), Outcome::Done, TraceTime::from_millis(millis));
        fired.push(format!("{} {:?}", request.request.describe(), request.action));
    }
    fired
}

#[test]
fn a_bound_pod_runs_and_ends_at_its_times() {
    let mut fleet = fleet();
    fleet.observe(&pod("n1", false), TraceTime::ZERO);
    let status = "PATCH /api/v1/namespaces/a/pods/p/status None";
    assert_eq!(fire(&mut fleet, 99), [status], "admitted at once");
    assert_eq!(fire(&mut fleet, 100), [status], "running after its latency");
    // The driver comes late: the run time still counts from 100 ms.
    assert_eq!(fleet.next_due(), Some(TraceTime::from_millis(1_100)));
    assert_eq!(fire(&mut fleet, 5_000), ["PATCH /api/v1/namespaces/a/pods/p/status Some(FinishPod)"]);
}

#[test]
fn pods_of_one_instant_go_by_name_whatever_order_they_came_in() {
    let order = |names: [&str; 2]| {
        let mut fleet = fleet();
        for name in names {
            let mut event = pod("n1", false);
            let mut object = event.object.to_value();
            object["metadata"]["name"] = name.into();
            object["metadata"]["uid"] = format!("u-{name}").into();
            event = ObjectEvent::new(event.at, event.verb, object).unwrap();
            fleet.observe(&event, TraceTime::ZERO);
        }
        fire(&mut fleet, 0)
    };
    assert_eq!(order(["a", "b"]), order(["b", "a"]));
    assert!(order(["b", "a"])[0].contains("/pods/a/"));
}

#[test]
fn a_deletion_is_met_once_after_the_grace_period() {
    let mut fleet = fleet();
    fleet.observe(&pod("n1", false), TraceTime::ZERO);
    fleet.observe(&pod("n1", true), TraceTime::from_millis(50));
    fleet.observe(&pod("n1", true), TraceTime::from_millis(60));
    let fired = fire(&mut fleet, 10_000);
    assert_eq!(fired.last().unwrap(), "DELETE /api/v1/namespaces/a/pods/p Some(TerminatePod)");
    assert_eq!(fired.iter().filter(|f| f.starts_with("DELETE")).count(), 1);
}

#[test]
fn pods_on_other_nodes_are_not_ours() {
    let mut fleet = fleet();
    fleet.observe(&pod("real-node", false), TraceTime::ZERO);
    assert_eq!(fleet.next_due(), None);
    fleet.observe(&pod("n1", false), TraceTime::ZERO);
    fleet.remove_node("n1");
    assert_eq!(fire(&mut fleet, 10_000), [""; 0]);
}
