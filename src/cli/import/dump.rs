use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::target::TargetArgs;
use crate::cli::Outcome;
use crate::cli::args::parse_duration;
use crate::import::dump::Dump;

/// The state of a cluster, as kubectl or must-gather wrote it, JSON or YAML.
///
/// All of it is the start of the reel, pods on their nodes. With --arrivals, pods that were young when the dump was taken
/// arrive, are bound, start and end at the times that they say of themselves.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubectl get nodes,pods,priorityclasses,pdb,services,namespaces -A -o json > state.json
  kubereel import dump state.json -o state.reel
  kubereel import dump state.json --arrivals 1h -o hour.reel      the last hour of arrivals
  kubereel import dump must-gather.local.123/ -o state.reel")]
pub(super) struct DumpArgs {
    /// Files, or folders to look through for .json, .yaml and .yml files; - for standard input.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Pods created so shortly before the youngest pod arrive at their times.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    arrivals: Option<Duration>,
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: DumpArgs) -> anyhow::Result<Outcome> {
    let dump = Dump { paths: args.paths, arrivals: args.arrivals };
    args.target.tell(&dump.run(&args.target.target())?)
}
