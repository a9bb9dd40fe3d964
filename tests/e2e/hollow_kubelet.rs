//! What an API server sees of a node whose kubelet and kube-proxy are played, by its audit log.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::Sandbox;
use crate::support::api::Api;
use crate::support::recorder::Recorder;
use kubereel::model::{Json, PodView};
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";
const POLICY: &str =
    r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}"#;
const GROUPS: &str = "
groups:
- namePrefix: n-
  nodes: 3
  capacity: {cpu: '4', pods: '20'}
  staticPods:
  - metadata: {name: agent, namespace: kube-system}
    spec: {hostNetwork: true, containers: [{name: agent, image: none}]}
";

/// Requests of the hollow nodes so far: `VERB RESOURCE`, and with which paths.
fn requests(log: &Path) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in fs::read_to_string(log).unwrap().lines() {
        // The last one may be just being written.
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let is_ours = event["userAgent"].as_str().is_some_and(|agent| agent.starts_with("kubereel"));
        let object = &event["objectRef"];
        if event["stage"] != "RequestReceived" || !is_ours || object.is_null() {
            continue;
        }
        let sub = object["subresource"].as_str().map(|sub| format!("/{sub}")).unwrap_or_default();
        let what =
            format!("{} {}{sub}", event["verb"].as_str().unwrap(), object["resource"].as_str().unwrap());
        all.entry(what).or_default().push(event["requestURI"].as_str().unwrap().to_owned());
    }
    all
}

/// A pod for a node, as service account admission leaves it.
fn pod(name: &str, node: &str) -> Value {
    let sources = json!([{"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}]);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "nodeName": node, "serviceAccountName": "default",
        "containers": [{"name": "c", "image": "none"}],
        "volumes": [{"name": "access", "projected": {"sources": sources}}]}})
}

fn is_ready(api: &Api, path: &str) -> bool {
    PodView(&api.get(path)).is_ready()
}

#[test]
fn a_node_asks_what_its_kubelet_and_its_proxy_ask() {
    let sandbox = Sandbox::new();
    let (policy, log) = (sandbox.path("policy.yaml"), sandbox.path("audit.log"));
    fs::write(&policy, POLICY).unwrap();
    fs::write(sandbox.path("groups.yaml"), GROUPS).unwrap();
    let args = [
        format!("kube-apiserver=--audit-policy-file={}", policy.display()),
        format!("kube-apiserver=--audit-log-path={}", log.display()),
        "kube-apiserver=--audit-log-mode=blocking".to_owned(),
        // It would delete what a node is to reject.
        "kube-controller-manager=--controllers=*,-taint-eviction-controller".to_owned(),
    ];
    let args: Vec<&str> = args.iter().flat_map(|arg| ["--extra-arg", arg.as_str()]).collect();
    let api = sandbox.lab_with(&args);
    api.until("the namespace has its account and certificates", |api| {
        let namespace = "/api/v1/namespaces/default";
        !api.get(&format!("{namespace}/serviceaccounts/default")).is_null()
            && !api.get(&format!("{namespace}/configmaps/kube-root-ca.crt")).is_null()
    });
    let hollow = ["hollow", "--cluster", "lab", "--config", "groups.yaml", "--profile", "kubelet"];
    let more =
        ["--morph", "kubelet,proxy", "--kubelet-address", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0"];
    let mut hollow = Recorder::spawn(sandbox.command(&[&hollow[..], &more].concat()));
    hollow.until_ready();
    watches_and_events(&api, &log);
    the_life_of_a_pod(&api, &log);
    api.pod("default", &probed());
    api.pod("default", &unstarted());
    api.until("it runs, and its startup probe has not succeeded", |api| {
        let container = api.get(&format!("{PODS}/unstarted"))["status"]["containerStatuses"][0].clone();
        !container["state"]["running"].is_null() && container["started"] == false
    });
    restart_rules(&api);
    static_pods(&api);
    admission(&api);
    probes_and_images(&api);
    assert_eq!(hollow.stop("-TERM").code, Some(0));
    assert_eq!(api.list("/api/v1/nodes").len(), 0);
}

fn watches_and_events(api: &Api, log: &Path) {
    let watched = |what: &str, selector: &str| {
        let all = requests(log);
        let found = all.get(&format!("watch {what}")).into_iter().flatten();
        found.filter(|path| path.contains(selector)).count()
    };
    let kubelet = [
        ("pods", "fieldSelector=spec.nodeName%3Dn-"),
        ("nodes", "fieldSelector=metadata.name%3Dn-"),
        ("services", "services?fieldSelector=spec.clusterIP%21%3DNone"),
        ("csidrivers", ""),
        ("runtimeclasses", ""),
        ("podcertificaterequests", "fieldSelector=spec.nodeName%3Dn-"),
    ];
    let proxy = [
        ("services", "labelSelector=%21service.kubernetes.io%2Fservice-proxy-name"),
        ("endpointslices", "labelSelector=%21service.kubernetes.io%2Fheadless"),
        ("servicecidrs", ""),
    ];
    for (what, selector) in kubelet.into_iter().chain(proxy) {
        // The proxy watches its node as well.
        let times = if what == "nodes" { 6 } else { 3 };
        api.until(&format!("each node watches {what} {selector}"), |_| watched(what, selector) == times);
    }
    api.until("each node has told of its start", |api| {
        let events = api.list("/api/v1/namespaces/default/events");
        let told = |reason: &str, component: &str| {
            let is_it = |event: &&Json| {
                event["reason"] == reason
                    && event["reportingComponent"] == component
                    && event["involvedObject"]["kind"] == "Node"
            };
            events.iter().filter(is_it).count() == 3
        };
        let kubelet = [
            "Starting",
            "NodeHasSufficientMemory",
            "NodeHasNoDiskPressure",
            "NodeHasSufficientPID",
            "NodeReady",
        ];
        kubelet.into_iter().all(|reason| told(reason, "kubelet")) && told("Starting", "kube-proxy")
    });
    assert_eq!(api.list("/apis/storage.k8s.io/v1/csinodes").len(), 3);
    api.patch("/api/v1/nodes/n-0", &json!({"spec": {"unschedulable": true}}));
    api.until("a cordon is told of", |api| {
        api.list("/api/v1/namespaces/default/events")
            .iter()
            .any(|event| event["reason"] == "NodeNotSchedulable")
    });
    api.patch("/api/v1/nodes/n-0", &json!({"spec": {"unschedulable": false}}));
    // As the scheduler's end-to-end test does: the node's kubelet makes it allocatable.
    let resource = |quantity: Value| json!({"status": {"capacity": {"example.com/beard": quantity}}});
    api.patch("/api/v1/nodes/n-0/status", &resource("7".into()));
    let allocatable =
        |api: &Api| api.get("/api/v1/nodes/n-0")["status"]["allocatable"]["example.com/beard"].clone();
    api.until("an extended resource is allocatable", |api| allocatable(api) == "7");
    api.patch("/api/v1/nodes/n-0/status", &resource(Value::Null));
    api.until("and is not any more", |api| allocatable(api).is_null());
}

/// As the audit log has it of a hollow kubelet of kubemark v1.37.2: six times GET and PATCH, one token, one DELETE. The
/// test itself lists and does not get.
fn the_life_of_a_pod(api: &Api, log: &Path) {
    let path = format!("{PODS}/web");
    let of_pod = |what: &str| {
        let all = requests(log);
        all.get(what).into_iter().flatten().filter(|uri| uri.starts_with(&path)).count()
    };
    api.pod("default", &pod("web", "n-1"));
    let listed = |api: &Api| api.list(&format!("{PODS}?fieldSelector=metadata.name%3Dweb"));
    api.until("the pod runs", |api| listed(api).iter().any(|pod| PodView(pod).is_ready()));
    assert_eq!((of_pod("get pods"), of_pod("patch pods/status")), (3, 3));
    let all = requests(log);
    let tokens = &all["create serviceaccounts/token"];
    assert_eq!(*tokens, ["/api/v1/namespaces/default/serviceaccounts/default/token"]);
    let maps = &all["watch configmaps"];
    assert!(maps.len() == 1 && maps[0].contains("metadata.name%3Dkube-root-ca.crt"), "{maps:?}");
    api.delete(&path, None);
    api.until("the pod is gone", |api| listed(api).is_empty());
    assert_eq!((of_pod("get pods"), of_pod("patch pods/status")), (6, 6));
    assert_eq!(of_pod("delete pods"), 2, "the test's, and the node's");
}

/// A pod whose startup probe is not made for an hour.
fn unstarted() -> Value {
    let mut pod = pod("unstarted", "n-2");
    pod["spec"]["containers"][0]["startupProbe"] =
        json!({"exec": {"command": ["true"]}, "initialDelaySeconds": 3600});
    pod
}

/// A pod whose probes are first made after two and three seconds, and that stops after four.
fn probed() -> Value {
    let mut pod = pod("probed", "n-2");
    pod["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let container = &mut pod["spec"]["containers"][0];
    container["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 4}}});
    container["startupProbe"] =
        json!({"exec": {"command": ["true"]}, "initialDelaySeconds": 2, "periodSeconds": 1});
    container["image"] = "registry.example.com/web:1".into();
    container["readinessProbe"] =
        json!({"exec": {"command": ["true"]}, "initialDelaySeconds": 3, "periodSeconds": 1});
    pod
}

/// It has been there for a while.
fn probes_and_images(api: &Api) {
    let path = format!("{PODS}/probed");
    api.until("its probe has succeeded", |api| is_ready(api, &path));
    let pod = api.get(&path);
    let started = second(&pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]);
    let ready = second(&PodView(&pod).condition("Ready").unwrap()["lastTransitionTime"]);
    assert!(ready - started >= 3, "started at {started}, ready at {ready}");
    assert_eq!(pod["status"]["containerStatuses"][0]["started"], true);
    hook(api, &path);
    api.until("its node lists its image beside those that it had", |api| {
        let node = api.get("/api/v1/nodes/n-2");
        let names: Vec<&str> =
            node["status"]["images"].items().iter().filter_map(|image| image["names"][0].as_str()).collect();
        ["registry.k8s.io/pause:3.10", "registry.example.com/web:1"].iter().all(|name| names.contains(name))
    });
}

/// Its containers are asked to stop only after their hook.
fn hook(api: &Api, path: &str) {
    api.delete(path, None);
    let down = |api: &Api| api.get(path)["status"]["containerStatuses"][0]["state"]["terminated"].clone();
    api.until("it is down", |api| !down(api).is_null());
    let pod = api.get(path);
    // The deletion's time is the end of its grace period.
    let asked = second(&pod["metadata"]["deletionTimestamp"])
        - pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap();
    let stopped = second(&down(api)["finishedAt"]);
    assert!(stopped - asked >= 4, "asked at {asked}, down at {stopped}");
    assert_eq!(down(api)["exitCode"], 0, "it was there to be stopped");
    api.patch(path, &json!({"metadata": {"finalizers": null}}));
    api.until("it is gone", |api| api.get(path).is_null());
}

fn second(time: &Json) -> i64 {
    chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap().timestamp()
}

/// A container that is started again by a rule of its own, whatever its pod says.
fn restart_rules(api: &Api) {
    let mut pod = pod("phoenix", "n-0");
    pod["metadata"]["annotations"] = json!({"kubereel.dev/failures": "1", "kubereel.dev/run-seconds": "0.1"});
    pod["spec"]["restartPolicy"] = "Never".into();
    let container = &mut pod["spec"]["containers"][0];
    container["restartPolicy"] = "Never".into();
    container["restartPolicyRules"] =
        json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]);
    api.pod("default", &pod);
    let status = |api: &Api| api.get(&format!("{PODS}/phoenix"))["status"].clone();
    api.until("it succeeds", |api| status(api)["phase"] == "Succeeded");
    assert_eq!(status(api)["containerStatuses"][0]["restartCount"], 1);
}

fn static_pods(api: &Api) {
    let path = "/api/v1/namespaces/kube-system/pods/agent-n-2";
    api.until("each node runs its static pod", |api| {
        let pods = api.list("/api/v1/namespaces/kube-system/pods");
        pods.len() == 3 && pods.iter().all(|pod| PodView(pod).is_ready())
    });
    let uid = api.get(path)["metadata"]["uid"].clone();
    api.delete(path, None);
    api.until("a mirror that was deleted is made again", |api| {
        let now = api.get(path);
        !now.is_null() && now["metadata"]["uid"] != uid && PodView(&now).is_ready()
    });
}

/// Whoever binds past the scheduler meets the kubelet.
fn admission(api: &Api) {
    let rejected = |name: &str, pod: &Value, reason: &str| {
        api.pod("default", pod);
        api.until(reason, |api| {
            let status = api.get(&format!("{PODS}/{name}"))["status"].clone();
            status["phase"] == "Failed" && status["reason"] == reason
        });
    };
    let with_port = |name: &str| {
        let mut pod = pod(name, "n-0");
        pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 8080}]);
        pod
    };
    api.pod("default", &with_port("first"));
    api.until("the first has the port", |api| is_ready(api, &format!("{PODS}/first")));
    rejected("second", &with_port("second"), "NodePorts");
    let taint = json!({"spec": {"taints": [{"key": "gone", "effect": "NoExecute"}]}});
    api.patch("/api/v1/nodes/n-1", &taint);
    // Pods that come before the node has seen its taint run.
    let mut count = 0;
    api.until("a pod that does not tolerate the taint is rejected", |api| {
        count += 1;
        let name = format!("third-{count}");
        api.pod("default", &pod(&name, "n-1"));
        let status = |api: &Api| api.get(&format!("{PODS}/{name}"))["status"].clone();
        api.until("it is looked at", |api| status(api)["phase"] != "Pending");
        status(api)["reason"] == "TaintToleration"
    });
}
