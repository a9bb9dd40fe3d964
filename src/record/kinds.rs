use std::fmt;

use crate::k8s::Scope;
use crate::model::{CONTEXT_KINDS, Kind, NODE, POD};

/// A kind to record.
#[derive(Debug, Clone)]
pub struct RecordKind {
    /// Which.
    pub kind: Kind,
    /// Which of its objects.
    pub scope: Scope,
    /// Whether a recording without it is worthless: pods and nodes. Other kinds that the server does not have or
    /// does not show are named in the reel and left out.
    pub required: bool,
}

impl RecordKind {
    /// All objects of a kind without which a recording is worthless.
    pub fn required(kind: Kind) -> RecordKind {
        RecordKind { kind, scope: Scope::default(), required: true }
    }

    /// All objects of a kind that a recording can do without.
    pub fn optional(kind: Kind) -> RecordKind {
        RecordKind { required: false, ..RecordKind::required(kind) }
    }
}

impl fmt::Display for RecordKind {
    /// `pods`, `pods in namespace shop`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope.namespace {
            Some(namespace) => write!(f, "{} in namespace {namespace}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

/// Pods and nodes, and the kinds that a scheduler reads besides them, of all namespaces.
pub fn default_kinds() -> Vec<RecordKind> {
    let required = [NODE, POD].into_iter().map(RecordKind::required);
    required.chain(CONTEXT_KINDS.iter().cloned().map(RecordKind::optional)).collect()
}
