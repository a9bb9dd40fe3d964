//! Places in an object, and changing what is there.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{Json, Text};

/// One step down from a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Step<K> {
    /// Into an array.
    Index(usize),
    /// Into a map.
    Key(K),
}

/// A place as readers hold it.
pub(super) type Path = Vec<Step<Text>>;

/// Puts `value` at `path`, or removes what is there: a key from its map, an element and all after it from its array.
///
/// # Errors
/// Where the place to put something does not exist. Removing what is not there does nothing.
pub(super) fn assign(root: &mut Json, path: &[Step<Text>], value: Option<Json>) -> Result<(), String> {
    let Some((last, parents)) = path.split_last() else {
        *root = value.unwrap_or_default();
        return Ok(());
    };
    let mut at = root;
    for step in parents {
        let next = match (step, at) {
            (Step::Key(key), Json::Object(map)) => map.get_mut(key),
            (Step::Index(index), Json::Array(items)) if *index < items.len() => {
                Some(&mut Arc::make_mut(items)[*index])
            }
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None if value.is_none() => return Ok(()),
            None => return Err("a change has no place in its object".to_owned()),
        }
    }
    match (last, at, value) {
        (Step::Key(key), Json::Object(map), Some(value)) => map.insert(key.clone(), value),
        (Step::Key(key), Json::Object(map), None) => drop(map.remove(key)),
        (Step::Index(index), Json::Array(items), Some(value)) => match items.len().cmp(index) {
            Ordering::Greater => Arc::make_mut(items)[*index] = value,
            Ordering::Equal => *items = items.iter().cloned().chain([value]).collect(),
            Ordering::Less => return Err("a change leaves a hole in an array".to_owned()),
        },
        (Step::Index(index), Json::Array(items), None) => {
            if *index < items.len() {
                *items = items[..*index].into();
            }
        }
        (.., Some(_)) => return Err("a change has no place in its object".to_owned()),
        (.., None) => {}
    }
    Ok(())
}

/// A place as the writer holds it: a number, so that lists of places compare fast.
pub(super) type PathId = u32;

/// The object itself.
pub(super) const ROOT: PathId = 0;

/// All places that a writer has met.
#[derive(Debug)]
pub(super) struct Paths {
    nodes: Vec<(PathId, Step<Text>)>,
    children: HashMap<(PathId, Step<Text>), PathId>,
}

impl Default for Paths {
    fn default() -> Self {
        Paths { nodes: vec![(ROOT, Step::Index(0))], children: HashMap::new() }
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

    fn key(name: &str) -> Step<Text> {
        Step::Key(name.into())
    }

    #[test]
    fn places_are_set_appended_and_removed() {
        let mut object = Json::from(json!({"a": [1, 2]}));
        assign(&mut object, &[key("a"), Step::Index(2)], Some(json!(3).into())).unwrap();
        assign(&mut object, &[key("b")], Some(json!({}).into())).unwrap();
        assign(&mut object, &[key("b"), key("c")], Some(json!(true).into())).unwrap();
        assert_eq!(object, json!({"a": [1, 2, 3], "b": {"c": true}}));
        assign(&mut object, &[key("a"), Step::Index(1)], None).unwrap();
        assign(&mut object, &[key("b"), key("c")], None).unwrap();
        assign(&mut object, &[key("x"), key("y")], None).unwrap();
        assert_eq!(object, json!({"a": [1], "b": {}}));
    }

    #[test]
    fn changes_without_a_place_are_errors() {
        let mut object = Json::from(json!({"a": [1], "s": "text"}));
        for path in [
            vec![key("x"), key("y")],
            vec![key("a"), Step::Index(5)],
            vec![key("s"), key("t")],
            vec![key("a"), key("b")],
        ] {
            assert!(assign(&mut object, &path, Some(json!(1).into())).is_err(), "{path:?}");
        }
    }

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
