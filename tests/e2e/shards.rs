//! One run played by several processes, with the rights of the deployed account, against one real control plane.

use std::collections::BTreeSet;

use crate::support::api::{Api, collection};
use crate::support::deploy::{account, kustomized};
use crate::support::recorder::Recorder;
use crate::support::{HOWEVER_LATE, Ran, Sandbox, Script, pod};
use kubereel::model::{ActionKind, ActionReport, Record, Verb};
use kubereel::pace::{Clock, SystemClock};
use kubereel::trace::Reader;
use serde_json::json;

const SHARDS: usize = 3;
const PODS: usize = 60;
const PLACED: usize = 6;

/// Nine nodes, pods on some of them, and pods that come; all of a class that must be there first.
fn trace(sandbox: &Sandbox) {
    let mut script = Script::new(9);
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000,
        "metadata": {"name": "web", "uid": "class", "resourceVersion": "1"}});
    script.push(0, Verb::Initial, class);
    let of_class = |name: &str| {
        let mut pod = pod(name, "100m");
        pod["spec"]["priorityClassName"] = "web".into();
        pod
    };
    for n in 0..PLACED {
        let mut placed = of_class(&format!("old-{n}"));
        placed["spec"]["nodeName"] = format!("n{n}").into();
        placed["status"] = json!({"phase": "Running"});
        script.push(0, Verb::Initial, placed);
    }
    for n in 0..PODS {
        script.push(200 + n as u64 * 50, Verb::Added, of_class(&format!("web-{n}")));
    }
    script.write(&sandbox.path("t.reel"));
}

/// Makes the account that processes of the Job have; the Job itself is only checked.
fn deploy(sandbox: &Sandbox, api: &Api) {
    for object in [kustomized("replayer"), kustomized("replayer/target")].concat() {
        let dry = ["Job", "PersistentVolumeClaim"].contains(&object["kind"].as_str().unwrap());
        let query = if dry { "?dryRun=All&fieldValidation=Strict" } else { "?fieldValidation=Strict" };
        api.post(&format!("{}{query}", collection(&object)), &object);
        if object["kind"] == "Job" {
            // The namespace enforces the restricted Pod Security Standard: a pod of the template must be let in.
            let spec = &object["spec"]["template"]["spec"];
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
            api.post(&format!("/api/v1/namespaces/kubereel-replayer/pods{query}"), &pod);
        }
    }
    account(sandbox, api, "kubereel-replayer", "kubereel-replayer");
}

/// All parts, starting at an instant so many seconds ahead.
fn play(sandbox: &Sandbox, ahead: i64) -> (i64, Vec<Ran>) {
    let start = SystemClock::start().wall_ns() + ahead * 1_000_000_000;
    let at = chrono::DateTime::from_timestamp_nanos(start).to_rfc3339();
    let part = |index: usize| {
        let (shard, out) = (format!("{index}/{SHARDS}"), format!("part-{index}.reel"));
        let mut command = sandbox.command(&[
            "replay",
            "t.reel",
            "--kubeconfig",
            "account",
            "--overwrite",
            "--format",
            "json",
        ]);
        command.args(["--run-id", "r1", "--start-at", &at, "--shard", &shard, "--out", &out]);
        Recorder::spawn({
            command.args(["--max-lateness", HOWEVER_LATE]);
            command
        })
    };
    let parts: Vec<Recorder> = (0..SHARDS).map(part).collect();
    (start, parts.into_iter().map(Recorder::end).collect())
}

#[test]
fn three_processes_play_one_run_and_their_reels_make_one() {
    let sandbox = Sandbox::new();
    trace(&sandbox);
    let api = sandbox.lab();
    deploy(&sandbox, &api);
    // A busy machine takes longer to warm up: then the run says so, and is made again with more time.
    let mut ahead = 20;
    let (start, parts) = loop {
        let (start, parts) = play(&sandbox, ahead);
        if parts.iter().all(|part| part.code == Some(0)) {
            break (start, parts);
        }
        for part in &parts {
            let is_late = part.err.contains("choose a later one");
            assert!(part.code == Some(0) || (is_late && ahead < 300), "{:?} {}", part.code, part.err);
        }
        sandbox.ok(&["clean", "--cluster", "lab", "--run", "r1"]);
        ahead *= 3;
    };
    assert!(parts.iter().all(|part| part.json()["valid"] == true));

    let merged = sandbox.path("run.reel");
    sandbox.ok(&["trace", "merge", "part-0.reel", "part-1.reel", "part-2.reel", "-o", "run.reel"]);
    let started = Reader::open(&merged).unwrap().header().started_wall_ns;
    let create = |record: Record| match record {
        Record::Action(report) if report.action == ActionKind::CreatePod => Some(report),
        _ => None,
    };
    let creates = |reel: &str| -> Vec<ActionReport> {
        Reader::open(&sandbox.path(reel)).unwrap().filter_map(|record| create(record.unwrap())).collect()
    };
    let all = creates("run.reel");
    let names: BTreeSet<_> = all.iter().map(|report| report.key.clone()).collect();
    assert_eq!((all.len(), names.len()), (PODS + PLACED, PODS + PLACED));
    for index in 0..SHARDS {
        assert!(!creates(&format!("part-{index}.reel")).is_empty(), "part {index} has nothing to do");
    }
    // One schedule for all: each due time is the common start plus the trace's time, whoever sent it. Clocks are read one
    // after the other, so a process that is held up in between is off by that.
    let first = all
        .iter()
        .filter(|report| report.key.name.starts_with("web-"))
        .map(|report| report.trace_at)
        .min()
        .unwrap();
    for report in all.iter().filter(|report| report.key.name.starts_with("web-")) {
        let due = started + report.due.as_nanos() as i64 - report.trace_at.since(first).as_nanos() as i64;
        assert!((due - start).abs() < 1_000_000_000, "{} ns off: {report:?}", due - start);
    }
    let diff = sandbox.ok(&["diff", "run.reel", "run.reel", "--format", "json"]).json();
    let run = &diff["baseline"][0];
    assert_eq!(run["faults"], json!([]), "{run}");
    let counts = &run["counts"];
    assert_eq!(
        (&counts["pods"], &counts["bound"], &counts["warm_up"]),
        (&json!(PODS), &json!(PODS), &json!(PLACED)),
        "{run}"
    );
    let clean = sandbox.ok(&["clean", "--cluster", "lab", "--run", "r1"]);
    assert!(clean.out.contains(&format!("removed {} pods and 9 nodes", PODS + PLACED)), "{}", clean.out);
}

#[test]
fn a_part_needs_what_all_parts_must_share() {
    let sandbox = Sandbox::new();
    trace(&sandbox);
    let alone = sandbox.run(&["replay", "t.reel", "--cluster", "lab", "--shard", "0/2", "--out", "run.reel"]);
    assert_eq!(alone.code, Some(1));
    assert!(alone.err.contains("needs --run-id and --start-at"), "{}", alone.err);
}
