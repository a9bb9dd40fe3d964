//! Hollow nodes under the real control plane and its controllers: each workload ends as on kubelets.

use std::process::Child;

use crate::support;
use crate::support::Sandbox;
use crate::support::api::Api;
use kubereel::k8s::Request;
use kubereel::model::{Json, NodeView, PodView, ReadyStatus};
use kubereel::pace::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// A cluster and a process with hollow nodes on it.
struct Lab {
    sandbox: Sandbox,
    api: Api,
    hollow: Child,
}

impl Drop for Lab {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.hollow.kill();
        let _ = self.hollow.wait();
    }
}

impl Lab {
    fn new(cluster: &[&str], hollow: &[&str]) -> Lab {
        let sandbox = Sandbox::new();
        let api = sandbox.lab_with(cluster);
        let hollow = sandbox.command(&[&["hollow", "--cluster", "lab"], hollow].concat()).spawn().unwrap();
        Lab { sandbox, api, hollow }
    }

    fn ready_nodes(&self, count: usize) {
        self.api.until("all nodes ready and free of taints", |api| {
            let nodes = api.list("/api/v1/nodes");
            let is_ready =
                |n: &&Json| NodeView(n).ready() == ReadyStatus::True && !NodeView(n).has_health_taint();
            nodes.iter().filter(is_ready).count() == count
        });
    }

    /// Asks the process to end, and insists that it ends well.
    fn stop(&mut self) {
        let pid = Pid::from_raw(self.hollow.id().cast_signed()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        assert!(self.hollow.wait().unwrap().success());
    }
}

const PODS: &str = "/api/v1/namespaces/default/pods";
const APPS: &str = "/apis/apps/v1/namespaces/default";
const BATCH: &str = "/apis/batch/v1/namespaces/default";

fn template(app: &str, annotations: &Value) -> Value {
    json!({"metadata": {"labels": {"app": app}, "annotations": annotations}, "spec": {"containers": [
        {"name": "c", "image": "none", "resources": {"requests": {"cpu": "100m"}}}]}})
}

fn pods(api: &Api, app: &str) -> Vec<Json> {
    api.list(&format!("{PODS}?labelSelector=app%3D{app}"))
}

fn pod(name: &str, spec: &Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "none", "resources": {"requests": {"cpu": "100m"}}}]}});
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    pod
}

fn is_ready(pod: &Json) -> bool {
    PodView(pod).is_ready()
}

fn set(kind: &str, name: &str, spec: &Value, annotations: &Value) -> Value {
    let mut object = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}}, "template": template(name, annotations)}});
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object
}

#[test]
fn workloads_end_as_on_kubelets() {
    let mut lab =
        Lab::new(&[], &["--nodes", "6", "--profile", "kubelet", "--capacity", "cpu=2,memory=8Gi,pods=110"]);
    lab.ready_nodes(6);
    let api = &lab.api;
    // First, since it waits for the next full minute.
    let mut job = json!({"backoffLimit": 2, "template": template("nightly", &json!({}))});
    job["template"]["spec"]["restartPolicy"] = "Never".into();
    api.post(
        &format!("{BATCH}/cronjobs"),
        &json!({"apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "nightly"}, "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job}}}),
    );
    deployment(api);
    stateful_set(api);
    daemon_set(api);
    jobs(api);
    interrupted_job(api);
    eviction(api);
    preemption(api);
    finalizer_and_force(api);
    api.until("the cron job has run", |api| {
        let jobs = api.list(&format!("{BATCH}/jobs"));
        let of_cron =
            |job: &&Json| job["metadata"]["name"].as_str().is_some_and(|n| n.starts_with("nightly-"));
        jobs.iter().filter(of_cron).any(|job| job["status"]["succeeded"] == 1)
    });
    let events = api.list("/api/v1/namespaces/default/events");
    for reason in ["Pulled", "Created", "Started", "Killing"] {
        let is_it = |e: &&Json| e["reason"] == reason && e["source"]["component"] == "kubelet";
        let told: Vec<&Json> = events.iter().filter(is_it).collect();
        assert!(!told.is_empty() && told.iter().all(|e| !e["lastTimestamp"].is_null()), "{reason}");
    }
    lab.stop();
    assert_eq!(lab.api.list("/api/v1/nodes").len(), 0, "removed at the end");
}

fn deployment(api: &Api) {
    api.post(&format!("{APPS}/deployments"), &set("Deployment", "web", &json!({"replicas": 12}), &json!({})));
    let rolled_out = |api: &Api, generation: i64| {
        let status = api.get(&format!("{APPS}/deployments/web"))["status"].clone();
        status["availableReplicas"] == 12
            && status["updatedReplicas"] == 12
            && status["replicas"] == 12
            && status["observedGeneration"].as_i64() >= Some(generation)
    };
    api.until("the deployment is there", |api| rolled_out(api, 1));
    let first: Vec<String> = pods(api, "web").iter().map(|pod| PodView(pod).uid().to_owned()).collect();
    let image = json!({"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}});
    api.patch(&format!("{APPS}/deployments/web"), &image);
    api.until("the new version is rolled out", |api| rolled_out(api, 2));
    api.until("the old pods are gone", |api| {
        let now = pods(api, "web");
        now.len() == 12
            && now.iter().all(|pod| is_ready(pod) && !first.contains(&PodView(pod).uid().to_owned()))
    });
    let ips: std::collections::HashSet<String> =
        pods(api, "web").iter().map(|pod| pod["status"]["podIP"].to_string()).collect();
    assert_eq!(ips.len(), 12, "every pod has an address of its own");
    api.delete(&format!("{APPS}/deployments/web"), None);
    api.until("its pods are gone", |api| pods(api, "web").is_empty());
}

fn stateful_set(api: &Api) {
    let spec = json!({"replicas": 3, "serviceName": "db"});
    api.post(&format!("{APPS}/statefulsets"), &set("StatefulSet", "db", &spec, &json!({})));
    api.until("the stateful set is there", |api| {
        api.get(&format!("{APPS}/statefulsets/db"))["status"]["readyReplicas"] == 3
    });
    let uid = |api: &Api| api.get(&format!("{PODS}/db-1"))["metadata"]["uid"].to_string();
    let before = uid(api);
    api.delete(&format!("{PODS}/db-1"), None);
    api.until("its pod is replaced under the same name", |api| {
        uid(api) != before && is_ready(&api.get(&format!("{PODS}/db-1")))
    });
}

fn daemon_set(api: &Api) {
    api.post(&format!("{APPS}/daemonsets"), &set("DaemonSet", "agent", &json!({}), &json!({})));
    api.until("the daemon set is on all nodes", |api| {
        api.get(&format!("{APPS}/daemonsets/agent"))["status"]["numberReady"] == 6
    });
}

fn jobs(api: &Api) {
    let job = |name: &str, spec: Value, policy: &str, annotations: Value| {
        let mut job =
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec});
        job["spec"]["template"] = template(name, &annotations);
        job["spec"]["template"]["spec"]["restartPolicy"] = policy.into();
        api.post(&format!("{BATCH}/jobs"), &job);
    };
    let status = |api: &Api, name: &str| api.get(&format!("{BATCH}/jobs/{name}"))["status"].clone();
    let is = |status: &Json, kind: &str| {
        status["conditions"].items().iter().any(|c| c["type"] == kind && c["status"] == "True")
    };
    job("fine", json!({"completions": 4, "parallelism": 2}), "Never", json!({}));
    job("doomed", json!({"backoffLimit": 1}), "Never", json!({"kubereel.dev/exit-code": "3"}));
    job(
        "stubborn",
        json!({}),
        "OnFailure",
        json!({"kubereel.dev/failures": "1", "kubereel.dev/run-seconds": "0.2"}),
    );
    api.until("the job is complete", |api| is(&status(api, "fine"), "Complete"));
    assert_eq!(status(api, "fine")["succeeded"], 4);
    api.until("the job has failed for good", |api| is(&status(api, "doomed"), "Failed"));
    assert_eq!(status(api, "doomed")["failed"], 2, "the first try and one more");
    let ends = PodView(&pods(api, "doomed")[0]).container_ends();
    assert_eq!(ends[0].exit_code, 3);
    api.until("the job succeeds after a restart", |api| is(&status(api, "stubborn"), "Complete"));
    let stubborn = &pods(api, "stubborn")[0];
    assert_eq!(stubborn["status"]["containerStatuses"][0]["restartCount"], 1);
}

/// What is taken from a Job before it is done, by whom ever, does not count as done.
fn interrupted_job(api: &Api) {
    let mut template = template("long", &json!({"kubereel.dev/run-seconds": "3600"}));
    template["spec"]["restartPolicy"] = "Never".into();
    api.post(
        &format!("{BATCH}/jobs"),
        &json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "long"},
            "spec": {"completions": 2, "parallelism": 2, "template": template}}),
    );
    let running = |api: &Api| {
        let mut names: Vec<String> = pods(api, "long")
            .iter()
            .filter(|pod| is_ready(pod))
            .map(|pod| PodView(pod).name().to_owned())
            .collect();
        names.sort();
        names
    };
    api.until("both pods of the job run", |api| running(api).len() == 2);
    let first = running(api);
    api.delete(&format!("{PODS}/{}", first[0]), None);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": first[1]}});
    api.try_post(&format!("{PODS}/{}/eviction", first[1]), &eviction).unwrap();
    api.until("the job has made two others", |api| {
        let now = running(api);
        now.len() == 2 && !now.iter().any(|name| first.contains(name))
    });
    api.until("it counts both as failed", |api| {
        let status = api.get(&format!("{BATCH}/jobs/long"))["status"].clone();
        status["failed"] == 2 && status["succeeded"].as_i64().unwrap_or_default() == 0
    });
    api.patch(&format!("{BATCH}/jobs/long"), &json!({"spec": {"parallelism": 0}}));
    api.until("its pods are gone", |api| pods(api, "long").is_empty());
}

/// A drain is a cordon and an eviction for each pod; a disruption budget refuses those that are too many.
fn eviction(api: &Api) {
    api.post(&format!("{APPS}/deployments"), &set("Deployment", "kept", &json!({"replicas": 3}), &json!({})));
    api.post(
        "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
        &json!({"apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget", "metadata": {"name": "kept"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "kept"}}}}),
    );
    api.until("the budget allows one disruption", |api| {
        let status =
            api.get("/apis/policy/v1/namespaces/default/poddisruptionbudgets/kept")["status"].clone();
        status["disruptionsAllowed"] == 1 && status["currentHealthy"] == 3
    });
    let all: Vec<Json> = pods(api, "kept");
    let node = PodView(&all[0]).node_name().unwrap().to_owned();
    api.patch(&format!("/api/v1/nodes/{node}"), &json!({"spec": {"unschedulable": true}}));
    let evict = |pod: &Json| {
        let name = PodView(pod).name();
        let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
        api.try_post(&format!("{PODS}/{name}/eviction"), &body)
    };
    evict(&all[0]).unwrap();
    // Until the replacement is ready the budget is used up, unless that was faster than this request.
    if let Err(error) = evict(&all[1]) {
        assert_eq!(error.status(), Some(429));
    }
    api.until("the evicted pod is replaced elsewhere", |api| {
        let now = pods(api, "kept");
        let first = PodView(&all[0]).uid();
        now.len() == 3
            && now.iter().all(|pod| is_ready(pod) && PodView(pod).uid() != first)
            && now
                .iter()
                .filter(|pod| PodView(pod).node_name() == Some(&node))
                .all(|pod| all.iter().any(|before| PodView(before).uid() == PodView(pod).uid()))
    });
    api.patch(&format!("/api/v1/nodes/{node}"), &json!({"spec": {"unschedulable": false}}));
    api.delete(&format!("{APPS}/deployments/kept"), None);
    api.until("its pods are gone", |api| pods(api, "kept").is_empty());
}

fn preemption(api: &Api) {
    api.post(
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        &json!({"apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000}),
    );
    let nodes = api.list("/api/v1/nodes");
    let name = NodeView(&nodes[0]).name().to_owned();
    let fixed = json!({"nodeSelector": {"kubernetes.io/hostname": name}, "containers": [
        {"name": "c", "image": "none", "resources": {"requests": {"cpu": "1500m"}}}]});
    api.pod("default", &pod("low", &fixed));
    api.until("the pod of low priority runs", |api| is_ready(&api.get(&format!("{PODS}/low"))));
    let mut high = pod("high", &fixed);
    high["spec"]["priorityClassName"] = "high".into();
    api.pod("default", &high);
    api.until("the pod of high priority has its place", |api| {
        is_ready(&api.get(&format!("{PODS}/high"))) && api.get(&format!("{PODS}/low")).is_null()
    });
    // Whoever binds past the scheduler meets the kubelet's own admission.
    let mut forced = pod("forced", &fixed);
    forced["spec"]["nodeName"] = name.as_str().into();
    forced["spec"].as_object_mut().unwrap().remove("nodeSelector");
    api.pod("default", &forced);
    api.until("the node rejects what does not fit", |api| {
        let status = api.get(&format!("{PODS}/forced"))["status"].clone();
        status["phase"] == "Failed" && status["reason"] == "OutOfcpu"
    });
    let resize = json!({"spec": {"containers": [{"name": "c", "image": "none", "resources": {"requests": {"cpu": "1200m"}}}]}});
    api.patch(&format!("{PODS}/high/resize"), &resize);
    api.until("the resize is done", |api| {
        let container = api.get(&format!("{PODS}/high"))["status"]["containerStatuses"][0].clone();
        container["allocatedResources"]["cpu"] == "1200m"
            && container["resources"]["requests"]["cpu"] == "1200m"
    });
}

fn finalizer_and_force(api: &Api) {
    let mut held = pod("held", &json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    held["metadata"]["annotations"] = json!({"kubereel.dev/termination-seconds": "3600"});
    api.pod("default", &held);
    let path = format!("{PODS}/held");
    api.until("the pod runs", |api| is_ready(&api.get(&path)));
    api.delete(&path, Some(1));
    api.until("its containers are down after the grace period", |api| {
        let pod = api.get(&path);
        pod["metadata"]["deletionGracePeriodSeconds"] == 0 && PodView(&pod).phase().is_terminal()
    });
    api.patch(&path, &json!({"metadata": {"finalizers": null}}));
    api.until("it goes with its finalizer", |api| api.get(&path).is_null());
    let mut slow = pod("slow", &json!({"terminationGracePeriodSeconds": 3600}));
    slow["metadata"]["annotations"] = json!({"kubereel.dev/termination-seconds": "3600"});
    api.pod("default", &slow);
    let path = format!("{PODS}/slow");
    api.until("the slow pod runs", |api| is_ready(&api.get(&path)));
    api.delete(&path, None);
    assert!(!api.get(&path).is_null(), "it takes its time");
    api.delete(&path, Some(0));
    api.until("a deletion by force takes it away", |api| api.get(&path).is_null());
}

#[test]
fn nodes_fail_by_command_and_nobody_fights_what_people_set() {
    let patience = "kube-controller-manager=--node-monitor-grace-period=16s";
    let lab = Lab::new(&["--extra-arg", patience], &["--nodes", "3"]);
    lab.ready_nodes(3);
    let api = &lab.api;
    let mut spec = json!({"replicas": 3, "template": template("web", &json!({}))});
    spec["template"]["spec"]["tolerations"] = ["not-ready", "unreachable"]
        .map(|key| json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}))
        .to_vec()
        .into();
    spec["template"]["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
        "topologyKey": "kubernetes.io/hostname", "nodeTaintsPolicy": "Honor", "labelSelector": {"matchLabels": {"app": "web"}}}]);
    api.post(&format!("{APPS}/deployments"), &set("Deployment", "web", &spec, &json!({})));
    api.until("one pod a node", |api| pods(api, "web").iter().filter(|pod| is_ready(pod)).count() == 3);
    // What people set stays: labels, taints, capacity.
    let (label, capacity) =
        (json!({"metadata": {"labels": {"rack": "7"}}}), json!({"status": {"capacity": {"cpu": "64"}}}));
    api.patch("/api/v1/nodes/hollow-1", &label);
    api.patch("/api/v1/nodes/hollow-1/status", &capacity);
    api.patch(
        "/api/v1/nodes/hollow-0",
        &json!({"metadata": {"annotations": {"kubereel.dev/failure": "stop"}}}),
    );
    let on_stopped = |api: &Api| {
        pods(api, "web")
            .into_iter()
            .filter(|pod| PodView(pod).node_name() == Some("hollow-0"))
            .collect::<Vec<_>>()
    };
    api.until("the stopped node is given up and its pod is to be evicted", |api| {
        let node = api.get("/api/v1/nodes/hollow-0");
        NodeView(&node).ready() == ReadyStatus::Unknown
            && on_stopped(api).iter().all(|pod| PodView(pod).is_deleting())
            && !on_stopped(api).is_empty()
    });
    api.until("it is replaced on another node", |api| {
        pods(api, "web")
            .iter()
            .filter(|pod| is_ready(pod) && PodView(pod).node_name() != Some("hollow-0"))
            .count()
            == 3
    });
    assert!(!on_stopped(api).is_empty(), "a node that has stopped does not confirm a deletion");
    api.patch(
        "/api/v1/nodes/hollow-0",
        &json!({"metadata": {"annotations": {"kubereel.dev/failure": null}}}),
    );
    api.until("it comes back and cleans up", |api| {
        let node = api.get("/api/v1/nodes/hollow-0");
        NodeView(&node).ready() == ReadyStatus::True
            && on_stopped(api).iter().all(|pod| !PodView(pod).is_deleting())
    });
    api.patch(
        "/api/v1/nodes/hollow-2",
        &json!({"metadata": {"annotations": {"kubereel.dev/failure": "not-ready"}}}),
    );
    api.until("a node that says it is not ready is tainted", |api| {
        let node = api.get("/api/v1/nodes/hollow-2");
        NodeView(&node).ready() == ReadyStatus::False && NodeView(&node).has_health_taint()
    });
    let node = api.get("/api/v1/nodes/hollow-1");
    assert_eq!(
        (&node["metadata"]["labels"]["rack"], &node["status"]["capacity"]["cpu"]),
        (&"7".into(), &"64".into())
    );
}

#[test]
fn an_api_server_that_was_away_finds_every_lease_renewed_and_no_pod_doubled() {
    let away = std::env::var("KUBEREEL_OUTAGE_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(15);
    let lab = Lab::new(&[], &["--nodes", "50"]);
    lab.ready_nodes(50);
    let api = &lab.api;
    api.post(
        &format!("{APPS}/deployments"),
        &set("Deployment", "web", &json!({"replicas": 100}), &json!({})),
    );
    api.until("all pods run", |api| pods(api, "web").iter().filter(|pod| is_ready(pod)).count() == 100);
    let uids = |api: &Api| {
        let mut uids: Vec<String> =
            pods(api, "web").iter().map(|pod| PodView(pod).uid().to_owned()).collect();
        uids.sort();
        uids
    };
    let before = uids(api);
    let cluster = lab.sandbox.ok(&["cluster", "list", "--format", "json"]).json();
    let components = cluster[0]["components"].as_array().unwrap().clone();
    let pid =
        components.iter().find(|c| c["component"] == "kube-apiserver").unwrap()["pid"].as_u64().unwrap();
    let mut server = support::server::ApiServer::of(pid.try_into().unwrap()).unwrap();
    let back = api.block_on(async |client| {
        server.kill().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(away)).await;
        server.start(&[], client).await.unwrap();
        chrono::DateTime::from_timestamp_nanos(SystemClock::start().wall_ns())
    });
    let renewed = |lease: &Json| {
        let time =
            lease["spec"]["renewTime"].as_str().and_then(|t| chrono::DateTime::parse_from_rfc3339(t).ok());
        time.map(|time| (time.to_utc() - back).as_seconds_f64())
    };
    let mut first = std::collections::HashMap::new();
    api.until("every lease is renewed", |api| {
        for lease in api.list("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases") {
            if let Some(after) = renewed(&lease).filter(|after| *after > 0.0) {
                first.entry(lease["metadata"]["name"].to_string()).or_insert(after);
            }
        }
        first.len() == 50
    });
    let latest = first.values().copied().fold(0.0, f64::max);
    // After 40 s without a renewal the node lifecycle controller takes a node for lost.
    assert!(latest < 40.0, "the last lease was renewed {latest:.1} s after the server was back");
    assert_eq!(uids(api), before, "no pod lost, none doubled");
    api.until("all pods are ready", |api| pods(api, "web").iter().all(is_ready));
    let request = Request::get(format!("{PODS}?fieldSelector=status.phase%3DRunning"));
    assert_eq!(api.send(&request).unwrap()["items"].items().len(), 100);
}
