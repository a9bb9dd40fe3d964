//! The places at which two values differ, in the order in which the changes must be made.

use std::sync::Arc;

use super::path::{PathId, Paths, Step};
use crate::model::{Json, Map, Text};

/// Maps of at most this many keys change as a whole when one key takes the place of another.
const SMALL_MAP: usize = 4;

/// One place and what is there in the newer value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'v> {
    pub(super) path: PathId,
    pub(super) value: Option<&'v Json>,
}

/// Walks two values side by side.
#[derive(Debug)]
pub(super) struct Differ<'p, 'v> {
    paths: &'p mut Paths,
    /// The way from the start to here, with the numbers of the places that were needed so far.
    way: Vec<(Step<&'v Text>, Option<PathId>)>,
    start: PathId,
    changes: Vec<Change<'v>>,
}

/// The changes that make `new` of `old`, both found at `start`. Where `skip_version` is set, a difference of
/// `metadata.resourceVersion` is none.
pub(super) fn diff<'v>(
    paths: &mut Paths,
    start: PathId,
    old: &Json,
    new: &'v Json,
    skip_version: bool,
) -> Vec<Change<'v>> {
    let mut differ = Differ { paths, way: Vec::new(), start, changes: Vec::new() };
    match (old, new) {
        (Json::Object(old), Json::Object(new)) if skip_version => {
            differ.objects(old, new, Some("metadata"));
        }
        _ => differ.values(old, new),
    }
    differ.changes
}

impl<'v> Differ<'_, 'v> {
    fn values(&mut self, old: &Json, new: &'v Json) {
        match (old, new) {
            (Json::Object(old), Json::Object(map)) => {
                let from = self.changes.len();
                // `waiting` becomes `running`, a key holds a UID: one change, and one place for all such keys.
                if self.objects(old, map, None) && map.len() <= SMALL_MAP {
                    self.changes.truncate(from);
                    self.change(Some(new));
                }
            }
            (Json::Array(old), Json::Array(new)) if Arc::ptr_eq(old, new) => {}
            (Json::Array(old), Json::Array(new)) => self.arrays(old, new),
            _ if same_scalar(old, new) => {}
            _ => self.change(Some(new)),
        }
    }

    /// `special` is `metadata` at the top, whose `resourceVersion` is then left out. Says whether one key took the
    /// place of another.
    fn objects(&mut self, old: &Map, new: &'v Map, special: Option<&str>) -> bool {
        if old.is_same(new) {
            return false;
        }
        let (mut added, mut removed) = (false, false);
        let (mut olds, mut news) = (old.iter().peekable(), new.iter().peekable());
        loop {
            let order = match (olds.peek(), news.peek()) {
                (Some((old, _)), Some((new, _))) => old.cmp(new),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => return added && removed,
            };
            let before = if order.is_le() { olds.next() } else { None };
            let after = if order.is_ge() { news.next() } else { None };
            match (before, after) {
                (Some((_, Json::Object(old))), Some((key, Json::Object(new))))
                    if special == Some(key.as_str()) =>
                {
                    self.step(Step::Key(key), |differ| differ.versioned(old, new));
                }
                (Some((_, old)), Some((key, new))) => {
                    self.step(Step::Key(key), |differ| differ.values(old, new));
                }
                (None, Some((key, new))) => {
                    added = true;
                    self.step(Step::Key(key), |differ| differ.change(Some(new)));
                }
                (Some((key, _)), None) => {
                    removed = true;
                    let parent = self.here();
                    let path = self.paths.child(parent, Step::Key(key));
                    self.changes.push(Change { path, value: None });
                }
                (None, None) => return added && removed,
            }
        }
    }

    fn versioned(&mut self, old: &Map, new: &'v Map) {
        let from = self.changes.len();
        self.objects(old, new, None);
        // Only where the version differs was its place looked up.
        if self.changes.len() > from {
            let here = self.here();
            let version = self.paths.child(here, Step::Key(&Text::new_static("resourceVersion")));
            self.changes.retain(|change| change.path != version);
        }
    }

    fn arrays(&mut self, old: &[Json], new: &'v [Json]) {
        for (index, value) in new.iter().enumerate() {
            self.step(Step::Index(index), |differ| match old.get(index) {
                Some(old) => differ.values(old, value),
                None => differ.change(Some(value)),
            });
        }
        if old.len() > new.len() {
            self.step(Step::Index(new.len()), |differ| differ.change(None));
        }
    }

    fn step(&mut self, step: Step<&'v Text>, then: impl FnOnce(&mut Self)) {
        self.way.push((step, None));
        then(self);
        self.way.pop();
    }

    fn change(&mut self, value: Option<&'v Json>) {
        let path = self.here();
        self.changes.push(Change { path, value });
    }

    /// The number of this place.
    fn here(&mut self) -> PathId {
        let mut at = self.start;
        for (step, known) in &mut self.way {
            at = *known.get_or_insert_with(|| self.paths.child(at, *step));
        }
        at
    }
}

/// Equality that a round trip keeps: `-0.0` is not `0.0`, and 1 is not 1.0.
fn same_scalar(old: &Json, new: &Json) -> bool {
    match (old, new) {
        (Json::Number(a), Json::Number(b)) if a.is_f64() && b.is_f64() => {
            a.as_f64().map(f64::to_bits) == b.as_f64().map(f64::to_bits)
        }
        _ => old == new,
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::ROOT;
    use super::*;
    use serde_json::{Value, json};

    fn changes(old: Value, new: Value, skip_version: bool) -> Vec<(String, Option<Json>)> {
        let (old, new) = (Json::from(old), Json::from(new));
        let mut paths = Paths::default();
        let changes = diff(&mut paths, ROOT, &old, &new, skip_version);
        let place = |path| {
            let step = |step: &Step<Text>| match step {
                Step::Key(key) => format!("/{key}"),
                Step::Index(index) => format!("/{index}"),
            };
            paths.steps(path).into_iter().map(step).collect::<String>()
        };
        changes.iter().map(|c| (place(c.path), c.value.cloned())).collect()
    }

    #[test]
    fn only_what_differs_is_named() {
        let old =
            json!({"a": {"x": 1, "gone": 0}, "l": [1, 2, 3], "same": [{}], "y": {"u": 1, "w": 2}, "z": 0.0});
        let new =
            json!({"a": {"new": {"k": 1}, "x": 1}, "l": [1, 5], "same": [{}], "y": {"w": 2}, "z": -0.0});
        let expected = [
            ("/a", Some(json!({"new": {"k": 1}, "x": 1}))),
            ("/l/1", Some(json!(5))),
            ("/l/2", None),
            ("/y/u", None),
            ("/z", Some(json!(-0.0))),
        ];
        assert_eq!(
            changes(old, new, false),
            expected.map(|(path, value)| (path.to_owned(), value.map(Json::from)))
        );
    }

    #[test]
    fn the_version_is_left_out_where_it_travels_apart() {
        let old = json!({"metadata": {"name": "a", "resourceVersion": "1"}});
        let new = json!({"metadata": {"name": "b", "resourceVersion": "2"}});
        assert_eq!(
            changes(old.clone(), new.clone(), true),
            [("/metadata/name".to_owned(), Some(json!("b").into()))]
        );
        assert_eq!(changes(old, new, false).len(), 2);
    }
}
