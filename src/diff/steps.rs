use crate::model::TraceTime;

/// What changed in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// A pod waits for a node.
    Arrive,
    /// A pod was bound to a node.
    Bind(u32),
    /// The deletion of a bound pod was asked for: it still takes its place.
    Terminate(u32),
    /// A bound pod ended or is gone: its place is free.
    Free(u32),
    /// A waiting pod is gone.
    Leave,
    /// A bound pod's requests changed in place.
    Resize(u32),
}

/// One change, in the order of the reel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) at: TraceTime,
    /// Number of the pod.
    pub(super) pod: u32,
    /// Kind in the upper 3 bits, node below: a million pods take three of these each.
    packed: u32,
}

const NODE_BITS: u32 = 29;

impl Step {
    pub(super) fn new(at: TraceTime, pod: u32, change: Change) -> Step {
        let (kind, node) = match change {
            Change::Arrive => (0, 0),
            Change::Bind(node) => (1, node),
            Change::Terminate(node) => (2, node),
            Change::Free(node) => (3, node),
            Change::Leave => (4, 0),
            Change::Resize(node) => (5, node),
        };
        Step { at, pod, packed: kind << NODE_BITS | node }
    }

    pub(super) fn change(self) -> Change {
        let node = self.packed & ((1 << NODE_BITS) - 1);
        match self.packed >> NODE_BITS {
            0 => Change::Arrive,
            1 => Change::Bind(node),
            2 => Change::Terminate(node),
            3 => Change::Free(node),
            4 => Change::Leave,
            _ => Change::Resize(node),
        }
    }
}
