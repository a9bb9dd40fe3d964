use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::args::Format;
use crate::cli::{Outcome, output};
use crate::trace;

/// Reads every byte of a reel and compares what is said twice: checksums, counts, times, order and index.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The reel.
    reel: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<Outcome> {
    let checked = trace::check(&args.reel)?;
    let text = match args.format {
        Format::Json => {
            let problem = |(offset, what): &(u64, String)| json!({"offset": offset, "what": what});
            serde_json::to_string_pretty(
                &json!({"schema": "kubereel.dev/check/v1", "sealed": checked.sealed,
                "records": checked.summary.records, "count": checked.count,
                "problems": checked.problems.iter().map(problem).collect::<Vec<_>>()}),
            )?
        }
        Format::Table => {
            let sealed = if checked.sealed { "sealed" } else { "not sealed" };
            let mut lines = vec![format!(
                "{}: {} records in {} chunks, {sealed}, {} problems",
                args.reel.display(),
                checked.summary.records,
                checked.summary.chunks.len(),
                checked.count
            )];
            lines.extend(checked.problems.iter().map(|(offset, what)| format!("  byte {offset}: {what}")));
            let more = checked.count.saturating_sub(checked.problems.len() as u64);
            lines.extend((more > 0).then(|| format!("  and {more} more")));
            lines.join("\n")
        }
    };
    output::print(&text)?;
    Ok(if checked.count > 0 { Outcome::Loss } else { Outcome::Done })
}
