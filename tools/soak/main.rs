//! Leaves a recorder on a cluster where something goes wrong all the time, and looks at the end whether anything is missing
//! that the reel does not say, and whether the recorder's memory has grown.
#![expect(clippy::print_stdout, reason = "a program, not a library")]

mod faults;
#[path = "../../tests/support/oracle.rs"]
mod oracle;
#[path = "../../tests/support/proxy.rs"]
mod proxy;
#[path = "../../tests/support/server.rs"]
mod server;
#[path = "../../tests/support/shake.rs"]
mod shake;
mod watched;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use kubereel::cluster::{self, Cluster, ClusterSpec, Dirs, Version};
use kubereel::k8s::{ConnectOptions, Target, connect};
use kubereel::model::{ObjectKey, Record};
use kubereel::trace::Reader;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use faults::Faults;
use oracle::{Listed, Marks};
use shake::Shaker;
use watched::Watched;

/// A recorder on a cluster with a fault at regular times; fails if anything is lost that the reel does not mark.
#[derive(Debug, Parser)]
#[command(name = "soak")]
struct Args {
    /// How long.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(3..=10_080))]
    minutes: u64,
    /// Seconds from fault to fault.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(10..=3600))]
    fault_every: u64,
    /// Changes of the cluster a second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rate: u64,
    /// What the changes follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the reel and the recorder's log go; a folder that is removed at the end if not given.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// The kubereel program to test; the one that was built beside this program if not given.
    #[arg(long, value_name = "PROGRAM")]
    kubereel: Option<PathBuf>,
}

/// Longer than this the recorder may not take to come back at the end; most of it is how long it trusts silence.
const BACK_WITHIN: Duration = Duration::from_mins(5);

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        // The facts come last, where a log that is cut still shows them; `RUST_BACKTRACE` would bury them.
        Err(error) => {
            println!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let program = match &args.kubereel {
        Some(path) => path.clone(),
        None => beside_this_program()?,
    };
    ensure!(
        program.is_file(),
        "{} is not there: run `cargo build` first, or give --kubereel",
        program.display()
    );
    let temporary = tempfile::tempdir()?;
    let folder = args.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    let mut spec =
        ClusterSpec::new(format!("soak-{}", std::process::id()), Version::default(), Dirs::from_env()?);
    spec.shim = Some(program.clone());
    let cluster = cluster::up(&spec).await?;
    let soaked = soak(&cluster, &args, &program, &folder).await;
    cluster.down().await?;
    soaked
}

/// Cargo puts examples into a folder under the one of the programs.
fn beside_this_program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("this program is in no folder")?;
    Ok(folder.join("kubereel"))
}

async fn soak(cluster: &Cluster, args: &Args, program: &Path, folder: &Path) -> anyhow::Result<()> {
    let options = ConnectOptions { kubeconfig: Some(cluster.kubeconfig()), context: None };
    let direct = connect(&options).await?;
    let mut faults = Faults::prepare(cluster, folder).await?;
    let mut shaker = Shaker::new(direct.client.clone(), args.seed);
    shaker.shake(500).await;
    shaker.taken.clear();
    let reel = folder.join("soak.reel");
    let mut recorder = Watched::start(program, &faults.kubeconfig, &reel, &folder.join("record.log")).await?;

    let end = Instant::now() + Duration::from_secs(args.minutes * 60);
    let every = Duration::from_secs(args.fault_every);
    let shake = async {
        let mut ticks = interval(Duration::from_secs(1) / u32::try_from(args.rate)?);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            shaker.shake(1).await;
        }
    };
    let broken: anyhow::Result<()> = tokio::select! {
        broken = shake => broken,
        broken = recorder.sample() => broken,
        broken = faults.go_on(every, end, &direct.client) => broken,
        () = tokio::time::sleep_until(end) => Ok(()),
    };
    broken?;
    faults.heal(&direct.client).await?;

    let lists = verdict_of(&direct, &mut shaker, &reel).await?;
    recorder.stop().await?;
    let marks = Marks::of(&reel)?;
    println!(
        "{} changes taken by the API server, {} faults: {}",
        shaker.taken.len(),
        faults.count(),
        faults.told()
    );
    println!(
        "{} gaps, {} notes in {} bytes",
        marks.gaps.len(),
        marks.notes.len(),
        std::fs::metadata(&reel)?.len()
    );
    println!("{}", recorder.memory());
    let mut wrong = marks.lost_unmarked(&shaker.taken);
    for list in &lists {
        wrong.extend(list.differences(&reel)?);
    }
    ensure!(wrong.is_empty(), "{} things are wrong and not marked, such as {}", wrong.len(), wrong[0]);
    println!("nothing is lost unmarked; the state in the reel is what the API server says");
    Ok(())
}

/// What the API server says, once the recorder has caught up with it.
async fn verdict_of(direct: &Target, shaker: &mut Shaker, reel: &Path) -> anyhow::Result<Vec<Listed>> {
    until_seen(shaker, reel).await?;
    let mut lists = Vec::new();
    for kind in shake::kinds() {
        lists.push(Listed::now(&direct.client, &kind).await?);
    }
    until_seen(shaker, reel).await?;
    Ok(lists)
}

/// Waits until marks that are made now are in the reel, and with them everything before.
async fn until_seen(shaker: &mut Shaker, reel: &Path) -> anyhow::Result<()> {
    let marks = shaker.mark().await?;
    let limit = Instant::now() + BACK_WITHIN;
    while !holds(reel, &marks)? {
        ensure!(Instant::now() < limit, "the recorder does not come back within {BACK_WITHIN:?}");
        sleep(Duration::from_secs(3)).await;
    }
    Ok(())
}

fn holds(reel: &Path, keys: &[ObjectKey]) -> anyhow::Result<bool> {
    let mut missing: HashSet<&ObjectKey> = keys.iter().collect();
    for record in Reader::open(reel)? {
        if let Record::Object(event) = record? {
            missing.remove(&event.key);
        }
    }
    Ok(missing.is_empty())
}
