use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::ActionReport;
use crate::stats::Summary;

/// How well a replay kept its schedule while the trace played.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lateness {
    /// How long after its due time each action was sent; `None` where no action was.
    pub late: Option<Summary>,
    /// Actions that did not succeed, by HTTP status, 0 where there was no answer.
    pub failed: BTreeMap<u16, u64>,
}

/// Collects what [`Lateness`] sums up: 8 bytes an action.
#[derive(Debug, Default)]
pub(super) struct LatenessAccount {
    nanos: Vec<u64>,
    failed: BTreeMap<u16, u64>,
}

impl LatenessAccount {
    pub(super) fn add(&mut self, action: &ActionReport) {
        self.nanos.push(action.sent.as_nanos().saturating_sub(action.due.as_nanos()));
        if !(200..300).contains(&action.status) {
            *self.failed.entry(action.status).or_default() += 1;
        }
    }

    pub(super) fn sum_up(self) -> Lateness {
        Lateness { late: Summary::of(self.nanos.into_iter().map(Duration::from_nanos)), failed: self.failed }
    }
}
