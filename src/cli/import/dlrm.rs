use std::path::PathBuf;

use clap::Args;

use super::shaping::ShapingArgs;
use super::target::TargetArgs;
use crate::cli::Outcome;
use crate::import::dlrm::{Dlrm, standard_shapes};
use crate::import::pool::NodeShape;

/// Alibaba's GPU-disaggregated DLRM trace of 2025: 23,871 instances of 156 services over 31 days.
///
/// It has no nodes: they are made up, as many as hold the peak at nine tenths. Instances that were there before the trace
/// starts are put on them. The table comes from github.com/alibaba/clusterdata, folder cluster-trace-gpu-v2025; it
/// has no licence, so kubereel does not bring it along.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel import dlrm disaggregated_DLRM_trace.csv -o dlrm.reel
  kubereel import dlrm disaggregated_DLRM_trace.csv -o dlrm.reel \\
      --node-shape CN:cpu=384,memory=2Ti,ephemeral-storage=4Ti,kubereel.dev/rdma-percent=800 \\
      --node-shape 'HN*500:cpu=128,memory=768Gi,ephemeral-storage=2Ti,nvidia.com/gpu=8,kubereel.dev/rdma-percent=400'
  kubereel trace slice dlrm.reel --from 0s --to 1d -o first-day.reel")]
pub(super) struct DlrmArgs {
    /// The table.
    csv: PathBuf,
    /// Nodes to make up for a role, CN or HN: ROLE:NAME=QUANTITY,… for as many as the peak wants, or ROLE*COUNT:…;
    /// default: 192 cores and 1 TiB for CN, 128 cores and 8 cards for HN.
    #[arg(long = "node-shape", value_name = "SHAPE")]
    shapes: Vec<NodeShape>,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    shaping: ShapingArgs,
}

pub(super) fn run(args: DlrmArgs) -> anyhow::Result<Outcome> {
    let shapes = if args.shapes.is_empty() { standard_shapes() } else { args.shapes };
    let dlrm = Dlrm { csv: args.csv, shapes, shaping: args.shaping.into() };
    args.target.tell(&dlrm.run(&args.target.target())?)
}
