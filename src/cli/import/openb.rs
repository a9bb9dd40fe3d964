use std::path::PathBuf;

use clap::Args;

use super::shaping::ShapingArgs;
use super::target::TargetArgs;
use crate::cli::Outcome;
use crate::import::openb::Openb;

/// Alibaba's GPU cluster trace of 2023: 1,523 nodes, 8,152 pods.
///
/// With its own times it is an empty cluster, since its pods are a sample and its nodes are not: its publishers fill it
/// to 130 % of the cards (--fill 1.3). The tables come from github.com/alibaba/clusterdata, folder
/// cluster-trace-gpu-v2023/csv; they have no licence, so kubereel does not bring them along.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel import openb --nodes openb_node_list_all_node.csv --pods openb_pod_list_default.csv \\
      --fill 1.3 --arrival uniform:50 -o openb.reel
  kubereel import openb --nodes openb_node_list_all_node.csv --pods openb_pod_list_gpuspec33.csv \\
      --fill 1.3 --arrival uniform:20 --sample-nodes 50 -o small.reel")]
pub(super) struct OpenbArgs {
    /// The table of nodes.
    #[arg(long, value_name = "CSV")]
    nodes: PathBuf,
    /// The table of pods.
    #[arg(long, value_name = "CSV")]
    pods: PathBuf,
    /// How many pods a node may have.
    #[arg(long, value_name = "N", default_value_t = 110)]
    pods_per_node: u32,
    /// Latency-sensitive pods (qos LS) get a priority class above the others.
    #[arg(long)]
    priorities: bool,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    shaping: ShapingArgs,
}

pub(super) fn run(args: OpenbArgs) -> anyhow::Result<Outcome> {
    let openb = Openb {
        nodes: args.nodes,
        pods: args.pods,
        pods_per_node: args.pods_per_node,
        priorities: args.priorities,
        shaping: args.shaping.into(),
    };
    args.target.tell(&openb.run(&args.target.target())?)
}
