//! Runs of two schedulers on fresh clusters, interleaved. Every run is a reel; what is compared are the reels.

mod plan;
mod profile;
mod run;
mod tie_break;

pub use plan::{Side, order};
pub use profile::deterministic;
pub use run::{CompareError, CompareSpec, Contender, RunReel, compare};
pub use tie_break::{Extender, TieBreak, WeightError};
