use clap::Args;

use crate::cli::Outcome;
use crate::cli::import::TargetArgs;
use crate::import::synth::{Scenario, Size, Synth};

/// Makes a trace in the shape of a case of Kubernetes' own scheduler benchmark, `scheduler_perf`, of any size.
///
/// Scenarios: basic, affinity, anti-affinity, spread, preemption, gated, unschedulable, daemonset, large-fleet. Sizes are the
/// benchmark's if they are not given. Pods of the start are on nodes already; no pod ends by itself.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel trace synth basic -o basic.reel
  kubereel trace synth preemption --nodes 50 --initial 200 --pods 50 --rate 10 -o preemption.reel
  kubereel compare preemption.reel --baseline v1.36.3 --candidate v1.37.2")]
pub(super) struct SynthArgs {
    /// What it is about.
    scenario: Scenario,
    /// Nodes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    nodes: Option<u32>,
    /// Pods that are there when it starts.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=10_000_000))]
    initial: Option<u32>,
    /// Pods that arrive.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=10_000_000))]
    pods: Option<u32>,
    /// Pods that arrive a second, on average.
    #[arg(long, value_name = "RATE", default_value_t = 50.0, value_parser = rate)]
    rate: f64,
    /// What draws follow from: the same seed, the same trace.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    target: TargetArgs,
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number >= 0.001 && *number <= 1e6);
    number.ok_or_else(|| "a rate is a number of pods a second, from 0.001 to 1,000,000".to_owned())
}

pub(super) fn run(args: &SynthArgs) -> anyhow::Result<Outcome> {
    let usual = args.scenario.size();
    let size = Size {
        nodes: args.nodes.unwrap_or(usual.nodes),
        initial: args.initial.unwrap_or(usual.initial),
        pods: args.pods.unwrap_or(usual.pods),
    };
    let synth = Synth { scenario: args.scenario, size, rate: args.rate, seed: args.seed };
    args.target.tell(&synth.run(&args.target.target())?)
}
