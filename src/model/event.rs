use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Json, Text, TraceTime};

/// Names one object of a cluster. The UID is not part of it: a name can be used again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectKey {
    /// `apiVersion/Kind`-free kind name, such as `Pod`; with its group for all but the core group
    /// (`PodDisruptionBudget.policy`).
    pub kind: Text,
    /// Namespace, absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Text>,
    /// Name.
    pub name: Text,
}

impl ObjectKey {
    /// The key of a node.
    pub fn node(name: impl Into<Text>) -> ObjectKey {
        ObjectKey { kind: "Node".into(), namespace: None, name: name.into() }
    }

    /// The key of an object, `None` where it lacks `kind`, `apiVersion` or a name.
    pub fn of(object: &Json) -> Option<ObjectKey> {
        let kind = object["kind"].as_text()?;
        let metadata = &object["metadata"];
        let group = object["apiVersion"].as_str()?.split_once('/').map(|(group, _)| group);
        Some(ObjectKey {
            kind: group.map_or_else(|| kind.clone(), |group| format!("{kind}.{group}").into()),
            namespace: metadata["namespace"].as_text().cloned(),
            name: metadata["name"].as_text()?.clone(),
        })
    }
}

impl fmt::Display for ObjectKey {
    /// `Pod prod/web-1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(ns) => write!(f, "{} {ns}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// It was there when the recording (or a relist) started.
    Initial,
    /// The watch reported `ADDED`.
    Added,
    /// The watch reported `MODIFIED`.
    Modified,
    /// The watch reported `DELETED`; the object is its last state.
    Deleted,
}

impl Verb {
    /// The verb as written in reels and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Initial => "initial",
            Verb::Added => "added",
            Verb::Modified => "modified",
            Verb::Deleted => "deleted",
        }
    }
}

/// One change of one object as an observer of the API server saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectEvent {
    /// When the bytes arrived.
    pub at: TraceTime,
    /// What happened.
    pub verb: Verb,
    /// Which object.
    pub key: ObjectKey,
    /// The object's UID.
    #[serde(default)]
    pub uid: Text,
    /// The object's resourceVersion.
    #[serde(default)]
    pub rv: Text,
    /// Found by comparing two lists after a gap, not seen as it happened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
    /// The whole object.
    pub object: Json,
}

impl ObjectEvent {
    /// An event from a whole object, `None` where the object has no key.
    pub fn new(at: TraceTime, verb: Verb, object: impl Into<Json>) -> Option<ObjectEvent> {
        let object = object.into();
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_text().cloned().unwrap_or_default();
        Some(ObjectEvent {
            at,
            verb,
            key: ObjectKey::of(&object)?,
            uid: text("uid"),
            rv: text("resourceVersion"),
            inferred: false,
            object,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_carry_the_group_of_all_but_core_kinds() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "n"}});
        assert_eq!(ObjectKey::of(&pod.into()).unwrap().to_string(), "Pod n/a");
        let rs = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "a", "namespace": "n"}});
        assert_eq!(ObjectKey::of(&rs.into()).unwrap().kind, "ReplicaSet.apps");
        assert_eq!(ObjectKey::of(&json!({"kind": "Pod"}).into()), None);
    }
}
