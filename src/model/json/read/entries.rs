use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Visitor};

use super::place::Read;
use super::{Rule, Rules};
use crate::model::json::{Json, Map, Text};

/// The entries of a map that is being read beside the one that was expected.
pub(super) struct Entries<'a> {
    expected: Option<&'a Map>,
    read: Vec<(Name, Read)>,
    /// Which of the first entries of the expected map have come: a map of the same length and with all of them
    /// has its keys.
    seen: u128,
    /// Where the next key is looked for first: most maps come in one order.
    next: usize,
    any_new: bool,
}

/// What a value is called.
enum Name {
    /// As the entry of the expected map with this number.
    Expected(usize),
    New(Text),
}

/// A key that was read.
pub(super) struct Key<'a> {
    name: Name,
    pub(super) rule: Option<&'a Rule>,
}

impl<'a> Entries<'a> {
    pub(super) fn beside(expected: Option<&'a Map>) -> Entries<'a> {
        let read = Vec::with_capacity(expected.map_or(0, Map::len));
        Entries { expected, read, seen: 0, next: 0, any_new: false }
    }

    /// The value that is expected under a key.
    pub(super) fn expected(&self, key: &Key<'_>) -> Option<&'a Json> {
        match key.name {
            Name::Expected(at) => self.expected.and_then(|map| map.entry(at)).map(|(_, value)| value),
            Name::New(_) => None,
        }
    }

    pub(super) fn add(&mut self, key: Key<'_>, read: Read) {
        if matches!(read, Read::Nothing) {
            return;
        }
        match key.name {
            Name::Expected(at) => {
                self.seen |= 1_u128.checked_shl(at as u32).unwrap_or(0);
                self.next = at + 1;
            }
            Name::New(_) => self.any_new = true,
        }
        self.any_new |= matches!(read, Read::New(_));
        self.read.push((key.name, read));
    }

    /// The map.
    pub(super) fn close(self) -> Read {
        let Some(expected) = self.expected else { return Read::New(Json::Object(self.made())) };
        let all = self.read.len() == expected.len() && self.seen.count_ones() as usize == expected.len();
        if all && !self.any_new {
            return Read::Same;
        }
        if all {
            let values = self.read.into_iter().filter_map(|(name, read)| match (name, read) {
                (Name::Expected(at), Read::New(value)) => Some((at, value)),
                _ => None,
            });
            return Read::New(Json::Object(expected.with(values)));
        }
        Read::New(Json::Object(self.made()))
    }

    fn made(self) -> Map {
        let expected = self.expected;
        let entry = |(name, read): (Name, Read)| match name {
            Name::Expected(at) => {
                let (key, like) = expected?.entry(at)?;
                Some((key.clone(), read.beside(Some(like))?))
            }
            Name::New(key) => Some((key, read.beside(None)?)),
        };
        self.read.into_iter().filter_map(entry).collect()
    }
}

/// Reads a key; `None` for one that is left out.
pub(super) struct KeySeed<'e, 'a> {
    pub(super) beside: &'e Entries<'a>,
    pub(super) left_out: &'static [&'static str],
    pub(super) rules: Option<&'a dyn Rules>,
}

impl<'de, 'a> DeserializeSeed<'de> for KeySeed<'_, 'a> {
    type Value = Option<Key<'a>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<Key<'a>>, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for KeySeed<'_, 'a> {
    type Value = Option<Key<'a>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<Key<'a>>, E> {
        if self.left_out.contains(&key) {
            return Ok(None);
        }
        let rule = self.rules.and_then(|rules| rules.rule(key));
        let at = self.beside.expected.and_then(|map| map.position(key, self.beside.next));
        let name = at.map_or_else(|| Name::New(Text::new(key)), Name::Expected);
        Ok(Some(Key { name, rule }))
    }
}
