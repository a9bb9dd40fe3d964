//! The command line: one file per subcommand. Only this module prints, and only `main` ends the process.

mod args;
mod clean;
mod cluster;
mod compare;
mod completions;
mod diff;
mod explain;
mod hollow;
mod import;
mod outcome;
mod output;
mod progress;
mod record;
mod replay;
mod shape;
mod shard;
mod signals;
mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rustix::thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled};
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

pub use outcome::Outcome;

/// Records the pod and node event streams of a Kubernetes cluster, replays them in front of a live kube-scheduler,
/// and diffs the decisions.
#[derive(Debug, Parser)]
#[command(name = "kubereel", version, max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    /// Say less: only warnings and errors.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say more; twice for everything, libraries included.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// How log lines on standard error look.
    #[arg(long, global = true, value_enum, default_value_t = args::LogFormat::Text)]
    log_format: args::LogFormat,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  kubereel record -o prod.reel --duration 1h        record the current kubeconfig context
  kubereel compare prod.reel --baseline v1.36.3 --candidate v1.37.2
                                                    would the new scheduler decide otherwise?
  kubereel cluster up --name lab --detach           a local control plane to replay against
  kubereel replay prod.reel --cluster lab --speed 10x --out run.reel
  kubereel diff run-a.reel run-b.reel
  kubereel explain run-a.reel prod/web-1
  kubereel hollow --nodes 1000 --cluster lab        a thousand nodes without a trace
  kubereel import audit audit.log -o prod.reel      no recording, but an audit log, a dump or a public trace

Exit codes: 0 done, or equivalent; 1 failed; 2 usage; 3 finished with loss, or a run is invalid;
            4 differs; 5 inconclusive";

#[derive(Debug, Subcommand)]
enum Command {
    Record(Box<record::RecordArgs>),
    Import(Box<import::ImportArgs>),
    Replay(Box<replay::ReplayArgs>),
    Diff(diff::DiffArgs),
    Explain(explain::ExplainArgs),
    Compare(Box<compare::CompareArgs>),
    Hollow(Box<hollow::HollowArgs>),
    Cluster(cluster::ClusterArgs),
    Trace(trace::TraceArgs),
    Clean(clean::CleanArgs),
    Completions(completions::CompletionsArgs),
    /// Starts a component of a local control plane: not for people.
    #[command(name = crate::cluster::SHIM_COMMAND, hide = true)]
    Component(cluster::ComponentArgs),
}

impl Command {
    /// The runtime that suits it.
    fn runtime(&self) -> std::io::Result<Runtime> {
        // A core is plenty for what the first two do, and they save a tenth of it by handing less from thread to thread.
        match self {
            Command::Hollow(_) => hollow::runtime(),
            Command::Record(_) => Builder::new_multi_thread().worker_threads(1).enable_all().build(),
            _ => Builder::new_multi_thread().enable_all().build(),
        }
    }
}

/// Whether the allocator is refused the pages of 2 MiB that it asks for. Those of small programs stay empty for the most part:
/// 1,000 hollow nodes had 14 MiB at the most without them, 25 with. Programs that are started inherit it.
fn refuse_huge_pages(are_refused: bool) {
    // Where the kernel does not know of it, memory is all that is lost.
    let _ = disable_transparent_huge_pages(are_refused);
}

/// Runs the command line and says how the process ends.
pub fn main() -> ExitCode {
    // Before anything has filled one; whoever started a larger command may have refused them to it.
    let inherited = transparent_huge_pages_are_disabled().unwrap_or(false);
    refuse_huge_pages(true);
    let cli = Cli::parse();
    if !matches!(cli.command, Command::Hollow(_)) {
        refuse_huge_pages(inherited);
    }
    log_to_stderr(&cli);
    let command = match cli.command {
        // It becomes another program: no runtime may be up.
        Command::Component(args) => return finish(Err(cluster::run_component(&args))),
        other => other,
    };
    let runtime = match command.runtime() {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(error.into())),
    };
    let result = runtime.block_on(dispatch(command));
    // Blocking threads (a dispatcher that waits) must not hold up the end.
    runtime.shutdown_background();
    finish(result)
}

async fn dispatch(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Record(args) => record::run(*args).await,
        Command::Import(args) => import::run(*args),
        Command::Replay(args) => replay::run(*args).await,
        Command::Diff(args) => diff::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Compare(args) => compare::run(*args).await,
        Command::Hollow(args) => hollow::run(*args).await,
        Command::Cluster(args) => cluster::run(args).await,
        Command::Trace(args) => trace::run(args),
        Command::Clean(args) => clean::run(args).await,
        Command::Completions(args) => completions::run(&args),
        Command::Component(args) => Err(cluster::run_component(&args)),
    }
}

fn finish(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(outcome) => outcome.into(),
        // Whoever reads our output has seen enough.
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            Outcome::Failed.into()
        }
    }
}

fn log_to_stderr(cli: &Cli) {
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => "kubereel=warn",
        (false, 0) => "kubereel=info",
        (false, 1) => "kubereel=debug",
        (false, _) => "debug",
    };
    let filter = EnvFilter::try_from_env("KUBEREEL_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(output::stderr_has_color());
    match cli.log_format {
        args::LogFormat::Text => log.without_time().init(),
        args::LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// The command line as clap sees it, for completions and tests.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
