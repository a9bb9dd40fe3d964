//! Changes to whole objects.

use std::sync::atomic::AtomicUsize;

use super::form::{Form, Work};
use super::memo::Memo;
use super::path::Step;
use super::value::{Budget, NODE_COST, ReadStrings};
use super::{INFERRED, MAX_LINE, VERBS};
use crate::model::{Json, ObjectEvent, ObjectKey, Text, TraceTime, Verb};
use crate::trace::pack::{Cursor, Token};

/// Rebuilds the objects of one chunk from its forms and changes.
#[derive(Debug)]
pub(in crate::trace) struct Decoder {
    strings: ReadStrings,
    forms: Vec<Form>,
    /// The last state of each object, by number; `None` once it is deleted.
    objects: Vec<Option<Known>>,
    at: u64,
    version: u64,
    budget: Budget,
    work: Work,
    memo: Memo,
    /// Values of the slots of the change at hand.
    values: Vec<Option<Json>>,
    /// Where `metadata` and its `resourceVersion` were found last.
    found: [AtomicUsize; 2],
}

/// An object of the chunk.
#[derive(Debug)]
struct Known {
    object: Json,
    key: ObjectKey,
    uid: Text,
    rv: Text,
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
            work: Work::default(),
            memo: Memo::default(),
            values: Vec::new(),
            found: [AtomicUsize::new(0), AtomicUsize::new(0)],
        }
    }

    /// Forgets everything but the memory that it has: a chunk starts that may spend `cost`.
    pub(in crate::trace) fn restart(&mut self, cost: u64) {
        // What was made is told from other things by where the forms are: they go together.
        self.memo.clear();
        self.forms.clear();
        self.objects.clear();
        self.strings.clear();
        (self.at, self.version) = (0, 0);
        (self.budget, self.work) = (Budget { left: cost }, Work::default());
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
            form.change(path, value, &mut self.work)?;
        }
        for _ in 0..from.array()? {
            self.budget.spend(NODE_COST)?;
            form.cost += NODE_COST;
            let path = self.path(from)?;
            form.hole(path, from.uint()? as usize)?;
        }
        form.close();
        self.forms.push(form);
        Ok(())
    }

    /// A form that starts as what its parent makes; 0 is no parent.
    fn child_of(&mut self, parent: u64) -> Result<Form, String> {
        let Some(index) = parent.checked_sub(1) else { return Ok(Form::default()) };
        let form = self.form(index)?.child();
        if form.line > MAX_LINE {
            return Err(format!("more than {MAX_LINE} forms stand on each other"));
        }
        self.budget.spend(form.cost)?;
        Ok(form)
    }

    fn form(&self, index: u64) -> Result<&Form, String> {
        let form = usize::try_from(index).ok().and_then(|index| self.forms.get(index));
        form.ok_or_else(|| format!("form {} of {} is asked for", index.saturating_add(1), self.forms.len()))
    }

    fn path(&mut self, from: &mut Cursor<'_>) -> Result<Vec<Step<Text>>, String> {
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
    pub(in crate::trace) fn event(&mut self, content: &[u8]) -> Result<ObjectEvent, String> {
        let from = &mut Cursor::new(content);
        let at = moved(self.at, from.token()?)?.ok_or("a change has no time")?;
        let verb = from.uint()?;
        let number = self.number(from.uint()?)?;
        let version = moved(self.version, from.token()?)?;
        let index = from.uint()?.checked_sub(1).ok_or("form 0 is asked for")?;
        let form = self.form(index)?;
        let (slots, cost, names, versions) = (form.slots, form.cost, form.names, form.versions);
        self.budget.spend(cost)?;
        self.values.clear();
        for _ in 0..slots {
            let value = self.strings.take(from, &mut self.budget)?;
            self.values.push(value);
        }
        let (mut object, named, old) = match self.objects[number].take() {
            Some(Known { object, key, uid, rv }) => {
                (object, (!names).then_some((key, uid)), (!versions).then_some(rv))
            }
            None => (Json::default(), None, None),
        };
        let form = &self.forms[index as usize];
        form.apply(&mut object, &mut self.values, &mut self.memo, &mut self.budget, &mut self.work)?;
        let new = version.map(|version| self.set_version(&mut object, version)).transpose()?;
        self.version = version.unwrap_or(self.version);
        self.at = at;
        let kind = VERBS.get((verb & (INFERRED - 1)) as usize).filter(|_| verb < 2 * INFERRED);
        let kind = *kind.ok_or_else(|| format!("verb {verb} is not known"))?;
        let text = |field: &str| object["metadata"][field].as_text().cloned().unwrap_or_default();
        let (key, uid) = match named {
            Some(named) => named,
            None => (ObjectKey::of(&object).ok_or("an object has no kind or name")?, text("uid")),
        };
        let rv = new.or(old).unwrap_or_else(|| text("resourceVersion"));
        if kind != Verb::Deleted {
            let (object, key, uid, rv) = (object.clone(), key.clone(), uid.clone(), rv.clone());
            self.objects[number] = Some(Known { object, key, uid, rv });
        }
        let at = TraceTime::from_nanos(at);
        Ok(ObjectEvent { at, verb: kind, key, uid, rv, inferred: verb >= INFERRED, object })
    }

    /// The number of an object: a new one, or counted back from the latest.
    fn number(&mut self, back: u64) -> Result<usize, String> {
        if back == 0 {
            self.budget.spend(NODE_COST)?;
            self.objects.push(None);
            return Ok(self.objects.len() - 1);
        }
        let number = usize::try_from(back).ok().and_then(|back| self.objects.len().checked_sub(back));
        number
            .filter(|number| self.objects[*number].is_some())
            .ok_or_else(|| format!("a change is of an object {back} back that is not there"))
    }

    /// Sets the version of an object and gives its text.
    fn set_version(&self, object: &mut Json, version: u64) -> Result<Text, String> {
        let [metadata, own] = &self.found;
        let metadata = object.as_object_mut().and_then(|fields| fields.get_mut_near("metadata", metadata));
        let metadata =
            metadata.and_then(Json::as_object_mut).ok_or("an object with a version has no metadata")?;
        let version = decimal(version);
        if let Some(old) = metadata.get_mut_near("resourceVersion", own) {
            *old = version.clone().into();
        } else {
            metadata.insert(Text::new_static("resourceVersion"), version.clone().into());
        }
        Ok(version)
    }
}

/// The decimal text of a number; the formatting of the standard library takes several times as long.
fn decimal(mut number: u64) -> Text {
    let mut digits = [0; 20];
    let mut at = digits.len();
    while number > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    Text::new(str::from_utf8(&digits[at..]).unwrap_or_default())
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
