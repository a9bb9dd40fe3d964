use std::borrow::Cow;

use crate::model::{Json, PodView};

/// Labels that name a workload, the most telling first: what controllers set themselves, then what people and charts
/// agree on.
const WORKLOAD_LABELS: &[&str] = &[
    "app.kubernetes.io/name",
    "app",
    "batch.kubernetes.io/job-name",
    "job-name",
    "statefulset.kubernetes.io/pod-name",
];

/// The letters that Kubernetes draws generated name suffixes from (`k8s.io/apimachinery/pkg/util/rand`, v0.37.2).
const SUFFIX_LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";

/// Names what a pod belongs to: its controller, with a Deployment in place of its replica sets. Replayed pods have no
/// owners, so there labels name it, and failing those the pod's name without its generated suffixes.
pub fn workload(pod: PodView<'_>) -> Cow<'_, str> {
    if let Some(owner) = pod.owner() {
        let deployment = owner.strip_prefix("ReplicaSet/").and_then(|set| strip_hash(set, 6..=10));
        return deployment.map(|name| format!("Deployment/{name}")).unwrap_or(owner).into();
    }
    let labels = &pod.0["metadata"]["labels"];
    let label = WORKLOAD_LABELS.iter().find_map(|key| Some((key, label(labels, key)?)));
    match label {
        Some((&"statefulset.kubernetes.io/pod-name", name)) => strip_ordinal(name).into(),
        Some((_, name)) => name.into(),
        None => strip_generated(pod.name()).into(),
    }
}

fn label<'a>(labels: &'a Json, key: &str) -> Option<&'a str> {
    labels[key].as_str().filter(|value| !value.is_empty())
}

/// `web-7d4b9c6f5-x2k8p` and `job-x2k8p` without what follows the workload's own name.
fn strip_generated(name: &str) -> &str {
    match strip_hash(name, 5..=5) {
        Some(stem) => strip_hash(stem, 6..=10).unwrap_or(stem),
        None => strip_ordinal(name),
    }
}

fn strip_hash(name: &str, length: std::ops::RangeInclusive<usize>) -> Option<&str> {
    let (stem, suffix) = name.rsplit_once('-')?;
    let generated = length.contains(&suffix.len()) && suffix.chars().all(|c| SUFFIX_LETTERS.contains(c));
    (generated && !stem.is_empty()).then_some(stem)
}

fn strip_ordinal(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((stem, ordinal)) if !ordinal.is_empty() && ordinal.bytes().all(|b| b.is_ascii_digit()) => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn named(name: &str) -> String {
        workload(PodView(&json!({"metadata": {"name": name}}).into())).into_owned()
    }

    fn owned(kind: &str, name: &str) -> String {
        let owners = json!([{"kind": kind, "name": name, "controller": true}]);
        workload(PodView(&json!({"metadata": {"name": "p", "ownerReferences": owners}}).into())).into_owned()
    }

    #[test]
    fn a_replica_set_stands_for_its_deployment() {
        assert_eq!(owned("ReplicaSet", "web-7d4b9c6f5"), "Deployment/web");
        assert_eq!(owned("ReplicaSet", "by-hand"), "ReplicaSet/by-hand");
        assert_eq!(owned("StatefulSet", "db"), "StatefulSet/db");
    }

    #[test]
    fn without_owner_labels_name_the_workload() {
        let pod = json!({"metadata": {"name": "p", "labels": {"app": "web", "job-name": "j"}}});
        assert_eq!(workload(PodView(&pod.into())), "web");
        let pod =
            json!({"metadata": {"name": "p", "labels": {"statefulset.kubernetes.io/pod-name": "db-0"}}});
        assert_eq!(workload(PodView(&pod.into())), "db");
    }

    #[test]
    fn without_labels_the_name_does() {
        assert_eq!(named("web-7d4b9c6f5-x2k8p"), "web");
        assert_eq!(named("migrate-x2k8p"), "migrate");
        assert_eq!(named("db-0"), "db");
        assert_eq!(named("plain"), "plain");
        assert_eq!(named("two-words"), "two-words");
    }
}
