//! What a watcher costs a real API server: CPU of kube-apiserver under the same changes without any, with
//! `kubectl get pods -w -A`, and with recorders, in turn. Several watch at once, since what one adds is less than the noise; what
//! they add is divided among them: `cargo bench --bench overhead -- [ROUNDS] [SECONDS] [CHANGES A SECOND] [WATCHERS]`.

#![allow(clippy::print_stdout, missing_docs, reason = "a program for people")]

#[path = "../../tests/support/shake.rs"]
mod shake;
mod used;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use kubereel::cluster::{self, Cluster, ClusterSpec, Component, Dirs, Version};
use kubereel::k8s::{ConnectOptions, connect};
use shake::Shaker;
use tokio::time::{MissedTickBehavior, interval, sleep};
use used::cpu_seconds;

const KUBEREEL: &str = env!("CARGO_BIN_EXE_kubereel");

/// After its start a watcher lists; that is over by then.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watching {
    Nobody,
    Kubectl,
    Recorder,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let numbers: Vec<u32> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let number = |place: usize, default| numbers.get(place).copied().unwrap_or(default);
    let load = Load {
        rounds: number(0, 5),
        window: Duration::from_secs(number(1, 20).into()),
        rate: number(2, 100),
        watchers: number(3, 10),
    };
    let name = format!("overhead-{}", std::process::id());
    let mut spec = ClusterSpec::new(name, Version::default(), Dirs::from_env()?);
    spec.shim = Some(KUBEREEL.into());
    let cluster = cluster::up(&spec).await?;
    let measured = measure(&cluster, &load).await;
    cluster.down().await?;
    measured
}

/// What to measure.
struct Load {
    rounds: u32,
    window: Duration,
    /// Changes a second.
    rate: u32,
    /// At once, of a sort.
    watchers: u32,
}

async fn measure(cluster: &Cluster, load: &Load) -> anyhow::Result<()> {
    let Load { rounds, window, rate, watchers } = *load;
    let options = ConnectOptions { kubeconfig: Some(cluster.kubeconfig()), context: None };
    let target = connect(&options).await?;
    let pid = cluster.process(Component::ApiServer).context("the API server is stopped")?.pid;
    let dir = tempfile::tempdir()?;
    let mut shaker = Shaker::new(target.client.clone(), 1);
    shaker.shake(1_000).await;
    println!(
        "CPU of kube-apiserver, ms a second: {rate} changes a second, {watchers} watchers, windows of {window:?}"
    );
    println!("{:>6} {:>10} {:>24} {:>16}", "round", "nobody", "kubectl get pods -w -A", "kubereel record");
    let mut sums = [0.0; 3];
    for round in 1..=rounds {
        let mut row = [0.0; 3];
        for (place, who) in [Watching::Nobody, Watching::Kubectl, Watching::Recorder].into_iter().enumerate()
        {
            let children: Vec<Child> = (0..watchers)
                .filter_map(|number| {
                    start(who, &cluster.kubeconfig(), &dir.path().join(number.to_string())).transpose()
                })
                .collect::<anyhow::Result<_>>()?;
            shake_for(&mut shaker, SETTLES_WITHIN, rate).await;
            let before = cpu_seconds(pid)?;
            shake_for(&mut shaker, window, rate).await;
            row[place] = (cpu_seconds(pid)? - before) * 1e3 / window.as_secs_f64();
            for mut child in children {
                child.kill()?;
                child.wait()?;
            }
            sums[place] += row[place] / f64::from(rounds);
        }
        println!("{round:>6} {:>10.1} {:>24.1} {:>16.1}", row[0], row[1], row[2]);
    }
    println!("{:>6} {:>10.1} {:>24.1} {:>16.1}", "mean", sums[0], sums[1], sums[2]);
    let added = [1, 2].map(|place| (sums[place] - sums[0]) / f64::from(watchers));
    println!("{:>6} {:>10} {:>+24.1} {:>+16.1}", "by one", "", added[0], added[1]);
    Ok(())
}

fn start(who: Watching, kubeconfig: &Path, reel: &Path) -> anyhow::Result<Option<Child>> {
    let mut command = match who {
        Watching::Nobody => return Ok(None),
        Watching::Kubectl => {
            let mut command = Command::new("kubectl");
            command.args(["get", "pods", "--watch", "--all-namespaces"]);
            command
        }
        Watching::Recorder => {
            let mut command = Command::new(KUBEREEL);
            command.args(["record", "--overwrite", "--out"]).arg(reel);
            command
        }
    };
    command.arg("--kubeconfig").arg(kubeconfig).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(Some(command.spawn().with_context(|| format!("{who:?} does not start"))?))
}

async fn shake_for(shaker: &mut Shaker, time: Duration, rate: u32) {
    let shake = async {
        let mut ticks = interval(Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            ticks.tick().await;
            shaker.shake(1).await;
        }
    };
    tokio::select! {
        () = shake => {}
        () = sleep(time) => {}
    }
}
