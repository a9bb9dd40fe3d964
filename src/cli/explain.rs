use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use super::args::Format;
use super::{Outcome, output};
use crate::diff::{self, Pod, story};

/// Tells what happened to one pod of a reel: created, why no node fitted, attempts, bound, running, over.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel explain run.reel prod/web-1
  kubereel explain run.reel 39a84127-37ca-4de5-8291-11472f5f6efb --format json")]
pub(super) struct ExplainArgs {
    /// The reel.
    reel: PathBuf,
    /// The pod: NAMESPACE/NAME, a name, or its id.
    pod: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<Outcome> {
    let facts = diff::load(&args.reel)?;
    let is_meant =
        |pod: &Pod<'_>| pod.id() == args.pod || pod.name() == args.pod || pod.to_string() == args.pod;
    let found: Vec<Pod<'_>> = facts.pods().filter(is_meant).collect();
    if found.is_empty() {
        let reel = args.reel.display();
        bail!("{reel} has no pod {}; `kubereel trace cat {reel}` shows what is in it", args.pod);
    }
    let text = match args.format {
        Format::Table => {
            let told =
                |pod: &Pod<'_>| format!("{pod}  ({})\n  {}\n", pod.outcome(), story(*pod).join("\n  "));
            found.iter().map(told).collect::<Vec<_>>().join("\n")
        }
        Format::Json => {
            let told = |pod: &Pod<'_>| {
                serde_json::json!({"id": pod.id(), "namespace": pod.namespace(), "name": pod.name(),
                    "workload": pod.workload(), "outcome": pod.outcome(), "node": pod.node_name(), "story": story(*pod)})
            };
            serde_json::to_string_pretty(&found.iter().map(told).collect::<Vec<_>>())?
        }
    };
    output::print(&text)?;
    Ok(Outcome::Done)
}
