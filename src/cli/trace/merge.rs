use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::rewrite::{OutArgs, loss};
use crate::cli::Outcome;
use crate::model::{Record, TraceTime};
use crate::replay::SHARD_LABEL;
use crate::trace::Reader;

/// Makes one reel of several recordings of one cluster, or of the parts of one run, in order of time.
///
/// Times are those of the reel that started first: the others are moved by the difference of the wall clocks at
/// their start.
#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// The reels.
    #[arg(required = true, num_args = 2..)]
    reels: Vec<PathBuf>,
    #[command(flatten)]
    out: OutArgs,
}

pub(super) fn run(args: &MergeArgs) -> anyhow::Result<Outcome> {
    let mut readers =
        args.reels.iter().map(|path| Reader::open_or_stdin(path)).collect::<Result<Vec<_>, _>>()?;
    let mut header = readers[0].header().clone();
    let starts: Vec<i64> = readers.iter().map(|reader| reader.header().started_wall_ns).collect();
    let first = starts.iter().copied().min().unwrap_or_default();
    header.started_wall_ns = first;
    header.labels.remove(SHARD_LABEL);
    let names: Vec<_> = args.reels.iter().map(|path| path.display().to_string()).collect();
    header.labels.insert("merged-from".to_owned(), names.join(" "));
    let mut writer = args.out.create(&header, &args.reels[0])?;
    let mut outcome = Outcome::Done;
    let mut next = |index: usize| -> anyhow::Result<Option<Record>> {
        let moved = u64::try_from(starts[index].saturating_sub(first)).unwrap_or_default();
        match readers[index].next() {
            Some(Ok(record)) => Ok(Some(moved_by(record, moved))),
            Some(Err(error)) => {
                outcome = loss(error)?;
                Ok(None)
            }
            None => Ok(None),
        }
    };
    let mut heads = (0..starts.len()).map(&mut next).collect::<anyhow::Result<Vec<_>>>()?;
    while let Some((index, _)) = heads
        .iter()
        .enumerate()
        .filter_map(|(i, head)| Some((i, head.as_ref()?.at())))
        .min_by_key(|(_, at)| *at)
    {
        let following = next(index)?;
        let record = std::mem::replace(&mut heads[index], following).context("a reel without a record")?;
        writer.push(&record)?;
    }
    args.out.finish(writer)?;
    Ok(outcome)
}

/// The record on a clock that started `nanos` earlier.
fn moved_by(mut record: Record, nanos: u64) -> Record {
    let shift = |at: &mut TraceTime| *at = *at + std::time::Duration::from_nanos(nanos);
    match &mut record {
        Record::Object(r) => shift(&mut r.at),
        Record::Clock(r) => shift(&mut r.at),
        Record::Synced(r) => shift(&mut r.at),
        Record::Gap(r) => [&mut r.at, &mut r.from].into_iter().for_each(shift),
        Record::Action(r) => [&mut r.due, &mut r.sent, &mut r.answered].into_iter().for_each(shift),
        Record::Phase(r) => shift(&mut r.at),
        Record::Note(r) => shift(&mut r.at),
    }
    record
}
