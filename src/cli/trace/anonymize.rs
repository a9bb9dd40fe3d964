use std::path::PathBuf;

use clap::Args;

use super::rewrite::{OutArgs, each_record};
use crate::cli::Outcome;
use crate::cli::args::anonymizer;
use crate::trace::{Anonymizer, Reader};

/// Copies a reel with names, namespaces, labels and images replaced by keyed hashes.
///
/// Of pods and nodes what the lifecycle level has stays: UIDs, times, requests and the values that Kubernetes itself
/// defines. All other text is left out.
#[derive(Debug, Args)]
pub(super) struct AnonymizeArgs {
    /// The reel; - for standard input.
    reel: PathBuf,
    /// A file with a secret. The same secret gives the same hashes; without one, a random
    /// secret is used and forgotten.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    out: OutArgs,
}

pub(super) fn run(args: &AnonymizeArgs) -> anyhow::Result<Outcome> {
    let anonymizer = match &args.key_file {
        Some(path) => anonymizer(path)?,
        None => Anonymizer::new(uuid::Uuid::new_v4().as_bytes()),
    };
    let mut reader = Reader::open_or_stdin(&args.reel)?;
    let mut writer = args.out.create(&anonymizer.header(reader.header()), std::path::Path::new("-"))?;
    let outcome = each_record(&mut reader, |record| {
        if let Some(record) = anonymizer.record(record) {
            writer.push(&record)?;
        }
        Ok(true)
    })?;
    args.out.finish(writer)?;
    Ok(outcome)
}
