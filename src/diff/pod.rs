use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::texts::Sym;
use super::{Facts, NodeFacts, NodeHistory, Shape};
use crate::model::{DisruptionReason, Phase, TraceTime};

/// A point in a pod's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
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
    /// First phase `Succeeded` or `Failed`.
    Ended,
    /// The watch reported the deletion.
    Gone,
}

impl Milestone {
    /// All, in the order of a life that ends with a deletion.
    pub const ALL: [Milestone; 9] = [
        Milestone::Added,
        Milestone::Unscheduled,
        Milestone::Nominated,
        Milestone::Scheduled,
        Milestone::Running,
        Milestone::Ready,
        Milestone::Deleting,
        Milestone::Ended,
        Milestone::Gone,
    ];
}

/// When each milestone was reached; packed, as a reel holds a million of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Milestones {
    at: [TraceTime; Milestone::ALL.len()],
    reached: Reached,
    seen: Reached,
}

/// A set of milestones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reached(u16);

impl Reached {
    pub(super) fn has(self, milestone: Milestone) -> bool {
        self.0 & (1 << milestone as u16) != 0
    }

    fn add(&mut self, milestone: Milestone) {
        self.0 |= 1 << milestone as u16;
    }

    /// What is in this set and not in an earlier one.
    pub(super) fn since(self, earlier: Reached) -> Reached {
        Reached(self.0 & !earlier.0)
    }
}

impl Milestones {
    /// Keeps the first time only. `seen` is false where the instant is not known, only that it has passed.
    pub(super) fn reach(&mut self, milestone: Milestone, at: TraceTime, seen: bool) {
        if !self.has(milestone) {
            self.reached.add(milestone);
            self.at[milestone as usize] = at;
            if seen {
                self.seen.add(milestone);
            }
        }
    }

    pub(super) fn has(&self, milestone: Milestone) -> bool {
        self.reached.has(milestone)
    }

    /// All that was reached.
    pub(super) fn reached(&self) -> Reached {
        self.reached
    }

    fn seen_at(&self, milestone: Milestone) -> Option<TraceTime> {
        self.seen.has(milestone).then_some(self.at[milestone as usize])
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

/// What one pod came to in one reel; strings are symbols of its [`Facts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodFacts {
    pub(super) id: Sym,
    pub(super) namespace: Sym,
    pub(super) name: Sym,
    pub(super) workload: Sym,
    /// Why no node fitted when the scheduler last said so; the empty string where it never did.
    pub(super) reason: Sym,
    /// Position in [`Facts::shapes`].
    pub(super) shape: u32,
    /// Where it was bound: a position in [`Facts::nodes`].
    pub(super) node: Option<u32>,
    /// Where room was made for it.
    pub(super) nominated: Option<u32>,
    /// A hash of the object's UID.
    pub(super) uid: u64,
    pub(super) origin: Origin,
    pub(super) end: Option<Phase>,
    pub(super) disruption: Option<DisruptionReason>,
    pub(super) incarnations: u16,
    pub(super) milestones: Milestones,
}

impl PodFacts {
    pub(super) fn is_counted(&self) -> bool {
        self.origin == Origin::Played
    }

    pub(super) fn is_preempted(&self) -> bool {
        self.disruption == Some(DisruptionReason::PreemptionByScheduler)
    }

    pub(super) fn outcome(&self) -> Outcome {
        let has = |milestone| self.milestones.has(milestone);
        let over = self.end.is_some() || has(Milestone::Deleting) || has(Milestone::Gone);
        match (self.node, over) {
            (Some(_), _) if self.is_preempted() => Outcome::Preempted,
            (Some(_), _) => Outcome::Bound,
            (None, true) => Outcome::DeletedWhilePending,
            (None, false) => Outcome::NeverBound,
        }
    }
}

/// A pod of a reel.
#[derive(Debug, Clone, Copy)]
pub struct Pod<'f> {
    pub(super) facts: &'f Facts,
    /// Its number: pods are numbered in the order in which they were first seen.
    pub index: u32,
}

impl<'f> Pod<'f> {
    pub(super) fn own(self) -> &'f PodFacts {
        &self.facts.pods[self.index as usize]
    }

    /// `kubereel.dev/id`.
    pub fn id(self) -> &'f str {
        self.facts.texts.get(self.own().id)
    }

    /// Namespace.
    pub fn namespace(self) -> &'f str {
        self.facts.texts.get(self.own().namespace)
    }

    /// Name.
    pub fn name(self) -> &'f str {
        self.facts.texts.get(self.own().name)
    }

    /// What it belongs to, such as `Deployment/web`, or `web` where only labels or the name tell.
    pub fn workload(self) -> &'f str {
        self.facts.texts.get(self.own().workload)
    }

    /// What the scheduler reads of it.
    pub fn shape(self) -> &'f Shape {
        &self.facts.shapes()[self.own().shape as usize]
    }

    /// How it came into the reel.
    pub fn origin(self) -> Origin {
        self.own().origin
    }

    /// Whether statistics and comparisons count this pod.
    pub fn is_counted(self) -> bool {
        self.own().is_counted()
    }

    /// Where it was bound, over time.
    pub fn node(self) -> Option<&'f NodeHistory> {
        self.own().node.map(|node| &self.facts.nodes[node as usize])
    }

    /// Name of the node where it was bound.
    pub fn node_name(self) -> Option<&'f str> {
        self.node().map(|node| &*node.name)
    }

    /// Name of the node where room was made for it, where it waited for that.
    pub fn nominated_node(self) -> Option<&'f str> {
        self.own().nominated.map(|node| &*self.facts.nodes[node as usize].name)
    }

    /// The node as it was when the pod was bound to it; as last seen where the reel does not hold that.
    pub(super) fn node_when_bound(self) -> Option<&'f NodeFacts> {
        let node = self.node()?;
        let at = self.own().milestones.at[Milestone::Scheduled as usize];
        node.at(at).or_else(|| node.last())
    }

    /// Why no node fitted when the scheduler last said so: the reasons without counts, sorted.
    pub fn reason(self) -> Option<&'f str> {
        Some(self.facts.texts.get(self.own().reason)).filter(|reason| !reason.is_empty())
    }

    /// `Succeeded` or `Failed`, where it came to that.
    pub fn end(self) -> Option<Phase> {
        self.own().end
    }

    /// Why the control plane ended it, where it said so.
    pub fn disruption(self) -> Option<DisruptionReason> {
        self.own().disruption
    }

    /// How many API objects carried this id; all else is of the last.
    pub fn incarnations(self) -> u16 {
        self.own().incarnations
    }

    /// When a milestone was seen to be reached; `None` where it was not reached, or only inferred after a gap.
    pub fn at(self, milestone: Milestone) -> Option<TraceTime> {
        self.own().milestones.seen_at(milestone)
    }

    /// When a milestone was reached at the latest, seen or inferred.
    pub fn reached(self, milestone: Milestone) -> Option<TraceTime> {
        let milestones = &self.own().milestones;
        milestones.has(milestone).then_some(milestones.at[milestone as usize])
    }

    /// Time between two milestones, both seen, on the reel's own clock.
    pub fn between(self, from: Milestone, to: Milestone) -> Option<Duration> {
        Some(self.at(to)?.since(self.at(from)?))
    }

    /// What became of it.
    pub fn outcome(self) -> Outcome {
        self.own().outcome()
    }
}

impl fmt::Display for Pod<'_> {
    /// `namespace/name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace(), self.name())
    }
}
