use std::path::PathBuf;

use clap::Args;

use super::nodes::NodesArgs;
use super::shaping::ShapingArgs;
use super::target::TargetArgs;
use crate::cli::Outcome;
use crate::import::simkube::Simkube;

/// Traces of SimKube, version 2, as `skctl export` makes them.
///
/// They have owners of pods (Deployments, Jobs, …) and bare pods, but no nodes and no decisions. Owners are turned into
/// the pods that their controllers would have made; recorded run times are theirs in the order of their starts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel import simkube prod.sktrace --nodes nodes.json -o prod.reel
  kubereel import simkube prod.sktrace --node-shape 'node*20:cpu=32,memory=128Gi' -o prod.reel")]
pub(super) struct SimkubeArgs {
    /// The trace, MessagePack or JSON.
    file: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    nodes: NodesArgs,
    #[command(flatten)]
    shaping: ShapingArgs,
}

pub(super) fn run(args: SimkubeArgs) -> anyhow::Result<Outcome> {
    let simkube = Simkube {
        file: args.file,
        nodes: args.nodes.nodes,
        shapes: args.nodes.shapes,
        shaping: args.shaping.into(),
    };
    args.target.tell(&simkube.run(&args.target.target())?)
}
