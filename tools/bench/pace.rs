//! How well a replay keeps its schedule, and how fast it floods, against an API server on loopback that only answers. The
//! replay is the real program, on one core; the server has another.
//!
//! ```text
//! cargo bench --bench pace -- steady 10000 60     10,000 pods a second for a minute: lateness
//! cargo bench --bench pace -- beside 100 60       100 pods a second for a minute of trace, at 1x, 10x and 100x: this replay,
//!                                                 and two that sleep from gap to gap
//! cargo bench --bench pace -- flood 300000        as fast as the server takes it
//! cargo bench --bench pace -- arrivals 50 60      50 pods a second for a minute against a real control plane: how far from
//!                                                 the trace's times a watch sees them
//! ```
#![allow(clippy::print_stdout, missing_docs, reason = "a program for people")]

#[path = "stub_api.rs"]
mod stub_api;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use kubereel::k8s::{ConnectOptions, Request, connect, send};
use kubereel::model::{ActionKind, ID_ANNOTATION, Json, ObjectEvent, POD, Record, Synced, TraceTime, Verb};
use kubereel::pace::{Clock, SystemClock};
use kubereel::replay::{Action, Plan};
use kubereel::trace::{Header, Reader, ReelWriter, WriteOptions};
use serde_json::{Value, json};

const KUBEREEL: &str = env!("CARGO_BIN_EXE_kubereel");

/// The core of what is measured, and that of the server.
const CORES: [&str; 2] = ["0", "1"];

const SEED: u64 = 20_261_125;

#[derive(Debug, Parser)]
#[command(name = "pace")]
struct Args {
    #[command(subcommand)]
    what: What,
    /// Cargo gives it.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lateness at a steady rate.
    Steady { rate: f64, seconds: u64 },
    /// The same trace paced by one schedule, and by sleeping gaps.
    Beside { rate: f64, seconds: u64 },
    /// Throughput.
    Flood { pods: usize },
    /// Distance of arrivals from the trace, by a watch of a real API server.
    Arrivals { rate: f64, seconds: u64 },
    /// The server: for this program itself.
    #[command(hide = true)]
    Serve { kubeconfig: std::path::PathBuf },
    /// Plays a reel by sleeping gaps: for this program itself.
    #[command(hide = true)]
    Sleep { kubeconfig: std::path::PathBuf, reel: std::path::PathBuf, speed: f64, gaps: Gaps },
}

/// How a gap is slept.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Gaps {
    /// All of it.
    Exact,
    /// Its whole seconds, as SimKube does (`compute_step_size` in its driver, v2.7.0).
    Seconds,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    let dir = tempfile::tempdir_in("target")?;
    let bench = Bench { dir: dir.path(), kubeconfig: dir.path().join("kubeconfig") };
    match args.what {
        What::Steady { rate, seconds } => bench.steady(rate, seconds),
        What::Beside { rate, seconds } => bench.beside(rate, seconds),
        What::Flood { pods } => bench.flood(pods),
        What::Arrivals { rate, seconds } => bench.arrivals(rate, seconds),
        What::Serve { kubeconfig } => runtime.block_on(serve(&kubeconfig)),
        What::Sleep { kubeconfig, reel, speed, gaps } => {
            let late = runtime.block_on(sleep_gaps(&kubeconfig, &reel, speed, gaps))?;
            println!("{late}");
            Ok(())
        }
    }
}

struct Bench<'d> {
    dir: &'d Path,
    kubeconfig: std::path::PathBuf,
}

/// A server as a process of its own.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Bench<'_> {
    fn steady(&self, rate: f64, seconds: u64) -> anyhow::Result<()> {
        let _server = self.server()?;
        let reel = self.trace(rate, (rate * seconds as f64) as usize)?;
        let run = self.replay(&reel, &["--speed", "1x"])?;
        println!("{rate:.0} pods a second for {seconds} s, lateness in ms:\n");
        println!("| actions | p50 | p99 | max | failed |\n| --- | --- | --- | --- | --- |");
        println!("| {} | {} | {} |", run["lateness_ms"]["n"], lateness(&run["lateness_ms"]), run["refused"]);
        Ok(())
    }

    fn beside(&self, rate: f64, seconds: u64) -> anyhow::Result<()> {
        let _server = self.server()?;
        let reel = self.trace(rate, (rate * seconds as f64) as usize)?;
        println!(
            "{rate:.0} pods a second of trace for {seconds} s. Lateness in ms; at the end: of the last pod.\n"
        );
        println!("| speed | pacing | p50 | p99 | max | at the end |\n| --- | --- | --- | --- | --- | --- |");
        for speed in ["1", "10", "100"] {
            let run = self.replay(&reel, &["--speed", speed])?;
            let last = last_lateness(&self.dir.join("run.reel"))?;
            println!("| {speed}x | one schedule | {} | {last:.2} |", lateness(&run["lateness_ms"]));
            for (gaps, name) in [("exact", "gap by gap, exact"), ("seconds", "gap by gap, whole seconds")] {
                let mut command = pinned(CORES[0], &std::env::current_exe()?);
                command.arg("sleep").arg(&self.kubeconfig).arg(&reel).args([speed, gaps]);
                let late: Value = serde_json::from_slice(&output(command)?)?;
                println!("| {speed}x | {name} | {} | {:.2} |", lateness(&late), number(&late["last"]));
            }
        }
        Ok(())
    }

    fn flood(&self, pods: usize) -> anyhow::Result<()> {
        let _server = self.server()?;
        let reel = self.trace(1_000.0, pods)?;
        let run = self.replay(&reel, &["--mode", "flood"])?;
        println!(
            "{pods} pods in flood: {:.0} a second; failed: {}",
            number(&run["actions_per_second"]),
            run["refused"]
        );
        Ok(())
    }

    /// On any core: the control plane needs them all.
    fn arrivals(&self, rate: f64, seconds: u64) -> anyhow::Result<()> {
        let reel = self.trace(rate, (rate * seconds as f64) as usize)?;
        let kubereel = |args: &[&str]| {
            let mut command = Command::new(KUBEREEL);
            command.args(args).env("KUBEREEL_STATE_DIR", self.dir.join("state")).env("KUBEREEL_LOG", "error");
            command
        };
        output(kubereel(&["cluster", "up", "--name", "pace", "--detach"]))?;
        let mut replay = kubereel(&["replay", "--cluster", "pace", "--format", "json", "--overwrite"]);
        replay.arg(&reel).arg("--out").arg(self.dir.join("run.reel"));
        let run = output(replay);
        output(kubereel(&["cluster", "down", "pace"]))?;
        let run: Value = serde_json::from_slice(&run?)?;
        let (mut due, mut off) = (HashMap::new(), Vec::new());
        let mut seen = HashMap::new();
        for record in Reader::open(&self.dir.join("run.reel"))? {
            match record? {
                Record::Action(report) if report.action == ActionKind::CreatePod => {
                    due.insert(report.key, report.due);
                }
                Record::Object(event) if event.verb == Verb::Added && event.key.kind == "Pod" => {
                    seen.insert(event.key, event.at);
                }
                _ => {}
            }
        }
        off.extend(seen.iter().filter_map(|(key, at)| Some(at.since(*due.get(key)?).as_secs_f64() * 1e3)));
        off.sort_by(f64::total_cmp);
        let at = |q: f64| off[((off.len() - 1) as f64 * q) as usize];
        println!("{rate:.0} pods a second for {seconds} s, ms after the due time:\n");
        println!("| what | pods | p50 | p99 | max |\n| --- | --- | --- | --- | --- |");
        println!("| sent | {} | {} |", run["lateness_ms"]["n"], lateness(&run["lateness_ms"]));
        println!("| seen by the watch | {} | {:.2} | {:.2} | {:.2} |", off.len(), at(0.5), at(0.99), at(1.0));
        Ok(())
    }

    fn server(&self) -> anyhow::Result<Server> {
        let mut command = pinned(CORES[1], &std::env::current_exe()?);
        let child = command.arg("serve").arg(&self.kubeconfig).stdout(Stdio::null()).spawn()?;
        let server = Server(child);
        let clock = SystemClock::start();
        while !self.kubeconfig.exists() {
            ensure!(clock.now().as_secs_f64() < 30.0, "the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Pods that arrive at random at this rate (exponential gaps).
    fn trace(&self, rate: f64, pods: usize) -> anyhow::Result<std::path::PathBuf> {
        let path = self.dir.join("trace.reel");
        let options = WriteOptions { overwrite: true, ..WriteOptions::default() };
        let mut writer =
            ReelWriter::create(&path, &Header { id: "pace".into(), ..Header::default() }, options)?;
        for kind in ["Node", "Pod"] {
            writer.push(&Record::Synced(Synced {
                at: TraceTime::ZERO,
                kind: kind.into(),
                rv: "1".into(),
            }))?;
        }
        let mut chance = fastrand::Rng::with_seed(SEED);
        let mut at = 0.1;
        for n in 0..pods {
            at -= (1.0 - chance.f64()).ln() / rate;
            let event = ObjectEvent::new(TraceTime::from_nanos((at * 1e9) as u64), Verb::Added, pod(n));
            writer.push(&Record::Object(event.context("a pod has a name")?))?;
        }
        writer.seal()?;
        Ok(path)
    }

    fn replay(&self, reel: &Path, more: &[&str]) -> anyhow::Result<Value> {
        let mut command = pinned(CORES[0], Path::new(KUBEREEL));
        command.arg("replay").arg(reel).arg("--kubeconfig").arg(&self.kubeconfig);
        command.args(["--overwrite", "--drain", "1s", "--format", "json", "--out"]);
        command.arg(self.dir.join("run.reel")).args(more);
        Ok(serde_json::from_slice(&output(command)?)?)
    }
}

/// A pod of about the size that a pod has when it is created.
fn pod(n: usize) -> Value {
    let env: Vec<Value> =
        (0..8).map(|i| json!({"name": format!("SETTING_{i}"), "value": format!("value-{i}")})).collect();
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("web-{n}"), "namespace": "default", "uid": format!("uid-{n}"), "resourceVersion": "1",
            "labels": {"app": "web", "pod-template-hash": "7d9c5b6f4"}, "annotations": {ID_ANNOTATION: format!("uid-{n}")}},
        "spec": {"schedulerName": "default-scheduler", "containers": [{"name": "main", "image": "registry.example/web:1",
            "env": env, "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]},
        "status": {"phase": "Pending"}})
}

fn pinned(core: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program).env("KUBEREEL_LOG", "error");
    command
}

/// What a program prints; that a run was late is what is measured, not an error.
fn output(mut command: Command) -> anyhow::Result<Vec<u8>> {
    let output = command.stderr(Stdio::inherit()).output().context("taskset does not start")?;
    ensure!(matches!(output.status.code(), Some(0 | 3)), "{command:?} ended with {}", output.status);
    Ok(output.stdout)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn lateness(late: &Value) -> String {
    ["p50", "p99", "max"].map(|key| format!("{:.2}", number(&late[key]))).join(" | ")
}

/// Lateness of the action that was due last, ms.
fn last_lateness(reel: &Path) -> anyhow::Result<f64> {
    let mut last = None;
    for record in Reader::open(reel)? {
        if let Record::Action(report) = record? {
            last = last.max(Some((report.due, report.sent)));
        }
    }
    let (due, sent) = last.context("the run sent nothing")?;
    Ok(sent.since(due).as_secs_f64() * 1e3)
}

struct Silent;

impl stub_api::Seen for Silent {}

async fn serve(kubeconfig: &Path) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let text = stub_api::kubeconfig(listener.local_addr()?).to_string();
    // Whoever waits for the file finds all of it.
    let whole = kubeconfig.with_extension("new");
    std::fs::write(&whole, text)?;
    std::fs::rename(whole, kubeconfig)?;
    stub_api::serve(listener, Arc::new(Silent)).await;
    Ok(())
}

/// Sleeps each gap, then sends and waits for the answer, one pod after the other.
async fn sleep_gaps(kubeconfig: &Path, reel: &Path, speed: f64, gaps: Gaps) -> anyhow::Result<Value> {
    let plan = Plan::build(Reader::open(reel)?)?;
    let options = ConnectOptions { kubeconfig: Some(kubeconfig.to_owned()), context: None };
    let target = connect(&options).await?;
    let clock = SystemClock::start();
    let (mut at, mut late) = (plan.origin, Vec::with_capacity(plan.actions.len()));
    for timed in plan.actions {
        let Action::CreatePod(submission) = timed.action else { continue };
        let gap = timed.at.since(at).as_secs_f64() / speed;
        let gap = match gaps {
            Gaps::Exact => gap,
            Gaps::Seconds => gap.trunc(),
        };
        tokio::time::sleep(Duration::from_secs_f64(gap)).await;
        at = timed.at;
        let due = timed.at.since(plan.origin).as_secs_f64() / speed;
        late.push((clock.now().as_secs_f64() - due) * 1e3);
        send(&target.client, &Request::create(&POD, &Json::clone(&submission.object))).await?;
    }
    let last = late.last().copied();
    late.sort_by(f64::total_cmp);
    let at = |q: f64| late.get(((late.len() - 1) as f64 * q) as usize).copied();
    Ok(json!({"p50": at(0.5), "p99": at(0.99), "max": at(1.0), "last": last}))
}
