//! Replays against the real control plane, at the process boundary.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{Sandbox, Script};

/// 60 pods on 5 nodes over 14 s: 12 succeed after 2 s, 12 are deleted, one fits nowhere. A deletion comes late enough
/// that a busy scheduler has bound its pod by then at 10x as well.
fn trace(sandbox: &Sandbox) -> String {
    let mut script = Script::new(5);
    for n in 0..60 {
        let (name, at) = (format!("web-{n}"), 200 + n * 50);
        script.pod(at, &name, "250m");
        if n % 5 == 0 {
            script.succeeds(at + 2_120, &name, "250m");
        } else if n % 5 == 1 {
            script.deleted(at + 10_000, &name, "250m");
        }
    }
    script.push(3_300, kubereel::model::Verb::Added, support::pod("huge-0", "64"));
    let path = sandbox.path("trace.reel");
    script.write(&path);
    path.to_string_lossy().into_owned()
}

#[test]
fn open_mode_plays_every_input_at_both_speeds_and_states_its_lateness() {
    let sandbox = Sandbox::new();
    let trace = trace(&sandbox);
    sandbox.lab();
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

#[test]
fn a_target_in_use_is_refused_until_it_is_cleaned() {
    let sandbox = Sandbox::new();
    Script::new(2).pod(200, "web-0", "100m").write(&sandbox.path("t.reel"));
    sandbox.lab();
    let args = ["replay", "t.reel", "--cluster", "lab", "--speed", "10x", "--out"];
    let first = sandbox.ok(&[&args[..], &["a.reel", "--format", "json"]].concat()).json();
    let again = sandbox.run(&[&args[..], &["b.reel"]].concat());
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("earlier replay") && again.err.contains("kubereel clean"), "{}", again.err);
    assert!(!sandbox.path("b.reel").exists());
    let other = sandbox.ok(&["clean", "--cluster", "lab", "--run", "another"]);
    assert!(other.out.contains("removed 0 pods and 0 nodes"), "{}", other.out);
    let clean = sandbox.ok(&["clean", "--cluster", "lab", "--run", first["id"].as_str().unwrap()]);
    assert!(clean.out.contains("removed 1 pods and 2 nodes"), "{}", clean.out);
    sandbox.ok(&[&args[..], &["b.reel"]].concat());
}

#[test]
fn a_stopped_replay_seals_its_reel_and_says_that_it_is_not_whole() {
    let sandbox = Sandbox::new();
    let mut script = Script::new(2);
    script.pod(200, "web-0", "100m").pod(120_000, "web-1", "100m");
    script.write(&sandbox.path("t.reel"));
    sandbox.lab();
    let mut replay = sandbox
        .command(&["replay", "t.reel", "--cluster", "lab", "--out", "run.reel"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The first pod is in: the play has begun.
    let running = || {
        let cat = sandbox.run(&["trace", "cat", "run.reel"]);
        cat.out.contains("\"record\":\"phase\"") && cat.out.contains("web-0")
    };
    while !running() {
        assert!(replay.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let pid = replay.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(replay.wait().unwrap().code(), Some(3));
    let info = sandbox.ok(&["trace", "info", "run.reel", "--format", "json"]).json();
    assert_eq!(info["state"], "sealed");
}
