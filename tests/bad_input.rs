//! Bad input at the process boundary: a clear error, the right exit code, nothing left behind.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;

use support::{Ran, Sandbox, Script, VERSION};

/// Failed with 1, said why in these words, and said it once.
#[track_caller]
fn refused(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, Some(1), "{}\n{}", ran.out, ran.err);
    for word in words {
        assert!(ran.err.contains(word), "no {word:?} in: {}", ran.err);
    }
    assert_eq!(ran.err.lines().filter(|l| l.starts_with("error:")).count(), 1, "{}", ran.err);
    assert_eq!(ran.out, "");
}

/// Every command that reads a reel.
fn readers(reel: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["replay", reel, "--cluster", "none", "--out", "run.reel"],
        vec!["compare", reel, "--baseline", VERSION, "--candidate", VERSION],
        vec!["diff", reel, reel],
    ]
}

#[test]
fn what_is_no_reel_is_named_by_every_reader() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("text.reel"), "apiVersion: v1\nkind: Pod\n").unwrap();
    fs::write(sandbox.path("empty.reel"), "").unwrap();
    for (reel, words) in [
        ("text.reel", &["text.reel", "not a reel", "apiVersi"][..]),
        ("empty.reel", &["empty.reel", "empty"]),
        ("absent.reel", &["absent.reel", "No such file"]),
    ] {
        let info = vec!["trace", "info", reel];
        for args in readers(reel).into_iter().chain([info]) {
            refused(&sandbox.run(&args), words);
        }
    }
    assert!(!sandbox.path("run.reel").exists());
}

#[test]
fn a_reel_cut_in_half_is_refused_by_what_needs_it_whole_and_can_be_recovered() {
    let sandbox = Sandbox::new();
    let whole = sandbox.path("whole.reel");
    let mut script = Script::new(3);
    for n in 0..200 {
        script.pod(200 + n * 30, &format!("web-{n}"), "100m");
    }
    script.write(&whole);
    let bytes = fs::read(&whole).unwrap();
    fs::write(sandbox.path("half.reel"), &bytes[..bytes.len() / 2]).unwrap();
    for args in readers("half.reel") {
        refused(&sandbox.run(&args), &["half.reel", "cut", "recover"]);
    }
    let info = sandbox.run(&["trace", "info", "half.reel"]);
    assert_eq!(info.code, Some(3), "{}", info.err);
    assert!(info.out.contains("damaged") && info.out.contains("Pod: "), "{}", info.out);
    let recover = sandbox.run(&["trace", "recover", "half.reel", "-o", "mended.reel"]);
    assert_eq!(recover.code, Some(3), "{}", recover.err);
    sandbox.ok(&["diff", "mended.reel", "mended.reel"]);
}

#[test]
fn kubeconfigs_that_cannot_work_are_told_apart() {
    let sandbox = Sandbox::new();
    let kubeconfig = |name: &str, server: &str, context: &str| {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: '{context}'\n\
             clusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
             users: [{{name: u, user: {{token: t}}}}]\n\
             contexts: [{{name: lab, context: {{cluster: c, user: u}}}}]\n"
        );
        fs::write(sandbox.path(name), text).unwrap();
    };
    kubeconfig("dead", "https://127.0.0.1:1", "lab");
    kubeconfig("contextless", "https://127.0.0.1:1", "");
    let record = |args: &[&str]| sandbox.run(&[&["record", "-o", "r.reel"], args].concat());
    refused(&record(&["--kubeconfig", "dead"]), &["127.0.0.1:1", "cannot be reached"]);
    refused(&record(&["--kubeconfig", "contextless"]), &["contextless", "no current context", "lab"]);
    refused(&record(&["--kubeconfig", "dead", "--context", "prod"]), &["no context \"prod\"", "lab"]);
    refused(&record(&["--kubeconfig", "missing"]), &["missing"]);
    refused(&record(&["--cluster", "missing"]), &["missing"]);
    assert!(!sandbox.path("r.reel").exists(), "a recording that never began left a file");
}

#[test]
fn wrong_credentials_are_a_401_that_names_the_context() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["cluster", "up", "--name", "lab", "--detach", "--version", VERSION]);
    let good = sandbox.ok(&["cluster", "kubeconfig", "lab", "--raw"]).json();
    let mut bad = good.clone();
    bad["users"][0]["user"] = serde_json::json!({"token": "not-a-token"});
    fs::write(sandbox.path("bad.kubeconfig"), bad.to_string()).unwrap();
    let ran = sandbox.run(&["record", "-o", "r.reel", "--kubeconfig", "bad.kubeconfig"]);
    let context = good["current-context"].as_str().unwrap();
    refused(&ran, &["401", context, "credentials"]);
    assert!(!sandbox.path("r.reel").exists());
}

#[test]
fn a_version_that_does_not_exist_leaves_nothing_running() {
    let sandbox = Sandbox::new();
    let trace = sandbox.path("t.reel");
    Script::new(1).pod(200, "web-0", "100m").write(&trace);
    // A release server that is away, so that the answer comes from the Go build alone.
    let mut command =
        sandbox.command(&["compare", "t.reel", "--baseline", "v1.99.99", "--candidate", "v1.99.99"]);
    let ran = Ran::of(&command.env("KUBEREEL_RELEASE_URL", "http://127.0.0.1:1").output().unwrap());
    refused(&ran, &["v1.99.99"]);
    assert_eq!(sandbox.ok(&["cluster", "list", "--format", "json"]).json(), serde_json::json!([]));
}

#[test]
fn a_trace_with_nothing_to_play_is_refused() {
    let sandbox = Sandbox::new();
    Script::new(0).write(&sandbox.path("t.reel"));
    sandbox.ok(&["cluster", "up", "--name", "lab", "--detach", "--version", VERSION]);
    let ran = sandbox.run(&["replay", "t.reel", "--cluster", "lab", "--out", "run.reel"]);
    refused(&ran, &["no pods", "no nodes"]);
    assert!(!sandbox.path("run.reel").exists());
}

#[test]
fn usage_errors_exit_with_2() {
    let sandbox = Sandbox::new();
    for args in
        [&["replay"][..], &["compare", "x", "--baseline", "one", "--candidate", "two"], &["frobnicate"]]
    {
        assert_eq!(sandbox.run(args).code, Some(2), "{args:?}");
    }
}
