use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{ActionReport, Failure, TraceTime};
use crate::stats::Summary;

/// How well a replay kept its schedule while the trace played.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lateness {
    /// How long after its due time each action was sent; `None` where no action was.
    pub late: Option<Summary>,
    /// Actions that did not succeed, by HTTP status, 0 where there was no answer.
    pub failed: BTreeMap<u16, u64>,
    /// How often requests were made again.
    pub retries: u64,
    /// The longest that a request waited for a free submitter.
    pub longest_wait: Duration,
    /// When the first action was sent and the last one answered; `None` where no action was.
    pub span: Option<(TraceTime, TraceTime)>,
}

impl Lateness {
    /// Actions a second, from the first sent to the last answered; `None` without any, or where that took no time.
    pub fn rate(&self) -> Option<f64> {
        let (first, last) = self.span?;
        let seconds = last.since(first).as_secs_f64();
        self.late.map(|late| late.n as f64 / seconds).filter(|rate| rate.is_finite())
    }

    /// Actions that failed and should not have, by kind: all but those that were [`Failure::Moot`].
    pub fn faulty(&self) -> BTreeMap<Failure, u64> {
        let mut faulty = BTreeMap::new();
        for (status, count) in &self.failed {
            match Failure::of_status(*status) {
                None | Some(Failure::Moot) => {}
                Some(kind) => *faulty.entry(kind).or_default() += count,
            }
        }
        faulty
    }
}

/// Collects what [`Lateness`] sums up: 8 bytes an action.
#[derive(Debug, Default)]
pub(super) struct LatenessAccount {
    nanos: Vec<u64>,
    failed: BTreeMap<u16, u64>,
    retries: u64,
    longest_wait: Duration,
    span: Option<(TraceTime, TraceTime)>,
}

impl LatenessAccount {
    pub(super) fn add(&mut self, action: &ActionReport) {
        self.nanos.push(action.sent.as_nanos().saturating_sub(action.due.as_nanos()));
        let (first, last) = self.span.unwrap_or((action.sent, action.answered));
        self.span = Some((first.min(action.sent), last.max(action.answered)));
        self.retries += u64::from(action.retries);
        if Failure::of_status(action.status).is_some() {
            *self.failed.entry(action.status).or_default() += 1;
        }
    }

    pub(super) fn waited(&mut self, nanos: u64) {
        self.longest_wait = self.longest_wait.max(Duration::from_nanos(nanos));
    }

    pub(super) fn sum_up(self) -> Lateness {
        let LatenessAccount { nanos, failed, retries, longest_wait, span } = self;
        let late = Summary::of(nanos.into_iter().map(Duration::from_nanos));
        Lateness { late, failed, retries, longest_wait, span }
    }
}
