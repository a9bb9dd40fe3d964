//! Forms as readers hold them, and how they change an object.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::memo::{Made, Memo};
use super::path::Step;
use super::value::{Budget, NODE_COST, cost};
use crate::model::{Json, Map, Text, spliced};

/// Entries of maps and arrays that the changes of a chunk may move.
const MAX_MOVED: u64 = 1 << 30;

/// What a chunk has taken of time: a hostile one could add one key after the other to a wide map.
#[derive(Debug, Default)]
pub(super) struct Work {
    moved: u64,
}

impl Work {
    fn spend(&mut self, moved: u64) -> Result<(), String> {
        self.moved += moved;
        if self.moved > MAX_MOVED {
            return Err("the chunk takes more work than the limit".to_owned());
        }
        Ok(())
    }
}

/// Changes with holes.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// What the object is before the changes, where it does not matter what it was.
    whole: Option<Json>,
    /// Changes, first to last, those of the parent in front.
    changes: Vec<Change>,
    /// Holes that are filled after the changes, first to last; until the form is closed.
    holes: Vec<Change>,
    /// All that is done to an object, in an order that comes to the same.
    all: Vec<Change>,
    /// `all` in parts, where each part is about what is under one key of the object.
    parts: Vec<Part>,
    pub(super) slots: usize,
    /// What making an object of it costs.
    pub(super) cost: u64,
    /// How many forms it stands on.
    pub(super) line: u32,
    /// Whether it may change by what an object is named.
    pub(super) names: bool,
    /// Whether it may change `metadata.resourceVersion`.
    pub(super) versions: bool,
}

/// A value for a place.
#[derive(Debug, Clone)]
struct Change {
    place: Arc<Place>,
    /// Steps that it shares with the change before it in a form that is closed.
    shared: usize,
    source: Source,
}

/// Changes of what is under one key of an object.
#[derive(Debug)]
struct Part {
    range: Range<usize>,
    /// The slots that they take.
    slots: Vec<usize>,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
enum Source {
    Form(Option<Json>),
    Slot {
        number: usize,
        /// No later hole takes the same slot.
        last: bool,
    },
}

/// The way to a place.
#[derive(Debug)]
struct Place {
    steps: Vec<Step<Text>>,
    /// Where in its map each key was found last: objects of one form have the same keys.
    found: Vec<AtomicUsize>,
}

impl Form {
    /// A form that starts as what this one makes, without its holes.
    pub(super) fn child(&self) -> Form {
        Form {
            whole: self.whole.clone(),
            changes: self.changes.clone(),
            cost: self.cost,
            line: self.line + 1,
            names: self.names,
            versions: self.versions,
            ..Form::default()
        }
    }

    /// Adds a change.
    pub(super) fn change(
        &mut self,
        steps: Vec<Step<Text>>,
        value: Option<Json>,
        work: &mut Work,
    ) -> Result<(), String> {
        self.notice(&steps);
        if steps.is_empty() {
            self.whole = Some(value.unwrap_or_default());
            self.changes.clear();
            return Ok(());
        }
        let change = Change::new(steps, Source::Form(value));
        if let Some(whole) = &mut self.whole {
            let mut applied = Applied::default();
            applied.all(whole, &[change], 0)?;
            return work.spend(applied.moved);
        }
        self.changes.push(change);
        Ok(())
    }

    /// Adds a hole.
    pub(super) fn hole(&mut self, steps: Vec<Step<Text>>, slot: usize) -> Result<(), String> {
        // A slot is first named in order, so that no form claims a million of them.
        if slot > self.slots {
            return Err("a form names a slot out of order".to_owned());
        }
        self.slots = self.slots.max(slot + 1);
        self.notice(&steps);
        let source = Source::Slot { number: slot, last: false };
        self.holes.push(Change::new(steps, source));
        Ok(())
    }

    fn notice(&mut self, steps: &[Step<Text>]) {
        let named_by: [&[&str]; 5] = [
            &["kind"],
            &["apiVersion"],
            &["metadata", "name"],
            &["metadata", "namespace"],
            &["metadata", "uid"],
        ];
        self.names |= named_by.iter().any(|path| touches(steps, path));
        self.versions |= touches(steps, &["metadata", "resourceVersion"]);
    }

    /// All holes are there.
    pub(super) fn close(&mut self) {
        let mut all: Vec<Change> = self.changes.iter().cloned().chain(self.holes.drain(..)).collect();
        let in_parts = all.iter().all(|change| matches!(change.place.steps[..], [Step::Key(_), _, ..]));
        if in_parts {
            // Stable: what is done under one key stays in order.
            all.sort_by(|a, b| a.place.steps[0].cmp(&b.place.steps[0]));
        }
        let mut seen = vec![false; self.slots];
        for change in all.iter_mut().rev() {
            if let Source::Slot { number, last } = &mut change.source {
                *last = !std::mem::replace(&mut seen[*number], true);
            }
        }
        for at in (0..all.len()).rev() {
            all[at].shared = if at == 0 { 0 } else { all[at].place.shared_with(&all[at - 1].place) };
        }
        if in_parts {
            self.parts = parts(&all);
        }
        self.all = all;
    }

    /// What the form and the values of its slots make of an object.
    pub(super) fn apply(
        &self,
        object: &mut Json,
        values: &mut [Option<Json>],
        memo: &mut Memo,
        budget: &mut Budget,
        work: &mut Work,
    ) -> Result<(), String> {
        if let Some(whole) = &self.whole {
            *object = whole.clone();
        }
        let mut applied = Applied { values, moved: 0, cost: 0 };
        if self.parts.is_empty() {
            applied.all(object, &self.all, 0)?;
        }
        for part in &self.parts {
            applied.part(object, part, &self.all[part.range.clone()], memo)?;
        }
        work.spend(applied.moved)?;
        budget.spend(applied.cost)
    }
}

/// Runs of changes with the same first step.
fn parts(all: &[Change]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut start = 0;
    for run in all.chunk_by(|a, b| a.place.steps[0] == b.place.steps[0]) {
        let mut slots: Vec<usize> = run.iter().filter_map(|change| change.source.slot()).collect();
        slots.sort_unstable();
        slots.dedup();
        parts.push(Part { range: start..start + run.len(), slots });
        start += run.len();
    }
    parts
}

/// Whether a change of one place may change another: they are the same, or one is in the other.
fn touches(steps: &[Step<Text>], path: &[&str]) -> bool {
    steps.iter().zip(path).all(|(step, key)| matches!(step, Step::Key(own) if own == key))
}

impl Change {
    fn new(steps: Vec<Step<Text>>, source: Source) -> Change {
        let found = steps.iter().map(|_| AtomicUsize::new(0)).collect();
        Change { place: Arc::new(Place { steps, found }), shared: 0, source }
    }
}

impl Part {
    /// Its place in memory: closed forms live as long as their chunk, and their parts stay where they are.
    fn number(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl Source {
    fn slot(&self) -> Option<usize> {
        if let Source::Slot { number, .. } = self { Some(*number) } else { None }
    }
}

impl Place {
    /// How many steps the ways to two places have in common.
    fn shared_with(&self, other: &Place) -> usize {
        self.steps.iter().zip(&other.steps).take_while(|(a, b)| a == b).count()
    }
}

/// Changes being made to one object.
#[derive(Debug, Default)]
struct Applied<'v> {
    values: &'v mut [Option<Json>],
    moved: u64,
    cost: u64,
}

impl Applied<'_> {
    /// Makes changes of what is under one key, or takes what they made of the same before.
    fn part(
        &mut self,
        object: &mut Json,
        part: &Part,
        changes: &[Change],
        memo: &mut Memo,
    ) -> Result<(), String> {
        let place = &changes[0].place;
        let Some(at) = child(object, &place.steps[0], &place.found[0]) else {
            return self.all(object, changes, 0);
        };
        let slots = || part.slots.iter().map(|slot| self.values[*slot].as_ref());
        let Some(print) = memo.print(part.number(), at, slots()) else { return self.all(at, changes, 1) };
        if let Some(made) = memo.made(print, part.number(), at, slots()) {
            *at = made.after.clone();
            self.moved += made.moved;
            self.cost += made.cost;
            return Ok(());
        }
        if !memo.comes_again(print, at) {
            return self.all(at, changes, 1);
        }
        let before = at.clone();
        let slots = slots().map(Option::<&Json>::cloned).collect();
        let (moved, cost) = (self.moved, self.cost);
        self.all(at, changes, 1)?;
        let (moved, cost) = (self.moved - moved, self.cost - cost);
        memo.keep(print, Made { changes: part.number(), before, slots, after: at.clone(), moved, cost });
        Ok(())
    }

    /// Makes changes, first to last, whose places start with the `depth` steps that led to `at`.
    fn all(&mut self, at: &mut Json, changes: &[Change], depth: usize) -> Result<(), String> {
        let mut rest = changes;
        while let Some((first, _)) = rest.split_first() {
            let deeper = |change: &Change| change.place.steps.len() > depth + 1;
            let run = if deeper(first) {
                1 + rest[1..].iter().take_while(|change| change.shared > depth && deeper(change)).count()
            } else {
                1
            };
            let (together, later) = rest.split_at(run);
            rest = later;
            let Some(step) = first.place.steps.get(depth) else {
                *at = self.value(first).unwrap_or_default();
                continue;
            };
            let found = &first.place.found[depth];
            if !deeper(first) {
                let value = self.value(first);
                self.set(at, step, found, value)?;
            } else if let Some(next) = child(at, step, found) {
                self.all(next, together, depth + 1)?;
            } else if together.iter().any(|change| self.value(change).is_some()) {
                return Err("a change has no place in its object".to_owned());
            }
        }
        Ok(())
    }

    fn value(&mut self, change: &Change) -> Option<Json> {
        match &change.source {
            Source::Form(value) => value.clone(),
            Source::Slot { number, last } => {
                let slot = &mut self.values[*number];
                let value = if *last { slot.take() } else { slot.clone() };
                self.cost += value.as_ref().map_or(NODE_COST, cost);
                value
            }
        }
    }

    /// Puts a value under a key or index, or removes what is there: a key from its map, an element and all after it
    /// from its array. Removing what is not there does nothing.
    fn set(
        &mut self,
        at: &mut Json,
        step: &Step<Text>,
        found: &AtomicUsize,
        value: Option<Json>,
    ) -> Result<(), String> {
        match (step, at, value) {
            (Step::Key(key), Json::Object(map), Some(value)) => {
                if let Some(old) = map.get_mut_near(key, found) {
                    *old = value;
                } else {
                    self.moved += map.len() as u64;
                    map.insert(key.clone(), value);
                }
            }
            (Step::Key(key), Json::Object(map), None) => {
                self.moved += map.len() as u64;
                map.remove(key);
            }
            (Step::Index(index), Json::Array(items), Some(value)) => {
                if let Some(old) = element(items, *index) {
                    *old = value;
                } else if *index == items.len() {
                    self.moved += items.len() as u64;
                    *items = spliced(items, *index..*index, Some(value));
                } else {
                    return Err("a change leaves a hole in an array".to_owned());
                }
            }
            (Step::Index(index), Json::Array(items), None) if *index < items.len() => {
                self.moved += *index as u64;
                *items = spliced(items, *index..items.len(), None);
            }
            (.., Some(_)) => return Err("a change has no place in its object".to_owned()),
            (.., None) => {}
        }
        Ok(())
    }
}

fn child<'a>(at: &'a mut Json, step: &Step<Text>, found: &AtomicUsize) -> Option<&'a mut Json> {
    match (step, at) {
        (Step::Key(key), Json::Object(map)) => Map::get_mut_near(map, key, found),
        (Step::Index(index), Json::Array(items)) => element(items, *index),
        _ => None,
    }
}

fn element(items: &mut Arc<[Json]>, index: usize) -> Option<&mut Json> {
    if index < items.len() { Some(&mut Arc::make_mut(items)[index]) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn key(name: &str) -> Step<Text> {
        Step::Key(name.into())
    }

    fn changed(object: Value, changes: &[(&[Step<Text>], Option<Value>)]) -> Result<Json, String> {
        let mut form = Form::default();
        for (steps, value) in changes {
            form.change(steps.to_vec(), value.clone().map(Json::from), &mut Work::default())?;
        }
        let mut object = Json::from(object);
        form.close();
        form.apply(
            &mut object,
            &mut [],
            &mut Memo::default(),
            &mut Budget { left: 1 << 20 },
            &mut Work::default(),
        )?;
        Ok(object)
    }

    #[test]
    fn places_are_set_appended_and_removed_in_order() {
        let object = changed(
            json!({"a": [1, 2], "z": 0}),
            &[
                (&[key("a"), Step::Index(2)], Some(json!(3))),
                (&[key("b")], Some(json!({}))),
                (&[key("b"), key("c")], Some(json!({"d": 1}))),
                (&[key("b"), key("c"), key("d")], Some(json!(true))),
                (&[key("a"), Step::Index(1)], None),
                (&[key("x"), key("y")], None),
                (&[key("z")], None),
            ],
        );
        assert_eq!(object.unwrap(), json!({"a": [1], "b": {"c": {"d": true}}}));
    }

    #[test]
    fn changes_without_a_place_are_errors() {
        for path in [
            vec![key("x"), key("y")],
            vec![key("a"), Step::Index(5)],
            vec![key("s"), key("t")],
            vec![key("a"), key("b")],
        ] {
            assert!(changed(json!({"a": [1], "s": "text"}), &[(&path, Some(json!(1)))]).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_slot_of_several_holes_fills_them_all() {
        let mut form = Form::default();
        form.change(vec![], Some(json!({"a": 0, "b": {"c": 0}}).into()), &mut Work::default()).unwrap();
        form.hole(vec![key("a")], 0).unwrap();
        form.hole(vec![key("b"), key("c")], 0).unwrap();
        assert!(form.hole(vec![key("b")], 2).is_err());
        form.close();
        let mut object = Json::Null;
        let (mut budget, mut work) = (Budget { left: 1 << 10 }, Work::default());
        form.apply(&mut object, &mut [Some("x".into())], &mut Memo::default(), &mut budget, &mut work)
            .unwrap();
        assert_eq!(object, json!({"a": "x", "b": {"c": "x"}}));
    }

    #[test]
    fn work_is_counted_and_limited() {
        let wide: Value =
            (0..1_000).map(|n| (format!("k{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
        let mut form = Form::default();
        form.change(vec![key("new")], Some(json!(1).into()), &mut Work::default()).unwrap();
        form.close();
        let mut work = Work { moved: MAX_MOVED - 500 };
        let result = form.apply(
            &mut Json::from(wide),
            &mut [],
            &mut Memo::default(),
            &mut Budget { left: 1 << 10 },
            &mut work,
        );
        assert!(result.unwrap_err().contains("work"));
    }
}
