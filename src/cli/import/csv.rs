use std::path::PathBuf;

use clap::Args;

use super::nodes::NodesArgs;
use super::shaping::ShapingArgs;
use super::target::TargetArgs;
use crate::cli::Outcome;
use crate::import::csv::Csv;

/// Any table of jobs, by a mapping file that says what its columns mean.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sacct -a -P -o JobID,Account,NNodes,User,ReqCPUS,ReqMem,Submit,Start,End,State > jobs.csv
  kubereel import csv jobs.csv --map slurm.yaml --node-shape node:cpu=64,memory=256Gi -o jobs.reel

slurm.yaml:
  delimiter: '|'
  pod:
    name: JobID
    replicas: NNodes
    labels: {user: User, account: Account}
    requests:
      cpu: {column: ReqCPUS, total: true}            # of all pods of a row together
      memory: {column: ReqMem, scale: 1073741824}    # bytes of one of it
  times: {unit: date, submit: Submit, start: Start, end: End}    # or s, ms, us, ns
  state: {column: State, failed: [FAILED, NODE_FAIL], deleted: [CANCELLED]}")]
pub(super) struct CsvArgs {
    /// The table.
    csv: PathBuf,
    /// The mapping, YAML; docs/import.md has all of it.
    #[arg(long, value_name = "FILE")]
    map: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    nodes: NodesArgs,
    #[command(flatten)]
    shaping: ShapingArgs,
}

pub(super) fn run(args: CsvArgs) -> anyhow::Result<Outcome> {
    let csv = Csv {
        csv: args.csv,
        map: args.map,
        nodes: args.nodes.nodes,
        shapes: args.nodes.shapes,
        shaping: args.shaping.into(),
    };
    args.target.tell(&csv.run(&args.target.target())?)
}
