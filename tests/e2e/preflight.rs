//! What stands in the way of a replay is said before it starts, against the real control plane.

use crate::support::{Sandbox, Script, pod};
use kubereel::model::Verb;
use serde_json::json;

#[test]
fn pods_that_name_unknown_classes_are_named_before_the_run_and_in_its_reel() {
    let sandbox = Sandbox::new();
    let mut script = Script::new(2);
    script.pod(200, "web-0", "100m");
    let mut with = |name: &str, field: &str, value: &str| {
        let mut pod = pod(name, "100m");
        pod["spec"][field] = value.into();
        script.push(300, Verb::Added, pod);
    };
    with("gold-0", "priorityClassName", "gold");
    with("gold-1", "priorityClassName", "gold");
    with("system-0", "priorityClassName", "system-cluster-critical");
    with("kata-0", "runtimeClassName", "kata");
    let mut elsewhere = pod("far-0", "100m");
    elsewhere["metadata"]["namespace"] = "nowhere".into();
    script.push(310, Verb::Added, elsewhere).push(320, Verb::Added, pod("huge-0", "64"));
    script.write(&sandbox.path("t.reel"));
    sandbox.lab();
    let findings = [
        "priority class gold, named by 2 pods, is neither in the trace nor in the target; the API server will refuse them: \
         default/gold-0, default/gold-1",
        "runtime class kata, named by 1 pod,",
        "namespace nowhere, named by 1 pod,",
        "no node, even an empty one, can hold 1 pod: default/huge-0 asks for 64 of cpu",
    ];
    let dry = sandbox.ok(&["replay", "t.reel", "--dry-run", "--cluster", "lab"]).out;
    let play =
        ["replay", "t.reel", "--cluster", "lab", "--speed", "10x", "--drain", "5s", "--out", "run.reel"];
    let ran = sandbox.run(&[&play[..], &["--format", "json"]].concat());
    let refused = &ran.json()["refused"];
    assert_eq!((&refused["403"], &refused["404"]), (&json!(3), &json!(1)), "{}\n{}", ran.out, ran.err);
    let notes = sandbox.ok(&["trace", "cat", "run.reel"]).out;
    for finding in findings {
        assert!(dry.contains(&format!("preflight  warning: {finding}")), "{finding} is not in {dry}");
        assert!(ran.err.contains(finding), "{finding} is not in {}", ran.err);
        assert!(notes.contains(&format!("preflight: warning: {finding}")), "{finding} is not in the reel");
    }
    assert!(!dry.contains("system-cluster-critical"), "{dry}");
    // What is there now is in the way of another run, and a dry run says so.
    let again = sandbox.run(&["replay", "t.reel", "--dry-run", "--cluster", "lab", "--format", "json"]);
    assert_eq!(again.code, Some(1));
    let again = again.json();
    let first = again["preflight"][0].clone();
    assert_eq!(first["severity"], "error", "{again}");
    assert!(first["text"].as_str().unwrap().contains("kubereel clean"), "{again}");
}

#[test]
fn a_kind_that_the_target_does_not_serve_stops_the_run_before_it_starts() {
    let sandbox = Sandbox::new();
    let mut script = Script::new(1);
    let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "h",
        "metadata": {"name": "kata", "uid": "kata"}});
    script.push(0, Verb::Initial, class).pod(200, "web-0", "100m");
    script.write(&sandbox.path("t.reel"));
    let off = ["--runtime-config=node.k8s.io/v1=false", "--disable-admission-plugins=RuntimeClass"];
    let off = off.map(|arg| format!("kube-apiserver={arg}"));
    sandbox.lab_with(&["--extra-arg", &off[0], "--extra-arg", &off[1]]);
    let ran = sandbox.run(&["replay", "t.reel", "--cluster", "lab", "--out", "run.reel"]);
    assert_eq!(ran.code, Some(1));
    let said = "does not serve node.k8s.io/v1 RuntimeClass (the group is not there at all)";
    assert!(ran.err.contains(said) && ran.err.contains("kata"), "{}", ran.err);
    assert!(!sandbox.path("run.reel").exists());
}
