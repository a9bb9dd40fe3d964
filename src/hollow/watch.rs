use std::collections::HashSet;
use std::sync::Arc;

use crate::k8s::{Decode, Step, Watcher};
use crate::model::{Kind, Text, Verb};

use super::seen::{SeenNode, SeenPod};

impl Decode for SeenPod {
    fn decode(bytes: &[u8]) -> Result<SeenPod, String> {
        serde_json::from_slice(bytes).map_err(|e| e.to_string())
    }

    fn version(&self) -> Option<&str> {
        Some(&self.metadata.resource_version)
    }

    fn typed(self, _: &Kind) -> SeenPod {
        self
    }
}

impl Decode for SeenNode {
    fn decode(bytes: &[u8]) -> Result<SeenNode, String> {
        serde_json::from_slice(bytes).map_err(|e| e.to_string())
    }

    fn version(&self) -> Option<&str> {
        Some(&self.metadata.resource_version)
    }

    fn typed(self, _: &Kind) -> SeenNode {
        self
    }
}

/// What a watch tells of objects.
pub(super) enum Sight<T> {
    /// It is there, and looks like this.
    There(T),
    /// It is gone.
    Gone(T),
    /// These are all that there are, by UID.
    All(HashSet<Text>),
}

/// An object that has a UID.
pub(super) trait Identified: Decode {
    fn uid(&self) -> &Text;
}

impl Identified for SeenPod {
    fn uid(&self) -> &Text {
        &self.metadata.uid
    }
}

impl Identified for SeenNode {
    fn uid(&self) -> &Text {
        &self.metadata.uid
    }
}

/// Follows a watch for ever and tells what it shows. A refusal is told in the log and tried again.
pub(super) async fn follow<T: Identified>(
    mut watcher: Watcher<T>,
    hear: Arc<dyn Fn(Sight<T>) + Send + Sync>,
) {
    let mut listed = HashSet::new();
    loop {
        match watcher.next().await {
            Ok(Step::ListStarted) => listed.clear(),
            Ok(Step::Listed { object, .. }) => {
                listed.insert(object.uid().clone());
                hear(Sight::There(object));
            }
            Ok(Step::ListDone { .. }) => hear(Sight::All(std::mem::take(&mut listed))),
            Ok(Step::Changed { verb: Verb::Deleted, object, .. }) => hear(Sight::Gone(object)),
            Ok(Step::Changed { object, .. }) => hear(Sight::There(object)),
            Ok(Step::Complete { .. }) => {}
            Ok(Step::Interrupted(why)) => tracing::debug!("a watch was interrupted: {why:?}"),
            Err(error) => tracing::warn!("{error}; trying again"),
        }
    }
}
