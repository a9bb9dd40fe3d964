use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::rewrite::{OutArgs, each_record};
use crate::cli::Outcome;
use crate::cli::args::parse_duration;
use crate::model::TraceTime;
use crate::trace::{Reader, ReelWriter, TraceError, Window};

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
    let mut window = Window::new(from, to);
    let outcome = each_record(&mut reader, |record| {
        window.take(record);
        write(&mut window, &mut writer)?;
        Ok(!window.is_over())
    })?;
    window.finish();
    write(&mut window, &mut writer)?;
    args.out.finish(writer)?;
    Ok(outcome)
}

fn write(window: &mut Window, writer: &mut ReelWriter) -> Result<(), TraceError> {
    while let Some(record) = window.next_record() {
        writer.push(&record)?;
    }
    Ok(())
}
