use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Json, Text};

thread_local! {
    /// Where keys were found last: most maps that are read have been read with other values. Guesses that are checked.
    static GUESSES: [Cell<u8>; 1 << 10] = const { [const { Cell::new(0) }; 1 << 10] };
}

/// Entries of a map that are looked through one by one.
const FEW: usize = 12;

/// The entries of a JSON object, sorted by key.
#[derive(Debug, Clone)]
pub struct Map(Arc<[(Text, Json)]>);

impl Map {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Json> {
        // Most keys of few differ in length or first letter already, which costs less than halving the way by comparing texts.
        if self.0.len() <= FEW {
            let first = key.bytes().next();
            return self
                .0
                .iter()
                .find(|(own, _)| own.len() == key.len() && own.bytes().next() == first && own == key)
                .map(|(_, value)| value);
        }
        self.find(key).ok().map(|at| &self.0[at].1)
    }

    /// The value of a key, to be changed. Copies the entries, not what they hold, where somebody else has them.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Json> {
        let at = self.find(key).ok()?;
        Some(&mut Arc::make_mut(&mut self.0)[at].1)
    }

    /// As [`Map::get_mut`], with a look first where the key was found in a like map, which is noted in `found`.
    pub(crate) fn get_mut_near(&mut self, key: &str, found: &AtomicUsize) -> Option<&mut Json> {
        // A guess that is checked: any value will do, so the order of memory does not matter.
        let mut at = found.load(Ordering::Relaxed);
        if self.0.get(at).is_none_or(|(own, _)| own != key) {
            at = self.find(key).ok()?;
            found.store(at, Ordering::Relaxed);
        }
        Some(&mut Arc::make_mut(&mut self.0)[at].1)
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: impl Into<Text> + AsRef<str>, value: Json) {
        match self.find(key.as_ref()) {
            Ok(at) => Arc::make_mut(&mut self.0)[at].1 = value,
            Err(at) => self.0 = spliced(&mut self.0, at..at, Some((key.into(), value))),
        }
    }

    /// Takes a key out. Whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let Ok(at) = self.find(key) else { return false };
        self.0 = spliced(&mut self.0, at..at + 1, None);
        true
    }

    /// Whether a key is there.
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// All entries, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Text, &Json)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// All keys, sorted.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Text> {
        self.0.iter().map(|(key, _)| key)
    }

    /// All values in the order of their keys.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Json> {
        self.0.iter().map(|(_, value)| value)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both are the same entries in memory.
    pub fn is_same(&self, other: &Map) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether both have the same entries, but for those of one key.
    pub fn is_like(&self, other: &Map, but: &str) -> bool {
        fn rest<'m>(map: &'m Map, but: &str) -> impl Iterator<Item = &'m (Text, Json)> {
            map.0.iter().filter(move |(key, _)| key != but)
        }
        self.is_same(other) || rest(self, but).eq(rest(other, but))
    }

    /// Where the entries are in memory: while they are held, no others are there.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// The entry with this number.
    pub(super) fn entry(&self, at: usize) -> Option<&(Text, Json)> {
        self.0.get(at)
    }

    /// The number of a key's entry, looked for first where a like key was in a like map.
    pub(super) fn position(&self, key: &str) -> Option<usize> {
        let bytes = key.as_bytes();
        let byte = |byte: Option<&u8>| byte.copied().map_or(0, usize::from);
        let print = byte(bytes.first()) ^ byte(bytes.last()) << 2 ^ key.len() << 4 ^ self.len() << 1;
        GUESSES.with(|guesses| {
            let guess = &guesses[print % guesses.len()];
            match self.0.get(usize::from(guess.get())) {
                Some((own, _)) if own == key => Some(usize::from(guess.get())),
                _ => {
                    let at = self.find(key).ok()?;
                    guess.set(u8::try_from(at).unwrap_or_default());
                    Some(at)
                }
            }
        })
    }

    /// The same keys with other values for the entries of these numbers.
    pub(super) fn with(&self, values: impl Iterator<Item = (usize, Json)>) -> Map {
        let mut entries = self.0.to_vec();
        for (at, value) in values {
            if let Some(entry) = entries.get_mut(at) {
                entry.1 = value;
            }
        }
        Map(entries.into())
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| own.as_str().cmp(key))
    }
}

/// Items with another, or none, in the place of some. What nobody else has is moved, not copied.
pub(crate) fn spliced<T: Clone + Default>(
    items: &mut Arc<[T]>,
    gone: Range<usize>,
    new: Option<T>,
) -> Arc<[T]> {
    let (start, end) = (gone.start, gone.end);
    match Arc::get_mut(items) {
        Some(own) => {
            let (before, after) = own.split_at_mut(end);
            let before = before[..start].iter_mut().map(std::mem::take);
            before.chain(new).chain(after.iter_mut().map(std::mem::take)).collect()
        }
        None => items[..start].iter().cloned().chain(new).chain(items[end..].iter().cloned()).collect(),
    }
}

impl Default for Map {
    fn default() -> Map {
        Map(Arc::new([]))
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        self.is_same(other) || self.0 == other.0
    }
}

impl Eq for Map {}

impl From<Vec<(Text, Json)>> for Map {
    /// Of equal keys the last one counts.
    fn from(mut entries: Vec<(Text, Json)>) -> Map {
        if !entries.is_sorted_by(|(a, _), (b, _)| a < b) {
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            entries.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                if same {
                    std::mem::swap(later, earlier);
                }
                same
            });
        }
        Map(entries.into())
    }
}

impl FromIterator<(Text, Json)> for Map {
    fn from_iter<I: IntoIterator<Item = (Text, Json)>>(entries: I) -> Map {
        entries.into_iter().collect::<Vec<_>>().into()
    }
}
