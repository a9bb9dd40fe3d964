use std::path::PathBuf;

use clap::Args;

use crate::import::pool::NodeShape;

/// The nodes of a source that has none.
#[derive(Debug, Args)]
#[command(next_help_heading = "Nodes")]
pub(super) struct NodesArgs {
    /// Nodes of a cluster, as of `kubectl get nodes -o json`.
    #[arg(long, value_name = "PATH")]
    pub(super) nodes: Vec<PathBuf>,
    /// Nodes to make up: NAME:RESOURCE=QUANTITY,… for as many as keep the peak at nine tenths of what they have, or
    /// NAME*COUNT:…
    #[arg(
        long = "node-shape",
        value_name = "SHAPE",
        default_value = "node:cpu=32,memory=128Gi",
        conflicts_with = "nodes"
    )]
    pub(super) shapes: Vec<NodeShape>,
}
