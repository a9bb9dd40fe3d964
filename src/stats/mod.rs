//! Quantiles, tests and intervals over numbers. Pure; the source of every formula stands at its function, and
//! `tools/stats_vectors.py` holds them to `SciPy` and lifelines (`src/stats/vectors.json`).

mod energy;
mod margin;
mod multiple;
mod permutation;
mod quantile;
mod rank;
mod runs;
mod shift;
mod summary;
mod survival;
#[cfg(test)]
mod tests;

pub use energy::{Energy, energy_test};
pub use margin::{Change, Gated, Judged, gate};
pub use multiple::{benjamini_hochberg, holm};
pub use permutation::{MeanDifference, permutation_test};
pub use quantile::quantile;
pub use rank::{cliffs_delta, mann_whitney};
pub use runs::runs_needed;
pub use shift::{Estimate, ratio, shift};
pub use summary::Summary;
pub use survival::{Curve, Observation, log_rank};
