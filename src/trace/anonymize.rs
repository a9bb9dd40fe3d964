use sha2::{Digest, Sha256};

use crate::model::{Json, Map, ObjectEvent, Record, Text};

/// Text that Kubernetes itself gives a meaning: replacing it would change what a scheduler does.
const PUBLIC: &[&str] = &["kubernetes.io", "k8s.io", "kubereel.dev"];

/// Fields whose text names something of the recorded cluster's owner, wherever they are in an object.
const NAMING: &[&str] = &[
    "claimName",
    "clusterName",
    "generateName",
    "hostname",
    "image",
    "imageID",
    "name",
    "namespace",
    "nodeName",
    "nominatedNodeName",
    "priorityClassName",
    "providerID",
    "resourceClaimName",
    "resourceClaimTemplateName",
    "secretName",
    "serviceAccount",
    "serviceAccountName",
    "serviceName",
    "storageClassName",
    "subdomain",
    "volumeName",
];

/// Maps whose keys and values are the owner's.
const LABELS: &[&str] = &["labels", "matchLabels", "nodeSelector", "selector"];

/// Fields that are free text, addresses or settings: nothing of them is kept.
const DROPPED: &[&str] = &[
    "addresses",
    "annotations",
    "args",
    "command",
    "containerID",
    "env",
    "envFrom",
    "externalID",
    "finalizers",
    "hostIP",
    "hostIPs",
    "images",
    "managedFields",
    "message",
    "nodeInfo",
    "podCIDR",
    "podCIDRs",
    "podIP",
    "podIPs",
];

/// Replaces names by keyed hashes: the same name is the same everywhere, in all reels made with one key.
#[derive(Debug, Clone)]
pub struct Anonymizer {
    key: Vec<u8>,
}

impl Anonymizer {
    /// An anonymizer whose outcome depends on `key`.
    pub fn new(key: &[u8]) -> Anonymizer {
        Anonymizer { key: key.to_vec() }
    }

    /// The record without names; `None` where it is free text.
    pub fn record(&self, record: Record) -> Option<Record> {
        Some(match record {
            Record::Object(event) => Record::Object(self.event(&event)),
            Record::Gap(mut gap) => {
                gap.detail.clear();
                Record::Gap(gap)
            }
            Record::Action(mut action) => {
                action.key.name = self.name(&action.key.name);
                action.key.namespace = action.key.namespace.map(|name| self.name(&name));
                action.error.clear();
                Record::Action(action)
            }
            Record::Note(_) => return None,
            other => other,
        })
    }

    fn event(&self, event: &ObjectEvent) -> ObjectEvent {
        let mut key = event.key.clone();
        key.name = self.name(&key.name);
        key.namespace = key.namespace.map(|name| self.name(&name));
        ObjectEvent { key, object: self.value("", &event.object), ..event.clone() }
    }

    fn value(&self, field: &str, value: &Json) -> Json {
        match value {
            Json::String(text) if NAMING.contains(&field) => Json::String(self.name(text)),
            Json::Object(map) if LABELS.contains(&field) => self.labels(map),
            Json::Object(map) => {
                let kept = map.iter().filter(|(key, _)| !DROPPED.contains(&key.as_str()));
                Json::Object(kept.map(|(key, value)| (key.clone(), self.child(map, key, value))).collect())
            }
            Json::Array(items) => items.iter().map(|item| self.value(field, item)).collect(),
            other => other.clone(),
        }
    }

    /// A field of a map: label keys and their values stand in expressions, tolerations and taints as well.
    fn child(&self, map: &Map, key: &str, value: &Json) -> Json {
        let of_label = map.contains_key("operator") || map.contains_key("effect") || key == "topologyKey";
        match (key, value) {
            ("key" | "topologyKey", Json::String(text)) if of_label => Json::String(self.name(text)),
            ("value", Json::String(text)) if of_label => Json::String(self.name(text)),
            ("values", Json::Array(texts)) if of_label => {
                texts.iter().map(|text| Json::String(self.name(text.as_str().unwrap_or_default()))).collect()
            }
            // A selector may be a map of labels or an object of such.
            ("selector", Json::Object(inner)) if inner.values().any(|value| !value.is_string()) => {
                self.value("", value)
            }
            _ => self.value(key, value),
        }
    }

    fn labels(&self, map: &Map) -> Json {
        let text =
            |value: &Json| value.as_str().map_or_else(|| value.clone(), |text| Json::String(self.name(text)));
        Json::Object(map.iter().map(|(key, value)| (self.name(key), text(value))).collect())
    }

    /// The hash that stands for a name: 12 letters and digits that can be a name themselves.
    fn name(&self, name: &str) -> Text {
        let (domain, _) = name.split_once('/').unwrap_or((name, ""));
        if name.is_empty()
            || name.starts_with("system-")
            || PUBLIC.iter().any(|public| domain.ends_with(public))
        {
            return name.into();
        }
        // Key before and after, as in the envelope method of RFC 2104's introduction; SHA-256 has a fixed block.
        let digest = Sha256::new()
            .chain_update(&self.key)
            .chain_update([0])
            .chain_update(name)
            .chain_update(&self.key);
        format!("x{}", &hex::encode(digest.finalize())[..12]).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{TraceTime, Verb};
    use serde_json::json;

    fn pod() -> Record {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "secret-project-1", "namespace": "secret-team", "uid": "u", "resourceVersion": "1",
                         "labels": {"app": "secret-project"}, "annotations": {"a": "secret"}},
            "spec": {"nodeSelector": {"kubernetes.io/os": "linux"}, "schedulerName": "default-scheduler",
                     "affinity": {"podAntiAffinity": {"required": [{"topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchLabels": {"app": "secret-project"}, "matchExpressions": [
                            {"key": "app", "operator": "In", "values": ["secret-project"]}]}}]}},
                     "containers": [{"name": "secret-c", "image": "secret/image", "env": [{"value": "secret"}],
                                     "resources": {"requests": {"cpu": "1"}}}]}});
        Record::Object(ObjectEvent::new(TraceTime::ZERO, Verb::Added, pod).unwrap())
    }

    #[test]
    fn no_name_is_left_and_selectors_still_select() {
        let Some(Record::Object(event)) = Anonymizer::new(b"k").record(pod()) else { panic!("no event") };
        let text = event.object.to_string();
        assert!(!text.contains("secret"), "{text}");
        let selector = &event.object["spec"]["affinity"]["podAntiAffinity"]["required"][0]["labelSelector"];
        assert_eq!(selector["matchLabels"], event.object["metadata"]["labels"]);
        let (key, value) = event.object["metadata"]["labels"].as_object().unwrap().iter().next().unwrap();
        assert_eq!(selector["matchExpressions"][0]["key"], key.as_str());
        assert_eq!(selector["matchExpressions"][0]["values"][0], *value);
        assert_eq!(event.object["metadata"]["name"], event.key.name.as_str());
        assert!(
            text.contains("kubernetes.io/hostname")
                && text.contains("\"cpu\":\"1\"")
                && text.contains("default-scheduler")
        );
    }

    #[test]
    fn the_key_decides() {
        let name = |key: &[u8]| Anonymizer::new(key).name("web");
        assert_eq!(name(b"a"), name(b"a"));
        assert_ne!(name(b"a"), name(b"b"));
    }
}
