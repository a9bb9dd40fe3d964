//! `kubereel trace`: looks into reels, mends them and makes new ones of them. All of it streams.

mod anonymize;
mod cat;
mod check;
mod export;
mod filter;
mod info;
mod merge;
mod recover;
mod rewrite;
mod select;
mod slice;
mod synth;

use clap::{Args, Subcommand};

use super::Outcome;

/// Looks into reels and mends them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel trace info prod.reel
  kubereel trace cat prod.reel --kind Pod --namespace shop --from 1h --to 1h5m
  kubereel trace slice prod.reel --from 1h --to 2h -o hour.reel
  kubereel trace recover broken.reel -o mended.reel
  kubereel trace synth preemption --nodes 50 -o preemption.reel")]
pub(in crate::cli) struct TraceArgs {
    #[command(subcommand)]
    command: TraceCommand,
}

#[derive(Debug, Subcommand)]
enum TraceCommand {
    Info(info::InfoArgs),
    Cat(cat::CatArgs),
    Check(check::CheckArgs),
    Recover(recover::RecoverArgs),
    Slice(slice::SliceArgs),
    Filter(filter::FilterArgs),
    Merge(merge::MergeArgs),
    Anonymize(anonymize::AnonymizeArgs),
    Export(export::ExportArgs),
    Synth(synth::SynthArgs),
}

pub(in crate::cli) fn run(args: TraceArgs) -> anyhow::Result<Outcome> {
    match args.command {
        TraceCommand::Info(args) => info::run(&args),
        TraceCommand::Cat(args) => cat::run(&args),
        TraceCommand::Check(args) => check::run(&args),
        TraceCommand::Recover(args) => recover::run(&args),
        TraceCommand::Slice(args) => slice::run(&args),
        TraceCommand::Filter(args) => filter::run(&args),
        TraceCommand::Merge(args) => merge::run(&args),
        TraceCommand::Anonymize(args) => anonymize::run(&args),
        TraceCommand::Export(args) => export::run(&args),
        TraceCommand::Synth(args) => synth::run(&args),
    }
}
