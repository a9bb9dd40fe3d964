//! Hollow nodes as they are deployed in a cluster: the manifests, their account, and the very command of the container;
//! and what the kubelet's endpoint answers through the API server.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};
use support::Sandbox;
use support::api::Api;
use support::recorder::Recorder;

/// The documents of a file of the manifests.
fn documents(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/deploy/hollow").join(name);
    let text = fs::read_to_string(path).unwrap();
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

fn collection(object: &Value) -> String {
    let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let plural = format!("{}s", kind.to_lowercase());
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{plural}"),
    }
}

/// Makes the namespace, the account and its rights; the rest is only checked. Gives the container.
fn apply(api: &Api) -> Value {
    for file in [
        "account/namespace.yaml",
        "account/serviceaccount.yaml",
        "target/clusterrole.yaml",
        "target/clusterrolebinding.yaml",
    ] {
        for object in documents(file) {
            api.post(&format!("{}?fieldValidation=Strict", collection(&object)), &object);
        }
    }
    let strict = "?dryRun=All&fieldValidation=Strict";
    let mut container = Value::Null;
    for object in [documents("service.yaml"), documents("statefulset.yaml")].concat() {
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

/// A kubeconfig of the lab for the account alone.
fn account(sandbox: &Sandbox, api: &Api) {
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let path = "/api/v1/namespaces/kubereel-hollow/serviceaccounts/kubereel-hollow/token";
    let token = api.post(path, &request);
    let text = fs::read_to_string(sandbox.path("kubeconfig")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["users"][0]["user"] = json!({"token": token["status"]["token"].as_str().unwrap()});
    fs::write(sandbox.path("account"), config.to_string()).unwrap();
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

#[test]
fn the_container_s_command_keeps_nodes_with_the_account_s_rights_and_its_endpoint_answers() {
    let sandbox = Sandbox::new();
    let api = sandbox.lab();
    let container = apply(&api);
    account(&sandbox, &api);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let arguments = arguments(&container, port);
    let mut command = sandbox.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    command.env("KUBECONFIG", sandbox.path("account")).env("HOSTNAME", "hollow-0");
    let mut hollow = Recorder::spawn(command);
    let is_ready = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
    };
    hollow.until(|_| {
        let nodes = api.get("/api/v1/nodes");
        nodes["items"].as_array().unwrap().iter().filter(|node| is_ready(node)).count() == 100
    });
    let node = api.get("/api/v1/nodes/hollow-3");
    assert_eq!(node["metadata"]["labels"]["kubereel.dev/hollow"], "true");
    assert_eq!(node["spec"]["taints"][0]["key"], "kubereel.dev/hollow");

    let requests = json!({"requests": {"cpu": "250m", "memory": "64Mi"}});
    api.pod("default", &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"nodeName": "hollow-3", "containers": [{"name": "main", "image": "none", "resources": requests}]}}));
    hollow.until(|_| api.get("/api/v1/namespaces/default/pods/web")["status"]["phase"] == "Running");
    // Through the API server, as `kubectl logs` asks.
    let log = api.text("/api/v1/namespaces/default/pods/web/log");
    assert!(log.contains("pod default/web is on the hollow node hollow-3"), "{log}");
    let path = node["metadata"]["annotations"]["metrics.k8s.io/resource-metrics-path"].as_str().unwrap();
    let metrics = ask(port, path);
    let memory = "pod_memory_working_set_bytes{namespace=\"default\",pod=\"web\"} 67108864 ";
    assert!(metrics.contains(memory), "{metrics}");
    let summary: Value = serde_json::from_str(&ask(port, "/nodes/hollow-3/stats/summary")).unwrap();
    assert_eq!(summary["pods"][0]["cpu"]["usageNanoCores"], 250_000_000);
    let pods: Value = serde_json::from_str(&ask(port, "/nodes/hollow-3/pods")).unwrap();
    assert_eq!(pods["items"][0]["status"]["phase"], "Running");

    let ran = hollow.stop("-TERM");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(!ran.err.contains("forbidden"), "{}", ran.err);
    assert_eq!(
        api.get("/api/v1/nodes")["items"].as_array().unwrap().len(),
        100,
        "the next pod takes them over"
    );
}
