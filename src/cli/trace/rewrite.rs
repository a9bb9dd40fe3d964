//! Reads one reel and writes another.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::cli::args::Level;
use crate::cli::{Outcome, output};
use crate::model::Record;
use crate::trace::{Detail, Ending, Header, Reader, ReelWriter, Summary, TraceError, WriteOptions};

/// Where a new reel goes.
#[derive(Debug, Args)]
pub(super) struct OutArgs {
    /// Where the new reel goes; - for standard output.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file if it exists.
    #[arg(long)]
    overwrite: bool,
    /// How much of each object to keep; default: as the input.
    #[arg(long, value_enum)]
    level: Option<Level>,
}

impl OutArgs {
    /// Creates the reel; `source` is told in its header.
    pub(super) fn create(&self, header: &Header, source: &Path) -> anyhow::Result<ReelWriter> {
        let detail = self.level.map_or(header.detail, Detail::from);
        // What a lean reel lacks does not come back.
        let detail = if header.detail == Detail::Lossless { detail } else { header.detail };
        let options = WriteOptions { overwrite: self.overwrite, detail, ..WriteOptions::default() };
        let mut header = header.clone();
        header.labels.insert("made-from".to_owned(), source.display().to_string());
        if is_stdio(&self.out) {
            return Ok(ReelWriter::stream(Box::new(std::io::stdout()), &self.out, &header, options)?);
        }
        anyhow::ensure!(
            !same_file(&self.out, source),
            "{} cannot be read and replaced at once; give another name",
            source.display()
        );
        Ok(ReelWriter::create(&self.out, &header, options)?)
    }

    /// Seals the reel and says what is in it.
    pub(super) fn finish(&self, writer: ReelWriter) -> anyhow::Result<Summary> {
        let summary = writer.seal()?;
        if !is_stdio(&self.out) {
            output::print(&format!(
                "{}: {} records, {} gaps",
                self.out.display(),
                summary.records,
                summary.gaps
            ))?;
        }
        Ok(summary)
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

pub(super) fn is_stdio(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Hands all records to `take` until it wants no more. What a damaged input has is taken, and told as loss.
pub(super) fn each_record<R: std::io::Read>(
    reader: &mut Reader<R>,
    mut take: impl FnMut(Record) -> anyhow::Result<bool>,
) -> anyhow::Result<Outcome> {
    for record in reader.by_ref() {
        match record {
            Ok(record) => {
                if !take(record)? {
                    return Ok(Outcome::Done);
                }
            }
            Err(error) => return loss(error),
        }
    }
    if reader.ending() == Some(&Ending::Open) {
        tracing::info!("the reel is not sealed: its writer died, or is still at work");
    }
    Ok(Outcome::Done)
}

/// Damage is told and becomes the outcome; anything else ends the command.
pub(super) fn loss(error: TraceError) -> anyhow::Result<Outcome> {
    if !error.is_loss() {
        return Err(error).context("reading the reel");
    }
    tracing::warn!("{error}");
    Ok(Outcome::Loss)
}
