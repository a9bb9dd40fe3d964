//! Many nodes and pods on one control plane, one fleet after the other.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::fleet::{Fleet, Who};
use crate::lab::Lab;
use crate::requests;

struct Measured {
    ready: Duration,
    running: Duration,
    cpu_to_running: f64,
    cpu_steady: f64,
    peak: f64,
    resident: f64,
    ages: Vec<f64>,
    requests: usize,
}

pub async fn measure(nodes: usize, pods: usize, window: u64, who: &[Who]) -> anyhow::Result<()> {
    let lab = Lab::start().await?;
    let mut all = Vec::new();
    let mut failed = None;
    for &who in who {
        match run(&lab, who, nodes, pods, Duration::from_secs(window)).await {
            Ok(measured) => all.push((who, measured)),
            Err(error) => failed = failed.or(Some(error.context(who.name()))),
        }
        lab.clear().await?;
        sleep(Duration::from_secs(5)).await;
    }
    lab.down().await?;
    print(nodes, pods, window, &all);
    failed.map_or(Ok(()), Err)
}

async fn run(lab: &Lab, who: Who, nodes: usize, pods: usize, window: Duration) -> anyhow::Result<Measured> {
    let before = lab.requests()?.len();
    let mut fleet = Fleet::start(who, nodes, &lab.kubeconfig(), lab.folder())?;
    let start = Instant::now();
    if who == Who::Kwok {
        lab.create_nodes(nodes).await?;
    }
    lab.until_ready(nodes, &mut fleet).await?;
    let ready = start.elapsed();
    let start = Instant::now();
    lab.create_pods(pods, None).await?;
    lab.until_running(pods, &mut fleet).await?;
    let running = start.elapsed();
    let cpu_to_running = fleet.cpu_seconds()?;
    // All leases have their second renewal before ages are looked at.
    sleep(Duration::from_secs(15)).await;
    let (cpu, start) = (fleet.cpu_seconds()?, Instant::now());
    let mut ages = Vec::new();
    while start.elapsed() < window {
        ages.extend(lab.lease_ages().await?);
        sleep(Duration::from_secs(1)).await;
    }
    let cpu_steady = (fleet.cpu_seconds()? - cpu) / start.elapsed().as_secs_f64();
    ages.sort_by(f64::total_cmp);
    Ok(Measured {
        ready,
        running,
        cpu_to_running,
        cpu_steady,
        peak: fleet.memory("VmHWM")?,
        resident: fleet.memory("VmRSS")?,
        ages,
        requests: fleet_requests(lab, before)?,
    })
}

/// Requests since then, without those that only this benchmark makes.
fn fleet_requests(lab: &Lab, before: usize) -> anyhow::Result<usize> {
    let all = lab.requests()?;
    let ours = |r: &&requests::Request| {
        r.class.verb == "list" || (r.class.verb == "create" && matches!(&*r.class.resource, "pods" | "nodes"))
    };
    Ok(all.len() - before - all[before..].iter().filter(ours).count())
}

fn print(nodes: usize, pods: usize, window: u64, all: &[(Who, Measured)]) {
    println!("\n{nodes} nodes, {pods} pods, then steady for {window} s\n");
    println!("| | {} |", all.iter().map(|(who, _)| who.name()).collect::<Vec<_>>().join(" | "));
    println!("| --- |{}", " --- |".repeat(all.len()));
    let row = |name: &str, figure: &dyn Fn(&Measured) -> String| {
        let cells: Vec<String> = all.iter().map(|(_, measured)| figure(measured)).collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    row("all nodes ready, s", &|m| format!("{:.1}", m.ready.as_secs_f64()));
    row("all pods Running after the first was created, s", &|m| format!("{:.1}", m.running.as_secs_f64()));
    row("CPU to all Running, s", &|m| format!("{:.2}", m.cpu_to_running));
    row("CPU steady, cores", &|m| format!("{:.4}", m.cpu_steady));
    row("peak memory, MiB", &|m| format!("{:.1}", m.peak));
    row("resident memory at the end, MiB", &|m| format!("{:.1}", m.resident));
    let age =
        |m: &Measured, q: f64| m.ages.get((m.ages.len() as f64 * q) as usize).or(m.ages.last()).copied();
    row("lease age p50, s", &|m| format!("{:.1}", age(m, 0.5).unwrap_or(f64::NAN)));
    row("lease age p99, s", &|m| format!("{:.1}", age(m, 0.99).unwrap_or(f64::NAN)));
    row("lease age max, s", &|m| format!("{:.1}", age(m, 1.0).unwrap_or(f64::NAN)));
    row("requests", &|m| m.requests.to_string());
}
