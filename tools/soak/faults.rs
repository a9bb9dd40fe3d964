//! What goes wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use kube::client::ConfigExt;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kubereel::cluster::{Cluster, Component};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use crate::proxy::{Mode, Proxy};
use crate::server::{ApiServer, compact};

/// Shorter than this before the end nothing is done any more, and no connection is left silent in the time in which a
/// recorder still trusts it.
const BEFORE_END: Duration = Duration::from_secs(20);
const TRUSTED: Duration = Duration::from_secs(160);

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// The network drops everything for 30 s; connections of before stay dead.
    Silence,
    /// The API server is killed and started again.
    Kill,
    /// All connections are cut, and new ones are answered 429 for 10 s.
    Storm,
    /// The recorder is cut off while etcd throws away its history and the API server starts anew.
    Compaction,
}

const ALL: [Fault; 4] = [Fault::Silence, Fault::Kill, Fault::Storm, Fault::Compaction];

/// The means to make things go wrong.
pub struct Faults {
    api_server: ApiServer,
    proxy: Proxy,
    folder: PathBuf,
    etcd: u16,
    /// A kubeconfig for the way through the proxy.
    pub kubeconfig: PathBuf,
    /// What was done.
    done: Vec<Fault>,
}

impl Faults {
    /// Puts a proxy before the API server. It speaks plain HTTP to the recorder, so that it can answer by itself.
    pub async fn prepare(cluster: &Cluster, folder: &Path) -> anyhow::Result<Faults> {
        let port = |component| -> anyhow::Result<u16> {
            let url = cluster.url(component).context("a component is stopped")?;
            Ok(url.rsplit(':').next().unwrap_or_default().parse()?)
        };
        let process = cluster.process(Component::ApiServer).context("the API server is stopped")?;
        let admin = Kubeconfig::read_from(cluster.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(admin, &KubeConfigOptions::default()).await?;
        let mut tls = config.rustls_client_config()?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let proxy = Proxy::start(port(Component::ApiServer)?, Some(tls)).await?;
        let kubeconfig = folder.join("kubeconfig");
        let server = format!("http://127.0.0.1:{}", proxy.port);
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "soak",
            "clusters": [{"name": "soak", "cluster": {"server": server}}],
            "contexts": [{"name": "soak", "context": {"cluster": "soak", "user": "soak"}}],
            "users": [{"name": "soak", "user": {}}]});
        std::fs::write(&kubeconfig, config.to_string())?;
        let cluster_folder =
            cluster.kubeconfig().parent().context("the kubeconfig is in no folder")?.to_owned();
        Ok(Faults {
            api_server: ApiServer::of(process.pid)?,
            proxy,
            folder: cluster_folder,
            etcd: port(Component::Etcd)?,
            kubeconfig,
            done: Vec::new(),
        })
    }

    /// One fault after the other, for ever.
    pub async fn go_on(
        &mut self,
        every: Duration,
        end: Instant,
        client: &kube::Client,
    ) -> anyhow::Result<()> {
        let mut due = Instant::now() + every / 4;
        for fault in ALL.into_iter().cycle() {
            sleep_until(due).await;
            let needed = if fault == Fault::Silence { TRUSTED } else { BEFORE_END };
            if Instant::now() + needed > end {
                due += Duration::from_secs(1);
                continue;
            }
            println!("{fault:?}");
            self.done.push(fault);
            self.make(fault, client).await?;
            due = (due + every).max(Instant::now());
        }
        Ok(())
    }

    async fn make(&mut self, fault: Fault, client: &kube::Client) -> anyhow::Result<()> {
        match fault {
            Fault::Silence => {
                self.proxy.set(Mode::Silent);
                sleep(Duration::from_secs(30)).await;
            }
            Fault::Kill => {
                self.api_server.kill().await?;
                self.api_server.start(&[], client).await?;
            }
            Fault::Storm => {
                self.proxy.set(Mode::Busy);
                sleep(Duration::from_secs(10)).await;
            }
            Fault::Compaction => {
                self.proxy.set(Mode::Busy);
                sleep(Duration::from_secs(2)).await;
                compact(&self.folder, self.etcd).await?;
                self.api_server.kill().await?;
                self.api_server.start(&[], client).await?;
            }
        }
        self.proxy.set(Mode::Open);
        Ok(())
    }

    /// Everything works again, wherever the last fault was interrupted.
    pub async fn heal(&mut self, client: &kube::Client) -> anyhow::Result<()> {
        self.proxy.set(Mode::Open);
        self.api_server.ensure_ready(client).await
    }

    /// What was done, in words.
    pub fn told(&self) -> String {
        let mut counts: BTreeMap<Fault, usize> = BTreeMap::new();
        self.done.iter().for_each(|fault| *counts.entry(*fault).or_default() += 1);
        let told = counts.iter().map(|(fault, count)| format!("{count} x {fault:?}"));
        told.collect::<Vec<_>>().join(", ")
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.done.len()
    }
}
