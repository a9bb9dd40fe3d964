use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::rewrite::{OutArgs, each_record};
use crate::cli::Outcome;
use crate::cli::args::parse_duration;
use crate::model::TraceTime;
use crate::trace::{FLUSH_SPAN, Reader, State};

/// Cuts out a part of the time that stands alone: it starts with the objects that existed then.
///
/// Times stay those of the original.
#[derive(Debug, Args)]
pub(super) struct SliceArgs {
    /// The reel; - for standard input.
    reel: PathBuf,
    /// Start, as time of the trace: 90s, 1h30m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    from: Duration,
    /// End, as time of the trace; default: the end.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    to: Option<Duration>,
    #[command(flatten)]
    out: OutArgs,
}

pub(super) fn run(args: &SliceArgs) -> anyhow::Result<Outcome> {
    let from = TraceTime::ZERO + args.from;
    let to = args.to.map_or(TraceTime::from_nanos(u64::MAX), |to| TraceTime::ZERO + to);
    anyhow::ensure!(from < to, "--from must be before --to");
    let mut reader = Reader::open_or_stdin(&args.reel)?;
    let mut writer = args.out.create(reader.header(), &args.reel)?;
    let mut before = Some(State::default());
    let outcome = each_record(&mut reader, |record| {
        let at = record.at();
        if at < from {
            // A late record of another source: its change is part of the state, told at the start.
            match &mut before {
                Some(state) => state.apply(&record),
                None => writer.push(&record)?,
            }
            return Ok(true);
        }
        if let Some(state) = before.take() {
            state.into_records(from).try_for_each(|record| writer.push(&record))?;
        }
        if at < to {
            writer.push(&record)?;
        }
        // Records of several sources may be out of order by less than a chunk.
        Ok(at < to || at.since(to) < FLUSH_SPAN)
    })?;
    if let Some(state) = before {
        state.into_records(from).try_for_each(|record| writer.push(&record))?;
    }
    args.out.finish(writer)?;
    Ok(outcome)
}
