//! How late leases come to an API server that only answers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::fleet::{Fleet, Who};
use crate::stub_api::{self, kubeconfig, serve};

/// What the server has seen.
#[derive(Default)]
struct Seen {
    requests: AtomicU64,
    leases: Mutex<Leases>,
}

/// When each lease was written last, and the times between writes.
#[derive(Default)]
struct Leases {
    last: HashMap<String, Instant>,
    gaps: Vec<f64>,
}

/// A stub that listens, and the kubeconfig that leads to it.
struct Stub {
    seen: Arc<Seen>,
    address: SocketAddr,
    server: JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl Stub {
    async fn start() -> anyhow::Result<Stub> {
        let seen = Arc::new(Seen::default());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig(address).to_string())?;
        let server = tokio::spawn(serve(listener, seen.clone()));
        Ok(Stub { seen, address, server, folder })
    }

    /// Starts so many nodes and waits until all have a lease.
    async fn fleet(&self, nodes: usize) -> anyhow::Result<(Fleet, Duration)> {
        let mut fleet =
            Fleet::start(Who::Light, nodes, &self.folder.path().join("kubeconfig"), self.folder.path())?;
        let start = Instant::now();
        while self.seen.lock().last.len() < nodes {
            fleet.check()?;
            let leases = self.seen.lock().last.len();
            ensure!(start.elapsed() < Duration::from_mins(5), "{leases} leases after five minutes");
            sleep(Duration::from_millis(200)).await;
        }
        Ok((fleet, start.elapsed()))
    }
}

/// What nodes do while the server is away, and when it is back.
pub async fn outage(nodes: usize, away: u64) -> anyhow::Result<()> {
    let mut stub = Stub::start().await?;
    let (mut fleet, _) = stub.fleet(nodes).await?;
    sleep(Duration::from_secs(12)).await;
    stub.server.abort();
    sleep(Duration::from_secs(away)).await;
    stub.seen.lock().last.clear();
    let listener = TcpListener::bind(stub.address).await?;
    let (back, before) = (Instant::now(), stub.seen.requests.load(Ordering::Relaxed));
    stub.server = tokio::spawn(serve(listener, stub.seen.clone()));
    let (mut counts, mut renewed) = (vec![before], None);
    while counts.len() <= 200 {
        sleep(Duration::from_millis(100)).await;
        counts.push(stub.seen.requests.load(Ordering::Relaxed));
        if renewed.is_none() && stub.seen.lock().last.len() == nodes {
            renewed = Some(back.elapsed());
        }
    }
    fleet.check()?;
    stub.server.abort();
    let peak = counts.windows(11).map(|window| window[10] - window[0]).max().unwrap_or(0);
    let steady = (counts[200] - counts[100]) as f64 / 10.0;
    println!(
        "| nodes | away, s | all leases renewed after, s | peak requests/s | 10 to 20 s after, requests/s |"
    );
    println!("| --- | --- | --- | --- | --- |");
    let renewed = renewed.map_or("not within 20".to_owned(), |after| format!("{:.1}", after.as_secs_f64()));
    println!("| {nodes} | {away} | {renewed} | {peak} | {steady:.0} |");
    Ok(())
}

pub async fn measure(nodes: usize, window: u64) -> anyhow::Result<()> {
    let stub = Stub::start().await?;
    let seen = &stub.seen;
    let (mut fleet, registered) = stub.fleet(nodes).await?;
    // Until each lease has been renewed, its gap counts from its creation.
    sleep(Duration::from_secs(12)).await;
    seen.lock().gaps.clear();
    let (cpu, requests) = (fleet.cpu_seconds()?, seen.requests.load(Ordering::Relaxed));
    let start = Instant::now();
    sleep(Duration::from_secs(window)).await;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = (fleet.cpu_seconds()? - cpu) / seconds;
    let rate = (seen.requests.load(Ordering::Relaxed) - requests) as f64 / seconds;
    fleet.check()?;
    stub.server.abort();
    let mut gaps = std::mem::take(&mut seen.lock().gaps);
    // A lease that did not come at all is as late as it is now.
    gaps.extend(seen.lock().last.values().map(|last| last.elapsed().as_secs_f64()).filter(|age| *age > 10.5));
    gaps.sort_by(f64::total_cmp);
    let at = |q: f64| gaps.get((gaps.len() as f64 * q) as usize).or(gaps.last()).copied().unwrap_or(f64::NAN);
    let late = gaps.iter().filter(|gap| **gap > 12.0).count();
    println!(
        "| nodes | registered, s | requests/s | cores | RSS, MiB | KiB a node | lease p50, s | p99 | max | over 12 s |"
    );
    println!("| --- |{}", " --- |".repeat(9));
    println!(
        "| {nodes} | {:.1} | {rate:.0} | {cpu:.3} | {:.1} | {:.2} | {:.2} | {:.2} | {:.2} | {late} of {} |",
        registered.as_secs_f64(),
        fleet.memory("VmRSS")?,
        fleet.memory("VmRSS")? * 1024.0 / nodes as f64,
        at(0.5),
        at(0.99),
        at(1.0),
        gaps.len()
    );
    Ok(())
}

impl Seen {
    fn lock(&self) -> std::sync::MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl stub_api::Seen for Seen {
    fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    fn written(&self, path: &str, name: &str) {
        if !path.contains("/kube-node-lease/leases") {
            return;
        }
        let now = Instant::now();
        let mut leases = self.lock();
        if let Some(last) = leases.last.insert(name.to_owned(), now) {
            leases.gaps.push((now - last).as_secs_f64());
        }
    }
}
