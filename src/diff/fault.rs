use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Facts;
use crate::model::Failure;

/// How late the actions of a paced run may be (99th percentile) where nobody says otherwise: a tenth of the scheduler's
/// shortest back-off (1 s), so that lateness cannot reorder its retries.
pub const MAX_LATENESS: Duration = Duration::from_millis(100);

/// Why a run by itself is not fit to be judged. As text it is what follows the run's name: `was late: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Events may be missing.
    Gaps {
        /// How many stretches.
        count: u64,
    },
    /// The reel was cut off.
    Unsealed,
    /// Not every action of the plan went out: somebody asked for the end, or an error did.
    CutShort,
    /// Actions were sent too late.
    Late {
        /// 99th percentile of lateness.
        p99: Duration,
        /// What was allowed.
        limit: Duration,
    },
    /// Requests waited because all submitters were busy: the replay itself was the bottleneck, or the target was slow.
    Saturated {
        /// The longest wait.
        longest: Duration,
        /// What was allowed.
        limit: Duration,
    },
    /// Decisions did not show before the next action.
    Unsettled {
        /// After how many actions.
        steps: u64,
    },
    /// Actions failed for another reason than that this run has decided otherwise than the recording.
    Failed {
        /// How many, by kind.
        errors: BTreeMap<Failure, u64>,
    },
    /// A component of the control plane was started while the run was under way.
    Restarted {
        /// Which.
        component: String,
    },
}

impl Fault {
    /// The kind of fault in one word, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Fault::Gaps { .. } => "gaps",
            Fault::Unsealed => "unsealed",
            Fault::CutShort => "cut-short",
            Fault::Late { .. } => "late",
            Fault::Saturated { .. } => "saturated",
            Fault::Unsettled { .. } => "unsettled",
            Fault::Failed { .. } => "failed",
            Fault::Restarted { .. } => "restarted",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Gaps { count } => write!(f, "has {count} gaps"),
            Fault::Unsealed => f.write_str("is not sealed"),
            Fault::CutShort => f.write_str("was cut short: not every action of its plan went out"),
            Fault::Late { p99, limit } => {
                write!(f, "was late: p99 {p99:.1?}, allowed {limit:.1?}; try a lower --speed")
            }
            Fault::Saturated { longest, limit } => write!(
                f,
                "was held up: a request waited {longest:.1?} for a free submitter, allowed {limit:.1?}; try a lower --speed"
            ),
            Fault::Unsettled { steps } => {
                write!(f, "did not settle: after {steps} actions the decision did not show in time")
            }
            Fault::Failed { errors } => {
                let errors: Vec<_> = errors.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
                write!(f, "had actions that failed: {}", errors.join(", "))
            }
            Fault::Restarted { component } => write!(f, "saw {component} restart"),
        }
    }
}

/// Whether a run is fit to be judged: a pure function of its reel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunVerdict {
    /// Why not; none if it is.
    pub faults: Vec<Fault>,
}

impl RunVerdict {
    /// The verdict on a reel. Recordings of a cluster can have gaps and can be cut off, nothing else.
    pub fn of(facts: &Facts) -> RunVerdict {
        let limit = facts.run.max_lateness.unwrap_or(MAX_LATENESS);
        let is_paced = facts.run.is_paced();
        let late = facts.lateness.late.filter(|late| is_paced && late.p99 > limit);
        let longest = facts.lateness.longest_wait;
        let errors = facts.lateness.faulty();
        let faults = [
            (facts.gap_count() > 0).then(|| Fault::Gaps { count: facts.gap_count() }),
            (!facts.run.sealed).then_some(Fault::Unsealed),
            facts.is_cut_short.then_some(Fault::CutShort),
            late.map(|late| Fault::Late { p99: late.p99, limit }),
            (is_paced && longest > limit).then_some(Fault::Saturated { longest, limit }),
            (facts.unsettled > 0).then_some(Fault::Unsettled { steps: facts.unsettled }),
            (!errors.is_empty()).then_some(Fault::Failed { errors }),
        ];
        let restarted = facts.restarted.iter().map(|c| Fault::Restarted { component: c.clone() });
        RunVerdict { faults: faults.into_iter().flatten().chain(restarted).collect() }
    }

    /// Whether nothing stands against the run.
    pub fn is_valid(&self) -> bool {
        self.faults.is_empty()
    }
}
