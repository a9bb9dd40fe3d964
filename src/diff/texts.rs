use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// A string of a [`Texts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Sym(pub(super) u32);

/// Strings, each kept once, one after the other: a million names cost their bytes and 17 bytes each.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    bytes: String,
    ends: Vec<usize>,
    table: HashTable<Entry>,
}

/// A string and half of its hash, so that no string is looked at where the table grows, and few that are other strings.
#[derive(Debug, Clone, Copy)]
struct Entry {
    at: u32,
    half: u32,
}

impl Entry {
    fn hash(self) -> u64 {
        // The table takes its place from the lower bits and a mark from the upper ones: all are to differ.
        u64::from(self.half).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Texts {
    /// The symbol of a string, a new one where it was not there.
    pub(super) fn intern(&mut self, text: &str) -> Sym {
        let entry = Entry { at: self.ends.len() as u32, half: hash_of(text) as u32 };
        if let Some(known) = self.look(entry, text) {
            return known;
        }
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
        self.table.insert_unique(entry.hash(), entry, |entry| entry.hash());
        Sym(entry.at)
    }

    /// The symbol of a string that is there.
    pub(super) fn find(&self, text: &str) -> Option<Sym> {
        self.look(Entry { at: 0, half: hash_of(text) as u32 }, text)
    }

    /// A string with the hash of an entry.
    fn look(&self, like: Entry, text: &str) -> Option<Sym> {
        let is_it =
            |entry: &Entry| entry.half == like.half && slice(&self.bytes, &self.ends, entry.at) == text;
        self.table.find(like.hash(), is_it).map(|entry| Sym(entry.at))
    }

    /// The string of a symbol of these texts.
    pub(super) fn get(&self, symbol: Sym) -> &str {
        slice(&self.bytes, &self.ends, symbol.0)
    }
}

impl PartialEq for Texts {
    fn eq(&self, other: &Texts) -> bool {
        self.bytes == other.bytes && self.ends == other.ends
    }
}

/// A number for some of the symbols of a [`Texts`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Numbers(Vec<u32>);

impl Numbers {
    const NONE: u32 = u32::MAX;

    /// The number of a symbol.
    pub(super) fn get(&self, symbol: Sym) -> Option<u32> {
        self.0.get(symbol.0 as usize).copied().filter(|number| *number != Self::NONE)
    }

    /// Gives a symbol a number.
    pub(super) fn set(&mut self, symbol: Sym, number: u32) {
        let at = symbol.0 as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, Self::NONE);
        }
        self.0[at] = number;
    }
}

fn slice<'t>(bytes: &'t str, ends: &[usize], at: u32) -> &'t str {
    let at = at as usize;
    let from = at.checked_sub(1).map_or(0, |before| ends[before]);
    &bytes[from..ends[at]]
}

/// A hash that is the same in every reel and every process.
pub(super) fn hash_of<T: std::hash::Hash + ?Sized>(value: &T) -> u64 {
    FixedState::default().hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_kept_once_and_found_again() {
        let mut texts = Texts::default();
        let symbols: Vec<_> = (0..1000).map(|n| texts.intern(&format!("pod-{n}"))).collect();
        assert_eq!(texts.intern("pod-7"), symbols[7]);
        let empty = texts.intern("");
        assert_eq!((texts.get(symbols[999]), texts.get(empty)), ("pod-999", ""));
        assert_eq!((texts.find("pod-3"), texts.find("other")), (Some(symbols[3]), None));
    }
}
