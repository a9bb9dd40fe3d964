use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ObjectEvent, ObjectKey, TraceTime};

/// One entry of a reel.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A change of an object.
    Object(ObjectEvent),
    /// Where trace time stands on the wall clock.
    Clock(ClockAnchor),
    /// The initial state of a kind is complete.
    Synced(Synced),
    /// Something may be missing.
    Gap(Gap),
    /// What a replay did, and how late.
    Action(ActionReport),
    /// A replay entered a phase.
    Phase(PhaseMark),
    /// A remark for people, such as a kind that could not be recorded.
    Note(Note),
}

impl Record {
    /// When the record was made.
    pub fn at(&self) -> TraceTime {
        match self {
            Record::Object(r) => r.at,
            Record::Clock(r) => r.at,
            Record::Synced(r) => r.at,
            Record::Gap(r) => r.at,
            Record::Action(r) => r.sent,
            Record::Phase(r) => r.at,
            Record::Note(r) => r.at,
        }
    }
}

/// One instant on both clocks, so that steps of the wall clock can be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockAnchor {
    /// Monotonic trace time.
    pub at: TraceTime,
    /// Wall clock, nanoseconds since the Unix epoch.
    pub wall_ns: i64,
}

/// The first list of a kind has been written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    /// When.
    pub at: TraceTime,
    /// Kind name as in [`ObjectKey::kind`].
    pub kind: String,
    /// resourceVersion of the list.
    pub rv: String,
}

/// Why events may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// The watch expired (410 Gone) and the kind was listed again.
    Expired,
    /// The connection or the server was away for a while.
    Disconnected,
    /// The recorder could not keep up.
    Overflow,
    /// A line of the watch could not be understood.
    Unreadable,
}

impl GapReason {
    /// The reason as written in reels and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            GapReason::Expired => "expired",
            GapReason::Disconnected => "disconnected",
            GapReason::Overflow => "overflow",
            GapReason::Unreadable => "unreadable",
        }
    }
}

/// A stretch in which events of one kind may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// When the stretch ended.
    pub at: TraceTime,
    /// When it began.
    pub from: TraceTime,
    /// Kind name as in [`ObjectKey::kind`].
    pub kind: String,
    /// Why.
    pub reason: GapReason,
    /// What the server or the connection said.
    #[serde(default)]
    pub detail: String,
}

/// What an action of a replay does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKind {
    /// Create a context object.
    CreateContext,
    /// Change a context object.
    UpdateContext,
    /// Delete a context object.
    DeleteContext,
    /// Register a node.
    CreateNode,
    /// Change a node.
    UpdateNode,
    /// Delete a node.
    DeleteNode,
    /// Submit a pod.
    CreatePod,
    /// Change a pod.
    UpdatePod,
    /// Ask for the deletion of a pod.
    DeletePod,
    /// End a pod in the place of the taint eviction controller or of pod garbage collection.
    EvictPod,
    /// A hollow node's pod ended after its run time.
    FinishPod,
    /// A hollow node's pod was taken down after a deletion was asked for.
    TerminatePod,
}

impl fmt::Display for ActionKind {
    /// As in a reel: `create-pod`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One action of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionReport {
    /// Position in the run.
    pub seq: u64,
    /// What was done.
    pub action: ActionKind,
    /// To which object.
    pub key: ObjectKey,
    /// When it was due on the source trace's time line.
    pub trace_at: TraceTime,
    /// When it was due, on this run's clock. Lateness is `sent - due`.
    pub due: TraceTime,
    /// When the request left.
    pub sent: TraceTime,
    /// When the answer was there.
    pub answered: TraceTime,
    /// HTTP status of the answer, 0 where there was none.
    pub status: u16,
    /// What went wrong, empty for success.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// How often the request was made again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The phases of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunPhase {
    /// Context, first nodes and already placed pods are being made; statistics leave this out.
    WarmUp,
    /// The trace plays.
    Play,
    /// All actions are out; waiting for what they caused.
    Drain,
    /// Over, with the counts in `facts`.
    End,
}

/// A replay entered a phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseMark {
    /// When.
    pub at: TraceTime,
    /// Which.
    pub phase: RunPhase,
    /// Numbers about the phase that just ended.
    #[serde(default)]
    pub facts: BTreeMap<String, u64>,
}

/// A remark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at: TraceTime,
    /// For people.
    pub text: String,
}
