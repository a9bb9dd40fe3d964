//! Replays that things happen to, against the real control plane: the API server restarts, the replayer is killed, the
//! target belongs to somebody, the target refuses pods.

use std::collections::BTreeSet;

use crate::support::api::Api;
use crate::support::recorder::Recorder;
use crate::support::server::ApiServer;
use crate::support::{HOWEVER_LATE, Sandbox, Script, node, pod};
use kubereel::model::Verb;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/pods";
const NODES: &str = "/api/v1/nodes";

/// A replay as a process of its own, in open mode at 1x.
fn replaying(sandbox: &Sandbox, more: &[&str]) -> Recorder {
    let args = ["replay", "t.reel", "--cluster", "lab", "--out", "run.reel", "--format", "json"];
    Recorder::spawn(sandbox.command(&[&args, more].concat()))
}

fn bound(api: &Api) -> usize {
    api.list(PODS).iter().filter(|pod| pod["spec"]["nodeName"].is_string()).count()
}

fn names(api: &Api, path: &str) -> BTreeSet<String> {
    api.list(path).iter().map(|o| o["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn codes(run: &Value) -> Vec<&str> {
    run["faults"].as_array().unwrap().iter().map(|fault| fault["code"].as_str().unwrap()).collect()
}

#[test]
fn a_restart_of_the_api_server_is_sat_out_and_makes_the_run_invalid() {
    let sandbox = Sandbox::new();
    let mut script = Script::new(4);
    for n in 0..100 {
        script.pod(500 + n * 200, &format!("web-{n}"), "50m");
    }
    script.write(&sandbox.path("t.reel"));
    let api = sandbox.lab();
    // No pod runs while the trace plays: what gets no answer is a pod's creation, not its status.
    let mut replay =
        replaying(&sandbox, &["--max-lateness", HOWEVER_LATE, "--start-latency", "1h", "--drain", "5s"]);
    api.until("the play is under way", |api| bound(api) >= 5);
    let cluster = sandbox.ok(&["cluster", "list", "--format", "json"]).json();
    let components = cluster[0]["components"].as_array().unwrap().clone();
    let pid =
        components.iter().find(|c| c["component"] == "kube-apiserver").unwrap()["pid"].as_u64().unwrap();
    let mut server = ApiServer::of(pid.try_into().unwrap()).unwrap();
    api.block_on(async |client| {
        server.kill().await.unwrap();
        // A server can be back before the next pod is due.
        replay.wait_for("requests without answer are made again");
        server.start(&[], client).await.unwrap();
    });
    replay.wait_for("the API server answers again");
    let ended = replay.end();
    let run = ended.json();
    assert_eq!(ended.code, Some(3), "{run}\n{}", ended.err);
    assert!(codes(&run).contains(&"restarted"), "{run}");
    assert!(!codes(&run).contains(&"failed"), "{run}");
    assert_eq!((&run["complete"], &run["refused"]), (&json!(true), &json!({})), "{run}");
    assert!(run["retries"].as_u64() > Some(0), "{run}");
    // Each pod once, whatever became of the answers.
    assert_eq!(names(&api, PODS).len(), 100);
    // Whoever compares it hears of it.
    let diff = sandbox.run(&["diff", "run.reel", "run.reel", "--format", "json"]);
    assert_eq!(diff.code, Some(3), "{}", diff.out);
    let problems = diff.json()["problems"].as_array().unwrap().clone();
    assert!(problems.iter().any(|problem| problem["code"] == "restarted"), "{problems:?}");
}

#[test]
fn what_a_killed_replay_left_is_removed_and_nothing_else() {
    let sandbox = Sandbox::new();
    Script::new(3)
        .pod(200, "web-0", "100m")
        .pod(300, "web-1", "100m")
        .pod(600_000, "web-2", "100m")
        .write(&sandbox.path("t.reel"));
    let api = sandbox.lab();
    let replay = replaying(&sandbox, &[]);
    api.until("two pods are bound", |api| bound(api) == 2);
    assert_eq!(replay.stop("-KILL").code, None);
    // Somebody else's, and those of another run.
    api.post(NODES, &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "theirs"}}));
    let mut other = node(7);
    other["metadata"] = json!({"name": "another-runs", "annotations": {"kubereel.dev/run": "another"}});
    api.post(NODES, &other);
    let mut theirs = pod("theirs", "1");
    theirs["metadata"] = json!({"name": "theirs"});
    api.pod("default", &theirs);
    let info = sandbox.ok(&["trace", "info", "run.reel", "--format", "json"]).json();
    assert_ne!(info["state"], "sealed");
    let id = info["header"]["id"].as_str().unwrap_or_else(|| panic!("{info}"));
    let clean = sandbox.ok(&["clean", "--cluster", "lab", "--run", id]);
    assert!(clean.out.contains("removed 2 pods and 3 nodes"), "{}", clean.out);
    api.until("what was removed is gone", |api| names(api, PODS) == BTreeSet::from(["theirs".to_owned()]));
    let left = BTreeSet::from(["another-runs".to_owned(), "theirs".to_owned()]);
    assert_eq!(names(&api, NODES), left);
    let diff = sandbox.run(&["diff", "run.reel", "run.reel", "--format", "json"]);
    assert_eq!(diff.code, Some(3), "{}", diff.err);
    assert!(diff.json()["problems"].as_array().unwrap().iter().any(|p| p["code"] == "unsealed"));
}

#[test]
fn a_target_with_nodes_of_others_is_refused_and_left_as_it_is() {
    let sandbox = Sandbox::new();
    Script::new(2).pod(200, "web-0", "100m").write(&sandbox.path("t.reel"));
    let api = sandbox.lab();
    let mut theirs = node(9);
    theirs["metadata"] = json!({"name": "theirs"});
    api.post(NODES, &theirs);
    let refused = sandbox.run(&["replay", "t.reel", "--cluster", "lab", "--out", "run.reel"]);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert!(refused.err.contains("1 nodes that no replay made, such as theirs"), "{}", refused.err);
    assert!(!sandbox.path("run.reel").exists());
    assert_eq!(names(&api, NODES), BTreeSet::from(["theirs".to_owned()]));
    assert!(names(&api, PODS).is_empty());
}

#[test]
fn pods_that_the_target_refuses_mark_the_run_or_end_it() {
    let sandbox = Sandbox::new();
    let mut script = Script::new(2);
    let mut odd = pod("odd-0", "100m");
    odd["spec"]["restartPolicy"] = "Sometimes".into();
    script.pod(200, "web-0", "100m").push(400, Verb::Added, odd);
    script.pod(600, "web-1", "100m").pod(60_000, "web-2", "100m");
    script.write(&sandbox.path("t.reel"));
    sandbox.lab();
    let replay =
        ["replay", "t.reel", "--cluster", "lab", "--speed", "10x", "--max-lateness", HOWEVER_LATE, "--out"];
    let on = sandbox.run(&[&replay[..], &["on.reel", "--format", "json"]].concat());
    assert_eq!(on.code, Some(3), "{}", on.err);
    let run = on.json();
    assert_eq!((codes(&run), &run["refused"]), (vec!["failed"], &json!({"422": 1})), "{run}");
    assert_eq!((&run["pods"]["bound"], &run["complete"]), (&json!(3), &json!(true)), "{run}");
    sandbox.ok(&["clean", "--cluster", "lab"]);
    let off = sandbox.run(&[&replay[..], &["off.reel", "--on-error", "refused=stop"]].concat());
    assert_eq!(off.code, Some(3), "{}", off.err);
    assert!(off.err.contains("stopped, as --on-error says: create-pod"), "{}", off.err);
    assert!(off.out.contains("INVALID    the run was cut short"), "{}", off.out);
    assert!(off.out.contains("INVALID    the run had actions that failed: 1 refused"), "{}", off.out);
}
