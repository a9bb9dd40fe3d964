//! `kubereel import`: reels from what is not a recording of ours.

mod audit;
mod csv;
mod dlrm;
mod dump;
mod jsonl;
mod kwok;
mod nodes;
mod openb;
mod report;
mod shaping;
mod simkube;
mod target;

use clap::{Args, Subcommand};

use super::Outcome;

pub(super) use report::table;

/// Makes reels of public traces, dumps, logs and tables.
///
/// Every import prints a report and stores it in the reel: what was read, used and dropped with line numbers, what the
/// pods ask for against what the nodes have, pods that no node can hold, and what was lost in translation. Files may be
/// packed with gzip. It ends with exit code 3 where something was wrong with the input.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel import openb --nodes openb_node_list_all_node.csv --pods openb_pod_list_default.csv \\
      --fill 1.3 --arrival uniform:50 -o openb.reel
  kubereel import dlrm disaggregated_DLRM_trace.csv -o dlrm.reel
  kubereel import audit audit*.log* --initial state.json -o prod.reel
  kubereel import dump state.json --arrivals 1h -o hour.reel")]
pub(in crate::cli) struct ImportArgs {
    #[command(subcommand)]
    command: ImportCommand,
}

#[derive(Debug, Subcommand)]
enum ImportCommand {
    Audit(audit::AuditArgs),
    Dump(dump::DumpArgs),
    Jsonl(jsonl::JsonlArgs),
    Simkube(simkube::SimkubeArgs),
    Kwok(kwok::KwokArgs),
    Csv(csv::CsvArgs),
    Openb(openb::OpenbArgs),
    Dlrm(dlrm::DlrmArgs),
}

pub(in crate::cli) fn run(args: ImportArgs) -> anyhow::Result<Outcome> {
    match args.command {
        ImportCommand::Audit(args) => audit::run(args),
        ImportCommand::Dump(args) => dump::run(args),
        ImportCommand::Jsonl(args) => jsonl::run(args),
        ImportCommand::Simkube(args) => simkube::run(args),
        ImportCommand::Kwok(args) => kwok::run(args),
        ImportCommand::Csv(args) => csv::run(args),
        ImportCommand::Openb(args) => openb::run(args),
        ImportCommand::Dlrm(args) => dlrm::run(args),
    }
}
