//! Attempts of the scheduler, as a reel holds them: objects of the kind [`ATTEMPT_KIND`], one record an attempt, made
//! from the scheduler's own log. `docs/report.md`, "Attempts", describes the fields.

use serde::Serialize;

use super::texts::Sym;
use crate::model::{Json, Map, TraceTime};

/// Kind of the objects that hold attempts, as in [`ObjectKey::kind`](crate::model::ObjectKey::kind).
pub const ATTEMPT_KIND: &str = "SchedulingAttempt.kubereel.dev";

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptResult {
    /// A node was found and the pod bound to it.
    Bound,
    /// No node fitted.
    Unschedulable,
    /// Something went wrong.
    Error,
}

/// What one node got from the score plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeScore {
    /// Node.
    pub node: String,
    /// Sum over the plugins, weighted.
    pub total: i64,
    /// Weighted score of each plugin, by its name.
    pub plugins: Vec<(String, i64)>,
}

/// One attempt of the scheduler to place a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended.
    pub at: TraceTime,
    /// How it ended.
    pub result: AttemptResult,
    /// Where the pod was bound.
    pub node: Option<String>,
    /// Nodes that the filters looked at.
    pub evaluated: Option<u64>,
    /// Nodes that passed the filters.
    pub feasible: Option<u64>,
    /// What the scheduler said of a failure.
    pub message: String,
    /// Scores, best first; empty unless the scheduler logged at `-v=10`.
    pub scores: Vec<NodeScore>,
    pub(super) namespace: Sym,
    pub(super) name: Sym,
}

impl Attempt {
    pub(super) fn read(at: TraceTime, object: &Json, namespace: Sym, name: Sym) -> Attempt {
        let result = match object["result"].as_str() {
            Some("Bound") => AttemptResult::Bound,
            Some("Unschedulable") => AttemptResult::Unschedulable,
            _ => AttemptResult::Error,
        };
        let mut scores: Vec<NodeScore> = object["scores"].items().iter().filter_map(score).collect();
        scores.sort_by(|x, y| y.total.cmp(&x.total).then_with(|| x.node.cmp(&y.node)));
        Attempt {
            at,
            result,
            node: object["node"].as_str().map(str::to_owned),
            evaluated: object["evaluatedNodes"].as_u64(),
            feasible: object["feasibleNodes"].as_u64(),
            message: object["message"].as_str().unwrap_or_default().to_owned(),
            scores,
            namespace,
            name,
        }
    }

    /// The order in which a reel's attempts are kept.
    pub(super) fn order(&self) -> (Sym, Sym, TraceTime) {
        (self.namespace, self.name, self.at)
    }

    /// Whether a node passed the filters; `None` where the attempt does not tell.
    pub(super) fn passed(&self, node: &str) -> Option<bool> {
        if self.node.as_deref() == Some(node) || self.score_of(node).is_some() {
            return Some(true);
        }
        // One node that fits is not scored. Only where some did not pass can this be one of them: a nominated node is
        // evaluated alone.
        let (evaluated, feasible) = (self.evaluated?, self.feasible?);
        let is_whole = feasible <= 1 || feasible <= self.scores.len() as u64;
        (is_whole && evaluated > feasible).then_some(false)
    }

    /// What a node got.
    pub fn score_of(&self, node: &str) -> Option<&NodeScore> {
        self.scores.iter().find(|score| score.node == node)
    }
}

impl NodeScore {
    /// What a plugin gave, weighted; 0 where it gave nothing.
    pub fn of(&self, plugin: &str) -> i64 {
        self.plugins.iter().find(|(own, _)| own == plugin).map_or(0, |(_, points)| *points)
    }

    /// What the plugins gave together, without extenders: a rank that breaks ties is no reason.
    pub fn of_plugins(&self) -> i64 {
        self.plugins.iter().map(|(_, points)| points).sum()
    }
}

fn score(entry: &Json) -> Option<NodeScore> {
    let plugins: Vec<(String, i64)> = entry["plugins"]
        .as_object()
        .into_iter()
        .flat_map(Map::iter)
        .filter_map(|(plugin, score)| Some((plugin.to_string(), score.as_i64()?)))
        .collect();
    let total = entry["total"].as_i64().unwrap_or_else(|| plugins.iter().map(|(_, score)| score).sum());
    Some(NodeScore { node: entry["node"].as_str()?.to_owned(), total, plugins })
}
