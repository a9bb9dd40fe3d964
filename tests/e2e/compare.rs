//! Comparisons of schedulers against the real control plane, at the process boundary.

use std::fs;

use crate::support::{Sandbox, Script, VERSION, exact};

#[test]
fn a_scheduler_that_packs_is_told_from_one_that_spreads() {
    let sandbox = Sandbox::new();
    let mut script = Script::new(4);
    for n in 0..20 {
        script.pod(200 + n * 40, &format!("web-{n}"), "250m");
    }
    script.write(&sandbox.path("t.reel"));
    fs::write(
        sandbox.path("packing.yaml"),
        "apiVersion: kubescheduler.config.k8s.io/v1\n\
         kind: KubeSchedulerConfiguration\n\
         profiles:\n\
         - schedulerName: default-scheduler\n\
        \x20 pluginConfig:\n\
        \x20 - name: NodeResourcesFit\n\
        \x20   args:\n\
        \x20     scoringStrategy:\n\
        \x20       type: MostAllocated\n\
        \x20       resources: [{name: cpu, weight: 1}, {name: memory, weight: 1}]\n",
    )
    .unwrap();
    let base = ["compare", "t.reel", "--baseline", VERSION, "--candidate", VERSION, "--format", "json"];
    let same = sandbox.ok(&base).json();
    assert_eq!(same["verdict"]["result"], "equivalent");
    assert_eq!(exact(&same, "between"), (20, 20));
    let options = ["--candidate-config", "packing.yaml", "--scores", "--keep", "runs"];
    let packing = sandbox.run(&[&base[..], &options].concat());
    assert_eq!(packing.code, Some(4), "{}\n{}", packing.out, packing.err);
    let packing = packing.json();
    assert_eq!(packing["verdict"]["result"], "changed");
    assert!(exact(&packing, "between").0 < 20);
    // The first pod sees an empty cluster, where all nodes are alike to both; the second is the root.
    let moved = packing["moved"].as_array().unwrap();
    let first = moved.iter().find(|change| change["is_first"] == true).unwrap();
    assert_eq!((&first["name"], &first["cause"]), (&"web-1".into(), &"root".into()), "{first}");
    assert_eq!((&first["why"], &first["plugin"]), (&"score".into(), &"NodeResourcesFit".into()), "{first}");
    for side in ["baseline", "candidate"] {
        let context = &first["context"][side];
        assert_eq!((&context["feasible_nodes"], &context["bound"]), (&4.into(), &1.into()), "{first}");
        assert!(context["margin"].as_i64() > Some(0), "{first}");
        assert_eq!(context["scores"].as_array().unwrap().len(), 4, "{first}");
    }
    assert_eq!(packing["groups"][0]["plugin"], "NodeResourcesFit", "{}", packing["groups"]);
    // What the scheduler's own log says of a pod is in its run: every attempt, and why that node.
    let attempts = sandbox
        .ok(&["trace", "cat", "runs/candidate-1.reel", "--kind", "SchedulingAttempt.kubereel.dev"])
        .out;
    let attempts: Vec<serde_json::Value> = attempts
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["object"].clone())
        .collect();
    assert_eq!(attempts.iter().filter(|attempt| attempt["result"] == "Bound").count(), 20);
    for attempt in &attempts {
        let best = &attempt["scores"][0];
        assert!(best["plugins"]["NodeResourcesFit"].is_i64() && best["total"].is_i64(), "{attempt}");
    }
    let story = sandbox.ok(&["explain", "runs/candidate-1.reel", "web-7"]).out;
    assert!(story.contains("NodeResourcesFit") && story.contains("4 nodes fit"), "{story}");
}

#[test]
fn a_scheduler_configuration_that_is_none_is_refused() {
    let sandbox = Sandbox::new();
    Script::new(1).pod(200, "web-0", "100m").write(&sandbox.path("t.reel"));
    fs::write(sandbox.path("pod.yaml"), "apiVersion: v1\nkind: Pod\n").unwrap();
    let ran = sandbox.run(&[
        "compare",
        "t.reel",
        "--baseline",
        VERSION,
        "--candidate",
        VERSION,
        "--candidate-config",
        "pod.yaml",
    ]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("pod.yaml") && ran.err.contains("KubeSchedulerConfiguration"), "{}", ran.err);
}
