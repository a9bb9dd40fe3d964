//! A control plane with an audit log, and what is done to it.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use kubereel::cluster::{self, Cluster, ClusterSpec, Component, Dirs, Version};
use kubereel::k8s::{ConnectOptions, Request, connect, send};
use kubereel::model::Json;
use kubereel::pace::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::fleet::Fleet;
use crate::requests;

const IN_FLIGHT: usize = 32;
const NODES: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/namespaces/default/pods";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

pub struct Lab {
    cluster: Cluster,
    client: kube::Client,
    audit_log: PathBuf,
    folder: tempfile::TempDir,
}

impl Lab {
    /// A fresh one.
    pub async fn start() -> anyhow::Result<Lab> {
        let folder = tempfile::tempdir()?;
        let (policy, audit_log) = (folder.path().join("policy.yaml"), folder.path().join("audit.log"));
        std::fs::write(&policy, requests::POLICY)?;
        let name = format!("hollow-{}", std::process::id());
        let mut spec = ClusterSpec::new(name, Version::default(), Dirs::from_env()?);
        spec.shim = Some(env!("CARGO_BIN_EXE_kubereel").into());
        let args = [
            format!("--audit-policy-file={}", policy.display()),
            format!("--audit-log-path={}", audit_log.display()),
            "--audit-log-mode=blocking".to_owned(),
        ];
        spec.settings.extra_args.insert(Component::ApiServer, args.to_vec());
        let cluster = cluster::up(&spec).await?;
        let options = ConnectOptions { kubeconfig: Some(cluster.kubeconfig()), context: None };
        let client = connect(&options).await?.client;
        let lab = Lab { cluster, client, audit_log, folder };
        // Pods need the account of their namespace, which a controller makes.
        while lab.get("/api/v1/namespaces/default/serviceaccounts/default").await.is_err() {
            sleep(Duration::from_millis(200)).await;
        }
        Ok(lab)
    }

    pub async fn down(self) -> anyhow::Result<()> {
        Ok(self.cluster.down().await?)
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.cluster.kubeconfig()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All requests so far but our own.
    pub fn requests(&self) -> anyhow::Result<Vec<requests::Request>> {
        requests::read(BufReader::new(File::open(&self.audit_log)?))
    }

    async fn get(&self, path: &str) -> anyhow::Result<Json> {
        Ok(send(&self.client, &Request::get(path.to_owned())).await?.body)
    }

    /// Posts objects, many at a time.
    async fn post(&self, path: &str, objects: impl Iterator<Item = Value>) -> anyhow::Result<()> {
        let requests = objects.map(|object| Request::post(path.to_owned(), &object));
        let answers = requests.map(|request| async move { send(&self.client, &request).await });
        let mut answers = futures::stream::iter(answers).buffer_unordered(IN_FLIGHT);
        while let Some(answer) = answers.next().await {
            answer?;
        }
        Ok(())
    }

    /// Nodes for a fleet that makes none itself.
    pub async fn create_nodes(&self, count: usize) -> anyhow::Result<()> {
        let resources = json!({"cpu": "72", "memory": "256Gi", "pods": "110"});
        let node = |n: usize| {
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("hollow-{n}"),
                "labels": {"kubernetes.io/hostname": format!("hollow-{n}")}},
                "status": {"capacity": resources, "allocatable": resources}})
        };
        self.post(NODES, (0..count).map(node)).await
    }

    /// Pods for the scheduler, or one after another for the nodes of `on`.
    pub async fn create_pods(&self, count: usize, on: Option<usize>) -> anyhow::Result<()> {
        self.post(PODS, (0..count).map(|n| pod(n, on.map(|nodes| n % nodes)))).await
    }

    /// Asks for the deletion of all pods.
    pub async fn delete_pods(&self) -> anyhow::Result<()> {
        let request = http::Request::delete(PODS).body(Vec::new())?;
        self.client.request_text(request).await?;
        Ok(())
    }

    /// Waits until so many nodes are ready; says how long it took.
    pub async fn until_ready(&self, nodes: usize, fleet: &mut Fleet) -> anyhow::Result<Duration> {
        self.until(NODES, fleet, |items| items.iter().filter(|n| condition(n, "Ready")).count() == nodes)
            .await
    }

    /// Waits until so many pods are Running.
    pub async fn until_running(&self, pods: usize, fleet: &mut Fleet) -> anyhow::Result<Duration> {
        let is_running = |pod: &&Json| pod["status"]["phase"] == "Running";
        self.until(PODS, fleet, |items| items.iter().filter(is_running).count() == pods).await
    }

    /// Waits until no pod is left.
    pub async fn until_gone(&self, fleet: &mut Fleet) -> anyhow::Result<Duration> {
        self.until(PODS, fleet, <[Json]>::is_empty).await
    }

    async fn until(
        &self,
        path: &str,
        fleet: &mut Fleet,
        done: impl Fn(&[Json]) -> bool,
    ) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let path = format!("{path}?resourceVersion=0");
        while !done(self.get(&path).await?["items"].items()) {
            fleet.check()?;
            ensure!(start.elapsed() < Duration::from_mins(6), "{path}: not so far after six minutes");
            sleep(Duration::from_millis(500)).await;
        }
        Ok(start.elapsed())
    }

    /// How old the renewals of all leases are now, seconds.
    pub async fn lease_ages(&self) -> anyhow::Result<Vec<f64>> {
        let list = self.get(&format!("{LEASES}?resourceVersion=0")).await?;
        let now = now();
        let age = |lease: &Json| {
            let renewed = lease["spec"]["renewTime"].as_str()?.parse::<DateTime<Utc>>().ok()?;
            Some((now - renewed).as_seconds_f64())
        };
        Ok(list["items"].items().iter().filter_map(age).collect())
    }

    /// Removes nodes and leases, so that the next fleet begins anew.
    pub async fn clear(&self) -> anyhow::Result<()> {
        for path in [PODS, NODES, LEASES] {
            let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
            let request = http::Request::delete(path).body(serde_json::to_vec(&options)?)?;
            self.client.request_text(request).await?;
        }
        Ok(())
    }
}

/// The wall clock.
pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(SystemClock::start().wall_ns())
}

fn condition(object: &Json, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].items();
    conditions.iter().any(|c| c["type"] == kind && c["status"] == "True")
}

/// A pod as service account admission leaves it: a token, the cluster's certificates and its namespace.
fn pod(number: usize, node: Option<usize>) -> Value {
    let sources = json!([
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}]);
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("pod-{number}")},
        "spec": {"serviceAccountName": "default",
            "containers": [{"name": "main", "image": "registry.example.com/web:1",
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                "volumeMounts": [{"name": "access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]}],
            "volumes": [{"name": "access", "projected": {"sources": sources}}]}});
    if let Some(node) = node {
        pod["spec"]["nodeName"] = format!("hollow-{node}").into();
    }
    pod
}
