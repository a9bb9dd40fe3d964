//! Parts of objects that changes have made before. Pods of one Deployment go through the same states: what a change made
//! of the status of the first is what it makes of the status of the others, so it is made once and shared.
//!
//! Whoever reads sees the same objects with and without it.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::value::NODE_COST;
use crate::model::Json;

/// Whatever is kept costs this much at most, as budgets count; then all is forgotten.
const KEPT: u64 = 16 << 20;

/// Values that cost more are not kept.
const LARGEST: u64 = 64 << 10;

/// How many makings are remembered that came once.
const ONCE: usize = 1 << 11;

/// What was made of what, for one chunk.
#[derive(Debug, Default)]
pub(super) struct Memo {
    hasher: RandomState,
    /// Prints of what was made last, each at a place of its own.
    once: Vec<u64>,
    made: HashMap<u64, Made, RandomState>,
    kept: u64,
}

/// What changes made of a value.
#[derive(Debug)]
pub(super) struct Made {
    /// The changes: no two that live at the same time have one number.
    pub(super) changes: usize,
    pub(super) before: Json,
    /// What filled the slots of the changes.
    pub(super) slots: Vec<Option<Json>>,
    pub(super) after: Json,
    /// What it took of the limits.
    pub(super) moved: u64,
    pub(super) cost: u64,
}

impl Memo {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.once.fill(0);
        self.made.clear();
        self.kept = 0;
    }

    /// A number for changes of a value with these slots; `None` where it would not help to remember them.
    pub(super) fn print<'v>(
        &self,
        changes: usize,
        before: &Json,
        slots: impl Iterator<Item = Option<&'v Json>>,
    ) -> Option<u64> {
        let mut state = self.hasher.build_hasher();
        (changes, address(before)?).hash(&mut state);
        for slot in slots {
            match slot {
                None => state.write_u8(0),
                Some(Json::Null) => state.write_u8(1),
                Some(Json::Bool(yes)) => state.write_u8(2 + u8::from(*yes)),
                Some(Json::String(text)) => text.hash(&mut state),
                Some(Json::Number(number)) if !number.is_f64() => number.hash(&mut state),
                // Seldom twice the same, and equality of floats is not sameness.
                Some(Json::Number(_) | Json::Array(_) | Json::Object(_)) => return None,
            }
        }
        Some(state.finish())
    }

    /// What these changes made of this very value before.
    pub(super) fn made<'v>(
        &self,
        print: u64,
        changes: usize,
        before: &Json,
        slots: impl Iterator<Item = Option<&'v Json>>,
    ) -> Option<&Made> {
        let made = self.made.get(&print)?;
        let same = made.changes == changes && address(&made.before) == address(before);
        (same && slots.zip(&made.slots).all(|(slot, kept)| slot == kept.as_ref())).then_some(made)
    }

    /// Whether it has come before, so that what is made of it is worth to be kept.
    pub(super) fn comes_again(&mut self, print: u64, before: &Json) -> bool {
        self.once.resize(ONCE, 0);
        let last = std::mem::replace(&mut self.once[print as usize % ONCE], print);
        last == print && cost_within(before, LARGEST).is_some()
    }

    /// Keeps what was made, so that it is shared with the next.
    pub(super) fn keep(&mut self, print: u64, made: Made) {
        let costs = (cost_within(&made.before, LARGEST), cost_within(&made.after, LARGEST));
        let (Some(before), Some(after)) = costs else { return };
        self.kept += before + after;
        if self.kept > KEPT {
            self.made.clear();
            self.kept = before + after;
        }
        self.made.insert(print, made);
    }
}

/// Where a map or array is in memory: while it is held, no other is there.
fn address(value: &Json) -> Option<usize> {
    match value {
        Json::Object(map) => Some(map.address()),
        Json::Array(items) => Some(Arc::as_ptr(items).addr()),
        _ => None,
    }
}

/// What a value costs, where that is no more than `limit`; takes no longer than that either.
fn cost_within(value: &Json, limit: u64) -> Option<u64> {
    let own = NODE_COST + value.as_str().map_or(0, |text| text.len() as u64);
    let left = limit.checked_sub(own)?;
    let left = match value {
        Json::Array(items) => items.iter().try_fold(left, |left, item| Some(left - cost_within(item, left)?)),
        Json::Object(map) => map.iter().try_fold(left, |left, (key, value)| {
            let left = left.checked_sub(key.len() as u64)?;
            Some(left - cost_within(value, left)?)
        }),
        _ => Some(left),
    };
    Some(limit - left?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made(before: &Json, after: Json) -> Made {
        Made { changes: 1, before: before.clone(), slots: vec![Some("a".into())], after, moved: 0, cost: 0 }
    }

    #[test]
    fn only_the_same_changes_of_the_same_value_with_the_same_slots_are_known() {
        let before = Json::from(json!({"a": 1}));
        let (a, b) = (Json::from("a"), Json::from("b"));
        let mut memo = Memo::default();
        let print = memo.print(1, &before, [Some(&a)].into_iter()).unwrap();
        assert!(!memo.comes_again(print, &before) && memo.comes_again(print, &before));
        memo.keep(print, made(&before, Json::Null));
        let known = |changes: usize, before: &Json, slot: Option<&Json>| {
            memo.made(print, changes, before, [slot].into_iter()).is_some()
        };
        assert!(known(1, &before, Some(&a)));
        assert!(!known(2, &before, Some(&a)) && !known(1, &before, Some(&b)) && !known(1, &before, None));
        assert!(!known(1, &json!({"a": 1}).into(), Some(&a)), "equal, but another");
    }

    #[test]
    fn what_is_not_told_apart_by_equality_is_not_remembered() {
        let memo = Memo::default();
        let before = Json::from(json!({}));
        for slot in [json!(0.0), json!([]), json!({})].map(Json::from) {
            assert_eq!(memo.print(1, &before, [Some(&slot)].into_iter()), None, "{slot}");
        }
        assert_eq!(memo.print(1, &Json::Null, std::iter::empty()), None, "it has no address");
    }

    #[test]
    fn little_is_kept() {
        let mut memo = Memo::default();
        let wide = |entries: u32| (0..entries).map(|n| Json::Number(n.into())).collect::<Json>();
        memo.keep(0, made(&wide(1_100), Json::Null));
        assert!(memo.made.is_empty(), "more than {LARGEST}");
        for print in 0..10_000 {
            memo.keep(print, made(&wide(100), Json::Null));
            assert!(memo.kept <= KEPT);
        }
        assert!((1..10_000).contains(&memo.made.len()));
    }

    #[test]
    fn a_cost_is_counted_up_to_its_limit() {
        let value = Json::from(json!({"key": ["text", 1, {}], "k": null}));
        let cost = super::super::value::cost(&value);
        assert_eq!(cost_within(&value, cost), Some(cost));
        assert_eq!(cost_within(&value, cost - 1), None);
    }
}
