use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::rewrite::is_stdio;
use crate::cli::args::Format;
use crate::cli::{Outcome, import, output};
use crate::import::REPORT_NOTE;
use crate::model::{Gap, PodView, Record, Text, TraceTime, Verb};
use crate::trace::{Detail, Ending, Header, Reader, Summary, TraceError};

/// Gaps that the table tells one by one.
const SHOWN_GAPS: usize = 10;

/// Says where a reel comes from and what is in it.
#[derive(Debug, Args)]
pub(super) struct InfoArgs {
    /// The reel; - for standard input.
    reel: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A reel as far as it can be read.
struct Look {
    header: Header,
    summary: Summary,
    facts: Facts,
    state: &'static str,
    bytes: Option<u64>,
    damage: Option<TraceError>,
}

/// What is counted besides the summary.
#[derive(Default)]
struct Facts {
    /// UIDs of pods without a node that are not over.
    pending: HashSet<Text>,
    peak_pending: (usize, TraceTime),
    /// Events in the second that is being counted, and in the busiest.
    second: (u64, u64),
    busiest: u64,
    gaps: Vec<Gap>,
    /// The report of the import that made the reel.
    import: Option<Value>,
}

impl Facts {
    fn count(&mut self, record: &Record) {
        match record {
            Record::Object(event) => {
                let second = event.at.as_nanos() / 1_000_000_000;
                self.second = if self.second.0 == second { (second, self.second.1 + 1) } else { (second, 1) };
                self.busiest = self.busiest.max(self.second.1);
                if event.key.kind != "Pod" {
                    return;
                }
                let pod = PodView(&event.object);
                let waits =
                    event.verb != Verb::Deleted && pod.node_name().is_none() && !pod.phase().is_terminal();
                if !waits {
                    self.pending.remove(&event.uid);
                } else if self.pending.insert(event.uid.clone()) && self.pending.len() > self.peak_pending.0 {
                    self.peak_pending = (self.pending.len(), event.at);
                }
            }
            Record::Note(note) => {
                let report =
                    note.text.strip_prefix(REPORT_NOTE).and_then(|text| serde_json::from_str(text).ok());
                self.import = report.or(self.import.take());
            }
            Record::Gap(gap) if self.gaps.len() < SHOWN_GAPS => self.gaps.push(gap.clone()),
            _ => {}
        }
    }
}

pub(super) fn run(args: &InfoArgs) -> anyhow::Result<Outcome> {
    let look = look(&args.reel)?;
    let text = match args.format {
        Format::Table => table(&look),
        Format::Json => serde_json::to_string_pretty(&json!({
            "schema": "kubereel.dev/info/v1", "state": look.state, "header": look.header,
            "damage": look.damage.as_ref().map(ToString::to_string), "bytes": look.bytes,
            "records": look.summary.records, "events": look.summary.events, "gaps": look.summary.gaps,
            "first_ns": look.summary.first, "last_ns": look.summary.last,
            "peak_pending": look.facts.peak_pending.0, "peak_pending_at_ns": look.facts.peak_pending.1,
            "busiest_second_events": look.facts.busiest, "import": look.facts.import,
        }))?,
    };
    output::print(&text)?;
    Ok(if look.damage.is_some() || look.summary.gaps > 0 { Outcome::Loss } else { Outcome::Done })
}

fn look(path: &Path) -> anyhow::Result<Look> {
    let mut reader = Reader::open_or_stdin(path)?;
    let header = reader.header().clone();
    let (mut summary, mut facts, mut damage) = (Summary::default(), Facts::default(), None);
    for record in reader.by_ref() {
        match record {
            Ok(record) => {
                summary.count(&record);
                facts.count(&record);
            }
            Err(error) => damage = Some(error),
        }
    }
    let state = match (reader.ending(), &damage) {
        (_, Some(_)) => "damaged",
        (Some(Ending::Sealed(_)), None) => "sealed",
        _ if is_being_written(path) => "being written",
        _ => "unsealed: its writer died",
    };
    let bytes = std::fs::metadata(path).ok().filter(|_| !is_stdio(path)).map(|meta| meta.len());
    Ok(Look { header, summary, facts, state, bytes, damage })
}

/// Writers hold a lock on their file.
fn is_being_written(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

fn table(look: &Look) -> String {
    let mut lines = provenance(look);
    let (summary, facts) = (&look.summary, &look.facts);
    let span = summary.last.since(summary.first).as_secs_f64();
    let events: u64 = summary.events.values().flat_map(|verbs| verbs.values()).sum();
    lines.push(format!("span       {span:.1} s from {}", summary.first));
    lines.push(format!("records    {}, {} gaps", summary.records, summary.gaps));
    let mean = if span > 0.0 { events as f64 / span } else { 0.0 };
    lines.push(format!("events     {events}: {mean:.1} a second, {} in the busiest", facts.busiest));
    for (kind, verbs) in &summary.events {
        let counts: Vec<_> = verbs.iter().map(|(verb, n)| format!("{n} {verb}")).collect();
        lines.push(format!("  {kind}: {}", counts.join(", ")));
    }
    if facts.peak_pending.0 > 0 {
        lines.push(format!("pending    {} pods at most, at {}", facts.peak_pending.0, facts.peak_pending.1));
    }
    if let Some(bytes) = look.bytes.filter(|_| events > 0) {
        lines.push(format!("size       {bytes} bytes, {:.0} an event", bytes as f64 / events as f64));
    }
    for gap in &facts.gaps {
        lines.push(format!(
            "GAP        {} {} to {}: {:?} {}",
            gap.kind, gap.from, gap.at, gap.reason, gap.detail
        ));
    }
    let more = summary.gaps.saturating_sub(facts.gaps.len() as u64);
    lines.extend((more > 0).then(|| format!("GAP        and {more} more")));
    lines.extend(facts.import.iter().flat_map(import::table));
    lines.extend(look.damage.iter().map(|damage| format!("DAMAGE     {damage}")));
    lines.join("\n")
}

fn provenance(look: &Look) -> Vec<String> {
    let header = &look.header;
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
    if header.detail != Detail::Lossless {
        lines.push("level      lifecycle: pods and nodes are not whole".to_owned());
    }
    lines.extend(header.redaction.iter().map(|rule| format!("removed    {rule}")));
    if let Some(run) = &header.run {
        let speed = if run.speed > 0.0 { format!(" at {}x", run.speed) } else { String::new() };
        lines.push(format!("run of     {} ({}{speed})", run.source, run.mode));
    }
    lines
}
