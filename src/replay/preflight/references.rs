use crate::model::{CONTEXT_KINDS, Kind, PodView};

/// Kinds of objects that pods name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Namespace,
    PriorityClass,
    RuntimeClass,
    StorageClass,
    VolumeClaim,
    ResourceClaim,
}

impl What {
    /// The kind, one of those that schedulers read.
    pub(super) fn kind(self) -> Option<&'static Kind> {
        let name = match self {
            What::Namespace => "Namespace",
            What::PriorityClass => "PriorityClass",
            What::RuntimeClass => "RuntimeClass",
            What::StorageClass => "StorageClass",
            What::VolumeClaim => "PersistentVolumeClaim",
            What::ResourceClaim => "ResourceClaim",
        };
        CONTEXT_KINDS.iter().find(|kind| kind.kind == name)
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            What::Namespace => "namespace",
            What::PriorityClass => "priority class",
            What::RuntimeClass => "runtime class",
            What::StorageClass => "storage class",
            What::VolumeClaim => "volume claim",
            What::ResourceClaim => "resource claim",
        }
    }

    /// What becomes of a pod without it: admission refuses it (`plugin/pkg/admission/{priority,runtimeclass}` and
    /// `namespace/lifecycle`, v1.37.2), or the scheduler holds it (`VolumeBinding`, `DynamicResources`).
    pub(super) fn consequence(self) -> &'static str {
        match self {
            What::Namespace | What::PriorityClass | What::RuntimeClass => "the API server will refuse them",
            What::StorageClass | What::VolumeClaim | What::ResourceClaim => "they will stay pending",
        }
    }
}

/// An object that a pod names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    pub(super) what: What,
    /// Its name, with the pod's namespace where it has one.
    pub(super) name: String,
}

/// What a pod names.
pub(super) fn of(pod: PodView<'_>) -> Vec<Reference> {
    let spec = &pod.0["spec"];
    let here = |name: &str| format!("{}/{name}", pod.namespace());
    let mut found = vec![Reference { what: What::Namespace, name: pod.namespace().to_owned() }];
    let mut name = |what, name: Option<String>| found.extend(name.map(|name| Reference { what, name }));
    let text = |field: &str| spec[field].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
    name(What::PriorityClass, text("priorityClassName"));
    name(What::RuntimeClass, text("runtimeClassName"));
    for volume in spec["volumes"].items() {
        name(What::VolumeClaim, volume["persistentVolumeClaim"]["claimName"].as_str().map(here));
        let template = &volume["ephemeral"]["volumeClaimTemplate"]["spec"];
        name(What::StorageClass, template["storageClassName"].as_str().map(str::to_owned));
    }
    for claim in spec["resourceClaims"].items() {
        name(What::ResourceClaim, claim["resourceClaimName"].as_str().map(here));
    }
    found
}
