use std::path::PathBuf;

use clap::Args;

use super::rewrite::{OutArgs, each_record};
use super::select::Selection;
use crate::cli::Outcome;
use crate::trace::Reader;

/// Copies a reel, or the records that are asked for; without filters, into the current encoding.
///
/// Clock, gap and other records that are about no object stay. The result may lack the start of an object's life: use
/// `slice` for a part of the time.
#[derive(Debug, Args)]
pub(super) struct FilterArgs {
    /// The reel; - for standard input.
    reel: PathBuf,
    #[command(flatten)]
    out: OutArgs,
    #[command(flatten)]
    select: Selection,
}

pub(super) fn run(args: &FilterArgs) -> anyhow::Result<Outcome> {
    let mut reader = Reader::open_or_stdin(&args.reel)?;
    let mut writer = args.out.create(reader.header(), &args.reel)?;
    let outcome = each_record(&mut reader, |record| {
        if args.select.keeps(&record) {
            writer.push(&record)?;
        }
        Ok(true)
    })?;
    args.out.finish(writer)?;
    Ok(outcome)
}
