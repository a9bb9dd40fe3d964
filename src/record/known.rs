use std::collections::HashMap;

use crate::model::{Json, ObjectEvent, ObjectKey, TraceTime, Verb};

/// The last state of every object of a kind: what a relist is compared with.
#[derive(Debug, Default)]
pub(super) struct Known {
    objects: HashMap<ObjectKey, Json>,
}

impl Known {
    /// Takes note of a change.
    pub(super) fn apply(&mut self, event: &ObjectEvent) {
        match event.verb {
            Verb::Deleted => self.objects.remove(&event.key),
            _ => self.objects.insert(event.key.clone(), event.object.clone()),
        };
    }

    /// What must have happened between the last change and this list, as inferred events in a stable order.
    /// An object with another UID was deleted and made again.
    pub(super) fn relisted(&mut self, at: TraceTime, items: Vec<Json>) -> Vec<ObjectEvent> {
        let mut gone = std::mem::take(&mut self.objects);
        let mut events = Vec::new();
        for item in items {
            let Some(mut event) = ObjectEvent::new(at, Verb::Added, item) else { continue };
            event.inferred = true;
            let before = gone.remove(&event.key);
            match before {
                Some(old) if uid(&old) != event.uid => events.extend(deletion(at, &old)),
                Some(old) if old["metadata"]["resourceVersion"] == event.rv.as_str() => {
                    self.apply(&event);
                    continue;
                }
                Some(_) => event.verb = Verb::Modified,
                None => {}
            }
            self.apply(&event);
            events.push(event);
        }
        let mut deleted: Vec<_> = gone.into_values().filter_map(|old| deletion(at, &old)).collect();
        deleted.sort_by(|a, b| a.key.cmp(&b.key));
        events.extend(deleted);
        events
    }
}

fn uid(object: &Json) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

fn deletion(at: TraceTime, last: &Json) -> Option<ObjectEvent> {
    let event = ObjectEvent::new(at, Verb::Deleted, last.clone())?;
    Some(ObjectEvent { inferred: true, ..event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, uid: &str, rv: &str) -> Json {
        Json::from(json!({"apiVersion": "v1", "kind": "Pod",
               "metadata": {"namespace": "n", "name": name, "uid": uid, "resourceVersion": rv}}))
    }

    #[test]
    fn a_relist_yields_exactly_the_differences() {
        let mut known = Known::default();
        for (name, uid, rv) in
            [("same", "1", "1"), ("changed", "2", "2"), ("gone", "3", "3"), ("reborn", "4", "4")]
        {
            known.apply(&ObjectEvent::new(TraceTime::ZERO, Verb::Initial, pod(name, uid, rv)).unwrap());
        }
        let list = vec![
            pod("same", "1", "1"),
            pod("changed", "2", "9"),
            pod("reborn", "5", "8"),
            pod("new", "6", "7"),
        ];
        let events = known.relisted(TraceTime::from_millis(5), list);
        let seen: Vec<_> = events.iter().map(|e| (e.verb, e.key.name.as_str(), e.uid.as_str())).collect();
        assert_eq!(
            seen,
            [
                (Verb::Modified, "changed", "2"),
                (Verb::Deleted, "reborn", "4"),
                (Verb::Added, "reborn", "5"),
                (Verb::Added, "new", "6"),
                (Verb::Deleted, "gone", "3"),
            ]
        );
        assert!(events.iter().all(|e| e.inferred));
        assert!(known.relisted(TraceTime::ZERO, vec![]).len() == 4);
    }
}
