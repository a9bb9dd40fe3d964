use std::fmt;

use serde::Serialize;

/// How closely two decisions must match to count as the same, coarsest first. Agreement on one rung is agreement on
/// all coarser ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// What became of the pod: bound, preempted, never bound, deleted while pending.
    Outcome,
    /// The same outcome, in the same `topology.kubernetes.io/zone`.
    Zone,
    /// The same outcome, on a node of the same class: see [`NodeFacts::class`](super::NodeFacts::class).
    NodeClass,
    /// The same outcome, on a node of the same class with the same pods on it, but for names.
    Content,
    /// The same outcome, on the same node.
    ExactNode,
}

impl Rung {
    /// All rungs, coarsest first.
    pub const ALL: [Rung; 5] = [Rung::Outcome, Rung::Zone, Rung::NodeClass, Rung::Content, Rung::ExactNode];

    /// The rung as written on command lines and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Rung::Outcome => "outcome",
            Rung::Zone => "zone",
            Rung::NodeClass => "node-class",
            Rung::Content => "content",
            Rung::ExactNode => "exact-node",
        }
    }
}

impl fmt::Display for Rung {
    /// `exact node`, for sentences.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rung::Outcome => "outcome",
            Rung::Zone => "zone",
            Rung::NodeClass => "node class",
            Rung::Content => "content",
            Rung::ExactNode => "exact node",
        })
    }
}
