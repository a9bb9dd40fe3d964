use std::path::PathBuf;

use clap::Args;

use super::target::TargetArgs;
use crate::cli::Outcome;
use crate::import::kwok::Kwok;

/// Recordings of KWOK: `kwokctl snapshot export --record`, `kwokctl snapshot record`, `kectl snapshot record`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel import kwok recording.yaml -o prod.reel")]
pub(super) struct KwokArgs {
    /// The recording; - for standard input.
    file: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: KwokArgs) -> anyhow::Result<Outcome> {
    args.target.tell(&Kwok { file: args.file }.run(&args.target.target())?)
}
