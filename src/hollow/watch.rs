use std::collections::HashSet;
use std::sync::Arc;

use crate::k8s::{Step, Watched, Watcher};
use crate::model::{Text, Verb};

use super::seen::{SeenNode, SeenPod};

impl Watched for SeenPod {
    fn version(&self) -> Option<&str> {
        Some(&self.metadata.resource_version)
    }
}

impl Watched for SeenNode {
    fn version(&self) -> Option<&str> {
        Some(&self.metadata.resource_version)
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
pub(super) trait Identified: Watched {
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
