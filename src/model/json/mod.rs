//! JSON values whose parts are shared: a clone costs nothing, a changed copy shares all that did not change.

mod map;
mod read;
mod serde;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use serde_json::{Number, Value};

pub use map::Map;
pub(crate) use map::spliced;
pub use read::{Fate, Reading, Rule, Rules, Texts};

/// A string that is cloned without copying: short ones are kept in place, longer ones are shared.
pub type Text = smol_str::SmolStr;

static NULL: Json = Json::Null;

/// A JSON value that is never changed in place where somebody else holds it.
///
/// Reads like [`serde_json::Value`]: what is absent or of another type reads as null or `None`.
#[derive(Debug, Clone, Default)]
pub enum Json {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(Text),
    /// An array.
    Array(Arc<[Json]>),
    /// A map with string keys.
    Object(Map),
}

impl Json {
    /// The value of a key; `None` where it is absent or this is no map.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.as_object()?.get(key)
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        self.as_text().map(Text::as_str)
    }

    /// A string, to be cloned without copying.
    pub fn as_text(&self) -> Option<&Text> {
        if let Json::String(text) = self { Some(text) } else { None }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Json]> {
        if let Json::Array(items) = self { Some(items) } else { None }
    }

    /// The elements of an array; none of what is no array.
    pub fn items(&self) -> &[Json] {
        self.as_array().unwrap_or_default()
    }

    /// The entries of a map.
    pub fn as_object(&self) -> Option<&Map> {
        if let Json::Object(map) = self { Some(map) } else { None }
    }

    /// The entries of a map, to be changed.
    pub fn as_object_mut(&mut self) -> Option<&mut Map> {
        if let Json::Object(map) = self { Some(map) } else { None }
    }

    /// The entries of a map of texts, such as labels are; what is no text counts as empty.
    pub fn texts(&self) -> BTreeMap<String, String> {
        let entries = self.as_object().into_iter().flat_map(Map::iter);
        entries.map(|(key, value)| (key.to_string(), value.as_str().unwrap_or_default().to_owned())).collect()
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        if let Json::Bool(yes) = self { Some(*yes) } else { None }
    }

    /// An integer.
    pub fn as_i64(&self) -> Option<i64> {
        if let Json::Number(number) = self { number.as_i64() } else { None }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        if let Json::Number(number) = self { number.as_f64() } else { None }
    }

    /// An integer from 0.
    pub fn as_u64(&self) -> Option<u64> {
        if let Json::Number(number) = self { number.as_u64() } else { None }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Json::Null)
    }

    /// Whether it is a string.
    pub fn is_string(&self) -> bool {
        matches!(self, Json::String(_))
    }

    /// Sets the value at a path of keys; what is no map on the way becomes one.
    pub fn set(&mut self, path: &[&str], value: Json) {
        let Some((key, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if self.as_object().is_none() {
            *self = Json::Object(Map::default());
        }
        let Json::Object(map) = self else { return };
        if rest.is_empty() {
            return map.insert(*key, value);
        }
        if !map.contains_key(key) {
            map.insert(*key, Json::Null);
        }
        if let Some(next) = map.get_mut(key) {
            next.set(rest, value);
        }
    }

    /// The same as a value that is changed in place.
    pub fn to_value(&self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Bool(yes) => Value::Bool(*yes),
            Json::Number(number) => Value::Number(number.clone()),
            Json::String(text) => Value::String(text.to_string()),
            Json::Array(items) => items.iter().map(Json::to_value).collect(),
            Json::Object(map) => {
                Value::Object(map.iter().map(|(key, value)| (key.to_string(), value.to_value())).collect())
            }
        }
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Json {
        match value {
            Value::Null => Json::Null,
            Value::Bool(yes) => Json::Bool(yes),
            Value::Number(number) => Json::Number(number),
            Value::String(text) => Json::String(text.into()),
            Value::Array(items) => items.into_iter().map(Json::from).collect(),
            Value::Object(map) => {
                Json::Object(map.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
            }
        }
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Json {
        value.clone().into()
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::String(text.into())
    }
}

impl From<Text> for Json {
    fn from(text: Text) -> Json {
        Json::String(text)
    }
}

impl FromIterator<Json> for Json {
    fn from_iter<I: IntoIterator<Item = Json>>(items: I) -> Json {
        Json::Array(items.into_iter().collect())
    }
}

impl Index<&str> for Json {
    type Output = Json;

    /// The value of a key, null where there is none.
    fn index(&self, key: &str) -> &Json {
        self.get(key).unwrap_or(&NULL)
    }
}

impl Index<usize> for Json {
    type Output = Json;

    /// An element, null where there is none.
    fn index(&self, index: usize) -> &Json {
        self.items().get(index).unwrap_or(&NULL)
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Null, Json::Null) => true,
            (Json::Bool(a), Json::Bool(b)) => a == b,
            (Json::Number(a), Json::Number(b)) => a == b,
            (Json::String(a), Json::String(b)) => a == b,
            (Json::Array(a), Json::Array(b)) => Arc::ptr_eq(a, b) || a == b,
            (Json::Object(a), Json::Object(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Json {}

impl PartialEq<str> for Json {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for Json {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(*other)
    }
}

impl PartialEq<bool> for Json {
    fn eq(&self, other: &bool) -> bool {
        self.as_bool() == Some(*other)
    }
}

impl PartialEq<i64> for Json {
    fn eq(&self, other: &i64) -> bool {
        self.as_i64() == Some(*other)
    }
}

impl PartialEq<Value> for Json {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Json::Null, Value::Null) => true,
            (Json::Bool(a), Value::Bool(b)) => a == b,
            (Json::Number(a), Value::Number(b)) => a == b,
            (Json::String(a), Value::String(b)) => a == b,
            (Json::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b),
            (Json::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((ka, a), (kb, b))| ka == kb && a == b)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Json {
    /// Compact JSON with sorted keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}
