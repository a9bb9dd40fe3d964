use clap::Args;

use super::args::ConnectArgs;
use super::{Outcome, output};
use crate::k8s::connect;
use crate::replay;

/// Removes what replays made (pods, nodes, classes, budgets, services), and nothing else. Namespaces stay.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kubereel clean --context test --run 3f0c6f0e-4f5e-4d0c-9f0e-0c6f0e4f5e4d"
)]
pub(super) struct CleanArgs {
    #[command(flatten)]
    target: ConnectArgs,
    /// Only what the run with this id made (`kubereel trace info RUN.reel` shows it).
    #[arg(long, value_name = "ID")]
    run: Option<String>,
}

pub(super) async fn run(args: CleanArgs) -> anyhow::Result<Outcome> {
    let target = connect(&args.target.choose()?.connect).await?;
    let (pods, nodes) = replay::clean(&target.client, args.run.as_deref()).await?;
    output::print(&format!("removed {pods} pods and {nodes} nodes from {target}"))?;
    Ok(Outcome::Done)
}
