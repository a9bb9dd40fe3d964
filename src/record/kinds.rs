use crate::model::{CONTEXT_KINDS, Kind, NODE, POD};

/// A kind to record.
#[derive(Debug, Clone)]
pub struct RecordKind {
    /// Which.
    pub kind: Kind,
    /// Whether a recording without it is worthless: pods and nodes. Other kinds that the server does not have or
    /// does not show are named in the reel and left out.
    pub required: bool,
}

/// Pods and nodes, and the kinds that a scheduler reads besides them.
pub fn default_kinds() -> Vec<RecordKind> {
    let required = [NODE, POD].into_iter().map(|kind| RecordKind { kind, required: true });
    let context = CONTEXT_KINDS.iter().cloned().map(|kind| RecordKind { kind, required: false });
    required.chain(context).collect()
}
