use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::rewrite::{each_record, is_stdio, loss};
use super::select::Selection;
use crate::cli::Outcome;
use crate::cli::args::parse_duration;
use crate::model::{Record, TraceTime};
use crate::trace::{Reader, ReelFile, State};

/// Prints the records as JSON lines.
#[derive(Debug, Args)]
pub(super) struct CatArgs {
    /// The reel; - for standard input.
    reel: PathBuf,
    /// Instead of records, print the objects that existed at this time of the trace.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with_all = ["from", "to", "verb"])]
    state_at: Option<Duration>,
    #[command(flatten)]
    select: Selection,
}

pub(super) fn run(args: &CatArgs) -> anyhow::Result<Outcome> {
    let mut out = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let mut print = |record: &Record| -> anyhow::Result<bool> {
        if args.select.takes(record) {
            serde_json::to_writer(&mut out, &to_json(record)?).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
        }
        Ok(true)
    };
    let outcome = match args.state_at {
        Some(at) => {
            let (state, outcome) = state_at(args, TraceTime::ZERO + at)?;
            for record in state.into_records(TraceTime::ZERO + at) {
                print(&record)?;
            }
            outcome
        }
        None if args.select.has_span() && !is_stdio(&args.reel) => between(args, &mut print)?,
        None => each_record(&mut Reader::open_or_stdin(&args.reel)?, |record| print(&record))?,
    };
    out.flush()?;
    Ok(outcome)
}

/// Reads only the chunks that are asked for.
fn between(
    args: &CatArgs,
    print: &mut impl FnMut(&Record) -> anyhow::Result<bool>,
) -> anyhow::Result<Outcome> {
    let (from, to) = args.select.span();
    for record in ReelFile::open(&args.reel)?.between(from, to) {
        match record {
            Ok(record) => print(&record)?,
            Err(error) => return loss(error),
        };
    }
    Ok(Outcome::Done)
}

fn state_at(args: &CatArgs, at: TraceTime) -> anyhow::Result<(State, Outcome)> {
    let mut state = State::default();
    let outcome = each_record(&mut Reader::open_or_stdin(&args.reel)?, |record| {
        let before = record.at() <= at;
        if before {
            state.apply(&record);
        }
        // Records of several sources may be out of order by less than a chunk.
        Ok(before || record.at().since(at) < crate::trace::FLUSH_SPAN)
    })?;
    Ok((state, outcome))
}

/// A record as `cat` prints it and `export --to jsonl` writes it.
pub(super) fn to_json(record: &Record) -> Result<Value, serde_json::Error> {
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
