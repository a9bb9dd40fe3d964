//! What an import costs: an audit log of any size beside what its JSON alone costs to read, each in a process of its own, and
//! openb where its tables are: `cargo bench --bench import -- [MEGABYTES] [FOLDER OF OPENB]`.

#![allow(clippy::print_stdout, missing_docs, reason = "a program for people")]

mod life;
mod used;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::ensure;
use kubereel::import::audit::Audit;
use kubereel::import::openb::Openb;
use kubereel::import::{Shaping, Target};
use kubereel::model::{ObjectEvent, PodView, Verb};
use kubereel::pace::{Clock, SystemClock};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Ways to go through a log.
const WAYS: [(&str, &str); 4] = [
    ("lines", "lines alone"),
    ("skip", "serde_json, all skipped"),
    ("tree", "serde_json, trees"),
    ("import", "kubereel import audit"),
];

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [way, file] = &args[..]
        && Path::new(file).is_file()
    {
        return measure(way, Path::new(file));
    }
    let megabytes: u64 = args.first().and_then(|arg| arg.parse().ok()).unwrap_or(200);
    let dir = tempfile::tempdir_in("target")?;
    for (policy, whole) in [("the smallest policy", false), ("RequestResponse for all", true)] {
        for size in [megabytes / 4, megabytes] {
            let log = dir.path().join("audit.log");
            let events = write_log(&log, size * 1_000_000, whole)?;
            let bytes = std::fs::metadata(&log)?.len();
            println!("\n{policy}: {events} events, {} MB, {} B each", bytes / 1_000_000, bytes / events);
            println!("{:<28} {:>9} {:>9} {:>11} {:>9}", "", "wall s", "CPU s", "MB/s of CPU", "peak MiB");
            for (way, words) in WAYS {
                row(words, &[way, &log.display().to_string()], bytes)?;
            }
        }
    }
    let openb = args.get(1).map_or_else(|| PathBuf::from("../shared/data/openb"), PathBuf::from);
    if openb.is_dir() {
        println!("\nopenb: 1,523 nodes, 8,152 pods, filled to 130 %");
        let bytes = std::fs::metadata(openb.join("openb_pod_list_default.csv"))?.len();
        row(
            "kubereel import openb",
            &["openb", &openb.join("openb_pod_list_default.csv").display().to_string()],
            bytes,
        )?;
    }
    Ok(())
}

/// Lets a process of its own do it, and prints what that took.
fn row(words: &str, args: &[&str], bytes: u64) -> anyhow::Result<()> {
    let done = Command::new(std::env::current_exe()?).args(args).stderr(Stdio::inherit()).output()?;
    ensure!(done.status.success(), "{words} failed");
    let text = String::from_utf8(done.stdout)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [wall, cpu, peak] = numbers[..] else { anyhow::bail!("{words} said {text:?}") };
    println!("{words:<28} {wall:>9.2} {cpu:>9.2} {:>11.0} {peak:>9.1}", bytes as f64 / 1e6 / cpu);
    Ok(())
}

fn measure(way: &str, file: &Path) -> anyhow::Result<()> {
    let clock = SystemClock::start();
    let dir = tempfile::tempdir_in("target")?;
    let target = Target::new(dir.path().join("t.reel"));
    match way {
        "import" => {
            let (report, _) = Audit { logs: vec![file.to_owned()], initial: Vec::new() }.run(&target)?;
            ensure!(!report.rows.is_loss(), "{}", report.rows.reasons());
        }
        "openb" => {
            let nodes = file.with_file_name("openb_node_list_all_node.csv");
            let shaping = Shaping { fill: Some(1.3), ..Shaping::default() };
            Openb { nodes, pods: file.to_owned(), pods_per_node: 110, priorities: false, shaping }
                .run(&target)?;
        }
        _ => {
            let (mut reader, mut line) = (BufReader::with_capacity(1 << 17, File::open(file)?), Vec::new());
            while reader.read_until(b'\n', &mut line)? > 0 {
                match way {
                    "skip" => drop(serde_json::from_slice::<serde::de::IgnoredAny>(&line)?),
                    "tree" => drop(serde_json::from_slice::<Value>(&line)?),
                    _ => {}
                }
                line.clear();
            }
        }
    }
    println!(
        "{} {} {}",
        clock.now().as_secs_f64(),
        used::cpu_seconds("self")?,
        used::memory_mib("self", "VmHWM")?
    );
    Ok(())
}

/// Writes the log of lives of pods; says how many events it has.
fn write_log(path: &Path, bytes: u64, whole: bool) -> anyhow::Result<u64> {
    let mut log = BufWriter::new(File::create(path)?);
    let (mut written, mut count) = (0, 0);
    for (event, _) in life::Events::new(1, 1_000.0) {
        if written >= bytes {
            break;
        }
        // The last change is part of the request that takes the pod away.
        if event.verb == Verb::Modified && PodView(&event.object).deletion_grace_seconds() == Some(0) {
            continue;
        }
        let line = line(&event, count, whole);
        written += line.len() as u64 + 1;
        count += 1;
        log.write_all(line.as_bytes())?;
        log.write_all(b"\n")?;
    }
    log.flush()?;
    Ok(count)
}

/// The request that brought a change about, as an API server logs it.
fn line(event: &ObjectEvent, number: u64, whole: bool) -> String {
    let pod = PodView(&event.object);
    let mut object = event.object.to_value();
    // As the policy wants it.
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    let status = json!({"metadata": {"uid": pod.uid()}, "status": object["status"]});
    let is_bare = object["status"]["startTime"].is_null();
    let (verb, subresource, request, response) = match event.verb {
        Verb::Added | Verb::Initial => ("create", "", Value::Null, object),
        Verb::Deleted => ("delete", "", json!({"gracePeriodSeconds": 0}), object),
        Verb::Modified if is_bare => {
            ("create", "binding", json!({"target": {"kind": "Node", "name": pod.node_name()}}), Value::Null)
        }
        Verb::Modified if whole => ("patch", "status", status, object),
        Verb::Modified => ("patch", "status", status, Value::Null),
    };
    let time = |nanos: u64| {
        let wall = life::START as i64 * 1_000_000_000 + nanos as i64;
        chrono::DateTime::from_timestamp_nanos(wall).to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
    };
    let mut line = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse", "auditID": format!("{number:036}"),
        "stage": "ResponseComplete", "verb": verb,
        "requestURI": format!("/api/v1/namespaces/{}/pods/{}/{subresource}?timeout=10s", pod.namespace(), pod.name()),
        "user": {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["system:authenticated"]},
        "sourceIPs": ["10.89.0.40"], "userAgent": "kube-controller-manager/v1.37.2 (linux/amd64) kubernetes/67a30c0",
        "objectRef": {"resource": "pods", "namespace": pod.namespace(), "name": pod.name(), "apiVersion": "v1",
                      "uid": pod.uid(), "subresource": subresource},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": time(event.at.as_nanos()), "stageTimestamp": time(event.at.as_nanos() + 3_000_000),
        "annotations": {"authorization.k8s.io/decision": "allow"},
    });
    if !request.is_null() {
        line["requestObject"] = request;
    }
    if !response.is_null() {
        line["responseObject"] = response;
    }
    line.to_string()
}
