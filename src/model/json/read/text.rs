//! A field whose text is the same as before is what it was before: comparing text is far cheaper than reading it.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

use memchr::memmem;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error};
use serde_json::value::RawValue;

use super::place::{Place, Read};

/// Texts of more bytes are not kept.
const LONGEST: usize = 16 << 10;

/// How deep the field may nest: `serde_json` stops at 128 levels, and begins to count anew with the field.
const DEEPEST: usize = 120;

/// The text of one field at the top of objects that are read one after the other: what it was in the object that the
/// next one is read beside, and what it is in the one that was read.
#[derive(Debug)]
pub struct Texts {
    field: &'static str,
    before: Option<Arc<str>>,
    read: RefCell<Option<Arc<str>>>,
    /// Where in memory a mark stands for the text that was before, until it is met.
    mark: Cell<Option<usize>>,
}

/// What stands for a text that was cut out.
const MARK: &str = "0";

impl Texts {
    /// The text that a field had in the object that the next one is read beside, if it is known.
    pub fn new(field: &'static str, before: Option<Arc<str>>) -> Texts {
        Texts { field, before, read: RefCell::default(), mark: Cell::default() }
    }

    /// An object's text with a mark for the field where that is as before: then not even its end has to be looked for.
    pub fn cut<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let whole = Cow::Borrowed(text);
        // A map alone shows by itself where it ends.
        let Some(before) = self.before.as_ref().filter(|before| before.starts_with('{')) else {
            return whole;
        };
        let name = format!("\"{}\":", self.field);
        // Inside of a string its quotes would be escaped.
        let starts = memmem::find_iter(text.as_bytes(), &name).map(|at| at + name.len());
        let Some((head, tail)) = starts
            .filter_map(|at| text.split_at_checked(at))
            .find_map(|(head, rest)| Some((head, rest.strip_prefix(&**before)?)))
        else {
            return whole;
        };
        let cut = [head, MARK, tail].concat();
        self.mark.set(Some(cut.as_ptr().addr() + head.len()));
        Cow::Owned(cut)
    }

    /// Whether a mark has not been met: it stands for a field of the same name further in.
    pub fn is_lost(&self) -> bool {
        self.mark.get().is_some()
    }

    /// The field's text in the object that was read.
    pub fn read(self) -> Option<Arc<str>> {
        self.read.into_inner()
    }

    pub(super) fn field(&self) -> &'static str {
        self.field
    }
}

/// Reads a value of which a text may be known.
pub(super) struct TextSeed<'a> {
    pub(super) place: Place<'a>,
    pub(super) texts: &'a Texts,
}

impl<'de> DeserializeSeed<'de> for TextSeed<'_> {
    type Value = Read;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Read, D::Error> {
        let text = <&RawValue>::deserialize(from)?.get();
        let TextSeed { place, texts: Texts { before, read, mark, .. } } = self;
        let is_marked = mark.get() == Some(text.as_ptr().addr());
        if is_marked {
            mark.set(None);
        }
        let text = before.as_deref().filter(|_| is_marked).unwrap_or(text);
        // What was left out leaves nothing to share.
        if let Some(before) = before.as_ref().filter(|before| place.like.is_some() && ***before == *text) {
            *read.borrow_mut() = Some(before.clone());
            return Ok(Read::Same);
        }
        if depth(text) > DEEPEST {
            return Err(D::Error::custom("nested too deeply"));
        }
        *read.borrow_mut() = (text.len() <= LONGEST).then(|| text.into());
        let mut from = serde_json::Deserializer::from_str(text);
        place.deserialize(&mut from).map_err(D::Error::custom)
    }
}

/// How many maps and arrays of a JSON text are inside each other at most.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
