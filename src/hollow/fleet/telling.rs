//! What nodes tell as events. They are made when they go out, so that they have the clock's time of then.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Fleet, HollowRequest, Instants};
use crate::hollow::event::{self, NodeTold};
use crate::hollow::pod::{PodShape, Told};
use crate::model::{ObjectKey, Text, TraceTime};

/// Something to tell.
#[derive(Debug)]
pub(super) struct Telling {
    pub(super) due: TraceTime,
    pub(super) about: About,
}

#[derive(Debug)]
pub(super) enum About {
    /// A node, by its name.
    Node(Text, NodeTold),
    /// A container, by its place in the shape.
    Container { key: ObjectKey, uid: Text, node: Text, shape: Arc<PodShape>, container: u16, told: Told },
}

impl Fleet {
    /// A node tells something about itself, as an event.
    pub fn tell_node(&mut self, name: &str, told: NodeTold, due: TraceTime) {
        self.tellings.push_back(Telling { due, about: About::Node(name.into(), told) });
    }

    pub(super) fn event(&self, telling: Telling, wall: DateTime<Utc>) -> HollowRequest {
        let now = Instants { trace: telling.due, wall };
        let (key, request) = match telling.about {
            About::Node(name, told) => {
                let uid = self.nodes.get(&name).map(|node| node.uid.as_str()).unwrap_or_default();
                let request = event::post_of_node(&name, uid, told, now);
                (ObjectKey::node(name), request)
            }
            About::Container { key, uid, node, shape, container, told } => {
                let number = usize::from(container);
                let (container, is_init) = (&shape.containers[number], number < shape.inits);
                let about = event::About { key: &key, uid: &uid, node: &node, container, is_init };
                let request = event::post(&about, told, now);
                (key, request)
            }
        };
        HollowRequest::unanswered(key, telling.due, request)
    }
}
