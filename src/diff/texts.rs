use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// A string of a [`Texts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Sym(pub(super) u32);

/// Strings, each kept once, one after the other: a million names cost their bytes and 13 bytes each.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    bytes: String,
    ends: Vec<usize>,
    table: HashTable<u32>,
}

impl Texts {
    /// The symbol of a string, a new one where it was not there.
    pub(super) fn intern(&mut self, text: &str) -> Sym {
        let hash = hash_of(text);
        if let Some(found) = self.table.find(hash, |at| slice(&self.bytes, &self.ends, *at) == text) {
            return Sym(*found);
        }
        let at = self.ends.len() as u32;
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
        let (bytes, ends) = (&self.bytes, &self.ends);
        self.table.insert_unique(hash, at, |at| hash_of(slice(bytes, ends, *at)));
        Sym(at)
    }

    /// The symbol of a string that is there.
    pub(super) fn find(&self, text: &str) -> Option<Sym> {
        self.table.find(hash_of(text), |at| slice(&self.bytes, &self.ends, *at) == text).map(|at| Sym(*at))
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
