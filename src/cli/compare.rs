use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::args::{parse_duration, parse_speed};
use super::diff::{FailOn, ReportFormat, outcome, parse_margin, render};
use super::replay::{ModeArg, read_plan};
use super::shape::ShapeArgs;
use super::signals::stoppable;
use super::{Outcome, output};
use crate::cluster::{Dirs, Version};
use crate::compare::{CompareSpec, Contender, RunReel, Side, TieBreak, compare};
use crate::diff::{Facts, Policy, judge};
use crate::report::Report;

/// Plays a reel in front of two schedulers and says whether they decide alike.
///
/// Each run gets a fresh local control plane, equal in everything but the kube-scheduler. In lockstep, one run a side
/// is enough: a stock scheduler then repeats its own decisions, so a difference is a change of behaviour. Programs
/// that are missing are downloaded or built first, which takes minutes once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel compare prod.reel --baseline v1.36.3 --candidate v1.37.2
  kubereel compare prod.reel --baseline v1.37.2 --candidate v1.37.2 --candidate-config packing.yaml
  kubereel compare prod.reel --baseline v1.34.4 --candidate v1.37.2 --tie-break stock --runs 3
  kubereel compare prod.reel --baseline v1.36.3 --candidate v1.37.2 --mode open --speed 10x --runs 3")]
pub(super) struct CompareArgs {
    /// The reel to play.
    trace: PathBuf,
    /// Version of the scheduler in use.
    #[arg(long, value_name = "VERSION")]
    baseline: Version,
    /// Version of the scheduler that may replace it.
    #[arg(long, value_name = "VERSION")]
    candidate: Version,
    /// KubeSchedulerConfiguration of the baseline (YAML or JSON).
    #[arg(long, value_name = "FILE")]
    baseline_config: Option<PathBuf>,
    /// KubeSchedulerConfiguration of the candidate (YAML or JSON).
    #[arg(long, value_name = "FILE")]
    candidate_config: Option<PathBuf>,
    /// Version of the other components, the same on both sides; default: the newer of the two.
    #[arg(long, value_name = "VERSION")]
    control_plane: Option<Version>,
    /// Runs a side.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// How to pace.
    #[arg(long, value_enum, default_value_t = ModeArg::Lockstep)]
    mode: ModeArg,
    /// Trace seconds per second, for mode open.
    #[arg(long, value_parser = parse_speed, default_value = "1x")]
    speed: f64,
    /// Which of the nodes that score alike is taken; default: `fixed` in lockstep, else `stock`.
    #[arg(long, value_enum, value_name = "HOW")]
    tie_break: Option<TieBreakArg>,
    /// How long an open run waits after the trace for pods that are still on their way.
    #[arg(long, value_parser = parse_duration, default_value = "30s")]
    drain: Duration,
    /// Record what each score plugin gave each node, for `explain` and score tables; the schedulers log much more then.
    #[arg(long)]
    scores: bool,
    /// How late the actions of an open run may be (99th percentile) before it is invalid.
    #[arg(long, value_parser = parse_duration, default_value = "100ms", value_name = "TIME")]
    max_lateness: Duration,
    #[command(flatten)]
    shape: ShapeArgs,
    /// Keep the runs' reels in this folder; default: a temporary one.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The finest difference that makes the verdict `changed`.
    #[arg(long, value_enum, default_value_t = FailOn::ExactNode)]
    fail_on: FailOn,
    /// Relative difference of a run's numbers that does not matter; default: 0.1, and 0.15 for tails and throughput.
    #[arg(long, value_parser = parse_margin)]
    margin: Option<f64>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    format: ReportFormat,
}

/// How ties between nodes are broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TieBreakArg {
    /// By a fixed order of their names, which an extender of this process tells the scheduler.
    Fixed,
    /// As the scheduler does: by chance up to v1.34, so that no two runs are alike.
    Stock,
}

impl TieBreakArg {
    fn default_of(mode: ModeArg) -> TieBreakArg {
        if mode == ModeArg::Lockstep { TieBreakArg::Fixed } else { TieBreakArg::Stock }
    }
}

impl From<TieBreakArg> for TieBreak {
    fn from(arg: TieBreakArg) -> TieBreak {
        match arg {
            TieBreakArg::Fixed => TieBreak::Fixed,
            TieBreakArg::Stock => TieBreak::Stock,
        }
    }
}

pub(super) async fn run(args: CompareArgs) -> anyhow::Result<Outcome> {
    let (plan, mut source) = read_plan(&args.trace, &args.shape)?;
    source.max_lateness_ns = args.max_lateness.as_nanos() as u64;
    let temporary = tempfile::tempdir().context("cannot make a temporary folder for the runs")?;
    let newer = args.baseline.clone().max(args.candidate.clone());
    let spec = CompareSpec {
        baseline: Contender { config: config(args.baseline_config.as_deref())?, version: args.baseline },
        candidate: Contender { config: config(args.candidate_config.as_deref())?, version: args.candidate },
        control_plane: args.control_plane.unwrap_or(newer),
        runs: args.runs.into(),
        mode: args.mode.with_speed(args.speed),
        tie_break: args.tie_break.unwrap_or_else(|| TieBreakArg::default_of(args.mode)).into(),
        keep: args.keep.unwrap_or_else(|| temporary.path().to_owned()),
        drain: args.drain,
        scores: args.scores,
        command: std::env::args().collect(),
        source,
        dirs: Dirs::from_env()?,
    };
    let reels = stoppable(async |stop| Ok(compare(&spec, &plan, &stop).await?)).await?;
    let (baseline, candidate) = (of(&reels, Side::Baseline), of(&reels, Side::Candidate));
    let policy = Policy { fail_on: args.fail_on.into(), margin: args.margin };
    let groups = judge(&baseline, &candidate, &policy);
    output::print(&render(&Report::of_groups(&baseline, &candidate, &groups), args.format)?)?;
    Ok(outcome(&groups))
}

fn of(reels: &[RunReel], side: Side) -> Vec<Facts> {
    reels.iter().filter(|reel| reel.side == side).map(|reel| reel.facts.clone()).collect()
}

/// A scheduler configuration file.
fn config(path: Option<&Path>) -> anyhow::Result<Option<Value>> {
    let Some(path) = path else { return Ok(None) };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let config: Value = serde_saphyr::from_str(&text)
        .with_context(|| format!("{} is not a YAML or JSON document", path.display()))?;
    match config["kind"].as_str() {
        Some("KubeSchedulerConfiguration") => Ok(Some(config)),
        kind => anyhow::bail!(
            "{} holds {}, not a KubeSchedulerConfiguration",
            path.display(),
            kind.unwrap_or("no kind")
        ),
    }
}
