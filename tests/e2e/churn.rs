//! The shipped recording of a production-like cluster, against the real control plane.

use crate::support::{self, OLDER, Sandbox, VERSION, exact};
use serde_json::Value;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/traces/churn.reel");

/// What an open run needs of the controller manager.
const CONTROLLERS: &str =
    "node-lifecycle-controller,taint-eviction-controller,pod-garbage-collector-controller";

#[test]
fn two_versions_each_repeat_their_own_decisions() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&[
        "compare",
        SAMPLE,
        "--baseline",
        OLDER,
        "--candidate",
        VERSION,
        "--mode",
        "lockstep",
        "--runs",
        "2",
        "--keep",
        "runs",
        "--format",
        "json",
    ]);
    assert!(matches!(ran.code, Some(0 | 4)), "{:?}\n{}\n{}", ran.code, ran.out, ran.err);
    let report = ran.json();
    assert_eq!(report["problems"], serde_json::json!([]), "{}", ran.err);
    for side in ["within_baseline", "within_candidate"] {
        let (alike, compared) = exact(&report, side);
        assert!(compared > 300, "{side}: only {compared} pods");
        assert_eq!(alike, compared, "{side} does not repeat itself: {}", report["unstable"]);
    }
    for run in ["baseline-1", "baseline-2", "candidate-1", "candidate-2"] {
        sandbox.ok(&["trace", "info", &format!("runs/{run}.reel")]);
    }
    // What compare says of a pair of runs is what diff says of their files.
    let diff = sandbox.run(&["diff", "runs/baseline-1.reel", "runs/candidate-1.reel"]);
    assert_eq!(diff.code, ran.code, "{}", diff.err);
}

/// Plays the sample in open mode and gives the summary.
fn open_mode(speed: &str) -> Value {
    let sandbox = Sandbox::new();
    sandbox.lab_with(&["--controllers", CONTROLLERS]);
    let ran = sandbox.ok(&[
        "replay",
        SAMPLE,
        "--cluster",
        "lab",
        "--speed",
        speed,
        "--max-lateness",
        support::HOWEVER_LATE,
        "--out",
        "run.reel",
        "--format",
        "json",
    ]);
    let info = sandbox.ok(&["trace", "info", "run.reel", "--format", "json"]).json();
    assert_eq!(info["state"], "sealed");
    assert_eq!(info["header"]["run"]["speed"], speed.trim_end_matches('x').parse::<f64>().unwrap());
    ran.json()
}

/// How many pods a run counts by a name.
fn count(run: &Value, name: &str) -> u64 {
    run["pods"][name].as_u64().unwrap()
}

/// All was played and something came of it.
#[track_caller]
fn is_whole(run: &Value) {
    assert_eq!(run["complete"], true, "{run}");
    assert!(count(run, "submitted") > 450, "{run}");
    assert!(["bound", "succeeded", "failed", "deleted"].iter().all(|name| count(run, name) > 0), "{run}");
    let late = &run["lateness_ms"];
    assert!(late["n"].as_u64().unwrap() > 1_000, "{run}");
    let ms = |name: &str| late[name].as_f64().unwrap();
    assert!(ms("p50") <= ms("p99") && ms("p99") <= ms("max"), "{run}");
}

#[test]
fn open_mode_plays_the_sample_at_recorded_speed() {
    let run = open_mode("1x");
    is_whole(&run);
    // At its own speed there is time for nearly all that the recording saw.
    assert!(count(&run, "bound") > 300 && count(&run, "succeeded") > 100, "{run}");
    assert!(count(&run, "deleted") > 100, "{run}");
}

#[test]
fn open_mode_plays_the_sample_ten_times_faster() {
    is_whole(&open_mode("10x"));
}
