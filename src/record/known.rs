use std::collections::HashMap;

use foldhash::fast::RandomState;
use serde_json::json;

use crate::model::{Kind, ObjectEvent, ObjectKey, Text, TraceTime, Verb};

/// What is known of the objects of a kind: enough to see what a list holds that the changes did not show. No states:
/// those of a large cluster would take gigabytes.
#[derive(Debug)]
pub(super) struct Known {
    kind: Kind,
    objects: HashMap<Name, Entry, RandomState>,
    /// Number of the list that is coming or came last.
    list: u32,
}

/// Namespace and name.
type Name = (Option<Text>, Text);

#[derive(Debug)]
struct Entry {
    uid: Text,
    rv: Text,
    /// The list that held the object last, or during which it was seen.
    list: u32,
}

impl Known {
    /// Nothing is known of a kind.
    pub(super) fn new(kind: Kind) -> Known {
        Known { kind, objects: HashMap::default(), list: 0 }
    }

    /// Takes note of a change.
    pub(super) fn changed(&mut self, event: &ObjectEvent) {
        let name = name(&event.key);
        if event.verb == Verb::Deleted {
            self.objects.remove(&name);
        } else {
            let (uid, rv) = (event.uid.clone(), event.rv.clone());
            self.objects.insert(name, Entry { uid, rv, list: self.list });
        }
    }

    /// A list begins; one that was not complete counts no more.
    pub(super) fn list_started(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    /// What must have happened to an object that a list shows: nothing, a change, or, where its UID is another one, a
    /// deletion and a creation. `new` is the verb of one that was not known.
    pub(super) fn listed(&mut self, mut event: ObjectEvent, new: Verb) -> Vec<ObjectEvent> {
        let mut events = Vec::new();
        event.verb = new;
        event.inferred = new != Verb::Initial;
        match self.objects.get_mut(&name(&event.key)) {
            Some(entry) if entry.uid != event.uid => {
                events.extend(deletion(&self.kind, event.at, &name(&event.key), entry));
            }
            Some(entry) if entry.rv == event.rv => {
                entry.list = self.list;
                return events;
            }
            Some(_) => (event.verb, event.inferred) = (Verb::Modified, true),
            None => {}
        }
        self.changed(&event);
        events.push(event);
        events
    }

    /// The list is complete: what it did not hold is gone. In a stable order.
    pub(super) fn list_done(&mut self, at: TraceTime) -> Vec<ObjectEvent> {
        let list = self.list;
        let gone = self.objects.extract_if(|_, entry| entry.list != list);
        let mut events: Vec<_> =
            gone.filter_map(|(name, entry)| deletion(&self.kind, at, &name, &entry)).collect();
        events.sort_by(|a, b| a.key.cmp(&b.key));
        events
    }
}

fn name(key: &ObjectKey) -> Name {
    (key.namespace.clone(), key.name.clone())
}

/// A deletion that was not seen. Of the object there is only what names it.
fn deletion(kind: &Kind, at: TraceTime, (namespace, name): &Name, entry: &Entry) -> Option<ObjectEvent> {
    let mut metadata = json!({"name": name, "uid": entry.uid, "resourceVersion": entry.rv});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.as_str().into();
    }
    let object = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": metadata});
    let event = ObjectEvent::new(at, Verb::Deleted, object)?;
    Some(ObjectEvent { inferred: true, ..event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::POD;

    fn pod(verb: Verb, name: &str, uid: &str, rv: &str) -> ObjectEvent {
        let object = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": "n"},
               "metadata": {"namespace": "n", "name": name, "uid": uid, "resourceVersion": rv}});
        ObjectEvent::new(TraceTime::ZERO, verb, object).unwrap()
    }

    fn told(events: &[ObjectEvent]) -> Vec<(Verb, bool, &str, &str)> {
        events.iter().map(|e| (e.verb, e.inferred, e.key.name.as_str(), e.uid.as_str())).collect()
    }

    #[test]
    fn a_relist_yields_exactly_the_differences() {
        let mut known = Known::new(POD);
        known.list_started();
        for (name, uid) in [("same", "1"), ("changed", "2"), ("gone", "3"), ("reborn", "4")] {
            let events = known.listed(pod(Verb::Added, name, uid, "1"), Verb::Initial);
            assert_eq!(told(&events), [(Verb::Initial, false, name, uid)]);
        }
        assert_eq!(known.list_done(TraceTime::ZERO), []);
        known.changed(&pod(Verb::Modified, "same", "1", "5"));

        known.list_started();
        let mut events = Vec::new();
        for (name, uid, rv) in
            [("same", "1", "5"), ("changed", "2", "9"), ("reborn", "5", "8"), ("new", "6", "7")]
        {
            events.extend(known.listed(pod(Verb::Added, name, uid, rv), Verb::Added));
        }
        events.extend(known.list_done(TraceTime::from_millis(5)));
        assert_eq!(
            told(&events),
            [
                (Verb::Modified, true, "changed", "2"),
                (Verb::Deleted, true, "reborn", "4"),
                (Verb::Added, true, "reborn", "5"),
                (Verb::Added, true, "new", "6"),
                (Verb::Deleted, true, "gone", "3"),
            ]
        );
        let gone = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "n", "name": "gone", "uid": "3", "resourceVersion": "1"}});
        assert_eq!(events[4].object, gone);
    }

    #[test]
    fn a_list_that_breaks_off_deletes_nothing() {
        let mut known = Known::new(POD);
        known.list_started();
        known.listed(pod(Verb::Added, "a", "1", "1"), Verb::Initial);
        known.listed(pod(Verb::Added, "b", "2", "1"), Verb::Initial);
        known.list_started();
        assert!(known.listed(pod(Verb::Added, "a", "1", "1"), Verb::Initial).is_empty());
        known.list_started();
        let again = known.listed(pod(Verb::Added, "b", "2", "3"), Verb::Initial);
        assert_eq!(told(&again), [(Verb::Modified, true, "b", "2")]);
        assert_eq!(told(&known.list_done(TraceTime::ZERO)), [(Verb::Deleted, true, "a", "1")]);
    }
}
