//! The recorder's files on the real control plane: rotation, metrics, signals, a full disk, a folder that is read-only.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::api::Api;
use crate::support::recorder::Recorder;
use crate::support::{self, Sandbox, pod};
use kubereel::model::{Record, Verb};
use kubereel::replay::Plan;
use kubereel::trace::Reader;

fn reels(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|e| e == "reel"));
    found.sort();
    found
}

/// Names of the pods that a reel tells of.
fn pods(path: &Path) -> BTreeSet<String> {
    let name = |record| match record {
        Record::Object(event) if event.key.kind == "Pod" && event.verb != Verb::Deleted => {
            Some(event.key.name.to_string())
        }
        _ => None,
    };
    Reader::open(path).unwrap().filter_map(|record| name(record.unwrap())).collect()
}

fn make_pod(api: &Api, n: usize) {
    api.pod("default", &pod(&format!("web-{n}"), "10m").into_plain());
}

/// The support pods carry an identity of their own: the server wants to give it.
trait IntoPlain {
    fn into_plain(self) -> serde_json::Value;
}

impl IntoPlain for serde_json::Value {
    fn into_plain(mut self) -> serde_json::Value {
        let metadata = self["metadata"].as_object_mut().unwrap();
        metadata.remove("uid");
        metadata.remove("resourceVersion");
        self
    }
}

#[test]
fn rotated_files_stand_alone_and_lose_nothing_between_them() {
    let sandbox = Sandbox::new();
    let api = sandbox.lab();
    fs::create_dir(sandbox.path("roll")).unwrap();
    let args = [
        "-o",
        "roll/prod.reel",
        "--rotate-every",
        "1s",
        "--metrics-addr",
        "127.0.0.1:0",
        "--format",
        "json",
        "--log-format",
        "json",
        "--log-every",
        "200ms",
    ];
    let mut recorder = Recorder::start(sandbox.record(&args));
    assert!(recorder.get("/readyz").starts_with("HTTP/1.1 200"));
    assert!(recorder.get("/healthz").starts_with("HTTP/1.1 200"));
    let mut made = 0;
    while recorder.metric("files_sealed_total") < 5.0 {
        make_pod(&api, made);
        made += 1;
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let page = recorder.get("/metrics");
    assert!(page.contains("kubereel_record_events_total{kind=\"Pod\",verb=\"added\"}"), "{page}");
    assert!(page.contains("kubereel_record_objects{kind=\"Pod\"}"), "{page}");
    let ran = recorder.stop("-TERM");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let line = ran.err.lines().find(|line| line.contains("\"recording\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert!(line["events_per_second"].is_number() && line["timestamp"].is_string(), "{line}");

    let files = reels(&sandbox.path("roll"));
    let summary = ran.json();
    assert_eq!(summary["files"].as_array().unwrap().len(), files.len());
    assert!(files.len() >= 6, "{files:?}");
    let mut previous = None;
    let mut seen = BTreeSet::new();
    for (n, file) in files.iter().enumerate() {
        let text = file.to_string_lossy();
        sandbox.ok(&["trace", "check", &text]);
        let info = sandbox.ok(&["trace", "info", &text, "--format", "json"]).json();
        assert_eq!(info["state"], "sealed", "{text}");
        let mut reader = Reader::open(file).unwrap();
        let header = reader.header().clone();
        assert_eq!(header.labels["part"], (n + 1).to_string());
        assert_eq!(header.labels.get("previous"), previous.as_ref());
        previous = Some(header.id);
        // Alone it can be replayed: whatever was there when it began is in it.
        let plan = Plan::build(&mut reader).unwrap();
        let here = pods(file);
        assert!(here.is_superset(&seen), "{text} lacks what was there before");
        assert_eq!(plan.actions.len() + plan.placed.len(), here.len(), "{text}");
        seen.extend(here);
    }
    let all: BTreeSet<_> = (0..made).map(|n| format!("web-{n}")).collect();
    assert_eq!(seen, all);

    // The same with an end to the disk that it may take.
    let args = [
        "-o",
        "roll/kept.reel",
        "--rotate-every",
        "1s",
        "--keep-files",
        "2",
        "--metrics-addr",
        "127.0.0.1:0",
    ];
    let mut recorder = Recorder::start(sandbox.record(&args));
    recorder.until_metric("files_removed_total", 2.0);
    assert_eq!(recorder.stop("-INT").code, Some(0));
    let kept =
        reels(&sandbox.path("roll")).iter().filter(|file| file.to_string_lossy().contains("kept-")).count();
    assert_eq!(kept, 2);
    assert_eq!(reels(&sandbox.path("roll")).len(), files.len() + kept, "files of others stay");
}

#[test]
fn a_second_signal_a_full_disk_and_a_read_only_folder() {
    let sandbox = Sandbox::new();
    let api = sandbox.lab();
    make_pod(&api, 0);
    second_signal(&sandbox);
    full_disk(&sandbox, &api);
    read_only_folder(&sandbox);
}

/// Two signals before the recorder can act on the first: it ends at once, and the file is as after a crash.
fn second_signal(sandbox: &Sandbox) {
    let recorder = Recorder::start(sandbox.record(&["-o", "ended.reel"]));
    for signal in ["-STOP", "-INT", "-TERM", "-CONT"] {
        recorder.signal(signal);
    }
    let ran = recorder.end();
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("ended at once"), "{}", ran.err);
    let recovered = sandbox.run(&["trace", "recover", "ended.reel", "-o", "mended.reel"]);
    assert!(matches!(recovered.code, Some(0 | 3)), "{}", recovered.err);
    let info = sandbox.ok(&["trace", "info", "mended.reel", "--format", "json"]).json();
    assert_eq!(info["state"], "sealed");
    assert_ne!(sandbox.run(&["trace", "info", "ended.reel", "--format", "json"]).json()["state"], "sealed");
}

/// A limit on the size of files stands for the disk: the system refuses the next byte in the same way.
fn full_disk(sandbox: &Sandbox, api: &Api) {
    let mut command = Command::new("sh");
    // A shell passes on that the signal of the limit is ignored.
    command.args(["-c", "trap '' XFSZ; ulimit -f 48; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_kubereel")]);
    command.args(["record", "--kubeconfig", "kubeconfig", "-o", "full.reel"]);
    command.current_dir(sandbox.path("")).env("KUBEREEL_STATE_DIR", sandbox.path("state"));
    let mut recorder = Recorder::spawn(command);
    recorder.wait_for("recording ");
    let mut n = 1;
    while recorder.is_running() {
        make_pod(api, n);
        n += 1;
    }
    let ran = recorder.end();
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    for words in ["can no longer be written", "full.reel", "File too large"] {
        assert!(ran.err.contains(words), "{words} is not in {}", ran.err);
    }
    sandbox.ok(&["trace", "check", "full.reel"]);
    let there = pods(&sandbox.path("full.reel"));
    assert!(there.contains("web-0") && there.contains("web-1"), "{there:?}");
}

fn read_only_folder(sandbox: &Sandbox) {
    let folder = sandbox.path("locked");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(sandbox.path("kubeconfig"), fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = sandbox.command(&["record", "--kubeconfig", "kubeconfig", "-o", "locked/r.reel"]);
    if rustix::process::getuid().is_root() {
        // Nothing is read-only for root.
        command.uid(65534);
    }
    let ran = support::Ran::of(&command.output().unwrap());
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("locked/r.reel: cannot create") && ran.err.contains("Permission denied"),
        "{}",
        ran.err
    );
}
