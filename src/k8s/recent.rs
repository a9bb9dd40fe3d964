use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use memchr::memmem;

use crate::model::Json;

/// Objects that are kept at most, twice this many UIDs: what changes now changed a moment ago.
const KEPT: usize = 1 << 10;

/// The objects of a watch that changed last, to be found by text that was not read yet. A wrong guess costs time, never
/// truth: who reads an object beside another one gets what the text says.
#[derive(Debug, Default)]
pub(super) struct Recent {
    hasher: RandomState,
    /// By the UIDs that an object's text names first: its own, and its owner's, whose other objects are like it.
    new: HashMap<u64, Seen, RandomState>,
    /// What `new` was when it was full.
    old: HashMap<u64, Seen, RandomState>,
    last: Seen,
}

/// An object as it was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) object: Json,
    /// The text of its `spec`, which most changes leave as it is.
    pub(super) spec: Option<Arc<str>>,
}

/// Hashes of the UIDs that an object's text names first.
pub(super) type Uids = [Option<u64>; 2];

impl Recent {
    /// The object that is most likely to resemble the one with these UIDs; null where there was none.
    pub(super) fn like(&self, uids: Uids) -> &Seen {
        let known = |uid: u64| self.new.get(&uid).or_else(|| self.old.get(&uid));
        uids.into_iter().flatten().find_map(known).unwrap_or(&self.last)
    }

    /// Takes note of an object.
    pub(super) fn keep(&mut self, uids: Uids, seen: &Seen) {
        self.last = seen.clone();
        if self.new.len() >= 2 * KEPT {
            self.old = std::mem::take(&mut self.new);
        }
        for uid in uids.into_iter().flatten() {
            self.new.insert(uid, seen.clone());
        }
    }

    /// The object with these UIDs is gone.
    pub(super) fn forget(&mut self, uids: Uids) {
        if let [Some(own), _] = uids {
            self.new.remove(&own);
            self.old.remove(&own);
        }
    }

    /// The UIDs by which the object in a text is known.
    pub(super) fn uids(&self, text: &[u8]) -> Uids {
        let (own, rest) = self.uid(text);
        [own, self.uid(rest).0]
    }

    /// A hash of the first UID in a text, and what comes after it.
    fn uid<'t>(&self, text: &'t [u8]) -> (Option<u64>, &'t [u8]) {
        const FIELD: &[u8] = b"\"uid\":\"";
        let Some(at) = memmem::find(text, FIELD) else { return (None, &[]) };
        let rest = &text[at + FIELD.len()..];
        let len = memchr::memchr(b'"', rest).unwrap_or(rest.len());
        let (uid, rest) = rest.split_at(len);
        (Some(self.hasher.hash_one(uid)), rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, owner: &str) -> (String, Seen) {
        let pod = json!({"metadata": {"name": name, "uid": name, "x": [{"uid": owner}]}});
        (pod.to_string(), Seen { object: pod.into(), spec: None })
    }

    #[test]
    fn an_object_is_like_itself_then_like_its_siblings_then_like_any() {
        let mut recent = Recent::default();
        let all = [pod("a", "web"), pod("b", "web"), pod("c", "db")];
        assert!(recent.like(recent.uids(all[0].0.as_bytes())).object.is_null());
        for (text, object) in &all {
            recent.keep(recent.uids(text.as_bytes()), object);
        }
        let like = |recent: &Recent, (text, _): (String, Seen)| {
            recent.like(recent.uids(text.as_bytes())).object.clone()
        };
        assert_eq!(like(&recent, pod("a", "web")), all[0].1.object);
        assert_eq!(like(&recent, pod("d", "web")), all[1].1.object);
        assert_eq!(like(&recent, pod("d", "new")), all[2].1.object);
        recent.forget(recent.uids(all[0].0.as_bytes()));
        assert_eq!(like(&recent, pod("a", "web")), all[1].1.object);
    }

    #[test]
    fn only_the_latest_are_kept() {
        let mut recent = Recent::default();
        for number in 0..20 * KEPT {
            let (text, object) = pod(&number.to_string(), &format!("o{number}"));
            recent.keep(recent.uids(text.as_bytes()), &object);
        }
        assert!(recent.new.len() + recent.old.len() <= 4 * KEPT + 2);
    }
}
