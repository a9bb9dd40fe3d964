use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Visitor};

use super::place::Read;
use super::{Rule, Rules};
use crate::model::json::{Json, Map, Text};

/// The entries of a map that is being read beside the one that was expected. What is as expected takes a bit.
pub(super) struct Entries<'a> {
    expected: Option<&'a Map>,
    /// Which of the first entries of the expected map have come.
    seen: u128,
    /// Entries of the expected map, by number, that have other values.
    changed: Vec<(usize, Json)>,
    new: Vec<(Text, Json)>,
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
        Entries { expected, seen: 0, changed: Vec::new(), new: Vec::new() }
    }

    /// The value that is expected under a key.
    pub(super) fn expected(&self, key: &Key<'_>) -> Option<&'a Json> {
        match key.name {
            Name::Expected(at) => self.expected.and_then(|map| map.entry(at)).map(|(_, value)| value),
            Name::New(_) => None,
        }
    }

    /// Whether a key is of this name.
    pub(super) fn is(&self, key: &Key<'_>, name: &str) -> bool {
        match &key.name {
            Name::Expected(at) => {
                self.expected.and_then(|map| map.entry(*at)).is_some_and(|(own, _)| own == name)
            }
            Name::New(own) => own == name,
        }
    }

    /// Takes an entry; of equal keys the last one counts.
    pub(super) fn add(&mut self, key: Key<'_>, read: Read) {
        match key.name {
            Name::Expected(at) => {
                let Some(value) = self.changed_to(at, read) else { return };
                self.changed.push((at, value));
            }
            Name::New(key) => self.new.extend(read.beside(None).map(|value| (key, value))),
        }
    }

    /// Notes that an expected entry has come, and gives its value unless it is the expected one.
    fn changed_to(&mut self, at: usize, read: Read) -> Option<Json> {
        let bit = 1_u128.checked_shl(at as u32).unwrap_or(0);
        let value = match read {
            Read::Nothing => return None,
            Read::Same if bit != 0 => {
                self.changed.retain(|(changed, _)| *changed != at);
                None
            }
            // There are no bits for so many.
            Read::Same => self.expected.and_then(|map| map.entry(at)).map(|(_, value)| value.clone()),
            Read::New(value) => Some(value),
        };
        self.seen |= bit;
        value
    }

    /// The map.
    pub(super) fn close(self) -> Read {
        let Some(expected) = self.expected else { return Read::New(Json::Object(self.new.into())) };
        let all = self.new.is_empty() && self.seen.count_ones() as usize == expected.len();
        if all && self.changed.is_empty() {
            return Read::Same;
        }
        if all {
            return Read::New(Json::Object(expected.with(self.changed.into_iter())));
        }
        let seen = |at: usize| self.seen & 1_u128.checked_shl(at as u32).unwrap_or(0) != 0;
        let same = expected.iter().enumerate().filter(|(at, _)| seen(*at));
        let same = same.map(|(_, (key, value))| (key.clone(), value.clone()));
        let changed = self.changed.into_iter();
        let changed = changed.filter_map(|(at, value)| Some((expected.entry(at)?.0.clone(), value)));
        // Of equal keys the last one counts.
        Read::New(Json::Object(same.chain(changed).chain(self.new).collect()))
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
        let at = self.beside.expected.and_then(|map| map.position(key));
        let name = at.map_or_else(|| Name::New(Text::new(key)), Name::Expected);
        Ok(Some(Key { name, rule }))
    }
}
