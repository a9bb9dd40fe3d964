//! Replays against the real control plane, at the process boundary.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use crate::support::{self, Sandbox, Script};
use kubereel::diff::METRICS_KIND;
use kubereel::model::{ActionKind, ActionReport, Record, Verb};
use kubereel::trace::Reader;

/// 60 pods on 5 nodes over 14 s: 12 succeed after 2 s, 12 are deleted after 10 s, one fits nowhere.
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
    script.push(3_300, Verb::Added, support::pod("huge-0", "64"));
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
            "--max-lateness",
            support::HOWEVER_LATE,
            "--out",
            &out,
            "--format",
            "json",
        ]);
        let run = ran.json();
        assert_eq!(run["pods"]["submitted"], 61, "{run}");
        // A scheduler that is held up finds some of the twelve deleted before it has bound them.
        let bound = run["pods"]["bound"].as_u64().unwrap();
        assert!((48..=60).contains(&bound), "{run}");
        assert_eq!(run["pods"]["never_bound"], 1, "{run}");
        assert_eq!(run["pods"]["succeeded"], 12, "{run}");
        assert_eq!(run["pods"]["deleted"], 12, "{run}");
        assert_eq!(run["complete"], true);
        assert!(run["lateness_ms"]["max"].is_number() && run["lateness_ms"]["p99"].is_number(), "{run}");
        assert!(run["lateness_ms"]["n"].as_u64() >= Some(61 + 12), "{run}");
        arrivals_are_as_stated(&sandbox.path(&out), if speed == "1x" { 1 } else { 10 });
        sandbox.ok(&["clean", "--cluster", "lab"]);
    }
}

/// Due times are the trace's, exactly; each pod arrives after it was sent, and no sooner than its lateness says. How
/// far arrivals are from the trace's times, no test can promise: `cargo bench --bench pace -- arrivals` measures it.
fn arrivals_are_as_stated(reel: &Path, speed: u64) {
    let records: Vec<Record> = Reader::open(reel).unwrap().map(Result::unwrap).collect();
    let mut arrived = HashMap::new();
    for record in &records {
        if let Record::Object(event) = record
            && event.verb == Verb::Added
        {
            arrived.insert(event.key.clone(), event.at);
        }
    }
    let sent = |record: &Record| match record {
        Record::Action(report) if report.action == ActionKind::CreatePod => Some(report.clone()),
        _ => None,
    };
    let mut sent: Vec<ActionReport> = records.iter().filter_map(sent).collect();
    sent.sort_by_key(|report| report.trace_at);
    assert_eq!(sent.len(), 61);
    assert!(sent.is_sorted_by_key(|report| report.sent), "actions left in the order of the trace");
    let first = sent[0].clone();
    for report in &sent {
        let trace = report.trace_at.since(first.trace_at).as_nanos() as u64 / speed;
        assert!(trace.abs_diff(report.due.since(first.due).as_nanos() as u64) <= 1, "{report:?}");
        let arrival = arrived[&report.key];
        let stated = report.sent.since(report.due);
        assert!(
            report.sent >= report.due && arrival >= report.due + stated,
            "{report:?} arrived at {arrival:?}"
        );
    }
}

#[test]
fn a_flood_goes_out_at_once_and_deletes_only_what_was_decided() {
    let sandbox = Sandbox::new();
    let trace = trace(&sandbox);
    sandbox.lab();
    let args =
        ["replay", &trace, "--cluster", "lab", "--mode", "flood", "--out", "run.reel", "--format", "json"];
    let run = sandbox.ok(&args).json();
    assert_eq!((&run["pods"]["submitted"], &run["pods"]["bound"]), (&61.into(), &60.into()), "{run}");
    assert_eq!((&run["pods"]["deleted"], &run["valid"]), (&12.into(), &true.into()), "{run}");
    assert!(run["lateness_ms"].is_null() && run["actions_per_second"].as_f64() > Some(0.0), "{run}");
    let info = sandbox.ok(&["trace", "info", "run.reel", "--format", "json"]).json();
    assert_eq!(info["header"]["run"]["mode"], "flood", "{info}");
}

/// What the control plane used is in the reel, and a restart would be: every component, at the start and at the end.
#[test]
fn a_run_holds_the_metrics_of_the_control_plane() {
    let sandbox = Sandbox::new();
    Script::new(2).pod(200, "web-0", "100m").write(&sandbox.path("t.reel"));
    sandbox.lab();
    let args = [
        "replay",
        "t.reel",
        "--cluster",
        "lab",
        "--speed",
        "10x",
        "--out",
        "run.reel",
        "--max-lateness",
        support::HOWEVER_LATE,
    ];
    sandbox.ok(&args);
    let mut looks: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut bound = 0.0;
    for record in Reader::open(&sandbox.path("run.reel")).unwrap() {
        let Record::Object(event) = record.unwrap() else { continue };
        if event.key.kind == METRICS_KIND {
            let series = &event.object["series"];
            assert!(series["process_resident_memory_bytes"].as_f64() > Some(1e6), "{}", event.key);
            bound = series["scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"}"]
                .as_f64()
                .unwrap_or(bound);
            let cpu = series["process_cpu_seconds_total"].as_f64().unwrap();
            looks.entry(event.key.name.to_string()).or_default().push(cpu);
        }
    }
    let components: Vec<&str> = looks.keys().map(String::as_str).collect();
    assert_eq!(components, ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]);
    assert!(looks.values().all(|cpu| cpu.len() >= 2 && cpu.is_sorted()), "{looks:?}");
    assert!((bound - 1.0).abs() < 0.5, "the scheduler bound {bound} pods");
}

#[test]
fn a_target_in_use_is_refused_until_it_is_cleaned() {
    let sandbox = Sandbox::new();
    Script::new(2).pod(200, "web-0", "100m").write(&sandbox.path("t.reel"));
    sandbox.lab();
    let late = ["--max-lateness", support::HOWEVER_LATE];
    let args = [&["replay", "t.reel", "--cluster", "lab", "--speed", "10x"][..], &late, &["--out"]].concat();
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
        std::thread::sleep(Duration::from_millis(200));
    }
    let pid = replay.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let ended = replay.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(3));
    let summary = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(summary.contains("INVALID    the run was cut short"), "{summary}");
    let info = sandbox.ok(&["trace", "info", "run.reel", "--format", "json"]).json();
    assert_eq!(info["state"], "sealed");
}
