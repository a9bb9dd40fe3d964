use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Requests;
use crate::model::{DisruptionReason, Phase, TraceTime};

/// Names a pod in reports. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRef {
    /// `kubereel.dev/id`.
    pub id: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// What it belongs to, such as `Deployment/web`, or `web` where only labels or the name tell.
    pub workload: Arc<str>,
}

impl fmt::Display for PodRef {
    /// `namespace/name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A point in a pod's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Milestone {
    /// First seen as created.
    Added,
    /// First `PodScheduled` condition that is False.
    Unscheduled,
    /// First `status.nominatedNodeName`.
    Nominated,
    /// First `spec.nodeName`.
    Scheduled,
    /// First phase `Running`.
    Running,
    /// First `Ready` condition that is True.
    Ready,
    /// First `metadata.deletionTimestamp`.
    Deleting,
    /// The watch reported the deletion.
    Gone,
}

const MILESTONES: usize = Milestone::Gone as usize + 1;

/// When each milestone was reached; packed, as a reel holds a million of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Milestones {
    at: [TraceTime; MILESTONES],
    reached: u8,
    seen: u8,
}

impl Milestones {
    /// Keeps the first time only. `seen` is false where the instant is not known, only that it has passed.
    pub(super) fn reach(&mut self, milestone: Milestone, at: TraceTime, seen: bool) {
        let bit = 1 << milestone as u8;
        if self.reached & bit == 0 {
            self.reached |= bit;
            self.at[milestone as usize] = at;
            if seen {
                self.seen |= bit;
            }
        }
    }

    fn has(&self, milestone: Milestone) -> bool {
        self.reached & (1 << milestone as u8) != 0
    }

    fn seen_at(&self, milestone: Milestone) -> Option<TraceTime> {
        (self.seen & (1 << milestone as u8) != 0).then_some(self.at[milestone as usize])
    }
}

/// How a pod came into the reel, which says whether its decision counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Pending when first seen, while the trace played: a scheduler decided, statistics and comparisons count it.
    Played,
    /// Created in the warm-up, or already bound when the recording started: counted, not compared.
    WarmUp,
    /// Created with a node name: no scheduler decided. Counted, not compared.
    ByHand,
}

/// What became of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Bound to a node.
    Bound,
    /// Bound to a node, then removed from it by the scheduler for a pod of higher priority.
    Preempted,
    /// Still pending when the reel ends: its waiting time is at least what was seen (right-censored).
    NeverBound,
    /// Deleted, or ended, before it was bound.
    DeletedWhilePending,
}

impl fmt::Display for Outcome {
    /// `never bound`, for sentences.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Bound => "bound",
            Outcome::Preempted => "preempted",
            Outcome::NeverBound => "never bound",
            Outcome::DeletedWhilePending => "deleted while pending",
        })
    }
}

/// What the scheduler did with a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decision {
    /// What became of the pod.
    pub outcome: Outcome,
    /// Where it was bound.
    pub node: Option<Arc<str>>,
}

/// What one pod came to in one reel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// Its names.
    pub pod: PodRef,
    /// How it came into the reel.
    pub origin: Origin,
    /// `spec.priority`, 0 where absent.
    pub priority: i32,
    /// What it asks of a node.
    pub requests: Requests,
    /// Where it was bound.
    pub node: Option<Arc<str>>,
    /// `Succeeded` or `Failed`, where it came to that.
    pub end: Option<Phase>,
    /// Why the control plane ended it, where it said so.
    pub disruption: Option<DisruptionReason>,
    /// How many API objects carried this id; the facts are those of the last.
    pub incarnations: u32,
    pub(super) milestones: Milestones,
}

impl PodFacts {
    /// Whether statistics and comparisons count this pod.
    pub fn is_counted(&self) -> bool {
        self.origin == Origin::Played
    }

    /// When a milestone was seen to be reached; `None` where it was not reached, or only inferred after a gap.
    pub fn at(&self, milestone: Milestone) -> Option<TraceTime> {
        self.milestones.seen_at(milestone)
    }

    /// Whether a milestone was reached, seen or inferred.
    pub fn has_reached(&self, milestone: Milestone) -> bool {
        self.milestones.has(milestone)
    }

    /// Time from creation to a milestone, both seen, on the reel's own clock.
    pub fn create_to(&self, milestone: Milestone) -> Option<Duration> {
        Some(self.at(milestone)?.since(self.at(Milestone::Added)?))
    }

    /// Whether the scheduler removed it for a pod of higher priority.
    pub fn is_preempted(&self) -> bool {
        self.disruption == Some(DisruptionReason::PreemptionByScheduler)
    }

    /// What became of it.
    pub fn outcome(&self) -> Outcome {
        let over =
            self.end.is_some() || self.has_reached(Milestone::Deleting) || self.has_reached(Milestone::Gone);
        match (&self.node, over) {
            (Some(_), _) if self.is_preempted() => Outcome::Preempted,
            (Some(_), _) => Outcome::Bound,
            (None, true) => Outcome::DeletedWhilePending,
            (None, false) => Outcome::NeverBound,
        }
    }

    /// What the scheduler did with it.
    pub fn decision(&self) -> Decision {
        Decision { outcome: self.outcome(), node: self.node.clone() }
    }
}
