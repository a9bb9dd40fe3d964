use std::path::PathBuf;

use clap::Args;

use crate::cli::{Outcome, output};
use crate::trace::{WriteOptions, recover};

/// Makes a whole reel of what is readable in a damaged one.
#[derive(Debug, Args)]
pub(super) struct RecoverArgs {
    /// The damaged reel.
    reel: PathBuf,
    /// Where the new one goes.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(args: &RecoverArgs) -> anyhow::Result<Outcome> {
    let found = recover(&args.reel, &args.out, WriteOptions::default())?;
    let mut lines = vec![format!(
        "{}: {} records from {} whole blocks; {} bytes in {} places and at least {} records are lost",
        args.out.display(),
        found.summary.records,
        found.blocks,
        found.lost_bytes,
        found.holes,
        found.lost_records
    )];
    lines.extend(found.lost_events.iter().map(|(kind, count)| format!("  {kind}: {count} events lost")));
    output::print(&lines.join("\n"))?;
    Ok(if found.is_lossy() { Outcome::Loss } else { Outcome::Done })
}
