//! Reading a value beside one that it is likely to resemble: what is equal is shared with that one instead of being
//! made, and what is not wanted is never made at all.

mod entries;
mod place;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer};

use self::place::{Place, Under};
pub use self::text::Texts;
use super::Json;

/// What becomes of a field, by the type of its value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    /// Of null, a boolean, a number or a string.
    pub scalar: Fate,
    /// Of an array.
    pub array: Fate,
    /// Of a map.
    pub map: Fate,
}

impl Rule {
    /// The field is left out, whatever it holds.
    pub fn gone() -> Rule {
        Rule { scalar: Fate::Goes, array: Fate::Goes, map: Fate::Goes }
    }
}

/// What becomes of a value.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Fate {
    /// It stays; the rules go on to apply to what it holds.
    #[default]
    Stays,
    /// It is left out.
    Goes,
    /// It stays, a map without these keys, an array without these keys of the maps in it; further in no rule applies.
    Without(&'static [&'static str]),
    /// Another value takes its place.
    Becomes(Json),
}

/// Says what becomes of fields, wherever in a value they are.
pub trait Rules: Send + Sync {
    /// The rule for fields of this name; without one they stay.
    fn rule(&self, key: &str) -> Option<&Rule>;
}

/// No rules: all stays.
impl Rules for () {
    fn rule(&self, _: &str) -> Option<&Rule> {
        None
    }
}

/// Reads a [`Json`] from any format.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// A value with which the new one shares all parts that are equal; null for none.
    pub like: &'a Json,
    /// What is left out.
    pub rules: &'a dyn Rules,
    /// The text of a field of `like`, so that an equal one need not be read. Only where `serde_json` reads.
    pub texts: Option<&'a Texts>,
}

impl fmt::Debug for Reading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Json, D::Error> {
        let place =
            Place { like: Some(self.like), rules: self.rules, under: Under::Rules(None), texts: self.texts };
        Ok(place.deserialize(from)?.beside(Some(self.like)).unwrap_or_default())
    }
}
