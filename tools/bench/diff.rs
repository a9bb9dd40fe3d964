//! How long two reels take to be read and compared, and in how much memory, by their number of pods:
//! `cargo bench --bench diff -- [PODS]…`. Each size runs in a process of its own, as peak memory never falls.

#![allow(clippy::print_stdout, missing_docs, reason = "a program for people")]

mod used;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use kubereel::diff;
use kubereel::model::{Json, ObjectEvent, Record, TraceTime, Verb};
use kubereel::pace::{Clock, SystemClock};
use kubereel::trace::{Detail, Header, ReelWriter, WriteOptions};
use serde_json::json;

/// The program's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: u64 = 20_261_125;
const NODES: u64 = 1000;

/// Pods alive at once.
const ALIVE: u64 = 20_000;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    if let [_, mode, a, b, pods] = &args[..]
        && mode == "compare"
    {
        return measure(Path::new(a), Path::new(b), pods.parse()?);
    }
    let mut sizes: Vec<u64> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000, 1_000_000];
    }
    let dir = tempfile::tempdir_in("target")?;
    println!("two reels, four events a pod, {NODES} nodes, one pod in a thousand moved, seed {SEED}");
    println!(
        "{:>9} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "pods", "MB a reel", "read, s", "diff, s", "all, s", "CPU, s", "peak MiB", "moved"
    );
    for pods in sizes {
        let (a, b) = (dir.path().join("a.reel"), dir.path().join("b.reel"));
        write(&a, pods, false)?;
        write(&b, pods, true)?;
        let status = Command::new(std::env::current_exe()?)
            .arg("compare")
            .args([&a, &b])
            .arg(pods.to_string())
            .status()?;
        anyhow::ensure!(status.success(), "the comparison failed");
    }
    Ok(())
}

fn measure(a: &Path, b: &Path, pods: u64) -> anyhow::Result<()> {
    let size = std::fs::metadata(a)?.len() as f64 / 1e6;
    let clock = SystemClock::start();
    let sides = diff::load_all(&[PathBuf::from(a), PathBuf::from(b)])?;
    let read = clock.now().as_secs_f64();
    let found = diff::compare(&sides[0], &sides[1]);
    let all = clock.now().as_secs_f64();
    anyhow::ensure!(found.agreement.pairs == pods, "{} of {pods} pods came back", found.agreement.pairs);
    let (cpu, peak) = (used::cpu_seconds("self")?, used::memory_mib("self", "VmHWM")?);
    let (compare, moved) = (all - read, found.moved.len());
    println!(
        "{pods:>9} {size:>10.1} {read:>9.2} {compare:>9.2} {all:>9.2} {cpu:>9.2} {peak:>9.0} {moved:>9}"
    );
    Ok(())
}

/// A reel in which pods come one a millisecond, are bound, run and end; with `moves`, some on another node.
fn write(path: &Path, pods: u64, moves: bool) -> anyhow::Result<()> {
    let options = WriteOptions { detail: Detail::Lifecycle, overwrite: true, ..WriteOptions::default() };
    let mut writer = ReelWriter::create(path, &Header::default(), options)?;
    let mut push = |at: Duration, verb: Verb, object: Json| -> anyhow::Result<()> {
        let event =
            ObjectEvent::new(TraceTime::ZERO + at, verb, object).context("an object without a name")?;
        Ok(writer.push(&Record::Object(event))?)
    };
    for node in 0..NODES {
        let name = format!("node-{node:04}");
        let labels = json!({"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("zone-{}", node % 3)});
        push(
            Duration::ZERO,
            Verb::Initial,
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "status": {"allocatable": {"cpu": "64", "memory": "256Gi", "pods": "250"}}})
            .into(),
        )?;
    }
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut alive: std::collections::VecDeque<Json> = std::collections::VecDeque::new();
    for number in 0..pods {
        let at = Duration::from_millis(number + 1);
        let app = format!("service-{:02}", rng.u64(..40));
        let uid = format!(
            "{:08x}-{:04x}-4{:03x}-9{:03x}-{number:012x}",
            rng.u32(..),
            rng.u16(..),
            rng.u16(..4096),
            rng.u16(..4096)
        );
        let mut node = rng.u64(..NODES);
        if moves && number % 1000 == 999 {
            node = (node + 1) % NODES;
        }
        let mut pod = Json::from(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("{app}-{number:07}"), "namespace": "prod", "uid": uid, "labels": {"app": app}},
            "spec": {"schedulerName": "default-scheduler", "containers": [{"name": "main", "image": "i",
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}]},
            "status": {"phase": "Pending"}}));
        push(at, Verb::Added, pod.clone())?;
        pod.set(&["spec", "nodeName"], format!("node-{node:04}").as_str().into());
        push(at + Duration::from_micros(200), Verb::Modified, pod.clone())?;
        pod.set(&["status", "phase"], "Running".into());
        push(at + Duration::from_micros(500), Verb::Modified, pod.clone())?;
        alive.push_back(pod);
        if alive.len() as u64 > ALIVE
            && let Some(oldest) = alive.pop_front()
        {
            push(at + Duration::from_micros(700), Verb::Deleted, oldest)?;
        }
    }
    writer.seal()?;
    Ok(())
}
