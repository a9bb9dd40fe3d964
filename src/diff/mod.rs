//! Facts from reels, aligned and compared: records in, one value out. Only [`load`] reads a file; nothing reads a clock.
//!
//! 1. [`Facts::collect`] reads the records of one reel once and keeps what each pod and node came to: memory grows
//!    with the number of pods, not of events.
//! 2. [`compare`] sets two reels side by side, whatever made them.
//! 3. [`judge`] sets the runs of two schedulers side by side and gives the [`Verdict`].
//!
//! Pods are matched by `kubereel.dev/id`. Pods of the warm-up, and pods that were created with a node name, are
//! counted and then left out: no scheduler decided them while the trace played.

mod agreement;
#[cfg(test)]
mod alarms;
mod attempts;
mod broken;
mod budget;
mod collect;
mod comparable;
mod compare;
mod components;
mod contest;
mod explored;
mod facts;
mod fault;
mod history;
mod invariants;
mod join;
mod judge;
mod kinds;
mod latency;
mod lateness;
mod load;
mod metrics;
mod node;
mod parts;
#[cfg(test)]
mod planted;
mod pod;
mod reasons;
mod rung;
mod scheduler_metrics;
mod series;
mod shape;
mod sight;
mod snapshot;
mod spread;
mod steps;
mod story;
mod submission;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod texts;
mod usage;
mod verdict;
mod windows;
mod workload;

pub use agreement::Agreement;
pub use attempts::{ATTEMPT_KIND, Attempt, AttemptResult, NodeScore};
pub use broken::{Broken, broken};
pub use budget::Budget;
pub use collect::{COMPLETE_FACT, LONGEST_WAIT_FACT, UNSETTLED_FACT};
pub use comparable::{Note, Side, notes};
pub use compare::{Cause, Change, Decision, Diff, compare};
pub use components::METRICS_KIND;
pub use contest::{Contest, Why};
pub use explored::{Explored, explored};
pub use facts::{Counts, Facts, RunFacts, Span};
pub use fault::{Fault, MAX_LATENESS, RunVerdict};
pub use invariants::{Rule, Violation, violations};
pub use judge::{Groups, RungVerdict, Unstable, judge};
pub use kinds::{Kind, kinds};
pub use latency::{Latency, Metric};
pub use lateness::Lateness;
pub use load::{load, load_all};
pub use metrics::{MetricVerdict, RunMetric, observations};
pub use node::{NodeFacts, NodeHistory};
pub use pod::{Milestone, Origin, Outcome, Pod};
pub use reasons::reasons;
pub use rung::Rung;
pub use scheduler_metrics::{Incomparable, incomparable};
pub use series::{Series, series};
pub use shape::{HostPort, Shape};
pub use snapshot::{NodeUse, Snapshot, snapshots};
pub use story::story;
pub use verdict::{Policy, Problem, Reason, Verdict};
pub use workload::workload;
