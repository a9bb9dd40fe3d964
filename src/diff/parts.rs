use crate::model::Map;

/// Slots of a [`Parts`]: some thousand states of some hundred templates.
const SLOTS: usize = 1 << 12;

/// What was read from parts of objects, by where a part is in memory: objects of a reel share what is equal in them, so
/// most parts have been read before. Parts are held as long as their slot, so that nothing else can be in their place.
#[derive(Debug)]
pub(super) struct Parts<T>(Vec<Option<(Map, T)>>);

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Parts((0..SLOTS).map(|_| None).collect())
    }
}

impl<T> Parts<T> {
    /// What is known of a part, read now where it is not.
    pub(super) fn of(&mut self, part: &Map, read: impl FnOnce() -> T) -> &T {
        self.of_like(part, |_| true, read)
    }

    /// The same, where what is known may also depend on what is around the part: only what `fits` is taken.
    pub(super) fn of_like(
        &mut self,
        part: &Map,
        fits: impl FnOnce(&T) -> bool,
        read: impl FnOnce() -> T,
    ) -> &T {
        // Fibonacci hashing: the upper bits of the product depend on all bits of the address.
        let hash = (part.address() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let slot = &mut self.0[(hash >> (64 - SLOTS.ilog2())) as usize];
        if slot.as_ref().is_some_and(|(own, known)| !own.is_same(part) || !fits(known)) {
            *slot = None;
        }
        &slot.get_or_insert_with(|| (part.clone(), read())).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Json;
    use serde_json::json;

    #[test]
    fn a_part_is_read_once_as_long_as_its_slot_is_its_own() {
        let mut parts = Parts::default();
        let map = |n: u32| match Json::from(json!({"n": n})) {
            Json::Object(map) => map,
            other => panic!("{other:?}"),
        };
        let first = map(1);
        assert_eq!((*parts.of(&first, || 1), *parts.of(&first, || panic!("read twice"))), (1, 1));
        // Far more parts than slots, each gone before the next is made: what is freed is never mistaken for it.
        for n in 2..20_000 {
            let part = map(n);
            assert_eq!(*parts.of(&part, || n), n);
        }
        assert_eq!(*parts.of_like(&first, |known| *known == 1, || panic!("it fits")), 1);
        assert_eq!(*parts.of_like(&first, |known| *known == 2, || 2), 2);
    }
}
