use std::sync::Arc;

use super::keeper::Keeper;
use crate::pace::Clock;

/// Renews the leases of hollow nodes that somebody else registers, each with its node as holder.
#[derive(Debug)]
pub struct Leases {
    keeper: Keeper,
}

impl Leases {
    /// Starts renewing on the current runtime.
    pub fn start(client: kube::Client, clock: Arc<dyn Clock>) -> Leases {
        Leases { keeper: Keeper::start(client, clock, false, Arc::new(|_| {})) }
    }

    /// A node was registered: it gets its lease at once, since the node lifecycle controller looks for it.
    pub fn add(&self, node: &str, uid: &str) {
        self.keeper.adopt(node, uid, false);
    }

    /// A node is gone, or has fallen silent.
    pub fn remove(&self, node: &str) {
        self.keeper.remove(node);
    }
}
