//! What it costs to record a busy cluster: our recorder, recorders over the typed watches of kube-rs, and a plain copy of the
//! bytes to disk, one after the other in processes of their own, fed with the same 8 KB pod events by a server on
//! loopback: `cargo bench --bench record -- [EVENTS] [LIVE PODS]`.

#![allow(clippy::print_stdout, missing_docs, reason = "a program for people")]

mod feed;
mod life;
mod takers;
mod used;

use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, ensure};
use feed::Feed;
use takers::Taker;

/// The program's own allocator, for all that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// A worker for each, as `kubereel record` has.
#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    if let Some("take") = args.next().as_deref() {
        let arg = |what| args.next().context(what);
        let mut arg = arg;
        let (taker, port) = (arg("no taker")?.parse()?, arg("no port")?.parse()?);
        return takers::take(taker, port, arg("no count")?.parse()?, arg("no file")?.as_ref()).await;
    }
    let numbers: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let (events, live) =
        (numbers.first().copied().unwrap_or(20_000), numbers.get(1).copied().unwrap_or(100_000));

    let feed = Arc::new(Feed::of_events(events));
    println!("{events} pod events, {} B each, as fast as they are taken", feed.bytes() / events);
    println!("{:<44} {:>9} {:>9} {:>9} {:>8} {:>9}", "", "wall/s", "CPU/s", "us CPU", "B/event", "peak MiB");
    for taker in Taker::ALL {
        row(taker, &feed, events).await?;
    }

    let feed = Arc::new(Feed::of_pods(live));
    println!("\n{live} live pods, {} B each, listed once", feed.bytes() / live);
    println!("{:<44} {:>9} {:>9} {:>9} {:>8} {:>9}", "", "wall/s", "CPU/s", "us CPU", "B/pod", "peak MiB");
    for taker in Taker::ALL {
        row(taker, &feed, live).await?;
    }
    Ok(())
}

/// Lets a process of its own take everything, and prints what that took.
async fn row(taker: Taker, feed: &Arc<Feed>, count: usize) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in("target")?;
    let file = dir.path().join("taken");
    let port = feed.clone().serve().await?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("take").arg(taker.to_string()).arg(port.to_string()).arg(count.to_string()).arg(&file);
    let done = tokio::task::spawn_blocking(move || command.stderr(Stdio::inherit()).output()).await??;
    ensure!(done.status.success(), "{taker} failed");
    let text = String::from_utf8(done.stdout)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [wall, cpu, peak] = numbers[..] else { anyhow::bail!("{taker} said {text:?}") };
    let (count, size) = (count as f64, std::fs::metadata(&file)?.len() as f64);
    println!(
        "{:<44} {:>9.0} {:>9.0} {:>9.1} {:>8.0} {:>9.1}",
        taker.describe(),
        count / wall,
        count / cpu,
        cpu * 1e6 / count,
        size / count,
        peak
    );
    Ok(())
}
