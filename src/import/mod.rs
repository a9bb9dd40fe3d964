//! Other formats to reels: public traces, dumps, logs, tables. One file a source, or a folder; what they share beside it.
//!
//! Each importer has a pure part, which reads from any bytes, and a `run`, which opens files and writes the reel. It
//! writes while it reads; [`Survey`] keeps account of what the reel asks of its cluster, [`Tally`] of what was read. Both end
//! in a [`Report`], which the reel holds as its last record. Nothing here talks to a cluster.

pub mod audit;
pub mod csv;
pub mod dlrm;
mod documents;
pub mod dump;
mod error;
mod input;
pub mod jsonl;
pub mod kwok;
mod lines;
mod lives;
mod names;
mod objects;
pub mod openb;
mod output;
mod patch;
mod place;
pub mod pool;
mod report;
mod rows;
mod shaping;
pub mod simkube;
mod survey;
pub mod synth;
mod tally;
#[cfg(test)]
mod testing;
mod workload;

pub use error::ImportError;
pub use input::Input;
pub use output::{Origin, Output, Target};
pub use report::{REPORT_NOTE, Report};
pub use shaping::{Arrival, Initial, Lifetime, Shaping};
pub use survey::{Counts, Load, Misfits, ResourceLoad, Survey};
pub use tally::{Dropped, Place, Tally};

use crate::trace::Summary;

/// A reel that was made: its report, and what is in it.
pub type Imported = (Report, Summary);

/// Why an object of a kind that no scheduler reads is not in the reel.
const UNWANTED: &str = "a kind that no scheduler reads";

/// Whole cards, as device plugins name them.
const GPU: &str = "nvidia.com/gpu";

/// Thousandths of cards: Kubernetes has no fractions of extended resources. All pods with cards ask for them, those with
/// whole cards ask for [`GPU`] too.
const GPU_MILLI: &str = "kubereel.dev/gpu-milli";

/// The node label with the model of its cards.
const GPU_MODEL: &str = "kubereel.dev/gpu-model";
