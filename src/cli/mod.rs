//! The command line: one file per subcommand. Only this module prints.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod cluster;

/// How a command ended; its number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// Finished, but with loss, or a run is invalid.
    Loss = 3,
    /// Differs beyond what was allowed.
    Differs = 4,
    /// Nothing can be said.
    Inconclusive = 5,
}

/// Records what happens on a Kubernetes cluster, plays it again, and says what changed.
#[derive(Debug, Parser)]
#[command(name = "kubereel", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A local control plane of stock binaries.
    Cluster(cluster::ClusterArgs),
    #[command(name = crate::cluster::SHIM_COMMAND, hide = true)]
    Component(cluster::ComponentArgs),
}

/// Runs the command line and says how the process ends.
#[expect(clippy::print_stderr, reason = "the command line prints")]
pub fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.command {
        Command::Component(args) => Err(cluster::run_component(&args)),
        Command::Cluster(args) => with_runtime(cluster::run(args)),
    };
    let outcome = result.unwrap_or_else(|error| {
        eprintln!("Error: {error:#}");
        Outcome::Failed
    });
    ExitCode::from(outcome as u8)
}

fn with_runtime(work: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("KUBEREEL_LOG")
                .unwrap_or_else(|_| "kubereel=info".into()),
        )
        .init();
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(work);
    // A download that was interrupted sits in a blocking call; it is not waited for.
    runtime.shutdown_background();
    result
}
