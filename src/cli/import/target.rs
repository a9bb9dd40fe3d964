use std::path::PathBuf;

use clap::Args;

use super::report;
use crate::cli::args::{Format, Level};
use crate::cli::{Outcome, output};
use crate::import::{Imported, Target};
use crate::model::POD;
use crate::record::{Redaction, Sensitive};

/// Where a reel goes, and how its report is printed.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// Where the reel goes.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Replace that file if it exists.
    #[arg(long)]
    overwrite: bool,
    /// How much of each object to keep.
    #[arg(long, value_enum, default_value_t = Level::Lossless)]
    level: Level,
    /// Keep what is taken out of whole objects otherwise: env, args, last-applied, pull-secrets, termination-messages,
    /// managed-fields.
    #[arg(long, value_delimiter = ',', value_name = "WHAT")]
    keep: Vec<Sensitive>,
    /// How to print the report.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl TargetArgs {
    pub(super) fn target(&self) -> Target {
        let redaction = Redaction::keeping(&self.keep);
        Target {
            path: self.out.clone(),
            overwrite: self.overwrite,
            detail: self.level.into(),
            command: std::env::args().collect(),
            rules: redaction.rules(&POD),
            redaction: redaction.described(),
        }
    }

    /// Prints the report.
    pub(super) fn tell(&self, imported: &Imported) -> anyhow::Result<Outcome> {
        let (report, summary) = imported;
        let text = match self.format {
            Format::Table => {
                let value = serde_json::to_value(report)?;
                let reel = format!("reel       {}: {} records", self.out.display(), summary.records);
                [report::table(&value), vec![reel]].concat().join("\n")
            }
            Format::Json => serde_json::to_string_pretty(report)?,
        };
        output::print(&text)?;
        Ok(if report.rows.is_loss() { Outcome::Loss } else { Outcome::Done })
    }
}
