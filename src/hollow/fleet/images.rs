//! Images that a node lists in its status: those that it had, and those that its pods have brought since.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Fleet, HollowRequest};
use crate::hollow::chance::chance;
use crate::hollow::seen::SeenImage;
use crate::k8s::{PatchType, Request};
use crate::model::{NODE, ObjectKey, Text, TraceTime};

/// As many as a kubelet lists (`nodeStatusMaxImages`: `pkg/kubelet/apis/config/v1beta1/defaults.go`, v1.37.2).
const MOST: usize = 50;

/// How often a kubelet looks which images there are (`pkg/kubelet/images/image_gc_manager.go`, v1.37.2, `Start`), and
/// then whether its status has changed (`nodeStatusUpdateFrequency`).
const LOOK: Duration = Duration::from_secs(30);
const STATUS: Duration = Duration::from_secs(10);

/// The images of a node.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// As the API shows them.
    listed: Vec<SeenImage>,
    /// Those that it does not show yet.
    pulled: Vec<Text>,
    is_armed: bool,
}

impl Images {
    /// Takes note of what the API shows.
    pub(super) fn see(&mut self, listed: &[SeenImage]) {
        self.listed = listed.to_vec();
        self.pulled.retain(|image| !listed.iter().any(|own| own.names.contains(image)));
    }

    /// A container was started from an image. Whether that is to be reported from now on.
    fn pull(&mut self, image: &Text) -> bool {
        let is_known = self.pulled.contains(image) || self.listed.iter().any(|own| own.names.contains(image));
        if is_known || self.listed.len() + self.pulled.len() >= MOST {
            return false;
        }
        self.pulled.push(image.clone());
        !std::mem::replace(&mut self.is_armed, true)
    }

    /// A status with all of them. The sizes of those that pods brought are not known, so they weigh nothing in scores.
    fn status(&self) -> Value {
        let listed = self.listed.iter().map(|image| json!(image));
        let pulled = self.pulled.iter().map(|image| json!({"names": [image]}));
        json!({"status": {"images": listed.chain(pulled).collect::<Value>()}})
    }
}

impl Fleet {
    /// A container of a node was started from this image: its kubelet will see and report it.
    pub(super) fn pull(&mut self, node: &Text, image: &Text, now: TraceTime) {
        if self.nodes.get_mut(node).is_some_and(|own| own.images.pull(image)) {
            // Each kubelet looks in its own rhythm.
            let wait = LOOK.mul_f64(chance(node, "images")) + STATUS.mul_f64(chance(node, "status"));
            self.looks.arm(now + wait, node.clone());
        }
    }

    /// What a node reports of its images; until the API shows them, it tries again with each look at its status.
    pub(super) fn look_at_images(&mut self, node: &Text, due: TraceTime) -> Option<HollowRequest> {
        let own = self.nodes.get_mut(node)?;
        own.images.is_armed = !own.images.pulled.is_empty();
        if !own.images.is_armed {
            return None;
        }
        self.looks.arm(due + STATUS, node.clone());
        if own.is_silent {
            return None;
        }
        let key = ObjectKey::node(node.clone());
        let request = Request::patch(&NODE, &key, Some("status"), PatchType::Strategic, &own.images.status());
        Some(HollowRequest::unanswered(key, due, request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(names: &[&str]) -> Vec<SeenImage> {
        names.iter().map(|name| SeenImage { names: vec![Text::new(name)], size_bytes: 7 }).collect()
    }

    #[test]
    fn new_images_are_reported_with_the_others_until_they_show() {
        let mut images = Images::default();
        images.see(&listed(&["pause"]));
        assert!(!images.pull(&"pause".into()), "it is there");
        assert!(images.pull(&"web".into()) && !images.pull(&"web".into()) && !images.pull(&"db".into()));
        let all = json!([{"names": ["pause"], "sizeBytes": 7}, {"names": ["web"]}, {"names": ["db"]}]);
        assert_eq!(images.status()["status"]["images"], all);
        images.see(&listed(&["pause", "web"]));
        assert_eq!(images.pulled, ["db"]);
    }

    #[test]
    fn a_node_lists_as_many_as_a_kubelet() {
        let mut images = Images::default();
        for n in 0..100 {
            images.pull(&format!("image-{n}").into());
        }
        assert_eq!(images.pulled.len(), MOST);
    }
}
