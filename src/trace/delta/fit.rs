//! Finds which parts of a form vary, so that an event carries only those.

use std::collections::HashMap;

use super::diff::{Change, diff};
use super::path::{PathId, Paths, ROOT};
use crate::model::Json;

/// Texts shorter than this are equal by chance too often to share a slot.
const SHARED_TEXT: usize = 4;

/// A form without holes as it was first written, and the latest form that stands on it.
#[derive(Debug)]
pub(super) struct Line {
    /// Number of the first form.
    pub(super) form: u64,
    /// What it changes.
    pub(super) changes: Vec<(PathId, Option<Json>)>,
    /// What it costs.
    pub(super) cost: u64,
    /// The form with holes.
    pub(super) holed: Option<Holed>,
}

/// A form that only adds holes to the first of its line.
#[derive(Debug, Clone)]
pub(super) struct Holed {
    pub(super) form: u64,
    /// In the order in which they are filled.
    pub(super) holes: Vec<(PathId, usize)>,
    pub(super) slots: usize,
    /// The holes' places, sorted.
    places: Vec<PathId>,
}

impl Line {
    /// Whether these changes are at the places of this line.
    pub(super) fn matches(&self, changes: &[Change<'_>]) -> bool {
        self.changes.len() == changes.len()
            && self.changes.iter().zip(changes).all(|((path, value), change)| {
                *path == change.path && value.is_some() == change.value.is_some()
            })
    }

    /// Where the changes have other values than the first form.
    pub(super) fn varying(
        &self,
        paths: &mut Paths,
        changes: &[Change<'_>],
        skip_version: bool,
    ) -> Vec<PathId> {
        let mut varying = Vec::new();
        for ((path, old), change) in self.changes.iter().zip(changes) {
            if let (Some(old), Some(new)) = (old, change.value) {
                let skip = skip_version && *path == ROOT;
                varying.extend(diff(paths, *path, old, new, skip).iter().map(|change| change.path));
            }
        }
        varying
    }
}

impl Holed {
    pub(super) fn new(form: u64, holes: Vec<(PathId, usize)>, slots: usize) -> Holed {
        let mut places: Vec<PathId> = holes.iter().map(|(path, _)| *path).collect();
        places.sort_unstable();
        Holed { form, holes, slots, places }
    }

    /// What fills the slots so that the outcome is `object`; `None` where these holes cannot make it.
    pub(super) fn fill<'v>(
        &self,
        paths: &Paths,
        varying: &[PathId],
        object: &'v Json,
    ) -> Option<Vec<Option<&'v Json>>> {
        let is_hole = |path| self.places.binary_search(&path).is_ok();
        if !varying.iter().all(|path| *path == ROOT && is_hole(ROOT) || paths.up(*path).any(is_hole)) {
            return None;
        }
        let mut slots: Vec<Option<Option<&Json>>> = vec![None; self.slots];
        for (path, slot) in &self.holes {
            let value = paths.get(object, *path);
            // Only texts share slots, and equal texts are the same to the last byte.
            if *slots[*slot].get_or_insert(value) != value {
                return None;
            }
        }
        Some(slots.into_iter().map(Option::flatten).collect())
    }
}

/// Holes that make `object` and whatever the earlier holes could make.
pub(super) fn widened(
    paths: &Paths,
    earlier: Option<&Holed>,
    varying: &[PathId],
    object: &Json,
) -> (Vec<(PathId, usize)>, usize) {
    let before: HashMap<PathId, usize> =
        earlier.iter().flat_map(|holed| holed.holes.iter().copied()).collect();
    let mut places: Vec<PathId> = before.keys().chain(varying).copied().collect();
    places.sort_unstable();
    places.dedup();
    let all = places.clone();
    let covered = |path: PathId| {
        path != ROOT
            && (all[0] == ROOT || paths.up(path).skip(1).any(|above| all.binary_search(&above).is_ok()))
    };
    places.retain(|path| !covered(*path));
    places.sort_by_cached_key(|path| paths.steps(*path));
    let mut slots: HashMap<(Option<usize>, &str), usize> = HashMap::new();
    let (mut holes, mut count) = (Vec::with_capacity(places.len()), 0);
    for path in places {
        let text = paths.get(object, path).and_then(Json::as_str).filter(|text| text.len() >= SHARED_TEXT);
        let slot = match text {
            Some(text) => *slots.entry((before.get(&path).copied(), text)).or_insert(count),
            None => count,
        };
        count = count.max(slot + 1);
        holes.push((path, slot));
    }
    (holes, count)
}
