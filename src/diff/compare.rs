use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::agreement::Place;
use super::history::{History, NEVER};
use super::latency::latencies;
use super::{Agreement, Broken, Facts, Latency, Note, Outcome, Pod, Rung, broken, notes};

/// What the scheduler did with a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decision {
    /// What became of the pod.
    pub outcome: Outcome,
    /// Where it was bound.
    pub node: Option<Arc<str>>,
}

impl Decision {
    /// What the scheduler did with a pod.
    pub fn of(pod: Pod<'_>) -> Decision {
        Decision { outcome: pod.outcome(), node: pod.node().map(|node| node.name.clone()) }
    }
}

/// Whether a divergence is one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The clusters were in the same state just before, but for names: the schedulers decide otherwise.
    Root,
    /// The clusters were in different states already: it may only follow from what was before.
    Cascade,
}

/// A pod that was decided otherwise in B than in A.
#[derive(Debug, Clone, Copy)]
pub struct Change<'f> {
    /// The pod in A.
    pub a: Pod<'f>,
    /// The pod in B.
    pub b: Pod<'f>,
    /// The finest rung on which the two still agree; `None` where the outcome differs.
    pub agrees: Option<Rung>,
    /// Whether it may only follow from an earlier one.
    pub cause: Cause,
    /// Whether B's node stands for A's: nodes of one class with the same pods on them, one for the other since the
    /// clusters were last the same.
    pub renamed: bool,
    /// Whether no pod was decided otherwise before, by the time of the decisions.
    pub is_first: bool,
    /// The earlier of the steps that decided, for the order.
    step: u32,
}

/// Two reels side by side.
#[derive(Debug, Clone)]
pub struct Diff<'f> {
    /// Why a difference between them need not come from the scheduler.
    pub notes: Vec<Note>,
    /// Pods that only A has, in A's order.
    pub only_a: Vec<Pod<'f>>,
    /// Pods that only B has, in B's order.
    pub only_b: Vec<Pod<'f>>,
    /// How many matched pods agree on each rung.
    pub agreement: Agreement,
    /// Pods with the same outcome on another node, in the order of the decisions.
    pub moved: Vec<Change<'f>>,
    /// Pods with another outcome, in the order of the decisions.
    pub outcome_changed: Vec<Change<'f>>,
    /// How many of the moved pods took the place that a pod like them had in A: same namespace and all that a
    /// scheduler reads. Such swaps leave the cluster as it was.
    pub exchanged: u64,
    /// How often the clusters came back to the same state after a divergence.
    pub convergences: u64,
    /// Rules that a side breaks.
    pub broken: Vec<Broken<'f>>,
    /// Latencies of all counted pods of each side, matched or not.
    pub latency: Vec<Latency>,
}

impl Diff<'_> {
    /// How many matched pods differ on a rung.
    pub fn differing(&self, rung: Rung) -> u64 {
        self.agreement.differing(rung)
    }
}

/// Sets two reels side by side, pods matched by id.
pub fn compare<'f>(a: &'f Facts, b: &'f Facts) -> Diff<'f> {
    let mut sides = Sides::of(a, b);
    let (mut agreement, mut changes, mut only_a) = (Agreement::default(), Vec::new(), Vec::new());
    for pod in a.counted() {
        let Some(other) = b.counted_pod(pod.id()) else {
            only_a.push(pod);
            continue;
        };
        let agrees = sides.agrees(pod, other);
        agreement.add(agrees);
        if agrees != Some(Rung::ExactNode) {
            changes.push(sides.change(pod, other, agrees));
        }
    }
    let convergences = sides.explain(&mut changes);
    let exchanged = exchanged(&changes);
    let (outcome_changed, moved) = changes.into_iter().partition(|change| change.agrees.is_none());
    Diff {
        notes: notes(a, b),
        only_a,
        only_b: b.counted().filter(|pod| a.counted_pod(pod.id()).is_none()).collect(),
        agreement,
        moved,
        outcome_changed,
        exchanged,
        convergences,
        broken: broken(&[a], &[b]),
        latency: latencies(&[a], &[b]),
    }
}

/// Two runs with their histories.
pub(super) struct Sides<'f> {
    a: (&'f Facts, History),
    b: (&'f Facts, History),
}

impl<'f> Sides<'f> {
    pub(super) fn of(a: &'f Facts, b: &'f Facts) -> Sides<'f> {
        Sides { a: (a, History::of(a)), b: (b, History::of(b)) }
    }

    fn agrees(&self, a: Pod<'f>, b: Pod<'f>) -> Option<Rung> {
        let of = |history: &History, pod: Pod<'f>| Place::of(pod, history.content[pod.index as usize]);
        of(&self.a.1, a).agrees(&of(&self.b.1, b))
    }

    pub(super) fn change(&self, a: Pod<'f>, b: Pod<'f>, agrees: Option<Rung>) -> Change<'f> {
        let (bound_a, bound_b) = (self.a.1.bound(a), self.b.1.bound(b));
        // Of a pod that both bound to one node, only what came later differs.
        let step = if bound_a != NEVER && bound_b != NEVER && a.node_name() == b.node_name() {
            let late = |history: &History, pod: Pod<'f>| match pod.outcome() {
                Outcome::Bound => NEVER,
                _ => history.decided(pod),
            };
            late(&self.a.1, a).min(late(&self.b.1, b))
        } else {
            bound_a.min(bound_b).min(self.a.1.decided(a)).min(self.b.1.decided(b))
        };
        Change { a, b, agrees, cause: Cause::Cascade, renamed: false, is_first: false, step }
    }

    /// Puts changes in the order of the decisions, says which are roots and which only rename nodes, and counts how
    /// often the clusters came back to the same state.
    pub(super) fn explain(&mut self, changes: &mut [Change<'f>]) -> u64 {
        changes.sort_by_key(|change| change.step);
        if let Some(first) = changes.first_mut() {
            first.is_first = true;
        }
        // Pods that both sides bound, in A's order, with whether the clusters were the same just before.
        let mut both: Vec<(u32, Pod<'f>, Pod<'f>, bool)> = Vec::new();
        for pod in self.a.0.counted().filter(|pod| pod.node().is_some()) {
            let other = self.b.0.counted_pod(pod.id()).filter(|other| other.node().is_some());
            if let Some(other) = other {
                let same =
                    self.a.1.before_bind[pod.index as usize] == self.b.1.before_bind[other.index as usize];
                both.push((self.a.1.bound(pod), pod, other, same));
            }
        }
        both.sort_by_key(|(step, ..)| *step);
        let renamed = renamings(&both, &self.a.1, &self.b.1);
        for change in changes.iter_mut() {
            let (a, b) = (change.a.index as usize, change.b.index as usize);
            let same = match (change.a.node(), change.b.node()) {
                (Some(x), Some(y)) if x.name != y.name => self.a.1.before_bind[a] == self.b.1.before_bind[b],
                (Some(_), Some(_)) => {
                    let before = both.partition_point(|(step, ..)| *step < change.step);
                    before.checked_sub(1).is_none_or(|last| both[last].3)
                }
                _ => self.a.1.at_arrival[a] == self.b.1.at_arrival[b],
            };
            change.cause = if change.is_first || same { Cause::Root } else { Cause::Cascade };
            change.renamed = renamed.contains(&change.a.index);
        }
        both.windows(2).filter(|pair| !pair[0].3 && pair[1].3).count() as u64
    }
}

/// Which pods, by their number in A, B put on a node that stands for A's: a partial one-to-one mapping of nodes, which
/// starts anew whenever the clusters are the same and grows by pairs of one class with the same content.
fn renamings(both: &[(u32, Pod<'_>, Pod<'_>, bool)], a: &History, b: &History) -> HashSet<u32> {
    let (mut to, mut from): (HashMap<u32, u32>, HashMap<u32, u32>) = (HashMap::new(), HashMap::new());
    let mut renamed = HashSet::new();
    for (_, pod, other, same) in both {
        let (Some(x), Some(y)) = (pod.own().node, other.own().node) else { continue };
        if *same
            && to
                .iter()
                .all(|(x, y)| pod.facts.nodes[*x as usize].name == other.facts.nodes[*y as usize].name)
        {
            to.clear();
            from.clear();
        }
        let class = |pod: &Pod<'_>| pod.node_when_bound().map(|node| node.class.clone());
        let alike =
            a.content[pod.index as usize] == b.content[other.index as usize] && class(pod) == class(other);
        let fits = match (to.get(&x), from.get(&y)) {
            (Some(to), Some(from)) => *to == y && *from == x,
            (None, None) => alike,
            _ => false,
        };
        if fits {
            to.insert(x, y);
            from.insert(y, x);
            if pod.node_name() != other.node_name() {
                renamed.insert(pod.index);
            }
        }
    }
    renamed
}

/// How many changes put a pod where A had one like it that changed too: the overlap of the nodes left and the nodes
/// taken, as multisets, over each set of pods that are alike.
pub(super) fn exchanged(changes: &[Change<'_>]) -> u64 {
    let mut balance: HashMap<(u64, &str), (u64, u64)> = HashMap::new();
    for change in changes {
        let alike = change.a.shape().alike;
        if let (Some(left), Some(taken)) = (change.a.node_name(), change.b.node_name()) {
            balance.entry((alike, left)).or_default().0 += 1;
            balance.entry((alike, taken)).or_default().1 += 1;
        }
    }
    balance.values().map(|(left, taken)| left.min(taken)).sum()
}
