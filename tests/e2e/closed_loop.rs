//! Places of preempted pods, refilled as the run needs it or as recorded, against the real control plane.

use crate::support::{Sandbox, Script, pod};
use kubereel::model::Verb;
use serde_json::{Value, json};

/// A pod of 3 cores of a `ReplicaSet`, of this priority class.
fn owned(name: &str, class: &str) -> Value {
    let mut pod = pod(name, "3");
    pod["spec"]["priorityClassName"] = class.into();
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": class, "uid": class, "controller": true}]);
    pod
}

fn on_node(mut pod: Value) -> Value {
    pod["spec"]["nodeName"] = "n0".into();
    pod["status"]["phase"] = "Running".into();
    pod
}

fn going(pod: Value, reason: Option<&str>) -> Value {
    let mut pod = on_node(pod);
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    if let Some(reason) = reason {
        pod["status"]["conditions"] =
            json!([{"type": "DisruptionTarget", "status": "True", "reason": reason}]);
    }
    pod
}

/// One node for one pod. `high-0` preempts `low-0`, which `low-1` replaces after 400 ms; `high-0` is deleted, then `low-1`.
fn trace(sandbox: &Sandbox) {
    let mut script = Script::new(1);
    for (name, value) in [("low", 10), ("high", 1000)] {
        let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": value,
            "metadata": {"name": name, "uid": format!("class-{name}")}});
        script.push(0, Verb::Initial, class);
    }
    let (low, high, next) = (owned("low-0", "low"), owned("high-0", "high"), owned("low-1", "low"));
    script
        .push(200, Verb::Added, low.clone())
        .push(300, Verb::Modified, on_node(low.clone()))
        .push(2_000, Verb::Added, high.clone())
        .push(2_100, Verb::Modified, going(low.clone(), Some("PreemptionByScheduler")))
        .push(2_300, Verb::Deleted, going(low, Some("PreemptionByScheduler")))
        .push(2_400, Verb::Modified, on_node(high.clone()))
        .push(2_500, Verb::Added, next.clone())
        .push(6_000, Verb::Modified, going(high.clone(), None))
        .push(6_100, Verb::Deleted, going(high, None))
        .push(6_300, Verb::Modified, on_node(next.clone()))
        .push(10_000, Verb::Modified, going(next.clone(), None))
        .push(10_200, Verb::Deleted, going(next, None));
    script.write(&sandbox.path("t.reel"));
}

/// What a run's reel says of pods by name: created, bound, gone; and the counts at its end.
fn told(sandbox: &Sandbox, reel: &str) -> (Vec<String>, Value) {
    let records = sandbox.ok(&["trace", "cat", reel]).out;
    let mut told = Vec::new();
    let mut facts = Value::Null;
    for record in records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        if record["phase"] == "end" {
            facts = record["facts"].clone();
        }
        let object = &record["object"];
        if object["kind"] != "Pod" {
            continue;
        }
        let name = object["metadata"]["name"].as_str().unwrap();
        let gone = record["verb"] == "deleted";
        let state = if gone {
            "gone"
        } else if object["spec"]["nodeName"].is_string() {
            "bound"
        } else {
            "created"
        };
        let line = format!("{name} {state}");
        if !told.contains(&line) {
            told.push(line);
        }
    }
    (told, facts)
}

#[test]
fn a_closed_loop_refills_the_place_of_a_preempted_pod_in_both_modes() {
    let sandbox = Sandbox::new();
    trace(&sandbox);
    sandbox.lab();
    let dry = sandbox.ok(&["replay", "t.reel", "--dry-run", "--closed-loop"]).out;
    assert!(
        dry.contains("loop       closed: places refilled as needed: 2; recorded replacements left out: 1"),
        "{dry}"
    );
    let open = sandbox.ok(&["replay", "t.reel", "--dry-run"]).out;
    assert!(open.contains("loop       open: recorded replacements of preempted pods: 1"), "{open}");
    for (mode, closed) in [("open", true), ("lockstep", true), ("open", false)] {
        let reel = format!("{mode}-{closed}.reel");
        let args = ["replay", "t.reel", "--cluster", "lab", "--mode", mode, "--out", &reel];
        let more: &[&str] = if closed { &["--closed-loop"] } else { &[] };
        sandbox.ok(&[&args[..], more].concat());
        let (told, facts) = told(&sandbox, &reel);
        let (next, other) = if closed { ("low-0-r1", "low-1") } else { ("low-1", "low-0-r1") };
        for line in ["low-0 bound", "high-0 bound", "low-0 gone", "high-0 gone"] {
            assert!(told.iter().any(|own| own == line), "{mode} {closed}: {line} is not in {told:?}");
        }
        // It waits for `high-0` to go, and what was recorded of `low-1` happens to it.
        let of_next: Vec<&String> = told.iter().filter(|line| line.starts_with(next)).collect();
        let states = ["created", "bound", "gone"].map(|state| format!("{next} {state}"));
        assert_eq!(of_next, states.iter().collect::<Vec<_>>(), "{mode} {closed}: {told:?}");
        assert!(!told.iter().any(|line| line.starts_with(other)), "{mode} {closed}: {told:?}");
        assert_eq!(
            (&facts["refills"], &facts["replacements"]),
            (&json!(u8::from(closed)), &json!(1)),
            "{facts}"
        );
        let info = sandbox.ok(&["trace", "info", &reel, "--format", "json"]).json();
        let stated = &info["header"]["run"]["shape"]["closed-loop"];
        assert_eq!(stated.as_str(), closed.then_some("true"), "{info}");
        sandbox.ok(&["clean", "--cluster", "lab"]);
    }
}
