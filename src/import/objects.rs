//! Whole objects, as they come, to events.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::DateTime;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer};

use super::{ImportError, Output};
use crate::model::{CONTEXT_KINDS, Json, NODE, ObjectEvent, ObjectKey, POD, Reading, Rules, TraceTime, Verb};

/// The last state of every object, and what became of the first list. Memory follows the objects that are alive.
pub struct Objects {
    /// Wall clock at time 0, nanoseconds since the Unix epoch.
    start: i64,
    rules: Arc<dyn Rules>,
    last: HashMap<ObjectKey, Json>,
    kinds: BTreeSet<String>,
    /// The time of the last object of the first list, until it is complete.
    listing: Option<TraceTime>,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").field("alive", &self.last.len()).finish_non_exhaustive()
    }
}

/// What names an object, read from its text.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Named {
    api_version: String,
    kind: String,
    metadata: NamedMetadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NamedMetadata {
    name: String,
    namespace: Option<String>,
}

/// The key of an object's text.
///
/// # Errors
/// Why it has none, for the tally.
pub fn key_of<'de, D: Deserializer<'de>>(text: D) -> Result<ObjectKey, &'static str> {
    let named = Named::deserialize(text).map_err(|_| "an object that is no object")?;
    if named.api_version.is_empty() || named.kind.is_empty() || named.metadata.name.is_empty() {
        return Err("an object without apiVersion, kind or name");
    }
    let group = named.api_version.split_once('/').map(|(group, _)| group);
    Ok(ObjectKey {
        kind: group
            .map_or_else(|| named.kind.as_str().into(), |group| format!("{}.{group}", named.kind).into()),
        namespace: named.metadata.namespace.map(Into::into),
        name: named.metadata.name.into(),
    })
}

/// Whether a reel of an import has objects of this kind: pods, nodes and what a scheduler reads besides them. Others, such as
/// secrets, are none of its business.
pub fn is_wanted(kind: &str) -> bool {
    [POD, NODE].iter().chain(CONTEXT_KINDS).any(|known| known.name() == kind)
}

/// Nanoseconds since the Unix epoch of a time as the API writes it.
pub fn wall_ns(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()
}

impl Objects {
    /// No objects yet; `start` is the wall clock at time 0, `rules` what is left out of objects.
    pub fn new(start: i64, rules: Arc<dyn Rules>) -> Objects {
        Objects {
            start,
            rules,
            last: HashMap::new(),
            kinds: BTreeSet::from([NODE.name(), POD.name()]),
            listing: Some(TraceTime::ZERO),
        }
    }

    /// An instant of the wall clock on the reel's time line; before its start is its start.
    pub fn time(&self, wall: i64) -> TraceTime {
        TraceTime::from_nanos(u64::try_from(wall.saturating_sub(self.start)).unwrap_or(0))
    }

    /// The last state of an object.
    pub fn last(&self, key: &ObjectKey) -> Option<&Json> {
        self.last.get(key)
    }

    /// An object's state, as it was read. One that was not known was there at the start if it is older than that.
    ///
    /// # Errors
    /// [`ImportError::Trace`]; the inner error is that of the text, for the tally.
    pub fn read<'de, D: Deserializer<'de>>(
        &mut self,
        at: TraceTime,
        key: ObjectKey,
        text: D,
        out: &mut Output,
    ) -> Result<Result<(), &'static str>, ImportError> {
        let like = self.last.get(&key).cloned().unwrap_or_default();
        let reading = Reading { like: &like, rules: &*self.rules, texts: None };
        let Ok(object) = reading.deserialize(text) else { return Ok(Err("an object that is no object")) };
        self.put(at, key, object, out).map(Ok)
    }

    /// An object's state.
    ///
    /// # Errors
    /// [`ImportError::Trace`].
    pub fn put(
        &mut self,
        at: TraceTime,
        key: ObjectKey,
        object: Json,
        out: &mut Output,
    ) -> Result<(), ImportError> {
        let uid = |object: &Json| object["metadata"]["uid"].as_text().cloned();
        let verb = match self.last.get(&key) {
            Some(known) if *known == object => return Ok(()),
            Some(known) if uid(known) == uid(&object) => Verb::Modified,
            // Another object has its name: that it went was not seen.
            Some(_) => {
                self.gone(at, &key, true, out)?;
                self.first_verb(&object)
            }
            None => self.first_verb(&object),
        };
        if !self.kinds.contains(key.kind.as_str()) {
            self.kinds.insert(key.kind.to_string());
        }
        match (&mut self.listing, verb) {
            (Some(last), Verb::Initial) => *last = at,
            (Some(_), _) => self.complete(out)?,
            _ => {}
        }
        self.last.insert(key.clone(), object.clone());
        write(at, verb, key, object, false, out)
    }

    /// An object is gone. Whether it was known.
    ///
    /// # Errors
    /// [`ImportError::Trace`].
    pub fn gone(
        &mut self,
        at: TraceTime,
        key: &ObjectKey,
        inferred: bool,
        out: &mut Output,
    ) -> Result<bool, ImportError> {
        let Some((key, object)) = self.last.remove_entry(key) else { return Ok(false) };
        self.complete(out)?;
        write(at, Verb::Deleted, key, object, inferred, out)?;
        Ok(true)
    }

    /// Says that the first list is complete, unless that was said.
    ///
    /// # Errors
    /// [`ImportError::Trace`].
    pub fn complete(&mut self, out: &mut Output) -> Result<(), ImportError> {
        let Some(at) = self.listing.take() else { return Ok(()) };
        let kinds: Vec<&str> = self.kinds.iter().map(String::as_str).collect();
        out.synced(at, &kinds)
    }

    fn first_verb(&self, object: &Json) -> Verb {
        let created = object["metadata"]["creationTimestamp"].as_str().and_then(wall_ns);
        // Creation times are whole seconds.
        let second = self.start - self.start.rem_euclid(1_000_000_000);
        if created.is_none_or(|created| created < second) { Verb::Initial } else { Verb::Added }
    }
}

fn write(
    at: TraceTime,
    verb: Verb,
    key: ObjectKey,
    object: Json,
    inferred: bool,
    out: &mut Output,
) -> Result<(), ImportError> {
    let text = |field: &str| object["metadata"][field].as_text().cloned().unwrap_or_default();
    let (uid, rv) = (text("uid"), text("resourceVersion"));
    out.event(ObjectEvent { at, verb, key, uid, rv, inferred, object })
}
