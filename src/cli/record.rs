use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::args::{ConnectArgs, Level, parse_duration};
use super::signals::interrupted;
use super::{Outcome, output};
use crate::k8s::{Target, connect};
use crate::pace::{Clock, SystemClock};
use crate::record::{RecordOptions, Recorder, default_kinds};
use crate::trace::{ClusterInfo, Header, ReelThread, Sink, WriteOptions};

/// Records pods, nodes and what a scheduler reads besides them into a reel, until Ctrl-C or for a while.
///
/// Needs get, list and watch of pods and nodes in all namespaces; other kinds that it may not see are named in a
/// warning and left out. The file is readable up to the last second whatever happens to the recorder.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel record -o prod.reel                          until Ctrl-C
  kubereel record -o prod.reel --context prod --duration 1h")]
pub(super) struct RecordArgs {
    /// Where the reel goes.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Stop by itself after this time: 90s, 10m, 1h30m.
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Keep metadata.managedFields, which no replay needs.
    #[arg(long)]
    managed_fields: bool,
    /// How much of each pod and node to keep.
    #[arg(long, value_enum, default_value_t = Level::Lossless)]
    level: Level,
    /// Replace the file if it exists.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    source: ConnectArgs,
}

pub(super) async fn run(args: RecordArgs) -> anyhow::Result<Outcome> {
    let chosen = args.source.choose()?;
    let target = connect(&chosen.connect).await?;
    tracing::info!("recording {target} into {}", args.out.display());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let header = header(&target, &args, &chosen.scheduler_version, clock.wall_ns());
    let write =
        WriteOptions { overwrite: args.overwrite, detail: args.level.into(), ..WriteOptions::default() };
    let reel = ReelThread::start(&args.out, &header, write)?;
    let sink = reel.sink();
    let options = RecordOptions { managed_fields: args.managed_fields, ..RecordOptions::default() };
    let started = Recorder::start(target.session(), default_kinds(), options, sink.clone(), clock).await;
    let recorder = match started {
        Ok(recorder) => recorder,
        Err(error) => {
            // Nothing was recorded: no file that looks like a recording.
            drop(reel.seal());
            std::fs::remove_file(&args.out)?;
            return Err(error.into());
        }
    };
    until_the_end(&sink, args.duration).await;
    recorder.stop().await;
    let summary = reel.seal()?;
    let events: u64 = summary.events.values().flat_map(|verbs| verbs.values()).sum();
    output::print(&format!(
        "recorded {events} events over {:.0} s into {}, {} gaps",
        summary.last.as_secs_f64(),
        args.out.display(),
        summary.gaps
    ))?;
    Ok(if summary.gaps > 0 { Outcome::Loss } else { Outcome::Done })
}

/// Waits for the time, a signal, or a writer that gave up; shows on a terminal what has come so far.
async fn until_the_end(sink: &Sink, duration: Option<Duration>) {
    let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
    let line =
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let watch = async {
        while !sink.has_failed() {
            let (records, bytes) = sink.progress();
            line.set_message(format!("{records} records, {} KiB", bytes / 1024));
            line.tick();
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    tokio::select! {
        _ = interrupted() => {}
        () = tokio::time::sleep(duration.unwrap_or(Duration::MAX)) => {}
        () = watch => {}
    }
    line.finish_and_clear();
}

fn header(target: &Target, args: &RecordArgs, scheduler_version: &str, wall_ns: i64) -> Header {
    let mut redaction = vec!["annotation kubectl.kubernetes.io/last-applied-configuration".to_owned()];
    if !args.managed_fields {
        redaction.push("metadata.managedFields".to_owned());
    }
    Header {
        id: uuid::Uuid::new_v4().to_string(),
        writer: concat!("kubereel ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: std::env::args().collect(),
        started_wall_ns: wall_ns,
        cluster: ClusterInfo {
            server_version: target.version.clone(),
            scheduler_version: scheduler_version.to_owned(),
            context: target.context.clone(),
        },
        redaction,
        ..Header::default()
    }
}
