//! Makes a recording of a production-like cluster: a real local control plane with its real controllers, hollow nodes
//! with real leases, and a seeded script of what people and systems do to a cluster. What is asked for is the same for
//! every run of a seed; when the control plane answers is not.
#![expect(clippy::print_stdout, reason = "a program, not a library")]

mod base;
mod kinds;
mod nodes;
mod objects;
mod play;
mod rng;
mod scenario;
mod stage;
mod step;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use kubereel::cluster::{self, Cluster, ClusterSpec, Component, Dirs, Version};
use kubereel::k8s::{ConnectOptions, Target, connect};
use kubereel::model::POD;
use kubereel::pace::{Clock, SystemClock};
use kubereel::record::{RecordOptions, Recorder, default_kinds};
use kubereel::trace::{ClusterInfo, Header, ReelThread, Summary, WriteOptions};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use stage::Stage;

/// Arguments of the controller manager that fit the days of a cluster into minutes: a silent node is noticed after two
/// missed renewals of its lease (a kubelet's are 10 s apart) instead of after 50 s.
const FASTER: [&str; 2] = ["--node-monitor-grace-period=21s", "--node-monitor-period=2s"];

/// How long the first workloads may take to run.
const SETTLES_WITHIN: Duration = Duration::from_secs(90);

/// Written once and read often: worth the best compression.
const LEVEL: i32 = 19;

/// Records a seeded, production-like scenario on a local control plane with hollow nodes.
#[derive(Debug, Parser)]
#[command(name = "churn")]
struct Args {
    /// Where the reel goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file if it exists.
    #[arg(long)]
    overwrite: bool,
    /// What the scenario's choices follow from.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Nodes at the start.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(6..=200))]
    nodes: u64,
    /// Length of the scenario.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=240))]
    minutes: u64,
    /// Version of the control plane.
    #[arg(long, default_value_t)]
    version: Version,
    /// The kubereel program that starts the control plane; the one that was built beside this program if not given.
    #[arg(long, value_name = "PROGRAM")]
    kubereel: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    log_to_stderr();
    ensure!(args.overwrite || !args.out.exists(), "{} is there; --overwrite replaces it", args.out.display());
    let spec = cluster_spec(&args)?;
    // Dropping the unfinished start takes down what it had started.
    let cluster = tokio::select! {
        cluster = cluster::up(&spec) => cluster?,
        signal = interrupted() => bail!("interrupted by {} while starting", signal?),
    };
    let produced = tokio::select! {
        produced = produce(&cluster, &args) => produced,
        signal = interrupted() => match signal {
            Ok(signal) => Err(anyhow::anyhow!("interrupted by {signal}; the reel is not sealed")),
            Err(error) => Err(error.into()),
        },
    };
    cluster.down().await?;
    let summary = produced?;
    let events: u64 = summary.events.values().flat_map(|verbs| verbs.values()).sum();
    let size = std::fs::metadata(&args.out)?.len();
    println!("{}: {events} events, {} gaps, {} KiB", args.out.display(), summary.gaps, size / 1024);
    ensure!(summary.gaps == 0, "the recording has gaps");
    Ok(())
}

/// As `kubereel` does: `KUBEREEL_LOG` says what, in the words of `RUST_LOG`.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("KUBEREEL_LOG")
        .unwrap_or_else(|_| EnvFilter::new("kubereel=info,churn=info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).without_time();
    log.with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).init();
}

async fn interrupted() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.map(|()| "Ctrl-C"),
        _ = terminate.recv() => Ok("SIGTERM"),
    }
}

fn cluster_spec(args: &Args) -> anyhow::Result<ClusterSpec> {
    let shim = match &args.kubereel {
        Some(path) => path.clone(),
        None => beside_this_program()?,
    };
    ensure!(shim.is_file(), "{} is not there: run `cargo build` first, or give --kubereel", shim.display());
    let name = format!("churn-{}", std::process::id());
    let mut spec =
        ClusterSpec { shim: Some(shim), ..ClusterSpec::new(name, args.version.clone(), Dirs::from_env()?) };
    spec.settings.extra_args.insert(Component::ControllerManager, FASTER.map(str::to_owned).into());
    Ok(spec)
}

/// Cargo puts examples into a folder under the one of the programs.
fn beside_this_program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("this program is in no folder")?;
    Ok(folder.join("kubereel"))
}

/// Sets the stage, records the play.
async fn produce(cluster: &Cluster, args: &Args) -> anyhow::Result<Summary> {
    let options = ConnectOptions { kubeconfig: Some(cluster.kubeconfig()), context: None };
    let target = connect(&options).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let machines = nodes::first(args.nodes);
    let stage = Arc::new(Stage::set(&target.client, clock.clone()));
    for object in base::context() {
        stage.create(&object.into()).await?;
    }
    for machine in &machines {
        stage.join(machine).await?;
    }
    for object in base::workloads(args.nodes) {
        stage.create(&object.into()).await?;
    }
    settle(&stage).await?;

    // Trace time starts with the recording.
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let write = WriteOptions { level: LEVEL, overwrite: args.overwrite, ..WriteOptions::default() };
    let header = header(&target, cluster, args, clock.wall_ns());
    let reel = ReelThread::start(&args.out, &header, write)?;
    let options = RecordOptions::default();
    let recorder = Recorder::start(target.session(), default_kinds(), options, reel.sink(), clock).await?;
    let length = Duration::from_secs(60 * args.minutes);
    let script = scenario::script(args.seed, &machines, length);
    let played = play::play(&stage, script, stage.clock.now(), length).await;
    recorder.stop().await;
    let summary = reel.seal()?;
    played.map(|()| summary)
}

/// Waits until every pod runs.
async fn settle(stage: &Stage) -> anyhow::Result<()> {
    let running = async {
        loop {
            let pods = stage.list(&POD.path()).await?;
            let up = pods.iter().filter(|pod| pod["status"]["phase"] == "Running").count();
            tracing::info!("{up} of {} pods run", pods.len());
            if up > 0 && up == pods.len() {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    };
    tokio::time::timeout(SETTLES_WITHIN, running).await.context("the first workloads do not come to run")?
}

/// The facts that `kubereel record` writes, and what made the cluster.
fn header(target: &Target, cluster: &Cluster, args: &Args, wall_ns: i64) -> Header {
    let facts = [("generator", "churn".to_owned()), ("seed", args.seed.to_string())];
    Header {
        id: uuid::Uuid::new_v4().to_string(),
        writer: concat!("kubereel ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: std::iter::once("churn".to_owned()).chain(std::env::args().skip(1)).collect(),
        started_wall_ns: wall_ns,
        cluster: ClusterInfo {
            server_version: target.version.clone(),
            scheduler_version: cluster.scheduler_version().map(Version::to_string).unwrap_or_default(),
            context: "churn".to_owned(),
        },
        redaction: vec![
            "annotation kubectl.kubernetes.io/last-applied-configuration".to_owned(),
            "metadata.managedFields".to_owned(),
        ],
        labels: facts.map(|(key, value)| (key.to_owned(), value)).into(),
        ..Header::default()
    }
}
