use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TraceTime;

/// Names one object of a cluster. The UID is not part of it: a name can be used again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectKey {
    /// `apiVersion/Kind`-free kind name, such as `Pod`; with its group for all but the core group
    /// (`PodDisruptionBudget.policy`).
    pub kind: String,
    /// Namespace, absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// The key of an object, `None` where it lacks `kind`, `apiVersion` or a name.
    pub fn of(object: &Value) -> Option<ObjectKey> {
        let kind = object["kind"].as_str()?;
        let group = object["apiVersion"].as_str()?.split_once('/').map(|(group, _)| group);
        Some(ObjectKey {
            kind: group.map_or_else(|| kind.to_owned(), |group| format!("{kind}.{group}")),
            namespace: object["metadata"]["namespace"].as_str().map(str::to_owned),
            name: object["metadata"]["name"].as_str()?.to_owned(),
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
    pub uid: String,
    /// The object's resourceVersion.
    #[serde(default)]
    pub rv: String,
    /// Found by comparing two lists after a gap, not seen as it happened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
    /// The whole object.
    pub object: Arc<Value>,
}

impl ObjectEvent {
    /// An event from a whole object, `None` where the object has no key.
    pub fn new(at: TraceTime, verb: Verb, object: Value) -> Option<ObjectEvent> {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        Some(ObjectEvent {
            at,
            verb,
            key: ObjectKey::of(&object)?,
            uid: text("uid"),
            rv: text("resourceVersion"),
            inferred: false,
            object: Arc::new(object),
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
        assert_eq!(ObjectKey::of(&pod).unwrap().to_string(), "Pod n/a");
        let rs = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "a", "namespace": "n"}});
        assert_eq!(ObjectKey::of(&rs).unwrap().kind, "ReplicaSet.apps");
        assert_eq!(ObjectKey::of(&json!({"kind": "Pod"})), None);
    }
}
