//! Imports against the real control plane: what is imported can be played, and what an audit log says is what a recorder saw.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::data::shared;
use crate::support;
use crate::support::Sandbox;
use crate::support::recorder::Recorder;
use kubereel::model::{Phase, PodView, Record, Verb};
use kubereel::trace::Reader;
use serde_json::{Value, json};

/// openb's tables, or some in their form where they are not there.
fn openb(sandbox: &Sandbox) -> [String; 2] {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    if let (Some(nodes), Some(pods)) =
        (shared("openb/openb_node_list_all_node.csv"), shared("openb/openb_pod_list_default.csv"))
    {
        return [text(&nodes), text(&pods)];
    }
    let mut nodes = "sn,cpu_milli,memory_mib,gpu,model\n".to_owned();
    for n in 0..100 {
        let cards = [0, 2, 8, 8][n % 4];
        writeln!(nodes, "node-{n},96000,393216,{cards},{}", if cards > 0 { "G2" } else { "" }).unwrap();
    }
    let mut pods = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n".to_owned();
    for n in 0..900 {
        let (cards, milli) = [(1, 460), (1, 1000), (0, 0), (2, 1000)][n % 4];
        writeln!(pods, "pod-{n},8000,16384,{cards},{milli},,LS,Running,{n},12902960,{n}").unwrap();
    }
    std::fs::write(sandbox.path("nodes.csv"), nodes).unwrap();
    std::fs::write(sandbox.path("pods.csv"), pods).unwrap();
    ["nodes.csv", "pods.csv"].map(|name| text(&sandbox.path(name)))
}

#[test]
fn a_part_of_openb_filled_to_the_brim_is_played() {
    let sandbox = Sandbox::new();
    let [nodes, pods] = openb(&sandbox);
    let imported = sandbox
        .ok(&[
            "import",
            "openb",
            "--nodes",
            &nodes,
            "--pods",
            &pods,
            "--sample-nodes",
            "50",
            "--fill",
            "1.3",
            "--arrival",
            "uniform:20",
            "-o",
            "openb.reel",
            "--format",
            "json",
        ])
        .json();
    assert_eq!(imported["load"]["nodes"], 50);
    let submitted = imported["load"]["pods"]["submitted"].as_u64().unwrap();
    assert!(submitted > 50, "{imported:#}");
    sandbox.lab();
    let run = sandbox
        .ok(&[
            "replay",
            "openb.reel",
            "--cluster",
            "lab",
            "--mode",
            "lockstep",
            "--out",
            "run.reel",
            "--format",
            "json",
        ])
        .json();
    let pods = &run["pods"];
    assert_eq!((&pods["submitted"], &run["complete"]), (&submitted.into(), &true.into()), "{run:#}");
    assert_eq!(pods["bound"].as_u64().unwrap() + pods["never_bound"].as_u64().unwrap(), submitted, "{run:#}");
    // More is asked for than there is: some must wait, and most must not.
    assert!(pods["never_bound"].as_u64() > Some(0), "{run:#}");
    assert!(pods["bound"].as_u64() > Some(submitted / 2), "{run:#}");
}

/// What a reel says about a pod. Times are those of the wall clock, nanoseconds.
#[derive(Debug, Default, Clone, PartialEq)]
struct Seen {
    name: String,
    is_new: bool,
    created: i64,
    bound: Option<(String, i64)>,
    ended: Option<(Phase, i64)>,
    going: Option<i64>,
    gone: Option<i64>,
}

impl Seen {
    /// All but the times.
    fn facts(&self) -> (&str, bool, Option<&str>, Option<Phase>, bool, bool) {
        let node = self.bound.as_ref().map(|(node, _)| node.as_str());
        let ended = self.ended.map(|(phase, _)| phase);
        (&self.name, self.is_new, node, ended, self.going.is_some(), self.gone.is_some())
    }
}

/// The pods of a reel by UID.
fn pods(reel: &Path) -> BTreeMap<String, Seen> {
    let reader = Reader::open(reel).unwrap();
    let start = reader.header().started_wall_ns;
    let mut pods: BTreeMap<String, Seen> = BTreeMap::new();
    for record in reader {
        let Record::Object(event) = record.unwrap() else { continue };
        if event.key.kind != "Pod" {
            continue;
        }
        let (view, at) = (PodView(&event.object), start + i64::try_from(event.at.as_nanos()).unwrap());
        let seen = pods.entry(event.uid.to_string()).or_insert_with(|| Seen {
            name: event.key.to_string(),
            is_new: event.verb == Verb::Added,
            created: at,
            ..Seen::default()
        });
        if let Some(node) = view.node_name() {
            seen.bound.get_or_insert((node.to_owned(), at));
        }
        if view.phase().is_terminal() {
            seen.ended.get_or_insert((view.phase(), at));
        }
        if view.is_deleting() {
            seen.going.get_or_insert(at);
        }
        if event.verb == Verb::Deleted {
            seen.gone = Some(at);
        }
    }
    pods
}

/// When each binding of a log was asked for and answered, by the pod's UID, nanoseconds of the wall clock.
fn bindings(log: &Path) -> BTreeMap<String, (i64, i64)> {
    let wall = |value: &Value| {
        chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap().timestamp_nanos_opt().unwrap()
    };
    let text = std::fs::read_to_string(log).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .filter(|event| {
            event["objectRef"]["subresource"] == "binding" && event["responseStatus"]["code"] == 201
        })
        .map(|event| {
            let uid = event["objectRef"]["uid"].as_str().unwrap().to_owned();
            (uid, (wall(&event["requestReceivedTimestamp"]), wall(&event["stageTimestamp"])))
        })
        .collect()
}

/// A Deployment of five small pods.
fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 5, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                {"name": "c", "image": "none", "resources": {"requests": {"cpu": "10m"}}}]}}}})
}

/// A pod that no node can hold.
fn large(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [
        {"name": "c", "image": "none", "resources": {"requests": {"cpu": "640"}}}]}})
}

#[test]
fn an_audit_log_says_what_a_recorder_saw() {
    let sandbox = Sandbox::new();
    let policy = concat!(
        "kube-apiserver=--audit-policy-file=",
        env!("CARGO_MANIFEST_DIR"),
        "/tools/audit-policy.yaml"
    );
    let log = sandbox.path("audit.log");
    let path = format!("kube-apiserver=--audit-log-path={}", log.display());
    // Whoever has an answer finds it in the log.
    let mode = "kube-apiserver=--audit-log-mode=blocking-strict";
    let api = sandbox.lab_with(&["--extra-arg", policy, "--extra-arg", &path, "--extra-arg", mode]);
    let recorder = Recorder::start(sandbox.record(&["-o", "recorded.reel"]));
    let reel = sandbox.path("recorded.reel");

    // A whole recording is played, then pods come that a controller names, one of which is evicted.
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/traces/churn.reel");
    let ran = sandbox.run(&[
        "replay",
        sample,
        "--cluster",
        "lab",
        "--speed",
        "20x",
        "--out",
        "run.reel",
        "--format",
        "json",
    ]);
    // A busy machine makes it late, which is no concern here.
    assert!(matches!(ran.code, Some(0 | 3)), "{}", ran.err);
    let bound = ran.json()["pods"]["bound"].as_u64().unwrap();
    api.post("/apis/apps/v1/namespaces/default/deployments", &deployment());
    let of_web =
        |api: &support::api::Api| api.list("/api/v1/namespaces/default/pods?labelSelector=app%3Dweb");
    api.until("the Deployment has pods", |api| of_web(api).len() == 5);
    let evicted = of_web(&api)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": evicted, "namespace": "default"}});
    api.post(&format!("/api/v1/namespaces/default/pods/{evicted}/eviction"), &eviction);
    api.until("the evicted pod is replaced", |api| {
        let pods = of_web(api);
        let stays = |pod: &&kubereel::model::Json| pod["metadata"]["deletionTimestamp"].is_null();
        pods.iter().filter(stays).count() == 5
    });
    // All before this has been recorded once this is.
    api.pod("default", &large("last-0"));
    api.until("the recorder has caught up", |_| {
        pods(&reel).values().any(|seen| seen.name == "Pod default/last-0")
    });
    assert_eq!(recorder.stop("-INT").code, Some(0));

    let report = sandbox.run(&["import", "audit", "audit.log", "-o", "imported.reel", "--format", "json"]);
    assert_eq!(report.code, Some(0), "{}{}", report.out, report.err);
    let (recorded, imported) = (pods(&reel), pods(&sandbox.path("imported.reel")));
    assert!(recorded.len() > 400, "only {} pods", recorded.len());
    let compared = assert_agree(&recorded, &imported, &bindings(&log));
    // How many that are depends on how late the replay was; what it saw bound is the least.
    assert!(bound > 0 && compared as u64 >= bound, "{compared} bindings, while the replay saw {bound}");
    check_dump(&sandbox, &api);
}

/// Every pod of both sides is the same on both: node, end, deletion; and its binding is seen between the request for it and
/// some time after its answer. How many bindings there were.
fn assert_agree(
    recorded: &BTreeMap<String, Seen>,
    imported: &BTreeMap<String, Seen>,
    bindings: &BTreeMap<String, (i64, i64)>,
) -> usize {
    let differ: Vec<_> = recorded
        .iter()
        .filter(|(uid, seen)| imported.get(*uid).is_none_or(|other| other.facts() != seen.facts()))
        .map(|(uid, seen)| format!("recorded {seen:?}\nimported {:?}", imported.get(uid)))
        .collect();
    assert!(
        differ.is_empty(),
        "{} of {} differ:\n{}",
        differ.len(),
        recorded.len(),
        differ[..differ.len().min(3)].join("\n")
    );
    let only: Vec<_> = imported.iter().filter(|(uid, _)| !recorded.contains_key(*uid)).collect();
    assert!(only.is_empty(), "only in the log: {only:?}");
    let mut compared = 0;
    for (uid, seen) in recorded {
        let Some((_, at)) = &seen.bound else { continue };
        // A pod that was made with a node's name has no binding.
        let Some((asked, answered)) = bindings.get(uid) else { continue };
        compared += 1;
        let (_, in_log) = imported[uid].bound.clone().unwrap();
        // A scheduler can be answered before whoever made the pod: a reel tells of the pod first.
        let known = imported[uid].created.max(*answered);
        assert!(in_log - known < 1_000, "the time of the answer is the time in the reel: {seen:?}");
        // The recorder's clock is read for each event, the server's for each request: they may be a moment apart.
        assert!(*at >= asked - 50_000_000, "{seen:?} was seen before it was asked for at {asked}");
    }
    assert_eq!(compared, bindings.len(), "bindings of the log that are of no pod in the recording");
    compared
}

/// A dump of the cluster as it is now is all that is in it.
fn check_dump(sandbox: &Sandbox, api: &support::api::Api) {
    let dump = |name: &str, path: &str| {
        let list = api.get(path);
        std::fs::write(sandbox.path(name), list.to_string()).unwrap();
        list["items"].items().len()
    };
    let pods = dump("pods.json", "/api/v1/pods");
    let nodes = dump("nodes.json", "/api/v1/nodes");
    let report = sandbox
        .ok(&["import", "dump", "pods.json", "nodes.json", "-o", "dump.reel", "--format", "json"])
        .json();
    assert_eq!(report["rows"]["used"].as_u64(), Some((pods + nodes) as u64), "{report:#}");
    assert_eq!(report["load"]["nodes"].as_u64(), Some(nodes as u64));
    assert!(pods > 0 && nodes > 0);
}
