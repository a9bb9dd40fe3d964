use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use foldhash::fast::FixedState;
use serde::Serialize;

use super::collect::Collector;
use super::pod::PodFacts;
use super::shape::Shapes;
use super::steps::Step;
use super::submission::Submission;
use super::texts::{Numbers, Texts};
use super::{Attempt, Budget, Lateness, Milestone, NodeHistory, Origin, Outcome, Pod, Shape};
use crate::model::{Phase, Record, TraceTime};

/// What a reel's header says about the run. Empty fields are unknown, or do not apply to a recording of a cluster
/// that no replay drove.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunFacts {
    /// Names the reel in reports: a path or a label.
    pub reel: String,
    /// Digest of the trace that was replayed.
    pub trace_digest: Option<String>,
    /// Digest of the plan that was made from it.
    pub plan_digest: Option<String>,
    /// Version of the scheduler, such as `v1.37.2`.
    pub scheduler_version: Option<String>,
    /// `open`, `lockstep` or `flood`; `None` for a recording.
    pub mode: Option<String>,
    /// Trace seconds per second of the run; `None` for a recording.
    pub speed: Option<f64>,
    /// How ties between nodes were broken: `fixed` or `stock`.
    pub tie_break: Option<String>,
    /// Whether the reel was finished, not cut off.
    pub sealed: bool,
    /// Version of the kubereel that wrote it.
    pub tool_version: Option<String>,
    /// Wall clock at the start of the reel, ns since the Unix epoch.
    pub started_wall_ns: i64,
    /// How late its actions may have been (99th percentile), where the run was told; [`MAX_LATENESS`](super::MAX_LATENESS)
    /// otherwise.
    pub max_lateness: Option<Duration>,
    /// Requests a second that the scheduler's client may send; `None` where its configuration is not known.
    pub client_qps: Option<f64>,
}

impl RunFacts {
    /// Whether each action waited for the decision before it, so that decisions do not race.
    pub fn is_lockstep(&self) -> bool {
        self.mode.as_deref() == Some("lockstep")
    }

    /// Whether actions were sent as fast as the target took them.
    pub fn is_flood(&self) -> bool {
        self.mode.as_deref() == Some("flood")
    }

    /// Whether actions were sent at their due times, so that lateness means something.
    pub fn is_paced(&self) -> bool {
        self.mode.as_deref() == Some("open")
    }
}

/// The stretch of a reel that statistics count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// When the trace began to play; the first record where there was no warm-up.
    pub start: TraceTime,
    /// The last record.
    pub end: TraceTime,
}

impl Span {
    /// How long it is.
    pub fn duration(self) -> Duration {
        self.end.since(self.start)
    }
}

/// How many pods came to what. All but the last three count [`Origin::Played`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Pods that a scheduler had to decide.
    pub pods: u64,
    /// Of them, bound to a node and not preempted.
    pub bound: u64,
    /// Of them, bound and then preempted.
    pub preempted: u64,
    /// Of them, still pending at the end.
    pub never_bound: u64,
    /// Of them, deleted before they were bound.
    pub deleted_while_pending: u64,
    /// Pods that ended with success.
    pub succeeded: u64,
    /// Pods that ended with failure.
    pub failed: u64,
    /// Pods whose object was gone at the end.
    pub deleted: u64,
    /// Pods whose id more than one API object carried.
    pub recreated: u64,
    /// Pods of the warm-up.
    pub warm_up: u64,
    /// Pods created with a node name.
    pub by_hand: u64,
}

impl Counts {
    pub(super) fn of<'a>(pods: impl Iterator<Item = &'a PodFacts>) -> Counts {
        let mut counts = Counts::default();
        for pod in pods {
            counts.add(pod);
        }
        counts
    }

    fn add(&mut self, pod: &PodFacts) {
        self.recreated += u64::from(pod.incarnations > 1);
        match pod.origin {
            Origin::WarmUp => self.warm_up += 1,
            Origin::ByHand => self.by_hand += 1,
            Origin::Played => {
                self.pods += 1;
                *match pod.outcome() {
                    Outcome::Bound => &mut self.bound,
                    Outcome::Preempted => &mut self.preempted,
                    Outcome::NeverBound => &mut self.never_bound,
                    Outcome::DeletedWhilePending => &mut self.deleted_while_pending,
                } += 1;
                self.succeeded += u64::from(pod.end == Some(Phase::Succeeded));
                self.failed += u64::from(pod.end == Some(Phase::Failed));
                self.deleted += u64::from(pod.milestones.has(Milestone::Gone));
            }
        }
    }
}

/// What one reel comes to: the input of every comparison. Compact: about 250 bytes a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// What the header says.
    pub run: RunFacts,
    /// Nodes in the order in which they were first seen, those that left included.
    pub nodes: Vec<NodeHistory>,
    /// How many pods came to what.
    pub counts: Counts,
    /// What statistics cover.
    pub span: Span,
    /// How well a replay kept its schedule.
    pub lateness: Lateness,
    /// Steps of a lockstep run that timed out before their decision was visible.
    pub unsettled: u64,
    /// Whether the run says that it ended before its plan did.
    pub is_cut_short: bool,
    /// Components of the control plane that were started during the run.
    pub restarted: BTreeSet<String>,
    /// Stretches in which events may be missing, by kind.
    pub gaps: BTreeMap<String, u64>,
    /// Attempts of the scheduler, by pod and then in order of time; empty where the reel does not hold its log.
    pub(super) attempts: Vec<Attempt>,
    /// Creations of pods that the target took, by pod and then in order of time; empty for a recording.
    pub(super) submissions: Vec<Submission>,
    /// Disruption budgets, as last seen.
    pub budgets: Vec<Budget>,
    pub(super) texts: Texts,
    pub(super) shapes: Shapes,
    pub(super) pods: Vec<PodFacts>,
    pub(super) by_id: Numbers,
    pub(super) by_name: HashMap<String, u32, FixedState>,
    /// Every change of where pods are, in the order of the reel.
    pub(super) steps: Vec<Step>,
    /// Pods that were bound to a second node, and that node.
    pub(super) double_binds: Vec<(TraceTime, u32, u32)>,
    /// Shapes that bound pods were resized to, in the order of their steps.
    pub(super) resizes: Vec<u32>,
}

impl Facts {
    /// Reads the records of one reel, in order, once; the first failure of the source ends it.
    pub fn collect<E>(
        run: RunFacts,
        records: impl IntoIterator<Item = Result<Record, E>>,
    ) -> Result<Facts, E> {
        let mut collector = Collector::default();
        for record in records {
            collector.add(&record?);
        }
        Ok(collector.finish(run))
    }

    /// The pod of a number.
    pub fn pod(&self, index: u32) -> Pod<'_> {
        Pod { facts: self, index }
    }

    /// All pods in the order in which they were first seen.
    pub fn pods(&self) -> impl ExactSizeIterator<Item = Pod<'_>> {
        (0..self.pods.len() as u32).map(|index| self.pod(index))
    }

    /// The pods that statistics and comparisons count, in the order in which they were first seen.
    pub fn counted(&self) -> impl Iterator<Item = Pod<'_>> {
        self.pods().filter(|pod| pod.is_counted())
    }

    /// The counted pod of an id.
    pub fn counted_pod(&self, id: &str) -> Option<Pod<'_>> {
        let index = self.by_id.get(self.texts.find(id)?)?;
        Some(self.pod(index)).filter(|pod| pod.is_counted())
    }

    /// The node of a name, with its number.
    pub fn node(&self, name: &str) -> Option<(u32, &NodeHistory)> {
        let index = *self.by_name.get(name)?;
        Some((index, &self.nodes[index as usize]))
    }

    /// What the scheduler reads of pods, once for all that are alike.
    pub fn shapes(&self) -> &[Shape] {
        self.shapes.list()
    }

    /// The attempts of the scheduler to place a pod, in order of time.
    pub fn attempts_of(&self, pod: Pod<'_>) -> &[Attempt] {
        let (namespace, name) = (pod.own().namespace, pod.own().name);
        let from = (namespace, name, pod.reached(Milestone::Added).unwrap_or_default());
        let start = self.attempts.partition_point(|own| own.order() < from);
        let rest = &self.attempts[start..];
        &rest[..rest.partition_point(|own| (own.namespace, own.name) == (namespace, name))]
    }

    /// How many gaps there are over all kinds.
    pub fn gap_count(&self) -> u64 {
        self.gaps.values().sum()
    }
}
