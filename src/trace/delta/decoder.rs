//! Changes to whole objects.

use std::sync::Arc;

use smol_str::format_smolstr;

use super::path::{Path, Step, assign};
use super::value::{Budget, NODE_COST, ReadStrings, cost};
use super::{INFERRED, MAX_LINE, VERBS};
use crate::model::{Json, ObjectEvent, ObjectKey, Text, TraceTime};
use crate::trace::pack::{Cursor, Token};

/// Rebuilds the objects of one chunk from its forms and changes.
#[derive(Debug)]
pub(in crate::trace) struct Decoder {
    strings: ReadStrings,
    forms: Vec<Form>,
    /// The last state of each object, by number; `None` once it is deleted.
    objects: Vec<Option<Json>>,
    at: u64,
    version: u64,
    budget: Budget,
}

/// Changes with holes.
#[derive(Debug, Default)]
struct Form {
    /// What the object is before the changes, where it does not matter what it was.
    whole: Option<Json>,
    /// Changes, first to last; shared with the forms that stand on this one.
    changes: Vec<Arc<(Path, Option<Json>)>>,
    /// What is put where, in order: the number of the slot.
    holes: Vec<Hole>,
    slots: usize,
    cost: u64,
    line: u32,
}

/// A place for the value of a slot.
#[derive(Debug)]
struct Hole {
    path: Path,
    slot: usize,
    /// No later hole takes the same slot.
    last: bool,
}

impl Decoder {
    /// A decoder for one chunk that refuses to spend more than `cost`.
    pub(in crate::trace) fn new(cost: u64) -> Self {
        Decoder {
            strings: ReadStrings::default(),
            forms: Vec::new(),
            objects: Vec::new(),
            at: 0,
            version: 0,
            budget: Budget { left: cost },
        }
    }

    /// Takes note of a form.
    pub(in crate::trace) fn define(&mut self, map: &[u8]) -> Result<(), String> {
        let from = &mut Cursor::new(map);
        let mut form = self.child_of(from.uint()?)?;
        for _ in 0..from.array()? {
            self.budget.spend(NODE_COST)?;
            let path = self.path(from)?;
            let before = self.budget.left;
            let value = self.strings.take(from, &mut self.budget)?;
            form.cost += NODE_COST + before - self.budget.left;
            form.change(path, value)?;
        }
        for _ in 0..from.array()? {
            self.budget.spend(NODE_COST)?;
            form.cost += NODE_COST;
            let path = self.path(from)?;
            let slot = from.uint()? as usize;
            // A slot is first named in order, so that no form claims a million of them.
            if slot > form.slots {
                return Err("a form names a slot out of order".to_owned());
            }
            form.slots = form.slots.max(slot + 1);
            form.holes.push(Hole { path, slot, last: false });
        }
        let mut seen = vec![false; form.slots];
        for hole in form.holes.iter_mut().rev() {
            hole.last = !std::mem::replace(&mut seen[hole.slot], true);
        }
        self.forms.push(form);
        Ok(())
    }

    /// A form that starts as what its parent makes; 0 is no parent.
    fn child_of(&mut self, parent: u64) -> Result<Form, String> {
        let Some(index) = parent.checked_sub(1) else { return Ok(Form::default()) };
        let parent = self.form(index)?;
        let (cost, line) = (parent.cost, parent.line + 1);
        if line > MAX_LINE {
            return Err(format!("more than {MAX_LINE} forms stand on each other"));
        }
        let form = Form {
            whole: parent.whole.clone(),
            changes: parent.changes.clone(),
            holes: Vec::new(),
            slots: 0,
            cost,
            line,
        };
        self.budget.spend(cost)?;
        Ok(form)
    }

    fn form(&self, index: u64) -> Result<&Form, String> {
        let form = usize::try_from(index).ok().and_then(|index| self.forms.get(index));
        form.ok_or_else(|| format!("form {} of {} is asked for", index.saturating_add(1), self.forms.len()))
    }

    fn path(&mut self, from: &mut Cursor<'_>) -> Result<Path, String> {
        let len = from.array()?;
        if len > 128 {
            return Err("a place is nested too deeply".to_owned());
        }
        let mut path = Vec::with_capacity(len);
        for _ in 0..len {
            self.budget.spend(NODE_COST)?;
            path.push(match from.token()? {
                Token::Int(index) => {
                    Step::Index(usize::try_from(-1 - index).map_err(|_| "an index is too large")?)
                }
                key => Step::Key(self.strings.text(key, &mut self.budget)?),
            });
        }
        Ok(path)
    }

    /// The event of a change.
    pub(in crate::trace) fn event(&mut self, map: &[u8]) -> Result<ObjectEvent, String> {
        let from = &mut Cursor::new(map);
        let at = moved(self.at, from.token()?)?.ok_or("a change has no time")?;
        let verb = from.uint()?;
        let number = self.number(from.uint()?)?;
        let version = moved(self.version, from.token()?)?;
        let index = from.uint()?.checked_sub(1).ok_or("form 0 is asked for")?;
        let (slots, cost) = self.form(index).map(|form| (form.slots, form.cost))?;
        self.budget.spend(cost)?;
        let mut values = Vec::with_capacity(slots.min(from.remaining()));
        for _ in 0..slots {
            values.push(self.strings.take(from, &mut self.budget)?);
        }
        let mut object = self.objects[number].take();
        self.fill(&mut object, index as usize, values)?;
        let mut object = object.unwrap_or_default();
        if let Some(version) = version {
            set_version(&mut object, version)?;
            self.version = version;
        }
        self.at = at;
        let kind = VERBS.get((verb & (INFERRED - 1)) as usize).filter(|_| verb < 2 * INFERRED);
        let verb_of = *kind.ok_or_else(|| format!("verb {verb} is not known"))?;
        if VERBS[3] != verb_of {
            self.objects[number] = Some(object.clone());
        }
        event(at, verb_of, verb >= INFERRED, object)
    }

    /// The number of an object: a new one, or counted back from the latest.
    fn number(&mut self, back: u64) -> Result<usize, String> {
        if back == 0 {
            self.budget.spend(NODE_COST)?;
            self.objects.push(Some(Json::Null));
            return Ok(self.objects.len() - 1);
        }
        let number = usize::try_from(back).ok().and_then(|back| self.objects.len().checked_sub(back));
        number
            .filter(|number| self.objects[*number].is_some())
            .ok_or_else(|| format!("a change is of an object {back} back that is not there"))
    }

    fn fill(
        &mut self,
        object: &mut Option<Json>,
        index: usize,
        mut values: Vec<Option<Json>>,
    ) -> Result<(), String> {
        let form = &self.forms[index];
        if let Some(whole) = &form.whole {
            *object = Some(whole.clone());
        }
        let object = object.get_or_insert_default();
        for change in &form.changes {
            assign(object, &change.0, change.1.clone())?;
        }
        for Hole { path, slot, last } in &form.holes {
            let value = if *last { values[*slot].take() } else { values[*slot].clone() };
            self.budget.spend(value.as_ref().map_or(NODE_COST, cost))?;
            assign(object, path, value)?;
        }
        Ok(())
    }
}

impl Form {
    fn change(&mut self, path: Path, value: Option<Json>) -> Result<(), String> {
        match &mut self.whole {
            _ if path.is_empty() => {
                self.whole = Some(value.unwrap_or_default());
                self.changes.clear();
                Ok(())
            }
            Some(whole) => assign(whole, &path, value),
            None => {
                self.changes.push(Arc::new((path, value)));
                Ok(())
            }
        }
    }
}

/// A number given as a step from the last one; `None` where it is nil.
fn moved(from: u64, by: Token<'_>) -> Result<Option<u64>, String> {
    let to = match by {
        Token::Nil => return Ok(None),
        Token::Uint(by) => from.checked_add(by),
        Token::Int(by) => from.checked_add_signed(by),
        other => return Err(format!("{other:?} where a step should be")),
    };
    to.map(Some).ok_or_else(|| "a step leads out of the numbers".to_owned())
}

fn set_version(object: &mut Json, version: u64) -> Result<(), String> {
    let metadata = object.as_object_mut().and_then(|fields| fields.get_mut("metadata"));
    let metadata =
        metadata.and_then(Json::as_object_mut).ok_or("an object with a version has no metadata")?;
    metadata.insert(Text::new_static("resourceVersion"), Json::String(format_smolstr!("{version}")));
    Ok(())
}

fn event(at: u64, verb: crate::model::Verb, inferred: bool, object: Json) -> Result<ObjectEvent, String> {
    let text = |field: &str| object["metadata"][field].as_text().cloned().unwrap_or_default();
    Ok(ObjectEvent {
        at: TraceTime::from_nanos(at),
        verb,
        key: ObjectKey::of(&object).ok_or("an object has no kind or name")?,
        uid: text("uid"),
        rv: text("resourceVersion"),
        inferred,
        object,
    })
}
