use std::fmt;

use serde::Serialize;

use super::{Fault, Note, RunMetric, Rung, Side};

/// What counts as a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// The rung on which a pod that differs is a change. Runs whose decisions race are judged on
    /// [`Rung::NodeClass`] at the finest.
    pub fail_on: Rung,
    /// The relative difference of a run's numbers that does not matter; `None` for each number's own.
    pub margin: Option<f64>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { fail_on: Rung::ExactNode, margin: None }
    }
}

/// What the runs of two schedulers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// They decide alike.
    Equivalent,
    /// They decide otherwise, beyond what runs of one side differ.
    Changed,
    /// These runs cannot tell.
    Inconclusive,
    /// A run is not fit to be judged.
    Invalid,
}

impl Verdict {
    /// The exit code of a command that ends with this verdict.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Equivalent => 0,
            Verdict::Invalid => 3,
            Verdict::Changed => 4,
            Verdict::Inconclusive => 5,
        }
    }
}

/// Why the verdict is what it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// Every pod that is stable on both sides is decided alike.
    Alike {
        /// Pods stable on both sides.
        stable: u64,
        /// Pods compared.
        of: u64,
    },
    /// Pods that are stable on both sides differ.
    Differ {
        /// How many.
        count: u64,
        /// Pods compared.
        of: u64,
    },
    /// The candidate breaks rules that the baseline keeps.
    Broken {
        /// How often.
        count: u64,
    },
    /// Numbers of the candidate's runs are worse, beyond the margin.
    Regressed {
        /// The first of them.
        metric: RunMetric,
        /// How many.
        count: u64,
    },
    /// Decisions are alike, but the runs cannot tell whether numbers of the candidate's runs are worse.
    Unclear {
        /// The first of them.
        metric: RunMetric,
        /// How many.
        count: u64,
        /// About how many runs a side would settle all of them; `None` where that cannot be said.
        need: Option<u64>,
    },
    /// Few pods are stable, but placements of the two sides lie further apart than those of runs of one side.
    Apart {
        /// p-value of the energy distance.
        p: f64,
    },
    /// See [`Groups::problems`](super::Groups::problems).
    Problems,
    /// Decisions race in this mode, and there are too few runs to know how much.
    TooFewRuns {
        /// Runs of the smaller side.
        have: usize,
        /// Runs that each side needs.
        need: usize,
    },
    /// Too many pods are decided otherwise from run to run of one scheduler.
    Unstable {
        /// Pods stable on both sides.
        stable: u64,
        /// Pods compared.
        of: u64,
    },
    /// No more pods differ between the sides than from run to run.
    WithinNoise {
        /// Stable pods that differ.
        differ: u64,
        /// Pods that are unstable on a side.
        unstable: u64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Alike { stable, of } if stable == of => write!(f, "all {of} pods decided alike"),
            Reason::Alike { stable, of } => {
                write!(f, "the {stable} of {of} pods that are stable from run to run are decided alike")
            }
            Reason::Differ { count, of } => write!(f, "{count} of {of} pods decided otherwise"),
            Reason::Broken { count } => {
                write!(f, "the candidate breaks rules that the baseline keeps: {count} times")
            }
            Reason::Regressed { metric, count } => write!(f, "{} regressed", first_of(*metric, *count)),
            Reason::Unclear { metric, count, need } => {
                let need =
                    need.map_or(String::new(), |need| format!(", about {need} runs a side would tell"));
                write!(f, "{} may have changed{need}; decisions are alike", first_of(*metric, *count))
            }
            Reason::Apart { p } => {
                write!(f, "the sides place further apart than runs of one side do: p = {p:.3}")
            }
            Reason::Problems => f.write_str("the runs are not fit to be judged"),
            Reason::TooFewRuns { have, need } => write!(
                f,
                "decisions race in this mode: {have} run a side cannot tell a change from noise; \
                 run {need} a side, or use --mode lockstep"
            ),
            Reason::Unstable { stable, of } => write!(
                f,
                "only {stable} of {of} pods are stable from run to run of one scheduler, too few to judge by; \
                 --mode lockstep with --tie-break fixed removes most of this noise"
            ),
            Reason::WithinNoise { differ, unstable } => write!(
                f,
                "{differ} stable pods differ, but {unstable} differ from run to run of one side; \
                 use --mode lockstep"
            ),
        }
    }
}

/// Some numbers by the first of them.
fn first_of(metric: RunMetric, count: u64) -> String {
    match count {
        1 => metric.as_str().to_owned(),
        _ => format!("{} and {} more", metric.as_str(), count - 1),
    }
}

/// Why a run cannot be judged.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// A side has no run.
    NoRuns {
        /// Which side.
        side: Side,
    },
    /// No pod is in all runs.
    NoPods,
    /// A run is not like the first baseline run in something other than its scheduler.
    Incomparable {
        /// The run.
        reel: String,
        /// In what; the first baseline run is A, this run is B.
        note: Note,
    },
    /// A run by itself is not fit to be judged.
    Unfit {
        /// The run.
        reel: String,
        /// Why.
        fault: Fault,
    },
    /// Pods of other runs are not in this one.
    MissingPods {
        /// The run.
        reel: String,
        /// How many.
        count: u64,
    },
}

impl Problem {
    /// The kind of problem in one word, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Problem::NoRuns { .. } => "no-runs",
            Problem::NoPods => "no-pods",
            Problem::Incomparable { note, .. } => note.code(),
            Problem::Unfit { fault, .. } => fault.code(),
            Problem::MissingPods { .. } => "missing-pods",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NoRuns { side } => write!(f, "side {} has no run", side.letter()),
            Problem::NoPods => f.write_str("no pod is in all runs"),
            Problem::Incomparable { reel, note } => write!(f, "{reel} against the first run: {note}"),
            Problem::Unfit { reel, fault } => write!(f, "{reel} {fault}"),
            Problem::MissingPods { reel, count } => {
                write!(f, "{reel} lacks {count} pods that other runs have")
            }
        }
    }
}
