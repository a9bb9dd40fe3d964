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

fn running(uid: &str, cpu: &str) -> SeenPod {
    serde_json::from_value(json!({"metadata": {"name": uid, "namespace": "a", "uid": uid}, "spec": {"nodeName": "n1",
        "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}, "status": {"phase": "Running"}}))
    .unwrap()
}

#[test]
fn a_resize_that_waits_for_room_is_done_when_a_pod_leaves() {
    let mut fleet = Fleet::new(|_| PodBehaviour::default());
    fleet.add_node(&json!({"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "4"}}}).into());
    for pod in [running("a", "2"), running("b", "2"), running("a", "3")] {
        fleet.see(&pod, TraceTime::ZERO);
    }
    let cpu = |fleet: &Fleet| fleet.pods["a"].shape.containers[0].resources.requests["cpu"].clone();
    assert!(matches!(fleet.pods["a"].resize, Resize::Deferred(_)) && cpu(&fleet) == "2");
    fleet.forget("b", TraceTime::ZERO);
    assert_eq!((&fleet.pods["a"].resize, cpu(&fleet).as_str()), (&Resize::Done, "3"));
    fleet.see(&running("a", "9"), TraceTime::ZERO);
    assert!(matches!(fleet.pods["a"].resize, Resize::Infeasible(_)), "the node will never have so much");
}

#[test]
fn extended_resources_become_allocatable_with_their_capacity() {
    let mut fleet = fleet();
    let mut see = |capacity: serde_json::Value, allocatable: serde_json::Value| {
        let node =
            json!({"metadata": {"name": "n1"}, "status": {"capacity": capacity, "allocatable": allocatable}});
        fleet.see_node(&serde_json::from_value(node).unwrap()).allocatable
    };
    let both = json!({"cpu": "4", "example.com/beard": "1000"});
    let added = see(both.clone(), json!({"cpu": "3"}));
    assert_eq!(json!(added), json!({"example.com/beard": "1000"}));
    assert!(see(both.clone(), both.clone()).is_empty());
    let gone = see(json!({"cpu": "4"}), both.clone());
    assert_eq!(json!(gone), json!({"example.com/beard": null}));
    assert!(
        see(json!({}), both).is_empty(),
        "what never had a capacity was made allocatable by somebody else"
    );
}

#[test]
fn a_list_of_one_node_s_pods_says_nothing_of_others() {
    let mut fleet = Fleet::new(|_| PodBehaviour::default());
    for name in ["n1", "n2"] {
        fleet.add_node(&json!({"metadata": {"name": name}}).into());
    }
    let mut elsewhere = running("b", "1");
    elsewhere.spec.node_name = "n2".into();
    fleet.see(&running("a", "1"), TraceTime::ZERO);
    fleet.see(&elsewhere, TraceTime::ZERO);
    fleet.keep_only(&HashSet::new(), Some("n1"), TraceTime::ZERO);
    assert_eq!(fleet.pods.keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn what_a_pod_says_of_its_usage_is_followed_while_it_runs() {
    let mut fleet = fleet();
    let mut seen = |annotations: serde_json::Value| {
        let pod = json!({"metadata": {"name": "p", "namespace": "a", "uid": "u", "annotations": annotations},
            "spec": {"nodeName": "n1", "containers": [{"name": "c"}]}});
        fleet.see(&serde_json::from_value(pod).unwrap(), TraceTime::ZERO);
        fleet.pods_on("n1").unwrap()[0]["metadata"]["annotations"].to_value()
    };
    let cpu = json!({"kubereel.dev/usage-cpu": "240m"});
    assert_eq!(seen(json!({"kubereel.dev/usage-cpu": "240m", "other": "x"})), cpu);
    let memory = json!({"kubereel.dev/usage-memory": "1Gi", "kwok.x-k8s.io/usage-cpu": "1m",
        "kwok.x-k8s.io/usage-memory": "2Gi"});
    assert_eq!(seen(memory.clone()), memory);
    assert_eq!(seen(json!({})), json!({}));
}

#[test]
fn a_ready_pod_that_somebody_calls_unready_is_reported_again_once() {
    let mut fleet = Fleet::new(|_| PodBehaviour::default());
    fleet.add_node(&json!({"metadata": {"name": "n1"}}).into());
    let shown = |phase: &str, ready: &str| -> SeenPod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "a", "uid": "u"},
            "spec": {"nodeName": "n1", "containers": [{"name": "c"}]},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}}))
        .unwrap()
    };
    let see = |fleet: &mut Fleet, phase: &str, ready: &str| {
        fleet.see(&shown(phase, ready), TraceTime::ZERO);
        fire(fleet, 10).len()
    };
    assert!(see(&mut fleet, "Pending", "False") > 0, "it starts");
    assert_eq!(see(&mut fleet, "Pending", "False"), 0, "the API has not shown the report yet");
    assert_eq!(see(&mut fleet, "Running", "True"), 0);
    assert_eq!(see(&mut fleet, "Running", "False"), 1);
    assert_eq!(see(&mut fleet, "Running", "False"), 0);
    assert_eq!(see(&mut fleet, "Running", "True"), 0);

    let mut next = Fleet::new(|_| PodBehaviour::default());
    next.add_node(&json!({"metadata": {"name": "n1"}}).into());
    assert_eq!(see(&mut next, "Running", "False"), 1, "called so while no process kept it");
}

#[test]
fn a_node_lists_the_images_of_its_pods_within_a_kubelets_looks() {
    let habits = Habits { posts_events: true, ..Habits::default() };
    let mut fleet = Fleet::new(|_| PodBehaviour::default()).with_habits(habits);
    let node = |images: serde_json::Value| -> Json {
        json!({"metadata": {"name": "n1"}, "status": {"images": images}}).into()
    };
    let old = json!({"names": ["pause"], "sizeBytes": 7});
    fleet.add_node(&node(json!([old])));
    for (uid, image) in [("u1", "web"), ("u2", "web"), ("u3", "pause")] {
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": uid, "namespace": "a", "uid": uid},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": image}]}});
        fleet.observe(&ObjectEvent::new(TraceTime::ZERO, Verb::Added, object).unwrap(), TraceTime::ZERO);
    }
    let reports = |fleet: &mut Fleet, until: u64| {
        fire(fleet, until).into_iter().filter(|what| what.contains("/nodes/n1/status")).count()
    };
    let first = (0..=40_000).step_by(1_000).find(|millis| reports(&mut fleet, *millis) == 1);
    assert_eq!(reports(&mut fleet, first.unwrap() + 10_000), 1, "the API does not show it yet");
    fleet.add_node(&node(json!([old, {"names": ["web"]}])));
    assert_eq!(reports(&mut fleet, 200_000), 0);
}

#[test]
fn events_have_their_time_and_name_their_container_even_where_a_deletion_causes_them() {
    let habits = Habits { posts_events: true, ..Habits::default() };
    let mut fleet = Fleet::new(|_| PodBehaviour::default()).with_habits(habits);
    fleet.add_node(&json!({"metadata": {"name": "n1"}}).into());
    let mut told = |is_deleting: bool| -> Vec<(String, String, String)> {
        let mut event = pod("n1", is_deleting);
        let mut object = event.object.to_value();
        object["spec"]["initContainers"] = json!([{"name": "i"}]);
        object["spec"]["containers"] = json!([{"name": "c"}]);
        event = ObjectEvent::new(event.at, event.verb, object).unwrap();
        fleet.observe(&event, TraceTime::ZERO);
        let mut told = Vec::new();
        while let Some(request) = fleet.fire_next(at(0)) {
            fleet.answered(request.waiting().as_ref(), Outcome::Done, TraceTime::ZERO);
            let body: serde_json::Value = serde_json::from_slice(request.request.body()).unwrap();
            if body["kind"] == "Event" {
                let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
                told.push((
                    text(&body["reason"]),
                    text(&body["involvedObject"]["fieldPath"]),
                    text(&body["lastTimestamp"]),
                ));
            }
        }
        told
    };
    let (init, main) = ("spec.initContainers{i}", "spec.containers{c}");
    let event = |reason: &str, path: &str| (reason.into(), path.into(), "1970-01-01T00:00:00Z".to_owned());
    let started = ["Pulled", "Created", "Started"];
    assert_eq!(
        told(false),
        [started.map(|reason| event(reason, init)), started.map(|reason| event(reason, main))].concat()
    );
    assert_eq!(told(true), [event("Killing", main)]);
}
