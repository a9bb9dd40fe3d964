use std::collections::HashMap;
use std::sync::Arc;

use super::agreement::Place;
use super::latency::latencies;
use super::{Agreement, Decision, Facts, Latency, Note, PodFacts, PodRef, Requests, Rung, notes};
use crate::model::TraceTime;

/// A pod that was decided otherwise in B than in A.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which pod, by its names in A.
    pub pod: PodRef,
    /// When A saw it created, on A's clock.
    pub created: Option<TraceTime>,
    /// The decision in A.
    pub a: Decision,
    /// The decision in B.
    pub b: Decision,
    /// The finest rung on which the two still agree; `None` where the outcome differs.
    pub agrees: Option<Rung>,
    /// Whether no pod that A saw before it was decided otherwise: what comes later may only follow from it.
    pub is_first: bool,
}

impl Change {
    pub(super) fn between(a: (&Facts, &PodFacts), b: (&Facts, &PodFacts)) -> Change {
        Change {
            pod: a.1.pod.clone(),
            created: a.1.at(super::Milestone::Added),
            a: a.1.decision(),
            b: b.1.decision(),
            agrees: Place::of(a.0, a.1).agrees(&Place::of(b.0, b.1)),
            is_first: false,
        }
    }
}

/// Two reels side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Diff {
    /// Why a difference between them need not come from the scheduler.
    pub notes: Vec<Note>,
    /// Pods that only A has, in A's order.
    pub only_a: Vec<PodRef>,
    /// Pods that only B has, in B's order.
    pub only_b: Vec<PodRef>,
    /// How many matched pods agree on each rung.
    pub agreement: Agreement,
    /// Pods with the same outcome on another node, in the order in which A saw them.
    pub moved: Vec<Change>,
    /// Pods with another outcome, in the order in which A saw them.
    pub outcome_changed: Vec<Change>,
    /// How many of the moved pods took the place that a pod like them had in A: same namespace, workload, requests
    /// and priority. Such swaps leave the cluster as it was.
    pub exchanged: u64,
    /// Latencies of all counted pods of each side, matched or not.
    pub latency: Vec<Latency>,
}

impl Diff {
    /// How many matched pods differ on a rung.
    pub fn differing(&self, rung: Rung) -> u64 {
        self.agreement.differing(rung)
    }
}

/// Sets two reels side by side, pods matched by id.
pub fn compare(a: &Facts, b: &Facts) -> Diff {
    let mut agreement = Agreement::default();
    let (mut moved, mut outcome_changed, mut only_a) = (Vec::new(), Vec::new(), Vec::new());
    for pod in a.counted() {
        let Some(other) = b.counted_pod(&pod.pod.id) else {
            only_a.push(pod.pod.clone());
            continue;
        };
        let mut change = Change::between((a, pod), (b, other));
        agreement.add(change.agrees);
        change.is_first = moved.is_empty() && outcome_changed.is_empty();
        match change.agrees {
            Some(Rung::ExactNode) => {}
            Some(_) => moved.push(change),
            None => outcome_changed.push(change),
        }
    }
    let only_b = b.counted().filter(|pod| a.counted_pod(&pod.pod.id).is_none());
    Diff {
        notes: notes(a, b),
        only_a,
        only_b: only_b.map(|pod| pod.pod.clone()).collect(),
        agreement,
        exchanged: exchanged(a, &moved),
        moved,
        outcome_changed,
        latency: latencies(&[a], &[b]),
    }
}

/// How many changes put a pod where A had one like it that changed too: the overlap of the nodes left and the nodes
/// taken, as multisets, over each set of pods that only their ids tell apart.
pub(super) fn exchanged(a: &Facts, changes: &[Change]) -> u64 {
    type Alike<'a> = (&'a Arc<str>, &'a Arc<str>, Requests, i32);
    let mut balance: HashMap<(Alike<'_>, &Arc<str>), (u64, u64)> = HashMap::new();
    for change in changes {
        let Some(pod) = a.counted_pod(&change.pod.id) else { continue };
        let alike = (&pod.pod.namespace, &pod.pod.workload, pod.requests, pod.priority);
        if let (Some(left), Some(taken)) = (&change.a.node, &change.b.node) {
            balance.entry((alike, left)).or_default().0 += 1;
            balance.entry((alike, taken)).or_default().1 += 1;
        }
    }
    balance.values().map(|(left, taken)| left.min(taken)).sum()
}
