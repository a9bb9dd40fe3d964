//! What nodes ask an API server: 20 nodes, two pods each from start to removal, counted in the audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::sleep;

use crate::fleet::{Fleet, Who};
use crate::lab::{Lab, now};
use crate::requests::Request;

/// Pods a node.
const PODS: usize = 2;

/// Requests by phase, verb and resource.
type Counts = BTreeMap<(&'static str, String, String), u64>;

pub async fn measure(nodes: usize, window: u64, who: &[Who]) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for &who in who {
        let lab = Lab::start().await?;
        let counted = run(&lab, who, nodes, Duration::from_secs(window)).await;
        lab.down().await?;
        all.push((who, counted?));
    }
    print(nodes, window, &all);
    Ok(())
}

async fn run(lab: &Lab, who: Who, nodes: usize, window: Duration) -> anyhow::Result<Counts> {
    let started = now();
    let mut fleet = Fleet::start(who, nodes, &lab.kubeconfig(), lab.folder())?;
    let took = lab.until_ready(nodes, &mut fleet).await?;
    println!("{}: all ready after {:.1} s", who.name(), took.as_secs_f64());
    sleep(Duration::from_secs(10)).await;
    let ready = now();
    let cpu = fleet.cpu_seconds()?;
    sleep(window).await;
    let cores = (fleet.cpu_seconds()? - cpu) / window.as_secs_f64();
    println!("{}: {cores:.3} cores, {:.0} MiB", who.name(), fleet.memory("VmRSS")?);
    let steady = now();
    lab.create_pods(PODS * nodes, Some(nodes)).await?;
    lab.until_running(PODS * nodes, &mut fleet).await?;
    // Until every kubelet has looked at its images.
    sleep(Duration::from_secs(45)).await;
    lab.delete_pods().await?;
    lab.until_gone(&mut fleet).await?;
    sleep(Duration::from_secs(5)).await;
    let end = now();
    let phases = [("start", started, ready), ("steady", ready, steady), ("pods", steady, end)];
    Ok(count(&lab.requests()?, &phases))
}

/// Our own requests are told by what only we do. Renewals outside of the steady phase depend on how long it took, and
/// are left out there.
fn count(requests: &[Request], phases: &[(&'static str, DateTime<Utc>, DateTime<Utc>)]) -> Counts {
    let mut counts = Counts::new();
    for request in requests {
        let phase = phases.iter().find(|(_, from, to)| (*from..*to).contains(&request.at));
        let Some(&(phase, ..)) = phase else { continue };
        let (verb, resource) = (&request.class.verb, &request.class.resource);
        let ours = matches!(
            (verb.as_str(), resource.as_str()),
            ("list", "nodes" | "pods") | ("create", "pods") | ("deletecollection", _)
        );
        if !ours && (request.renews.is_none() || phase == "steady") {
            *counts.entry((phase, verb.clone(), resource.clone())).or_insert(0) += 1;
        }
    }
    counts
}

fn print(nodes: usize, window: u64, all: &[(Who, Counts)]) {
    println!(
        "\nRequests of {nodes} nodes; steady is {window} s; pods are {PODS} a node, from creation to removal.\n"
    );
    let names: Vec<&str> = all.iter().map(|(who, _)| who.name()).collect();
    println!("| phase | verb | resource | {} |", names.join(" | "));
    println!("| --- | --- | --- |{}", " --- |".repeat(all.len()));
    let keys: BTreeSet<_> = all.iter().flat_map(|(_, counts)| counts.keys()).collect();
    for key in keys {
        let cells = all.iter().map(|(_, counts)| counts.get(key).copied().unwrap_or(0).to_string());
        println!("| {} | {} | {} | {} |", key.0, key.1, key.2, cells.collect::<Vec<_>>().join(" | "));
    }
}
