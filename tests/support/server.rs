//! Killing and starting the API server of a local control plane, and compacting its etcd.
#![allow(dead_code, reason = "each program uses its own part")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// So often a start may fail.
const TRIES: usize = 30;

/// An API server that can be killed and started again with the same arguments, on the same port.
pub struct ApiServer {
    command: Vec<String>,
    pid: u32,
    /// Once it was started here.
    child: Option<Child>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may be dead already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl ApiServer {
    /// Takes hold of one that runs.
    pub fn of(pid: u32) -> anyhow::Result<ApiServer> {
        let line = std::fs::read(format!("/proc/{pid}/cmdline"))?;
        let command = line.split(|b| *b == 0).filter(|part| !part.is_empty());
        let command = command.map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        Ok(ApiServer { command, pid, child: None })
    }

    /// SIGKILL; returns once it is gone.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.pid.try_into()?).context("no process")?;
        kill_process(pid, Signal::KILL)?;
        if let Some(mut child) = self.child.take() {
            child.wait()?;
        }
        while self.is_running() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Whether it runs; a zombie of another parent's has no port any more.
    pub fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// Starts it again with more arguments, as often as a kubelet would; returns once it is ready.
    pub async fn start(&mut self, more: &[&str], client: &kube::Client) -> anyhow::Result<()> {
        for _ in 0..TRIES {
            if self.start_once(more, client).await? {
                return Ok(());
            }
            // Whoever took its port for a connection of his own gives it back soon.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        bail!("the API server ended {TRIES} times at its start")
    }

    /// Whether it became ready; it may end before.
    async fn start_once(&mut self, more: &[&str], client: &kube::Client) -> anyhow::Result<bool> {
        let (program, args) = self.command.split_first().context("no command line")?;
        let child = Command::new(program)
            .args(args)
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.pid = child.id();
        let child = self.child.insert(child);
        while child.try_wait()?.is_none() {
            if is_ready(client).await? {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(false)
    }

    /// Starts it if it does not run; returns once it is ready, which one that was started a moment ago is not.
    pub async fn ensure_ready(&mut self, client: &kube::Client) -> anyhow::Result<()> {
        while self.is_running() {
            if is_ready(client).await? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.start(&[], client).await
    }
}

async fn is_ready(client: &kube::Client) -> anyhow::Result<bool> {
    let ready = http::Request::get("/readyz").body(Vec::new())?;
    let answer = tokio::time::timeout(Duration::from_secs(2), client.request_text(ready)).await;
    Ok(matches!(answer, Ok(Ok(_))))
}

/// Throws away the history of etcd up to now. `folder` is the cluster's, `port` etcd's.
pub async fn compact(folder: &Path, port: u16) -> anyhow::Result<()> {
    let pki = |file: &str| folder.join("pki").join(file);
    let kubeconfig: Kubeconfig = serde_json::from_value(json!({
        "clusters": [{"name": "etcd", "cluster": {"server": format!("https://127.0.0.1:{port}"),
            "certificate-authority": pki("ca.crt")}}],
        "users": [{"name": "etcd", "user": {"client-certificate": pki("kube-apiserver.crt"),
            "client-key": pki("kube-apiserver.key")}}],
        "contexts": [{"name": "etcd", "context": {"cluster": "etcd", "user": "etcd"}}],
        "current-context": "etcd",
    }))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let etcd = kube::Client::try_from(config)?;
    let post = |path: &str, body: Value| http::Request::post(path).body(body.to_string().into_bytes());
    let range: Value = etcd.request(post("/v3/kv/range", json!({"key": "AA=="}))?).await?;
    let revision = range["header"]["revision"].as_str().context("etcd does not tell its revision")?;
    let _: Value =
        etcd.request(post("/v3/kv/compaction", json!({"revision": revision, "physical": true}))?).await?;
    Ok(())
}
