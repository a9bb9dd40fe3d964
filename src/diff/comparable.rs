use std::fmt;

use serde::Serialize;

use super::{Facts, Fault, RunVerdict};

/// One of the two things compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// A, the first.
    Baseline,
    /// B, the second.
    Candidate,
}

impl Side {
    /// `A` or `B`.
    pub fn letter(self) -> char {
        match self {
            Side::Baseline => 'A',
            Side::Candidate => 'B',
        }
    }
}

/// Something that two reels do not share, so that a difference between them need not come from the scheduler.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// They replay different traces.
    Trace,
    /// They play the same trace by different plans: other loads were made of it.
    Plan,
    /// They ran in different modes; `recorded` for a reel that no replay made.
    Mode {
        /// Mode of A.
        a: String,
        /// Mode of B.
        b: String,
    },
    /// They ran at different speeds, trace seconds per second; the scheduler's own timers do not scale with it.
    Speed {
        /// Speed of A.
        a: f64,
        /// Speed of B.
        b: f64,
    },
    /// Ties between nodes were broken in different ways.
    TieBreak {
        /// `fixed` or `stock`, in A.
        a: String,
        /// In B.
        b: String,
    },
    /// Other versions of kubereel made them, which may pace or submit otherwise.
    Tool {
        /// What made A.
        a: String,
        /// What made B.
        b: String,
    },
    /// They have different nodes.
    Nodes {
        /// Nodes that only A has.
        only_a: usize,
        /// Nodes that only B has.
        only_b: usize,
        /// Nodes of both that are of different classes.
        class_differs: usize,
    },
    /// A side by itself is not fit to be compared.
    Unfit {
        /// Which side.
        side: Side,
        /// Why.
        fault: Fault,
    },
}

impl Note {
    /// The kind of note in one word, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Note::Trace => "trace",
            Note::Plan => "plan",
            Note::Mode { .. } => "mode",
            Note::Speed { .. } => "speed",
            Note::TieBreak { .. } => "tie-break",
            Note::Tool { .. } => "tool",
            Note::Nodes { .. } => "nodes",
            Note::Unfit { fault, .. } => fault.code(),
        }
    }

    /// Whether a reel itself is unfit, rather than that the two differ.
    pub fn is_fault(&self) -> bool {
        matches!(self, Note::Unfit { .. })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Trace => f.write_str("different source traces"),
            Note::Plan => f.write_str("different plans of the same trace: the load was shaped differently"),
            Note::Mode { a, b } => write!(f, "different modes: A {a}, B {b}"),
            Note::Speed { a, b } => write!(f, "different speeds: A {a}x, B {b}x"),
            Note::TieBreak { a, b } => write!(f, "ties broken differently: A {a}, B {b}"),
            Note::Tool { a, b } => write!(f, "made by different tools: A {a}, B {b}"),
            Note::Nodes { only_a, only_b, class_differs } => {
                write!(f, "different nodes: {only_a} only in A, {only_b} only in B, {class_differs} changed")
            }
            Note::Unfit { side, fault } => write!(f, "{} {fault}", side.letter()),
        }
    }
}

/// What two reels do not share, and what is wrong with either. A digest that one of them lacks is no difference.
pub fn notes(a: &Facts, b: &Facts) -> Vec<Note> {
    let mut notes = unlike(a, b);
    for (side, facts) in [(Side::Baseline, a), (Side::Candidate, b)] {
        let verdict = RunVerdict::of(facts);
        notes.extend(verdict.faults.into_iter().map(|fault| Note::Unfit { side, fault }));
    }
    notes
}

/// What two reels do not share.
pub(super) fn unlike(a: &Facts, b: &Facts) -> Vec<Note> {
    let mut notes = Vec::new();
    let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
    if differ(&a.run.trace_digest, &b.run.trace_digest) {
        notes.push(Note::Trace);
    } else if differ(&a.run.plan_digest, &b.run.plan_digest) {
        notes.push(Note::Plan);
    }
    let mode = |facts: &Facts| facts.run.mode.clone().unwrap_or_else(|| "recorded".to_owned());
    if a.run.mode != b.run.mode {
        notes.push(Note::Mode { a: mode(a), b: mode(b) });
    }
    // A recording is what it is at the speed of its own cluster.
    let (speed_a, speed_b) = (a.run.speed.unwrap_or(1.0), b.run.speed.unwrap_or(1.0));
    if speed_a.total_cmp(&speed_b).is_ne() {
        notes.push(Note::Speed { a: speed_a, b: speed_b });
    }
    if let (Some(tie_a), Some(tie_b)) = (&a.run.tie_break, &b.run.tie_break)
        && tie_a != tie_b
    {
        notes.push(Note::TieBreak { a: tie_a.clone(), b: tie_b.clone() });
    }
    // A recording is not what a replay makes of it: only runs depend on how they were made.
    if let (Some(tool_a), Some(tool_b)) = (&a.run.tool_version, &b.run.tool_version)
        && a.run.mode.is_some()
        && b.run.mode.is_some()
        && tool_a != tool_b
    {
        notes.push(Note::Tool { a: tool_a.clone(), b: tool_b.clone() });
    }
    notes.extend(nodes(a, b));
    notes
}

fn nodes(a: &Facts, b: &Facts) -> Option<Note> {
    let present = |facts: &'_ Facts| facts.nodes.iter().filter(|node| node.last().is_some()).count();
    let (mut both, mut class_differs) = (0, 0);
    for node in &a.nodes {
        let other = b.node(&node.name).and_then(|(_, other)| other.last());
        if let (Some(facts), Some(other)) = (node.last(), other) {
            both += 1;
            class_differs += usize::from(facts.class != other.class);
        }
    }
    let (only_a, only_b) = (present(a) - both, present(b) - both);
    (only_a + only_b + class_differs > 0).then_some(Note::Nodes { only_a, only_b, class_differs })
}
