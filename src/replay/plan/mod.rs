//! The plan: a trace turned into timed actions by what each recorded thing is, input or outcome. Pure.

mod build;
mod context;
mod nodes;
mod pods;
mod replacements;
mod submission;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use replacements::Replacement;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::hollow::PodBehaviour;
use crate::model::{ActionKind, Json, Kind, ObjectKey, ReadyStatus, Taint, TraceTime};

/// Everything that a run does on its own account, in order.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Plan {
    /// The trace instant at which the play starts: the initial state is complete.
    pub origin: TraceTime,
    /// The last instant of the trace.
    pub end: TraceTime,
    /// Context objects of the initial state, to be created first.
    pub context: Vec<TimedAction>,
    /// Nodes of the initial state, in the order of the trace.
    pub nodes: Vec<Json>,
    /// Pods that were bound when the trace starts, with `spec.nodeName`.
    pub placed: Vec<Submission>,
    /// All later inputs, by time.
    pub actions: Vec<TimedAction>,
    /// How each pod behaves once bound, by id.
    pub behaviours: BTreeMap<String, PodBehaviour>,
    /// Pods that a controller replaces once they are gone, by id.
    pub controlled: BTreeSet<String>,
    /// Pods that took the place of a preempted one in the recording, by id.
    pub replacements: BTreeMap<String, Replacement>,
    /// In a closed loop, how soon after a preemption each place is refilled, by the id of the pod that has it first.
    pub refills: BTreeMap<String, Duration>,
    /// What is not replayed.
    pub left: Left,
    /// Objects that are made in another API version than they were recorded in, by both versions in words.
    pub converted: BTreeMap<String, Vec<String>>,
}

impl Plan {
    /// SHA-256 of the plan, as hexadecimal text: the same for the same trace and shape, on any machine.
    pub fn digest(&self) -> String {
        let mut hasher = Hashing(Sha256::new());
        // Nothing in a plan fails to be written, and neither does hashing.
        let _ = serde_json::to_writer(&mut hasher, self);
        hex::encode(hasher.0.finalize())
    }
}

struct Hashing(Sha256);

impl std::io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a plan leaves out, and how often, by reason in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Left(pub BTreeMap<String, u64>);

impl Left {
    fn count(&mut self, reason: impl Into<String>) {
        self.count_many(reason, 1);
    }

    /// Counts this many; none needs no word.
    pub(super) fn count_many(&mut self, reason: impl Into<String>, n: usize) {
        if n > 0 {
            *self.0.entry(reason.into()).or_default() += n as u64;
        }
    }
}

/// A pod to submit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Submission {
    /// Identity over all runs.
    pub id: String,
    /// The object to post.
    pub object: Json,
}

/// An action and its instant on the trace's time line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimedAction {
    /// When.
    pub at: TraceTime,
    /// What.
    pub action: Action,
}

/// An input of the trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Create a context object, with its status where it has one that counts.
    CreateContext {
        /// Its kind.
        kind: Kind,
        /// The object to post.
        object: Json,
        /// A status to patch in afterwards.
        status: Option<Value>,
    },
    /// Patch a context object.
    UpdateContext {
        /// Its kind.
        kind: Kind,
        /// Which.
        key: ObjectKey,
        /// Merge patch of the object, if anything but the status changed.
        patch: Option<Value>,
        /// Merge patch of its status.
        status: Option<Value>,
    },
    /// Delete a context object.
    DeleteContext {
        /// Its kind.
        kind: Kind,
        /// Which.
        key: ObjectKey,
    },
    /// Register a node.
    CreateNode {
        /// The recorded object.
        object: Json,
    },
    /// Change a node.
    UpdateNode {
        /// Its name.
        name: String,
        /// What changes.
        change: NodeChange,
    },
    /// Delete a node.
    DeleteNode {
        /// Its name.
        name: String,
    },
    /// Submit a pod.
    CreatePod(Submission),
    /// Patch a pod: labels, gates lifted.
    UpdatePod {
        /// Which.
        id: String,
        /// Where.
        key: ObjectKey,
        /// Merge patch.
        patch: Value,
    },
    /// Ask for the deletion of a pod.
    DeletePod {
        /// Which.
        id: String,
        /// Where.
        key: ObjectKey,
        /// Recorded grace period, seconds.
        grace: Option<u64>,
    },
}

/// What people, controllers and the kubelet changed about a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NodeChange {
    /// Merge patch of the labels.
    pub labels: Option<Value>,
    /// The new chosen taints; those of the node lifecycle controller stay as they are.
    pub taints: Option<Vec<Taint>>,
    /// Cordoned or not.
    pub unschedulable: Option<bool>,
    /// New `status.capacity` and `status.allocatable`.
    pub resources: Option<(Json, Json)>,
    /// New Ready condition.
    pub ready: Option<ReadyStatus>,
}

impl NodeChange {
    /// Whether nothing that is an input changed.
    pub fn is_empty(&self) -> bool {
        *self == NodeChange::default()
    }
}

impl Action {
    /// The kind of action, as a run's reel names it.
    pub fn kind(&self) -> ActionKind {
        match self {
            Action::CreateContext { .. } => ActionKind::CreateContext,
            Action::UpdateContext { .. } => ActionKind::UpdateContext,
            Action::DeleteContext { .. } => ActionKind::DeleteContext,
            Action::CreateNode { .. } => ActionKind::CreateNode,
            Action::UpdateNode { .. } => ActionKind::UpdateNode,
            Action::DeleteNode { .. } => ActionKind::DeleteNode,
            Action::CreatePod(_) => ActionKind::CreatePod,
            Action::UpdatePod { .. } => ActionKind::UpdatePod,
            Action::DeletePod { .. } => ActionKind::DeletePod,
        }
    }

    /// The id of the pod that it submits, if it does.
    pub fn submits(&self) -> Option<&str> {
        match self {
            Action::CreatePod(submission) => Some(&submission.id),
            _ => None,
        }
    }

    /// The object that it is about.
    pub fn key(&self) -> ObjectKey {
        let of = |object: &Json| ObjectKey::of(object).unwrap_or_else(|| ObjectKey::node(""));
        match self {
            Action::CreateContext { object, .. } | Action::CreateNode { object } => of(object),
            Action::CreatePod(submission) => of(&submission.object),
            Action::UpdateContext { key, .. }
            | Action::DeleteContext { key, .. }
            | Action::UpdatePod { key, .. }
            | Action::DeletePod { key, .. } => key.clone(),
            Action::UpdateNode { name, .. } | Action::DeleteNode { name } => ObjectKey::node(name.as_str()),
        }
    }
}
