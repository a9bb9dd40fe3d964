use std::path::PathBuf;

use clap::Args;

use super::target::TargetArgs;
use crate::cli::Outcome;
use crate::import::jsonl::Jsonl;

/// Recordings of kube-scheduler-simulator's sched-recorder: JSON lines of time, event and whole object.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel import jsonl recording.jsonl -o prod.reel
  gunzip -c recording.jsonl.gz | kubereel import jsonl - -o prod.reel")]
pub(super) struct JsonlArgs {
    /// The recording; - for standard input.
    file: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: JsonlArgs) -> anyhow::Result<Outcome> {
    args.target.tell(&Jsonl { file: args.file }.run(&args.target.target())?)
}
