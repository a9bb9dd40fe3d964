use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Json;

/// A Kubernetes resource type: enough to build its URLs and to name it in a trace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Kind {
    /// API group, empty for the core group.
    pub group: Cow<'static, str>,
    /// API version inside the group, such as `v1`.
    pub version: Cow<'static, str>,
    /// Kind, such as `Pod`.
    pub kind: Cow<'static, str>,
    /// Resource name in URLs, such as `pods`.
    pub plural: Cow<'static, str>,
    /// Whether objects of this kind live in a namespace.
    pub namespaced: bool,
}

impl Kind {
    pub(crate) const fn of(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        namespaced: bool,
    ) -> Kind {
        Kind {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            namespaced,
        }
    }

    /// `v1` or `apps/v1`, as in an object's `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The kind as [`ObjectKey::kind`](super::ObjectKey::kind) has it: `Pod`, `ReplicaSet.apps`.
    pub fn name(&self) -> String {
        if self.group.is_empty() { self.kind.to_string() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// An item of a list with `apiVersion` and `kind`, which lists leave out.
    pub fn typed(&self, mut item: Json) -> Json {
        if let Some(fields) = item.as_object_mut() {
            fields.insert("apiVersion", self.api_version().as_str().into());
            fields.insert("kind", self.kind.as_ref().into());
        }
        item
    }

    /// The URL path of the collection over all namespaces.
    pub fn path(&self) -> String {
        format!("{}/{}", self.version_path(), self.plural)
    }

    /// The URL path of the collection in one namespace; cluster-scoped kinds ignore the namespace.
    pub fn path_in(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(ns) if self.namespaced => format!("{}/namespaces/{ns}/{}", self.version_path(), self.plural),
            _ => self.path(),
        }
    }

    /// The URL path under which its group and version are served.
    pub fn version_path(&self) -> String {
        if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        }
    }
}

impl fmt::Display for Kind {
    /// `pods` or `replicasets.apps`, as `kubectl` names resources.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.plural)
        } else {
            write!(f, "{}.{}", self.plural, self.group)
        }
    }
}

/// Pods.
pub const POD: Kind = Kind::of("", "v1", "Pod", "pods", true);

/// Nodes.
pub const NODE: Kind = Kind::of("", "v1", "Node", "nodes", false);

/// Events, as schedulers write them.
pub const EVENT: Kind = Kind::of("events.k8s.io", "v1", "Event", "events", true);

/// What a scheduler reads besides pods and nodes: the informers that `kube-scheduler` starts
/// (`pkg/scheduler/eventhandlers.go` and the plugins, v1.37.2), plus what admission needs to accept the pods.
pub const CONTEXT_KINDS: &[Kind] = &[
    Kind::of("", "v1", "Namespace", "namespaces", false),
    Kind::of("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", false),
    Kind::of("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", false),
    Kind::of("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    Kind::of("", "v1", "Service", "services", true),
    Kind::of("apps", "v1", "ReplicaSet", "replicasets", true),
    Kind::of("apps", "v1", "StatefulSet", "statefulsets", true),
    Kind::of("", "v1", "ReplicationController", "replicationcontrollers", true),
    Kind::of("storage.k8s.io", "v1", "StorageClass", "storageclasses", false),
    Kind::of("storage.k8s.io", "v1", "CSINode", "csinodes", false),
    Kind::of("storage.k8s.io", "v1", "CSIDriver", "csidrivers", false),
    Kind::of("storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities", true),
    Kind::of("", "v1", "PersistentVolume", "persistentvolumes", false),
    Kind::of("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    Kind::of("resource.k8s.io", "v1", "DeviceClass", "deviceclasses", false),
    Kind::of("resource.k8s.io", "v1", "ResourceSlice", "resourceslices", false),
    Kind::of("resource.k8s.io", "v1", "ResourceClaim", "resourceclaims", true),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_follow_the_api_conventions() {
        assert_eq!(POD.path(), "/api/v1/pods");
        assert_eq!(POD.path_in(Some("prod")), "/api/v1/namespaces/prod/pods");
        assert_eq!(NODE.path_in(Some("ignored")), "/api/v1/nodes");
        let pdb = CONTEXT_KINDS.iter().find(|k| k.kind == "PodDisruptionBudget").unwrap();
        assert_eq!(pdb.path_in(Some("a")), "/apis/policy/v1/namespaces/a/poddisruptionbudgets");
        assert_eq!(pdb.api_version(), "policy/v1");
        assert_eq!(pdb.to_string(), "poddisruptionbudgets.policy");
    }
}
