//! Whole objects to changes.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::RandomState;

use super::diff::{Change, diff};
use super::fit::{Holed, Line, widened};
use super::path::{PathId, Paths, ROOT, Step};
use super::value::{NODE_COST, WrittenStrings, cost};
use super::{COST_TO_CLOSE, INFERRED, VERBS};
use crate::model::{Json, ObjectEvent, Verb};
use crate::trace::pack;

/// Differences of more places than this are not written as such: the whole object takes less of a reader.
const MAX_CHANGES: usize = 1 << 10;

/// Places are forgotten between chunks above this many: keys of labels can be anything.
const MAX_PATHS: usize = 1 << 16;

/// Writes the forms and changes of one chunk after another.
#[derive(Debug, Default)]
pub(in crate::trace) struct Encoder {
    hasher: RandomState,
    paths: Paths,
    strings: WrittenStrings,
    /// By a hash of kind, name and UID. A collision costs bytes, never truth: what is written is a difference.
    objects: HashMap<u64, Known, RandomState>,
    /// Objects of this chunk so far, deleted ones included.
    numbered: u64,
    lines: Vec<Line>,
    /// The line for whole objects of a shape, for changes of the same places, or the first of a kind.
    by_shape: HashMap<u64, usize, RandomState>,
    forms: u64,
    at: u64,
    version: u64,
    cost: u64,
}

#[derive(Debug)]
struct Known {
    number: u64,
    last: Json,
}

/// What an event comes out as.
pub(in crate::trace) struct Encoded {
    /// Forms to be defined before the change.
    pub(in crate::trace) forms: Vec<Vec<u8>>,
    /// The change.
    pub(in crate::trace) change: Vec<u8>,
}

impl Encoder {
    /// Whether the chunk should be closed, however few bytes it has.
    pub(in crate::trace) fn is_full(&self) -> bool {
        self.cost >= COST_TO_CLOSE || self.strings.is_full()
    }

    /// Forgets everything: a chunk starts.
    pub(in crate::trace) fn reset(&mut self) {
        if self.paths.len() > MAX_PATHS {
            self.paths = Paths::default();
        }
        self.strings.clear();
        self.objects.clear();
        self.lines.clear();
        self.by_shape.clear();
        (self.numbered, self.forms, self.at, self.version, self.cost) = (0, 0, 0, 0, 0);
    }

    /// An event as a change, `None` where its fields do not follow from its object and it must be written whole.
    pub(in crate::trace) fn encode(&mut self, event: &ObjectEvent) -> Option<Encoded> {
        let at = step(self.at, event.at.as_nanos())?;
        if !is_regular(event) {
            return None;
        }
        let version = decimal(&event.rv).and_then(|version| Some((version, step(self.version, version)?)));
        let mut forms = Vec::new();
        let identity = self.hash((&event.key, &event.uid));
        let known = self.objects.get(&identity).map(|known| (known.number, known.last.clone()));
        let mut changes = vec![Change { path: ROOT, value: Some(&event.object) }];
        if let Some((_, last)) = &known {
            let different = diff(&mut self.paths, ROOT, last, &event.object, version.is_some());
            if different.len() <= MAX_CHANGES {
                changes = different;
            }
        }
        let (line, varying) = self.line(&changes, event, version.is_some(), &mut forms);
        let (form, slots) = self.fitting(line, &varying, &event.object, &mut forms);
        let mut change = Vec::with_capacity(64);
        pack::put_int(&mut change, at);
        let verb = VERBS.iter().position(|verb| *verb == event.verb).unwrap_or_default() as u64;
        pack::put_uint(&mut change, verb + if event.inferred { INFERRED } else { 0 });
        pack::put_uint(&mut change, known.as_ref().map_or(0, |(number, _)| self.numbered - number));
        match version {
            Some((_, step)) => pack::put_int(&mut change, step),
            None => change.push(0xc0),
        }
        pack::put_uint(&mut change, form);
        for value in slots {
            self.strings.put(&mut change, value);
        }
        self.at = event.at.as_nanos();
        self.version = version.map_or(self.version, |(version, _)| version);
        self.remember(identity, known.map(|(number, _)| number), event);
        Some(Encoded { forms, change })
    }

    fn remember(&mut self, identity: u64, number: Option<u64>, event: &ObjectEvent) {
        let number = number.unwrap_or_else(|| {
            self.numbered += 1;
            self.cost += NODE_COST;
            self.numbered - 1
        });
        if event.verb == Verb::Deleted {
            self.objects.remove(&identity);
        } else {
            self.objects.insert(identity, Known { number, last: event.object.clone() });
        }
    }

    /// The line for these changes, a new one where none is near, and the places that differ from its first form.
    fn line(
        &mut self,
        changes: &[Change<'_>],
        event: &ObjectEvent,
        versioned: bool,
        forms: &mut Vec<Vec<u8>>,
    ) -> (usize, Vec<PathId>) {
        let shape = if matches!(changes, [Change { path: ROOT, .. }]) {
            self.hash((&event.key.kind, Shape(&event.object)))
        } else {
            let places: Vec<_> = changes.iter().map(|change| (change.path, change.value.is_some())).collect();
            self.hash(places)
        };
        if let Some(line) = self.by_shape.get(&shape).filter(|line| self.lines[**line].matches(changes)) {
            let varying = self.lines[*line].varying(&mut self.paths, changes, versioned);
            if varying.len() <= MAX_CHANGES {
                return (*line, varying);
            }
        }
        let (parent, parent_cost, written) = self.ancestor(changes, event, versioned);
        let form = self.define(parent, &written, &[], forms);
        let cost =
            parent_cost + written.iter().map(|c| NODE_COST + c.value.map_or(NODE_COST, cost)).sum::<u64>();
        self.cost += cost;
        let changes = changes.iter().map(|change| (change.path, change.value.cloned())).collect();
        self.lines.push(Line { form, changes, cost, holed: None });
        self.by_shape.insert(shape, self.lines.len() - 1);
        (self.lines.len() - 1, Vec::new())
    }

    /// For a whole object of a new shape: the first object of its kind, where the two have much in common. The
    /// parent's form (0 for none), what it costs, and what is to be written.
    fn ancestor<'v>(
        &mut self,
        changes: &[Change<'v>],
        event: &'v ObjectEvent,
        versioned: bool,
    ) -> (u64, u64, Vec<Change<'v>>) {
        if !matches!(changes, [Change { path: ROOT, .. }]) {
            return (0, 0, changes.to_vec());
        }
        let kind = self.hash(&event.key.kind);
        let Some(first) = self.by_shape.get(&kind) else {
            self.by_shape.insert(kind, self.lines.len());
            return (0, 0, changes.to_vec());
        };
        let line = &self.lines[*first];
        let (_, whole) = &line.changes[0];
        let written =
            diff(&mut self.paths, ROOT, whole.as_ref().unwrap_or(&Json::Null), &event.object, versioned);
        let new: u64 = written.iter().map(|change| change.value.map_or(0, cost)).sum();
        if new * 2 < cost(&event.object) && written.len() <= MAX_CHANGES {
            (line.form, line.cost, written)
        } else {
            (0, 0, changes.to_vec())
        }
    }

    /// The form of a line that can make `object`, and what fills its slots.
    fn fitting<'v>(
        &mut self,
        line: usize,
        varying: &[PathId],
        object: &'v Json,
        forms: &mut Vec<Vec<u8>>,
    ) -> (u64, Vec<Option<&'v Json>>) {
        let holed = self.lines[line].holed.take();
        let fits = match &holed {
            Some(holed) => holed.fill(&self.paths, varying, object),
            None if varying.is_empty() => {
                self.cost += self.lines[line].cost;
                return (self.lines[line].form, Vec::new());
            }
            None => None,
        };
        let (holed, slots) = match (holed, fits) {
            (Some(holed), Some(slots)) => (holed, slots),
            (earlier, _) => {
                let (holes, count) = widened(&self.paths, earlier.as_ref(), varying, object);
                let form = self.define(self.lines[line].form, &[], &holes, forms);
                self.cost += self.lines[line].cost + NODE_COST * holes.len() as u64;
                let holed = Holed::new(form, holes, count);
                let slots = holed.fill(&self.paths, varying, object).unwrap_or_default();
                (holed, slots)
            }
        };
        let filled = holed.holes.iter().map(|(_, slot)| NODE_COST + slots[*slot].map_or(NODE_COST, cost));
        self.cost += self.lines[line].cost + 2 * filled.sum::<u64>();
        let form = holed.form;
        self.lines[line].holed = Some(holed);
        (form, slots)
    }

    /// Writes a form and gives its number.
    fn define(
        &mut self,
        parent: u64,
        changes: &[Change<'_>],
        holes: &[(PathId, usize)],
        forms: &mut Vec<Vec<u8>>,
    ) -> u64 {
        let mut out = Vec::with_capacity(256);
        pack::put_uint(&mut out, parent);
        pack::put_array(&mut out, changes.len());
        for change in changes {
            self.put_path(&mut out, change.path);
            self.strings.put(&mut out, change.value);
        }
        pack::put_array(&mut out, holes.len());
        for (path, slot) in holes {
            self.put_path(&mut out, *path);
            pack::put_uint(&mut out, *slot as u64);
        }
        forms.push(out);
        self.forms += 1;
        self.forms
    }

    fn put_path(&mut self, out: &mut Vec<u8>, path: PathId) {
        let steps = self.paths.steps(path);
        pack::put_array(out, steps.len());
        self.cost += NODE_COST * (1 + steps.len() as u64);
        for step in steps {
            match step {
                Step::Index(index) => pack::put_int(out, -1 - *index as i64),
                Step::Key(key) => self.strings.put_text(out, key),
            }
        }
    }

    fn hash(&self, value: impl Hash) -> u64 {
        self.hasher.hash_one(value)
    }
}

/// Hashes the structure of an object, roughly: objects that differ in it are better made from different forms.
/// `managedFields` is left out: its keys hold values.
struct Shape<'v>(&'v Json);

impl Hash for Shape<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut sum = 0;
        structure(self.0, &mut sum);
        sum.hash(state);
    }
}

/// The step of `FxHash`.
fn mix(sum: &mut u64, n: usize) {
    *sum = (sum.rotate_left(5) ^ n as u64).wrapping_mul(0x517c_c1b7_2722_0a95);
}

/// Mixes the structure into a sum. Lengths of keys stand for keys: a collision costs bytes, never truth.
fn structure(value: &Json, sum: &mut u64) {
    match value {
        Json::Object(map) => {
            mix(sum, map.len() + 8);
            for (key, value) in map.iter().filter(|(key, _)| key.as_str() != "managedFields") {
                mix(sum, key.len());
                structure(value, sum);
            }
        }
        Json::Array(items) => {
            mix(sum, items.len() + 1_000);
            for item in items.iter() {
                structure(item, sum);
            }
        }
        Json::Null => mix(sum, 1),
        Json::Bool(_) => mix(sum, 2),
        Json::Number(_) => mix(sum, 3),
        Json::String(_) => mix(sum, 4),
    }
}

/// Whether a reader finds all fields of the event in its object.
fn is_regular(event: &ObjectEvent) -> bool {
    let (key, object) = (&event.key, &event.object);
    let metadata = &object["metadata"];
    let text = |field: &str| metadata[field].as_str();
    let (Some(kind), Some(version)) = (object["kind"].as_str(), object["apiVersion"].as_str()) else {
        return false;
    };
    let same_kind = match version.split_once('/') {
        Some((group, _)) => {
            let rest = key.kind.strip_prefix(kind).and_then(|rest| rest.strip_prefix('.'));
            rest == Some(group)
        }
        None => key.kind == kind,
    };
    same_kind
        && text("name") == Some(key.name.as_str())
        && text("namespace") == key.namespace.as_deref()
        && text("uid").unwrap_or_default() == event.uid
        && text("resourceVersion").unwrap_or_default() == event.rv
}

/// A resourceVersion as a number, where the text of the number is the same again.
fn decimal(version: &str) -> Option<u64> {
    let plain = version.bytes().all(|b| b.is_ascii_digit()) && (version == "0" || !version.starts_with('0'));
    version.parse().ok().filter(|_| plain)
}

/// How far it is from one number to another.
fn step(from: u64, to: u64) -> Option<i64> {
    i64::try_from(i128::from(to) - i128::from(from)).ok()
}
