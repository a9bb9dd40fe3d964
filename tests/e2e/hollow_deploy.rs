//! Hollow nodes as they are deployed in a cluster: the manifests, their account, and the very command of the container;
//! and what the kubelet's endpoint answers through the API server.

use std::fs;
use std::net::TcpListener;

use crate::support::Sandbox;
use crate::support::api::{Api, collection};
use crate::support::deploy::{account, documents};
use crate::support::recorder::Recorder;
use kubereel::model::{Json, NodeView, PodView, ReadyStatus};
use serde_json::{Value, json};

/// Makes the namespace, the account and its rights; the rest is only checked. Gives the container.
fn apply(api: &Api) -> Value {
    for file in [
        "hollow/account/namespace.yaml",
        "hollow/account/serviceaccount.yaml",
        "hollow/target/clusterrole.yaml",
        "hollow/target/clusterrolebinding.yaml",
    ] {
        for object in documents(file) {
            api.post(&format!("{}?fieldValidation=Strict", collection(&object)), &object);
        }
    }
    let strict = "?dryRun=All&fieldValidation=Strict";
    let mut container = Value::Null;
    for object in [documents("hollow/service.yaml"), documents("hollow/statefulset.yaml")].concat() {
        api.post(&format!("{}{strict}", collection(&object)), &object);
        if object["kind"] == "StatefulSet" {
            let spec = &object["spec"]["template"]["spec"];
            // The namespace enforces the restricted Pod Security Standard: a pod of the template must be let in.
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
            api.post(&format!("/api/v1/namespaces/kubereel-hollow/pods{strict}"), &pod);
            container = spec["containers"][0].clone();
            let requests = &container["resources"]["requests"];
            assert_eq!((&requests["cpu"], &requests["memory"]), (&json!("20m"), &json!("50M")));
        }
    }
    container
}

/// The container's arguments, with what a kubelet puts into them, and the paths and ports of this machine.
fn arguments(container: &Value, port: u16) -> Vec<String> {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/deploy/hollow/hollow.yaml");
    let here = |argument: &Value| {
        argument
            .as_str()
            .unwrap()
            .replace("$(SHARDS)", container["env"][0]["value"].as_str().unwrap())
            .replace("$(POD_IP)", "127.0.0.1")
            .replace("/etc/kubereel/config/hollow.yaml", config)
            .replace("0.0.0.0:10250", &format!("127.0.0.1:{port}"))
    };
    container["args"].as_array().unwrap().iter().map(here).collect()
}

/// What the endpoint answers to whoever connects to it.
fn ask(port: u16, path: &str) -> String {
    let url = format!("https://127.0.0.1:{port}{path}");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
        client.get(url).send().await.unwrap().text().await.unwrap()
    })
}

fn is_ready(node: &Json) -> bool {
    NodeView(node).ready() == ReadyStatus::True
}

fn ready(api: &Api, names: &[&str]) -> bool {
    let nodes = api.list("/api/v1/nodes");
    nodes.len() == names.len()
        && nodes.iter().all(|node| is_ready(node) && names.contains(&NodeView(node).name()))
}

#[test]
fn the_container_s_command_keeps_nodes_with_the_account_s_rights_and_its_endpoint_answers() {
    let sandbox = Sandbox::new();
    let api = sandbox.lab();
    let container = apply(&api);
    account(&sandbox, &api, "kubereel-hollow", "kubereel-hollow");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let arguments = arguments(&container, port);
    let mut command = sandbox.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    command.env("KUBECONFIG", sandbox.path("account")).env("HOSTNAME", "hollow-0");
    let mut hollow = Recorder::spawn(command);
    hollow.until(|_| api.list("/api/v1/nodes").iter().filter(|node| is_ready(node)).count() == 100);
    let node = api.get("/api/v1/nodes/hollow-3");
    assert_eq!(node["metadata"]["labels"]["kubereel.dev/hollow"], "true");
    assert_eq!(node["spec"]["taints"][0]["key"], "kubereel.dev/hollow");

    let requests = json!({"requests": {"cpu": "250m", "memory": "64Mi"}});
    api.pod("default", &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"nodeName": "hollow-3", "containers": [{"name": "main", "image": "none", "resources": requests}]}}));
    let pod = "/api/v1/namespaces/default/pods/web";
    hollow.until(|_| api.get(pod)["status"]["phase"] == "Running");
    // Through the API server, as kubectl asks.
    let log = api.text(&format!("{pod}/log"));
    assert!(log.contains("pod default/web is on the hollow node hollow-3"), "{log}");
    let exec = api.stream_refusal(&format!("{pod}/exec?command=ls&container=main&stdout=true"));
    assert!(exec.contains("there is nothing to run a command in"), "{exec}");
    let path = node["metadata"]["annotations"]["metrics.k8s.io/resource-metrics-path"].as_str().unwrap();
    let metrics = ask(port, path);
    let memory = "pod_memory_working_set_bytes{namespace=\"default\",pod=\"web\"} 67108864 ";
    assert!(metrics.contains(memory), "{metrics}");
    let summary: Value = serde_json::from_str(&ask(port, "/nodes/hollow-3/stats/summary")).unwrap();
    assert_eq!(summary["pods"][0]["cpu"]["usageNanoCores"], 250_000_000);
    let pods: Value = serde_json::from_str(&ask(port, "/nodes/hollow-3/pods")).unwrap();
    assert_eq!(pods["items"][0]["status"]["phase"], "Running");

    let usage = json!({"metadata": {"annotations": {"kubereel.dev/usage-memory": "32Mi"}}});
    api.patch(pod, &usage);
    let said = "pod_memory_working_set_bytes{namespace=\"default\",pod=\"web\"} 33554432 ";
    hollow.until(|_| ask(port, path).contains(said));

    let ran = hollow.stop("-TERM");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(!ran.err.contains("forbidden"), "{}", ran.err);
    assert_eq!(api.list("/api/v1/nodes").len(), 100, "the next pod takes them over");
}

const GROUPS: &str = "groups: [{namePrefix: n-, nodes: 4, capacity: {cpu: '4', pods: '10'}}]";
const CHANGED: &str = "groups: [{namePrefix: n-, nodes: 3, capacity: {cpu: '8', pods: '10'}}]";

#[test]
fn shards_follow_their_file_and_nodes_are_kept_taken_over_and_removed() {
    let sandbox = Sandbox::new();
    let api = sandbox.lab();
    fs::write(sandbox.path("groups.yaml"), GROUPS).unwrap();
    let start = |more: &[&str]| {
        let all = ["hollow", "--cluster", "lab", "--kubelet-address", "127.0.0.1:0"];
        Recorder::spawn(sandbox.command(&[&all[..], more].concat()))
    };
    let shard = |part: &str, on_stop: &str| {
        start(&[
            "--config",
            "groups.yaml",
            "--shard",
            part,
            "--on-stop",
            on_stop,
            "--metrics-addr",
            "127.0.0.1:0",
        ])
    };
    let (mut first, mut second) = (shard("0/2", "keep"), shard("1/2", "remove"));
    first.until(|_| ready(&api, &["n-0", "n-1", "n-2", "n-3"]));
    first.until_ready();
    let page = first.get("/metrics");
    assert!(page.contains("kubereel_hollow_nodes_registered 2"), "each shard has its part: {page}");

    // What makes no sense changes nothing; what does is followed by both.
    fs::write(sandbox.path("groups.yaml"), "groups: [{nodes: many}]").unwrap();
    first.wait_for("the node groups stay as they are");
    fs::write(sandbox.path("groups.yaml"), CHANGED).unwrap();
    second.until(|_| {
        let grown = |node: &Json| node["status"]["capacity"]["cpu"] == "8";
        ready(&api, &["n-0", "n-1", "n-2"]) && api.list("/api/v1/nodes").iter().all(grown)
    });

    // A pod that runs on a node that is kept is the next process's: it is neither started again nor lost.
    api.pod(
        "default",
        &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"nodeName": "n-2", "containers": [{"name": "main", "image": "none"}]}}),
    );
    let pod = "/api/v1/namespaces/default/pods/web";
    first.until(|_| PodView(&api.get(pod)).is_ready());
    let (uid, version) =
        (api.get(pod)["metadata"]["uid"].clone(), api.get(pod)["metadata"]["resourceVersion"].clone());
    assert_eq!(first.stop("-TERM").code, Some(0));
    assert!(ready(&api, &["n-0", "n-1", "n-2"]), "kept");
    let mut again = shard("0/2", "remove");
    again.until_ready();
    again.until(|again| again.log().contains("nodes registered, 1 pods"));
    let now = api.get(pod);
    assert_eq!((&now["metadata"]["uid"], &now["metadata"]["resourceVersion"]), (&uid, &version));
    api.delete(pod, None);
    again.until(|_| api.get(pod).is_null());

    // Nodes made by others: ready while they are kept, and still there afterwards.
    let fake = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "theirs",
        "annotations": {"kwok.x-k8s.io/node": "fake"}}, "status": {"allocatable": {"cpu": "4", "pods": "9"}}});
    api.post("/api/v1/nodes", &fake);
    let mut adopter = start(&["--nodes", "0", "--adopt", "annotation:kwok.x-k8s.io/node=fake"]);
    adopter.until(|_| ready(&api, &["n-0", "n-1", "n-2", "theirs"]));
    api.pod(
        "default",
        &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"nodeName": "theirs", "containers": [{"name": "main", "image": "none"}]}}),
    );
    adopter.until(|_| PodView(&api.get(pod)).is_ready());
    for process in [adopter, again, second] {
        let ran = process.stop("-INT");
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
    let left = api.list("/api/v1/nodes");
    assert_eq!(left.iter().map(|node| NodeView(node).name()).collect::<Vec<_>>(), ["theirs"]);
}
