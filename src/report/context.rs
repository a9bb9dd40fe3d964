//! What was known when two schedulers decided otherwise: of each root.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use crate::diff::{Attempt, Change, Facts, NodeScore, NodeUse, Snapshot, snapshots};

/// Nodes of a score table: the two in question, and the best of the others.
const SCORED: usize = 10;

/// The two sides of a root.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Context {
    /// Of the baseline.
    pub baseline: SideContext,
    /// Of the candidate.
    pub candidate: SideContext,
}

/// A cluster just before a decision, and what its scheduler said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SideContext {
    /// Other pods that waited for a node.
    pub waiting: u64,
    /// Pods that had one.
    pub bound: u64,
    /// Of the nodes that the two sides chose, how full they were.
    pub nodes: Vec<NodeEntry>,
    /// Nodes that the filters looked at; `None` where the reel does not hold the attempt.
    pub evaluated_nodes: Option<u64>,
    /// Nodes that passed the filters; `None` where the reel does not hold the attempt.
    pub feasible_nodes: Option<u64>,
    /// By how many points the scheduler rated its own node above the other side's; `None` where it did not rate both.
    pub margin: Option<i64>,
    /// What nodes got from the score plugins: the two in question first, then the best. Empty without `--scores`.
    pub scores: Vec<ScoreEntry>,
}

/// How full a node was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeEntry {
    /// Its name.
    pub node: Arc<str>,
    /// Pods on it.
    pub pods: u64,
    /// CPU that they ask for, cores.
    pub cpu: f64,
    /// CPU that pods may ask for, cores.
    pub allocatable_cpu: f64,
    /// Memory that they ask for, bytes.
    pub memory: u64,
    /// Memory that pods may ask for, bytes.
    pub allocatable_memory: u64,
}

/// What a node got.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreEntry {
    /// The node.
    pub node: String,
    /// Of all plugins and extenders, weighted.
    pub total: i64,
    /// Of each plugin, weighted.
    pub plugins: BTreeMap<String, i64>,
}

/// The contexts of the roots among these changes of two runs, by the pod's number in the first.
pub(super) fn contexts<'c, 'f: 'c>(
    a: &'f Facts,
    b: &'f Facts,
    changes: impl IntoIterator<Item = &'c Change<'f>>,
) -> HashMap<u32, Context> {
    let roots: Vec<&Change<'f>> = changes.into_iter().filter(|change| change.is_root()).collect();
    let taken = |facts: &'f Facts, number: fn(&Change<'_>) -> u32| {
        let wanted = roots.iter().map(|change| (number(change), chosen(change).collect())).collect();
        snapshots(facts, &wanted)
    };
    let (mut of_a, mut of_b) = (taken(a, |change| change.a.index), taken(b, |change| change.b.index));
    let context = |change: &&Change<'f>| {
        let contest = &change.contest;
        let nodes: Vec<&str> = chosen(change).collect();
        let baseline = of_a.remove(&change.a.index).unwrap_or_default();
        let candidate = of_b.remove(&change.b.index).unwrap_or_default();
        let context = Context {
            baseline: side(baseline, contest.a, contest.margin_a, &nodes),
            candidate: side(candidate, contest.b, contest.margin_b, &nodes),
        };
        (change.a.index, context)
    };
    roots.iter().map(context).collect()
}

/// The nodes that the two sides chose.
fn chosen<'f>(change: &Change<'f>) -> impl Iterator<Item = &'f str> {
    let (x, y) = (change.a.node_name(), change.b.node_name());
    x.into_iter().chain(y.filter(|y| Some(*y) != x))
}

fn side(snapshot: Snapshot, attempt: Option<&Attempt>, margin: Option<i64>, nodes: &[&str]) -> SideContext {
    SideContext {
        waiting: snapshot.waiting,
        bound: snapshot.bound,
        nodes: snapshot.nodes.into_iter().map(node).collect(),
        evaluated_nodes: attempt.and_then(|attempt| attempt.evaluated),
        feasible_nodes: attempt.and_then(|attempt| attempt.feasible),
        margin,
        scores: attempt.map(|attempt| scores(attempt, nodes)).unwrap_or_default(),
    }
}

fn node(used: NodeUse) -> NodeEntry {
    NodeEntry {
        node: used.node,
        pods: used.pods,
        cpu: used.cpu_milli as f64 / 1e3,
        allocatable_cpu: used.allocatable_cpu_milli as f64 / 1e3,
        memory: used.memory_bytes,
        allocatable_memory: used.allocatable_memory_bytes,
    }
}

fn scores(attempt: &Attempt, nodes: &[&str]) -> Vec<ScoreEntry> {
    let asked = nodes.iter().filter_map(|node| attempt.score_of(node));
    let others = attempt.scores.iter().filter(|score| !nodes.contains(&score.node.as_str()));
    let entry = |score: &NodeScore| ScoreEntry {
        node: score.node.clone(),
        total: score.total,
        plugins: score.plugins.iter().cloned().collect(),
    };
    asked.chain(others).take(SCORED).map(entry).collect()
}
