mod chrome;
mod csv;
mod parquet;

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::cat::to_json;
use super::rewrite::{each_record, is_stdio};
use super::select::Selection;
use crate::cli::Outcome;
use crate::model::{ObjectEvent, PodView, Record};
use crate::trace::Reader;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// A record a line, with whole objects.
    Jsonl,
    /// An event a line, without objects.
    Csv,
    /// An event a row, with its object as JSON, for data frames and SQL engines.
    Parquet,
    /// A timeline for Perfetto: nodes are tracks, pods are slices, pending pods a counter.
    Chrome,
}

/// Writes a reel in another format.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The reel; - for standard input.
    reel: PathBuf,
    /// The format.
    #[arg(long, value_enum)]
    to: To,
    /// Where it goes; - for standard output.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    #[command(flatten)]
    select: ExportSelection,
}

/// `--to` is the format here.
#[derive(Debug, Args)]
struct ExportSelection {
    /// Only objects of this kind: Pod, Node, ReplicaSet.apps.
    #[arg(long)]
    kind: Vec<String>,
    /// Only objects in this namespace.
    #[arg(long, short)]
    namespace: Vec<String>,
}

/// Where the bytes go.
type Out = BufWriter<Box<dyn Write + Send>>;

/// A format that a reel is written in.
trait Format {
    /// Takes the next record; what the format has no place for is left out.
    fn record(&mut self, record: &Record) -> anyhow::Result<()>;

    /// Writes what is left.
    fn end(self: Box<Self>) -> anyhow::Result<()>;
}

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<Outcome> {
    let mut reader = Reader::open_or_stdin(&args.reel)?;
    let out: Box<dyn Write + Send> = if is_stdio(&args.out) {
        Box::new(std::io::stdout())
    } else {
        Box::new(std::fs::File::create_new(&args.out)?)
    };
    let out = BufWriter::with_capacity(1 << 16, out);
    let mut format: Box<dyn Format> = match args.to {
        To::Jsonl => Box::new(Jsonl(out)),
        To::Csv => Box::new(csv::Csv::new(out)?),
        To::Parquet => Box::new(parquet::Parquet::new(out)?),
        To::Chrome => Box::new(chrome::Chrome::new(out)?),
    };
    let select = Selection::of_objects(args.select.kind.clone(), args.select.namespace.clone());
    let outcome = each_record(&mut reader, |record| {
        if select.takes(&record) {
            format.record(&record)?;
        }
        Ok(true)
    })?;
    format.end()?;
    Ok(outcome)
}

/// A record a line.
struct Jsonl(Out);

impl Format for Jsonl {
    fn record(&mut self, record: &Record) -> anyhow::Result<()> {
        Ok(writeln!(self.0, "{}", to_json(record)?)?)
    }

    fn end(mut self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.0.flush()?)
    }
}

/// The node that a pod is bound to, and the phase of what has one.
fn node_and_phase(event: &ObjectEvent) -> (Option<&str>, Option<&str>) {
    (PodView(&event.object).node_name(), event.object["status"]["phase"].as_str())
}
