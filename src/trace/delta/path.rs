//! Places in an object.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::model::{Json, Text};

/// One step down from a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Step<K> {
    /// Into an array.
    Index(usize),
    /// Into a map.
    Key(K),
}

/// A place as the writer holds it: a number, so that lists of places compare fast.
pub(super) type PathId = u32;

/// The object itself.
pub(super) const ROOT: PathId = 0;

/// All places that a writer has met.
#[derive(Debug)]
pub(super) struct Paths {
    nodes: Vec<(PathId, Step<Text>)>,
    children: HashMap<(PathId, Step<Text>), PathId, RandomState>,
}

impl Default for Paths {
    fn default() -> Self {
        Paths { nodes: vec![(ROOT, Step::Index(0))], children: HashMap::default() }
    }
}

impl Paths {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The place one step down from another.
    pub(super) fn child(&mut self, parent: PathId, step: Step<&Text>) -> PathId {
        let step = match step {
            Step::Index(index) => Step::Index(index),
            Step::Key(key) => Step::Key(key.clone()),
        };
        *self.children.entry((parent, step)).or_insert_with_key(|(parent, step)| {
            self.nodes.push((*parent, step.clone()));
            (self.nodes.len() - 1) as PathId
        })
    }

    /// The place and those above it, nearest first, without the root.
    pub(super) fn up(&self, path: PathId) -> impl Iterator<Item = PathId> {
        std::iter::successors(Some(path), |at| Some(self.nodes[*at as usize].0)).take_while(|at| *at != ROOT)
    }

    /// The steps to a place.
    pub(super) fn steps(&self, path: PathId) -> Vec<&Step<Text>> {
        let mut steps: Vec<_> = self.up(path).map(|at| &self.nodes[at as usize].1).collect();
        steps.reverse();
        steps
    }

    /// What is at a place.
    pub(super) fn get<'v>(&self, root: &'v Json, path: PathId) -> Option<&'v Json> {
        if path == ROOT {
            return Some(root);
        }
        let (parent, step) = &self.nodes[path as usize];
        match (step, self.get(root, *parent)?) {
            (Step::Key(key), Json::Object(map)) => map.get(key),
            (Step::Index(index), Json::Array(items)) => items.get(*index),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_places_have_equal_numbers() {
        let mut paths = Paths::default();
        let spec = paths.child(ROOT, Step::Key(&"spec".into()));
        let first = paths.child(spec, Step::Index(0));
        assert_eq!(paths.child(spec, Step::Index(0)), first);
        assert_eq!(paths.up(first).collect::<Vec<_>>(), [first, spec]);
        assert_eq!(paths.get(&json!({"spec": [7]}).into(), first), Some(&json!(7).into()));
    }
}
