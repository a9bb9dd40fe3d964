use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::rewrite::{OutArgs, each_record};
use crate::cli::Outcome;
use crate::trace::{Anonymizer, ClusterInfo, Header, Reader};

/// Copies a reel with names, namespaces, labels and images replaced by keyed hashes.
///
/// Annotations, environment, arguments, addresses and messages are left out. UIDs, times, requests and the values that
/// Kubernetes itself defines stay.
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
    let key = match &args.key_file {
        Some(path) => std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))?,
        None => uuid::Uuid::new_v4().as_bytes().to_vec(),
    };
    anyhow::ensure!(!key.is_empty(), "the key file is empty");
    let anonymizer = Anonymizer::new(&key);
    let mut reader = Reader::open_or_stdin(&args.reel)?;
    let mut writer = args.out.create(&anonymous(reader.header()), std::path::Path::new("-"))?;
    let outcome = each_record(&mut reader, |record| {
        if let Some(record) = anonymizer.record(record) {
            writer.push(&record)?;
        }
        Ok(true)
    })?;
    args.out.finish(writer)?;
    Ok(outcome)
}

fn anonymous(header: &Header) -> Header {
    let mut header = header.clone();
    header.command.clear();
    header.labels.clear();
    if let Some(run) = &mut header.run {
        run.source.clear();
        run.scheduler_config.clear();
    }
    header.cluster = ClusterInfo { context: String::new(), ..header.cluster };
    header
        .redaction
        .push("names, namespaces, labels and images replaced by keyed hashes; free text removed".to_owned());
    header
}
