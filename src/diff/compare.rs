use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::agreement::Place;
use super::history::{History, NEVER};
use super::join::join;
use super::latency::latencies;
use super::{Agreement, Broken, Contest, Facts, Latency, Note, Outcome, Pod, Rung, broken, notes};

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
    /// Whether it is the first divergence: the earliest root by the time of the decisions that does more than rename
    /// nodes, and the earliest divergence where there is no such root.
    pub is_first: bool,
    /// What the schedulers said of it.
    pub contest: Contest<'f>,
    /// The earlier of the steps that decided, for the order.
    step: u32,
}

impl<'f> Change<'f> {
    /// Whether the schedulers decide otherwise in one state of the cluster, in more than the name of a node.
    pub fn is_root(&self) -> bool {
        self.cause == Cause::Root && !self.renamed
    }

    /// Why no node fitted when a scheduler last said so.
    pub fn reason(&self) -> Option<&'f str> {
        self.b.reason().or(self.a.reason())
    }
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

impl<'f> Diff<'f> {
    /// All divergences, in the order of the decisions.
    pub fn in_order(&self) -> Vec<&Change<'f>> {
        let mut changes: Vec<_> = self.moved.iter().chain(&self.outcome_changed).collect();
        changes.sort_by_key(|change| change.step);
        changes
    }

    /// How many matched pods differ on a rung.
    pub fn differing(&self, rung: Rung) -> u64 {
        self.agreement.differing(rung)
    }
}

/// Sets two reels side by side, pods matched by id.
pub fn compare<'f>(a: &'f Facts, b: &'f Facts) -> Diff<'f> {
    let (mut sides, broken) = join(|| Sides::of(a, b), || broken(&[a], &[b]));
    let (mut agreement, mut changes, mut only_a) = (Agreement::default(), Vec::new(), Vec::new());
    let mut is_matched = vec![false; b.pods.len()];
    for pod in a.counted() {
        let Some(other) = sides.other(pod) else {
            only_a.push(pod);
            continue;
        };
        is_matched[other.index as usize] = true;
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
        only_b: b.counted().filter(|pod| !is_matched[pod.index as usize]).collect(),
        agreement,
        moved,
        outcome_changed,
        exchanged,
        convergences,
        broken,
        latency: latencies(&[a], &[b]),
    }
}

/// Two runs with their histories.
pub(super) struct Sides<'f> {
    a: (&'f Facts, History),
    b: (&'f Facts, History),
    /// Of each pod of A its number in B; [`NONE`] where B has no such pod, or one of the two does not count.
    other: Vec<u32>,
}

/// The number of no pod.
const NONE: u32 = u32::MAX;

/// Of each pod of A its number in B. Runs of one trace see their pods in about the same order: the pod after the last
/// match comes first to be looked at.
fn matched(a: &Facts, b: &Facts) -> Vec<u32> {
    let mut next = 0;
    let mut other = |pod: Pod<'_>| {
        let near = Some(next).filter(|near| *near < b.pods.len() as u32).map(|near| b.pod(near));
        let near = near.filter(|near| near.is_counted() && near.id() == pod.id());
        let found = near.or_else(|| b.counted_pod(pod.id()));
        next = found.map_or(next, |found| found.index + 1);
        found.map_or(NONE, |found| found.index)
    };
    a.pods().map(|pod| if pod.is_counted() { other(pod) } else { NONE }).collect()
}

impl<'f> Sides<'f> {
    pub(super) fn of(a: &'f Facts, b: &'f Facts) -> Sides<'f> {
        let ((of_a, other), of_b) = join(|| (History::of(a), matched(a, b)), || History::of(b));
        Sides { a: (a, of_a), b: (b, of_b), other }
    }

    /// A pod of A in B.
    fn other(&self, pod: Pod<'f>) -> Option<Pod<'f>> {
        let number = self.other[pod.index as usize];
        (number != NONE).then(|| self.b.0.pod(number))
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
        let contest = Contest::of(a, b);
        Change { a, b, agrees, cause: Cause::Cascade, renamed: false, is_first: false, contest, step }
    }

    /// Puts changes in the order of the decisions, says which are roots and which only rename nodes, and counts how
    /// often the clusters came back to the same state.
    pub(super) fn explain(&mut self, changes: &mut [Change<'f>]) -> u64 {
        changes.sort_by_key(|change| change.step);
        // Pods that both sides bound, in A's order, with whether the clusters were the same just before.
        let mut both: Vec<(u32, Pod<'f>, Pod<'f>, bool)> = Vec::new();
        for pod in self.a.0.counted().filter(|pod| pod.node().is_some()) {
            let other = self.other(pod).filter(|other| other.node().is_some());
            if let Some(other) = other {
                let same =
                    self.a.1.before_bind[pod.index as usize] == self.b.1.before_bind[other.index as usize];
                both.push((self.a.1.bound(pod), pod, other, same));
            }
        }
        both.sort_by_key(|(step, ..)| *step);
        let renamed = renamings(&both, &self.a.1, &self.b.1);
        for (number, change) in changes.iter_mut().enumerate() {
            let (a, b) = (change.a.index as usize, change.b.index as usize);
            let same = match (change.a.node(), change.b.node()) {
                (Some(x), Some(y)) if x.name != y.name => self.a.1.before_bind[a] == self.b.1.before_bind[b],
                (Some(_), Some(_)) => {
                    let before = both.partition_point(|(step, ..)| *step < change.step);
                    before.checked_sub(1).is_none_or(|last| both[last].3)
                }
                _ => self.a.1.at_arrival[a] == self.b.1.at_arrival[b],
            };
            // The earliest divergence follows from no other.
            change.cause = if number == 0 || same { Cause::Root } else { Cause::Cascade };
            change.renamed = renamed.contains(&change.a.index);
        }
        let first = changes.iter().position(Change::is_root).unwrap_or(0);
        if let Some(change) = changes.get_mut(first) {
            change.is_first = true;
        }
        both.windows(2).filter(|pair| !pair[0].3 && pair[1].3).count() as u64
    }
}

/// Nodes by nodes.
type NodeMap = HashMap<u32, u32, foldhash::fast::FixedState>;

/// Which pods, by their number in A, B put on a node that stands for A's: a partial one-to-one mapping of nodes, which
/// starts anew whenever the clusters are the same and grows by pairs of one class with the same content.
fn renamings<'f>(both: &[(u32, Pod<'f>, Pod<'f>, bool)], a: &History, b: &History) -> HashSet<u32> {
    let (mut to, mut from) = (NodeMap::default(), NodeMap::default());
    let mut renamed = HashSet::new();
    for (_, pod, other, same) in both {
        let (Some(x), Some(y)) = (pod.own().node, other.own().node) else { continue };
        // In equal states pods of one class with the same content stand for each other, whatever stood for them before.
        if *same {
            to.clear();
            from.clear();
        }
        let class = |pod: Pod<'f>| pod.node_when_bound().map(|node| &node.class);
        let fits = match (to.get(&x), from.get(&y)) {
            (Some(to), Some(from)) => *to == y && *from == x,
            (None, None) => {
                a.content[pod.index as usize] == b.content[other.index as usize]
                    && class(*pod) == class(*other)
            }
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
