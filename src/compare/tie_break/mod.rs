//! Ties between nodes broken the same way in every run of every version, with stock schedulers. Up to v1.34 a scheduler
//! draws among the nodes with the best score (`pkg/scheduler/schedule_one.go`, v1.34.4, `selectHost`). An extender adds
//! a rank to each node's score, and every weight is multiplied, so that all ranks stay below one point of a plugin.

mod extender;
mod rank;
mod weights;

pub use extender::Extender;
pub use weights::WeightError;
pub(super) use weights::{POINT, fixed};

/// Which node is taken of those that score alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TieBreak {
    /// The same one whenever the same nodes tie: by an order of their names.
    Fixed,
    /// As the scheduler does: by chance up to v1.34, by the order in which its filters found them since.
    Stock,
}

impl TieBreak {
    /// `fixed` or `stock`.
    pub fn as_str(self) -> &'static str {
        match self {
            TieBreak::Fixed => "fixed",
            TieBreak::Stock => "stock",
        }
    }
}
