//! Packed values: JSON as MessagePack with the strings of a chunk in a table. `docs/trace-format.md`, "Packed values".

use std::collections::HashMap;

use foldhash::fast::RandomState;
use serde_json::Number;

use super::{hexed, stamp};
use crate::model::{Json, Map, Text};
use crate::trace::pack::{self, Cursor, Token, sign_extend};

/// Extension: nothing is there.
const ABSENT: i8 = 0;
/// Extension: a JSON integer, two's complement.
const INTEGER: i8 = 1;
/// Extension: a JSON integer of 2^63 and more.
const UNSIGNED: i8 = 2;
/// Extension: a text that ends in hexadecimal digits: length of what is before, that, the digits' bytes.
const HEX_TAIL: i8 = 3;
/// Extension: a UID.
const UID: i8 = 4;
/// Extension: a time in whole seconds; the timestamp type that MessagePack defines.
const STAMP: i8 = -1;

/// What every value costs besides the bytes of its strings and keys: about what it takes in memory.
pub(super) const NODE_COST: u64 = 64;

/// Nesting that a packed value may have; `serde_json` stops at 128 as well.
const MAX_DEPTH: usize = 128;

/// Entries that a chunk's string table may have.
const MAX_STRINGS: usize = 1 << 20;

/// The strings of a chunk that a writer has written.
#[derive(Debug, Default)]
pub(super) struct WrittenStrings {
    numbers: HashMap<Text, u32, RandomState>,
    /// The last time, seconds since the epoch.
    time: Option<u32>,
}

impl WrittenStrings {
    /// Appends a value, or the mark of its absence.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, value: Option<&Json>) {
        let Some(value) = value else { return pack::put_fixext(out, ABSENT, &[0]) };
        match value {
            Json::Null => out.push(0xc0),
            Json::Bool(false) => out.push(0xc2),
            Json::Bool(true) => out.push(0xc3),
            Json::Number(number) => put_number(out, number),
            Json::String(text) => self.put_string(out, text),
            Json::Array(items) => {
                pack::put_array(out, items.len());
                for item in items.iter() {
                    self.put(out, Some(item));
                }
            }
            Json::Object(map) => {
                pack::put_map(out, map.len());
                for (key, value) in map.iter() {
                    self.put_text(out, key);
                    self.put(out, Some(value));
                }
            }
        }
    }

    fn put_string(&mut self, out: &mut Vec<u8>, text: &Text) {
        if let Some(seconds) = stamp::seconds(text) {
            match self.time.replace(seconds) {
                Some(last) => pack::put_int(out, -1 - zigzag(i64::from(seconds) - i64::from(last))),
                None => pack::put_fixext(out, STAMP, &seconds.to_be_bytes()),
            }
        } else if let Some(bytes) = hexed::uid(text) {
            pack::put_fixext(out, UID, &bytes);
        } else if let Some((head, bytes)) = hexed::tail(text) {
            pack::put_ext(out, HEX_TAIL, &[&[head.len() as u8], head.as_bytes(), &bytes].concat());
        } else {
            self.put_text(out, text);
        }
    }

    /// Appends a string: itself the first time, then its number.
    pub(super) fn put_text(&mut self, out: &mut Vec<u8>, text: &Text) {
        if let Some(number) = self.numbers.get(text) {
            return pack::put_uint(out, u64::from(*number));
        }
        self.numbers.insert(text.clone(), self.numbers.len() as u32);
        pack::put_str(out, text);
    }

    /// Whether the table should not grow any further.
    pub(super) fn is_full(&self) -> bool {
        self.numbers.len() >= MAX_STRINGS / 2
    }

    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.time = None;
    }
}

/// Appends a JSON integer, or another number.
pub(super) fn put_number(out: &mut Vec<u8>, number: &Number) {
    match (number.as_i64(), number.as_u64()) {
        (Some(n), _) => match n {
            -0x80..=0x7f => pack::put_fixext(out, INTEGER, &(n as i8).to_be_bytes()),
            -0x8000..=0x7fff => pack::put_fixext(out, INTEGER, &(n as i16).to_be_bytes()),
            -0x8000_0000..=0x7fff_ffff => pack::put_fixext(out, INTEGER, &(n as i32).to_be_bytes()),
            _ => pack::put_fixext(out, INTEGER, &n.to_be_bytes()),
        },
        (None, Some(n)) => pack::put_fixext(out, UNSIGNED, &n.to_be_bytes()),
        (None, None) => pack::put_float(out, number.as_f64().unwrap_or_default()),
    }
}

/// The strings of a chunk as a reader has met them.
#[derive(Debug, Default)]
pub(super) struct ReadStrings {
    list: Vec<Text>,
    /// The last time, seconds since the epoch.
    time: u32,
}

impl ReadStrings {
    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.time = 0;
    }

    /// Reads a value, `None` where it is absent; adds what it costs to `cost`.
    pub(super) fn take(
        &mut self,
        from: &mut Cursor<'_>,
        budget: &mut Budget,
    ) -> Result<Option<Json>, String> {
        self.nested(from, budget, MAX_DEPTH)
    }

    fn nested(
        &mut self,
        from: &mut Cursor<'_>,
        budget: &mut Budget,
        depth: usize,
    ) -> Result<Option<Json>, String> {
        let depth = depth.checked_sub(1).ok_or("a value is nested too deeply")?;
        budget.spend(NODE_COST)?;
        Ok(Some(match from.token()? {
            Token::Nil => Json::Null,
            Token::Bool(yes) => Json::Bool(yes),
            Token::Float(n) => Json::Number(Number::from_f64(n).ok_or("a number that JSON does not have")?),
            Token::Ext(ABSENT, _) => return Ok(None),
            Token::Ext(code, bytes) => {
                let value = self.extension(code, bytes)?;
                budget.spend(cost(&value) - NODE_COST)?;
                value
            }
            Token::Int(step) => {
                let time = i64::from(self.time).checked_add(unzigzag(-1 - step));
                let time = time.and_then(|time| u32::try_from(time).ok()).filter(|time| *time < stamp::END);
                self.time = time.ok_or("a time is out of range")?;
                let text = stamp::text(self.time);
                budget.spend(text.len() as u64)?;
                Json::String(text)
            }
            Token::Array(len) => {
                let mut items = Vec::with_capacity(len.min(from.remaining()).min(1 << 12));
                for _ in 0..len {
                    items.push(self.nested(from, budget, depth)?.ok_or("an array element is absent")?);
                }
                Json::Array(items.into())
            }
            Token::Map(len) => {
                let mut map = Vec::with_capacity(len.min(from.remaining()).min(1 << 12));
                for _ in 0..len {
                    let token = from.token()?;
                    let key = self.text(token, budget)?;
                    map.push((key, self.nested(from, budget, depth)?.ok_or("a map value is absent")?));
                }
                Json::Object(Map::from(map))
            }
            token => Json::String(self.text(token, budget)?),
        }))
    }

    fn extension(&mut self, code: i8, bytes: &[u8]) -> Result<Json, String> {
        let number = bytes.iter().take(8).fold(0, |n, byte| (n << 8) | u64::from(*byte));
        match (code, bytes.len()) {
            (STAMP, 4) if (number as u32) < stamp::END => {
                self.time = number as u32;
                Ok(Json::String(stamp::text(self.time)))
            }
            (INTEGER, len @ (1 | 2 | 4 | 8)) => Ok(Json::Number(sign_extend(number, len).into())),
            (UNSIGNED, 8) => Ok(Json::Number(number.into())),
            (UID, _) => match bytes.try_into() {
                Ok(bytes) => Ok(Json::String(hexed::uid_text(bytes))),
                Err(_) => Err(format!("a UID of {} bytes", bytes.len())),
            },
            (HEX_TAIL, 1..) => {
                let (head, digits) =
                    bytes[1..].split_at_checked(usize::from(bytes[0])).ok_or("a text is cut short")?;
                let head = std::str::from_utf8(head).map_err(|_| "a string is not UTF-8")?;
                Ok(Json::String(hexed::tail_text(head, digits)))
            }
            (code, len) => Err(format!("extension {code} of {len} bytes means nothing in a value")),
        }
    }

    /// The string that a token stands for.
    pub(super) fn text(&mut self, token: Token<'_>, budget: &mut Budget) -> Result<Text, String> {
        let text = match token {
            Token::Str(text) => {
                if self.list.len() >= MAX_STRINGS {
                    return Err(format!("the chunk has more than {MAX_STRINGS} strings"));
                }
                let text = Text::new(text);
                self.list.push(text.clone());
                text
            }
            Token::Uint(number) => self
                .list
                .get(number as usize)
                .cloned()
                .ok_or_else(|| format!("string {number} of {} is asked for", self.list.len()))?,
            other => return Err(format!("{other:?} where a string should be")),
        };
        budget.spend(text.len() as u64)?;
        Ok(text)
    }
}

/// A signed number as one from 0, small ones small.
fn zigzag(n: i64) -> i64 {
    (n << 1) ^ (n >> 63)
}

fn unzigzag(n: i64) -> i64 {
    (n >> 1) ^ -(n & 1)
}

/// What a chunk may still cost its reader.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) left: u64,
}

impl Budget {
    pub(super) fn spend(&mut self, cost: u64) -> Result<(), String> {
        self.left = self.left.checked_sub(cost).ok_or("the chunk unpacks to more than the limit")?;
        Ok(())
    }
}

/// What a value costs, as [`Budget`] counts.
pub(super) fn cost(value: &Json) -> u64 {
    NODE_COST
        + match value {
            Json::String(text) => text.len() as u64,
            Json::Array(items) => items.iter().map(cost).sum(),
            Json::Object(map) => map.iter().map(|(key, value)| key.len() as u64 + cost(value)).sum(),
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(bytes: &[u8], left: u64) -> Result<Option<Json>, String> {
        ReadStrings::default().take(&mut Cursor::new(bytes), &mut Budget { left })
    }

    #[test]
    fn every_kind_of_value_survives_and_costs_the_same_on_both_sides() {
        let value = Json::from(
            json!({"a": [0, -1, 127, 128, -32_769, i64::MIN, u64::MAX, 1.0, -0.0, 1e300], "b": {"a": "b"},
                           "t": ["2026-11-24T10:00:05Z", "2026-11-24T09:59:00Z", "2106-01-01T00:00:00Z", "2105-12-31T23:59:59Z"],
                           "h": ["39a84127-37ca-4de5-8291-11472f5f6efb", "containerd://6f1f3c0b2a9e4d7c8b5a6e1d0c9f8b7a6"], "u": "ü", "n": null, "y": [true, false, {}, [], ""]}),
        );
        let mut out = Vec::new();
        WrittenStrings::default().put(&mut out, Some(&value));
        let mut budget = Budget { left: 1 << 20 };
        let back = ReadStrings::default().take(&mut Cursor::new(&out), &mut budget).unwrap().unwrap();
        assert_eq!(back.to_string(), value.to_string());
        assert_eq!((1 << 20) - budget.left, cost(&value));
    }

    #[test]
    fn deep_wide_and_dangling_values_are_errors() {
        assert!(read(&vec![0x91; 100_000], u64::MAX).unwrap_err().contains("deep"));
        let wide: Vec<u8> = [0xdd, 0x7f, 0xff, 0xff, 0xff].into_iter().chain([0xc0; 10_000]).collect();
        assert!(read(&wide, 1 << 16).unwrap_err().contains("limit"));
        assert!(read(&[7], u64::MAX).unwrap_err().contains("string 7"));
        assert!(read(&[0x91, 0xd4, 0, 0], u64::MAX).unwrap_err().contains("absent"));
        assert!(read(&[0xd4, 9, 0], u64::MAX).unwrap_err().contains("extension 9"));
        assert!(read(&[0xc7, 2, 3, 9, 9], u64::MAX).unwrap_err().contains("cut short"));
        assert!(read(&[0xd4, 4, 0], u64::MAX).unwrap_err().contains("UID"));
        assert!(read(&[0xff], u64::MAX).unwrap().is_some(), "the epoch itself");
        assert!(read(&[0xfe], u64::MAX).unwrap_err().contains("out of range"), "a second before it");
    }
}
