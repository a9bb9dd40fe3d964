use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::entries::{Entries, KeySeed};
use super::text::{TextSeed, Texts};
use super::{Fate, Rule, Rules};
use crate::model::json::{Json, Text};

/// What was read.
pub(super) enum Read {
    /// The value that was expected.
    Same,
    New(Json),
    /// Something that is left out.
    Nothing,
}

impl Read {
    /// What was read where `like` was expected.
    pub(super) fn beside(self, like: Option<&Json>) -> Option<Json> {
        match self {
            Read::Same => like.cloned(),
            Read::New(json) => Some(json),
            Read::Nothing => None,
        }
    }
}

/// What applies to a value.
#[derive(Clone, Copy)]
pub(super) enum Under<'a> {
    /// This rule, and all rules for what it holds.
    Rules(Option<&'a Rule>),
    /// An array holds it whose maps lose these keys.
    Without(&'static [&'static str]),
    /// Nothing.
    Nothing,
}

/// Where a value is read: what is expected there, and what applies.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) like: Option<&'a Json>,
    pub(super) rules: &'a dyn Rules,
    pub(super) under: Under<'a>,
    /// What is known of the text there.
    pub(super) texts: Option<&'a Texts>,
}

impl<'a> Place<'a> {
    fn fate(&self, of: impl FnOnce(&'a Rule) -> &'a Fate) -> &'a Fate {
        if let Under::Rules(Some(rule)) = self.under { of(rule) } else { &Fate::Stays }
    }

    /// A value that was made: the expected one where it equals that.
    fn made(&self, json: Json) -> Read {
        if self.like == Some(&json) { Read::Same } else { Read::New(json) }
    }

    fn scalar(&self, is_same: impl FnOnce(&Json) -> bool, make: impl FnOnce() -> Json) -> Read {
        match self.fate(|rule| &rule.scalar) {
            Fate::Goes => Read::Nothing,
            Fate::Becomes(json) => self.made(json.clone()),
            Fate::Stays | Fate::Without(_) => {
                if self.like.is_some_and(is_same) {
                    Read::Same
                } else {
                    Read::New(make())
                }
            }
        }
    }

    fn number(&self, number: &Number) -> Read {
        // -0.0 is not 0.0, and 1 is not 1.0.
        let bits = |number: &Number| number.as_f64().map(f64::to_bits);
        let same = |like: &Json| matches!(like, Json::Number(n) if n == number && (!number.is_f64() || bits(n) == bits(number)));
        self.scalar(same, || Json::Number(number.clone()))
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Read;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Read, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Read, E> {
        Ok(self.scalar(Json::is_null, || Json::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Read, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Read, D::Error> {
        self.deserialize(from)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Read, E> {
        Ok(self.scalar(|like| *like == yes, || Json::Bool(yes)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Read, E> {
        Ok(self.number(&number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Read, E> {
        Ok(self.number(&number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Read, E> {
        let number = Number::from_f64(number);
        Ok(self.number(&number.ok_or_else(|| E::custom("a number that JSON does not have"))?))
    }

    fn visit_str<E>(self, text: &str) -> Result<Read, E> {
        Ok(self.scalar(|like| like == text, || Json::String(Text::new(text))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Read, A::Error> {
        let under = match (self.fate(|rule| &rule.array), self.under) {
            (fate @ (Fate::Goes | Fate::Becomes(_)), _) => {
                while from.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(if let Fate::Becomes(json) = fate {
                    self.made(json.clone())
                } else {
                    Read::Nothing
                });
            }
            (Fate::Without(keys), _) => Under::Without(keys),
            (Fate::Stays, Under::Rules(_)) => Under::Rules(None),
            (Fate::Stays, Under::Without(_) | Under::Nothing) => Under::Nothing,
        };
        let expected = self.like.and_then(Json::as_array);
        let like = |at: usize| expected.and_then(|items| items.get(at));
        // Made only once an element differs.
        let mut items: Option<Vec<Json>> = None;
        let mut count = 0;
        let place = Place { under, texts: None, ..self };
        while let Some(read) = from.next_element_seed(Place { like: like(count), ..place })? {
            let new = !matches!(read, Read::Same);
            if new && items.is_none() {
                items = Some(expected.unwrap_or_default()[..count].to_vec());
            }
            if let Some(items) = &mut items {
                items.extend(read.beside(like(count)));
            }
            count += 1;
        }
        Ok(match (items, expected) {
            (Some(items), _) => Read::New(Json::Array(items.into())),
            (None, Some(expected)) if expected.len() == count => Read::Same,
            (None, expected) => Read::New(Json::Array(expected.unwrap_or_default()[..count].into())),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Read, A::Error> {
        let (left_out, rules) = match (self.fate(|rule| &rule.map), self.under) {
            (fate @ (Fate::Goes | Fate::Becomes(_)), _) => {
                while from.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(if let Fate::Becomes(json) = fate {
                    self.made(json.clone())
                } else {
                    Read::Nothing
                });
            }
            (&Fate::Without(keys), _) | (Fate::Stays, Under::Without(keys)) => (keys, None),
            (Fate::Stays, Under::Rules(_)) => (&[][..], Some(self.rules)),
            (Fate::Stays, Under::Nothing) => (&[][..], None),
        };
        let mut entries = Entries::beside(self.like.and_then(Json::as_object));
        while let Some(key) = from.next_key_seed(KeySeed { beside: &entries, left_out, rules })? {
            let Some(key) = key else {
                from.next_value::<IgnoredAny>()?;
                continue;
            };
            let under = if rules.is_some() { Under::Rules(key.rule) } else { Under::Nothing };
            let place = Place { like: entries.expected(&key), under, texts: None, ..self };
            let read = match self.texts.filter(|texts| entries.is(&key, texts.field())) {
                Some(texts) => from.next_value_seed(TextSeed { place, texts })?,
                None => from.next_value_seed(place)?,
            };
            entries.add(key, read);
        }
        Ok(entries.close())
    }
}
