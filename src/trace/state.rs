use std::collections::BTreeMap;

use crate::model::{Json, ObjectEvent, ObjectKey, Record, Synced, Text, TraceTime, Verb};

/// The objects that exist at some time of a trace. Memory follows the number of live objects.
#[derive(Debug, Clone, Default)]
pub struct State {
    objects: BTreeMap<ObjectKey, Json>,
    synced: BTreeMap<String, String>,
}

impl State {
    /// Takes note of a record.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Object(event) if event.verb == Verb::Deleted => drop(self.objects.remove(&event.key)),
            Record::Object(event) => drop(self.objects.insert(event.key.clone(), event.object.clone())),
            Record::Synced(synced) => drop(self.synced.insert(synced.kind.clone(), synced.rv.clone())),
            _ => {}
        }
    }

    /// The objects, by kind, namespace and name.
    pub fn objects(&self) -> impl Iterator<Item = (&ObjectKey, &Json)> {
        self.objects.iter()
    }

    /// The state as the start of a recording: an `initial` event for each object, then what was synced.
    pub fn into_records(self, at: TraceTime) -> impl Iterator<Item = Record> {
        let text = |object: &Json, field: &str| -> Text {
            object["metadata"][field].as_text().cloned().unwrap_or_default()
        };
        let objects = self.objects.into_iter().map(move |(key, object)| {
            let (uid, rv) = (text(&object, "uid"), text(&object, "resourceVersion"));
            Record::Object(ObjectEvent { at, verb: Verb::Initial, key, uid, rv, inferred: false, object })
        });
        objects.chain(self.synced.into_iter().map(move |(kind, rv)| Record::Synced(Synced { at, kind, rv })))
    }
}
