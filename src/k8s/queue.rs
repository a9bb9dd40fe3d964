use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::model::ObjectKey;

/// What waits to be sent: items about one object one after the other, all others in the order in which they came.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// What may leave at once, by its number.
    ready: BTreeMap<u64, (ObjectKey, T)>,
    /// Of objects that have an item ready or on its way: what waits behind it.
    behind: HashMap<ObjectKey, VecDeque<(u64, T)>, foldhash::fast::FixedState>,
    pushed: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { ready: BTreeMap::new(), behind: HashMap::default(), pushed: 0 }
    }
}

impl<T> Queue<T> {
    /// Takes an item about an object.
    pub(super) fn push(&mut self, key: ObjectKey, item: T) {
        let number = self.pushed;
        self.pushed += 1;
        if let Some(behind) = self.behind.get_mut(&key) {
            behind.push_back((number, item));
        } else {
            self.behind.insert(key.clone(), VecDeque::new());
            self.ready.insert(number, (key, item));
        }
    }

    /// The oldest item whose object has none on its way.
    pub(super) fn pop(&mut self) -> Option<(ObjectKey, T)> {
        self.ready.pop_first().map(|(_, item)| item)
    }

    /// Whether something may leave.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The item on its way is dealt with: the next about its object may leave.
    pub(super) fn done(&mut self, key: ObjectKey) {
        let Some(behind) = self.behind.get_mut(&key) else { return };
        match behind.pop_front() {
            Some((number, item)) => {
                self.ready.insert(number, (key, item));
            }
            None => {
                self.behind.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(name: u8) -> ObjectKey {
        ObjectKey { kind: "Pod".into(), namespace: None, name: name.to_string().into() }
    }

    #[test]
    fn an_object_waits_for_itself_and_for_nobody_else() {
        let mut queue = Queue::default();
        for (object, item) in [(1, "a"), (1, "b"), (2, "c"), (1, "d")] {
            queue.push(key(object), item);
        }
        assert_eq!(queue.pop(), Some((key(1), "a")));
        assert_eq!(queue.pop(), Some((key(2), "c")));
        assert_eq!(queue.pop(), None);
        queue.push(key(3), "e");
        queue.done(key(1));
        // Older than `e`, and so before it.
        assert_eq!(queue.pop(), Some((key(1), "b")));
        assert_eq!(queue.pop(), Some((key(3), "e")));
        queue.done(key(1));
        assert_eq!(queue.pop(), Some((key(1), "d")));
        queue.done(key(1));
        queue.done(key(2));
        queue.done(key(3));
        assert!(queue.behind.is_empty() && queue.ready.is_empty());
    }

    proptest! {
        /// With as many senders as one likes, answers in any order: each object's items leave in order, one at a time, and
        /// with enough senders an item leaves before all younger ones of other objects.
        #[test]
        fn nothing_is_lost_and_each_objects_order_is_kept(
            objects in proptest::collection::vec(0..5u8, 0..60),
            senders in 1..8usize,
            picks in proptest::collection::vec(0..8usize, 200),
        ) {
            let mut queue = Queue::default();
            for (number, object) in objects.iter().enumerate() {
                queue.push(key(*object), number);
            }
            let (mut flying, mut sent, mut picks) = (Vec::new(), Vec::new(), picks.into_iter());
            loop {
                while flying.len() < senders && let Some((object, number)) = queue.pop() {
                    prop_assert!(flying.iter().all(|other| *other != object));
                    flying.push(object);
                    sent.push(number);
                }
                if flying.is_empty() {
                    break;
                }
                let answered = flying.remove(picks.next().unwrap_or(0) % flying.len());
                queue.done(answered);
            }
            for object in 0..5 {
                let own: Vec<_> = sent.iter().filter(|number| objects[**number] == object).collect();
                prop_assert!(own.is_sorted());
            }
            sent.sort_unstable();
            prop_assert_eq!(sent, (0..objects.len()).collect::<Vec<_>>());
        }
    }
}
