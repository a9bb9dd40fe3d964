use std::fs::File;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::args::Format;
use super::{Outcome, output};
use crate::model::Record;
use crate::trace::{Ending, Header, Reader, Summary, TraceError, WriteOptions, recover};

/// Looks into reels and mends them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel trace info prod.reel
  kubereel trace cat prod.reel | jq 'select(.key.kind == \"Node\")'
  kubereel trace recover broken.reel -o mended.reel")]
pub(super) struct TraceArgs {
    #[command(subcommand)]
    command: TraceCommand,
}

#[derive(Debug, Subcommand)]
enum TraceCommand {
    /// Says where a reel comes from and what is in it.
    Info {
        /// The reel.
        reel: PathBuf,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Prints the records as JSON lines.
    Cat {
        /// The reel.
        reel: PathBuf,
    },
    /// Makes a whole reel of what is readable in a damaged one.
    Recover {
        /// The damaged reel.
        reel: PathBuf,
        /// Where the new one goes.
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
    },
}

pub(super) fn run(args: TraceArgs) -> anyhow::Result<Outcome> {
    match args.command {
        TraceCommand::Info { reel, format } => info(&reel, format),
        TraceCommand::Cat { reel } => cat(&reel),
        TraceCommand::Recover { reel, out } => {
            let found = recover(&reel, &out, WriteOptions::default())?;
            output::print(&format!(
                "{}: {} records from {} whole chunks; {} bytes in {} places are lost",
                out.display(),
                found.summary.records,
                found.chunks,
                found.lost_bytes,
                found.holes
            ))?;
            Ok(if found.is_lossy() { Outcome::Loss } else { Outcome::Done })
        }
    }
}

/// A reel as far as it can be read.
struct Look {
    header: Header,
    summary: Summary,
    state: &'static str,
    damage: Option<TraceError>,
}

fn info(path: &Path, format: Format) -> anyhow::Result<Outcome> {
    let look = look(path)?;
    let text = match format {
        Format::Table => info_table(&look),
        Format::Json => serde_json::to_string_pretty(&json!({
            "schema": "kubereel.dev/info/v1", "state": look.state, "header": look.header,
            "damage": look.damage.as_ref().map(ToString::to_string),
            "records": look.summary.records, "events": look.summary.events, "gaps": look.summary.gaps,
            "first_ns": look.summary.first, "last_ns": look.summary.last,
        }))?,
    };
    output::print(&text)?;
    Ok(if look.damage.is_some() || look.summary.gaps > 0 { Outcome::Loss } else { Outcome::Done })
}

fn look(path: &Path) -> anyhow::Result<Look> {
    let mut reader = Reader::open(path)?;
    let header = reader.header().clone();
    let (mut summary, mut damage) = (Summary::default(), None);
    for record in reader.by_ref() {
        match record {
            Ok(record) => summary.count(&record),
            Err(error) => damage = Some(error),
        }
    }
    let state = match (reader.ending(), &damage) {
        (_, Some(_)) => "damaged",
        (Some(Ending::Sealed(_)), None) => "sealed",
        _ if is_being_written(path) => "being written",
        _ => "unsealed: its writer died",
    };
    Ok(Look { header, summary, state, damage })
}

/// Writers hold a lock on their file.
fn is_being_written(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

fn info_table(look: &Look) -> String {
    let (header, summary) = (&look.header, &look.summary);
    let wall = chrono::DateTime::from_timestamp_nanos(header.started_wall_ns);
    let mut lines = vec![
        format!("state      {}", look.state),
        format!("id         {}", header.id),
        format!("writer     {}", header.writer),
        format!("started    {}", wall.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
        format!("cluster    {} ({})", header.cluster.context, header.cluster.server_version),
    ];
    if !header.cluster.scheduler_version.is_empty() {
        lines.push(format!("scheduler  {}", header.cluster.scheduler_version));
    }
    if let Some(run) = &header.run {
        let speed = if run.speed > 0.0 { format!(" at {}x", run.speed) } else { String::new() };
        lines.push(format!("run of     {} ({}{speed})", run.source, run.mode));
    }
    lines.push(format!("span       {:.1} s", summary.last.since(summary.first).as_secs_f64()));
    lines.push(format!("records    {}, {} gaps", summary.records, summary.gaps));
    for (kind, verbs) in &summary.events {
        let counts: Vec<_> = verbs.iter().map(|(verb, n)| format!("{n} {verb}")).collect();
        lines.push(format!("  {kind}: {}", counts.join(", ")));
    }
    lines.extend(look.damage.iter().map(|damage| format!("DAMAGE     {damage}")));
    lines.join("\n")
}

fn cat(path: &Path) -> anyhow::Result<Outcome> {
    for record in Reader::open(path)? {
        match record {
            Ok(record) => output::print(&to_json(&record)?.to_string())?,
            Err(error) if error.is_loss() => {
                tracing::warn!("{error}");
                return Ok(Outcome::Loss);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Outcome::Done)
}

fn to_json(record: &Record) -> Result<Value, serde_json::Error> {
    let (name, mut value) = match record {
        Record::Object(r) => ("object", serde_json::to_value(r)?),
        Record::Clock(r) => ("clock", serde_json::to_value(r)?),
        Record::Synced(r) => ("synced", serde_json::to_value(r)?),
        Record::Gap(r) => ("gap", serde_json::to_value(r)?),
        Record::Action(r) => ("action", serde_json::to_value(r)?),
        Record::Phase(r) => ("phase", serde_json::to_value(r)?),
        Record::Note(r) => ("note", serde_json::to_value(r)?),
    };
    value["record"] = name.into();
    Ok(value)
}
