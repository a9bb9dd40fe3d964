//! What the tie-break extender costs a scheduler, by the number of nodes that fit: from the request leaving to the last
//! byte of its answer, on one kept connection as the scheduler's. `cargo bench --bench extender`.

#![allow(clippy::print_stdout, missing_docs, reason = "a program for people")]

use std::time::Duration;

use kubereel::compare::Extender;
use kubereel::model::TraceTime;
use kubereel::pace::{Clock, SystemClock};
use kubereel::stats::quantile;
use serde_json::json;

/// The program's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const REQUESTS: usize = 2000;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let extender = Extender::start().await?;
    let url = format!("{}/prioritize", extender.url());
    // reqwest wants one even where it is not used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let clock = SystemClock::start();
    println!("{REQUESTS} requests each, one after the other, an 8 kB pod in each");
    println!("{:>7} {:>8} {:>8} {:>8} {:>8} {:>8}", "nodes", "kB in", "kB out", "p50 ms", "p99 ms", "max ms");
    for nodes in [100, 1000, 5000] {
        let body = request(nodes).into_bytes();
        let (mut times, mut out) = (Vec::new(), 0);
        for _ in 0..REQUESTS {
            let sent: TraceTime = clock.now();
            let answer = client.post(&url).body(body.clone()).send().await?.error_for_status()?;
            out = answer.bytes().await?.len();
            times.push(clock.now().since(sent));
        }
        let mut ms: Vec<f64> = times.iter().map(Duration::as_secs_f64).map(|s| s * 1e3).collect();
        ms.sort_by(f64::total_cmp);
        let at = |q: f64| quantile(&ms, q).unwrap_or_default();
        println!(
            "{nodes:>7} {:>8.0} {:>8.0} {:>8.2} {:>8.2} {:>8.2}",
            body.len() as f64 / 1e3,
            out as f64 / 1e3,
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    anyhow::ensure!(extender.take_refused() == 0, "requests were refused");
    Ok(())
}

/// What a scheduler asks, with names as long as cloud providers make them.
fn request(nodes: usize) -> String {
    let names: Vec<String> =
        (0..nodes).map(|n| format!("gke-prod-pool-{}-{:08x}-{n:04}", n % 7, n * 7919)).collect();
    let pod = json!({"metadata": {"name": "web", "namespace": "shop", "annotations": {"padding": "x".repeat(8000)}},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "100m"}}}]}});
    json!({"Pod": pod, "Nodes": null, "NodeNames": names}).to_string()
}
