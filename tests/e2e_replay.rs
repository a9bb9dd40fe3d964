//! Replays against the real control plane, at the process boundary.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{Sandbox, Script, VERSION};

/// 60 pods on 5 nodes over 6 s: 12 succeed after 2 s, 12 are deleted, one fits nowhere.
fn trace(sandbox: &Sandbox) -> String {
    let mut script = Script::new(5);
    for n in 0..60 {
        let (name, at) = (format!("web-{n}"), 200 + n * 50);
        script.pod(at, &name, "250m");
        if n % 5 == 0 {
            script.succeeds(at + 2_120, &name, "250m");
        } else if n % 5 == 1 {
            script.deleted(at + 2_000, &name, "250m");
        }
    }
    script.push(3_300, kubereel::model::Verb::Added, support::pod("huge-0", "64"));
    let path = sandbox.path("trace.reel");
    script.write(&path);
    path.to_string_lossy().into_owned()
}

fn lab(sandbox: &Sandbox) {
    sandbox.ok(&["cluster", "up", "--name", "lab", "--detach", "--version", VERSION]);
}

#[test]
fn open_mode_plays_every_input_at_both_speeds_and_states_its_lateness() {
    let sandbox = Sandbox::new();
    let trace = trace(&sandbox);
    lab(&sandbox);
    for speed in ["1x", "10x"] {
        let out = format!("run-{speed}.reel");
        let ran = sandbox.ok(&[
            "replay",
            &trace,
            "--cluster",
            "lab",
            "--speed",
            speed,
            "--out",
            &out,
            "--format",
            "json",
        ]);
        let run = ran.json();
        assert_eq!(run["pods"]["submitted"], 61, "{run}");
        assert_eq!(run["pods"]["bound"], 60, "{run}");
        assert_eq!(run["pods"]["never_bound"], 1, "{run}");
        assert_eq!(run["pods"]["succeeded"], 12, "{run}");
        assert_eq!(run["pods"]["deleted"], 12, "{run}");
        assert_eq!(run["complete"], true);
        assert!(run["lateness_ms"]["max"].is_number() && run["lateness_ms"]["p99"].is_number(), "{run}");
        assert!(run["lateness_ms"]["n"].as_u64() >= Some(61 + 12), "{run}");
        sandbox.ok(&["clean", "--cluster", "lab"]);
    }
}
