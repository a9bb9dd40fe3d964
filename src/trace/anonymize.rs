use sha2::{Digest, Sha256};

use super::{ClusterInfo, Detail, Header, lifecycle};
use crate::model::{CONTEXT_KINDS, EVENT, ID_ANNOTATION, Json, Map, ObjectEvent, ObjectKey, Record, Text};

/// Domains of names that Kubernetes itself gives a meaning: replacing them would change what a scheduler does.
const PUBLIC_DOMAINS: &[&str] = &["kubernetes.io", "k8s.io", "kubereel.dev"];

/// Names and values that every cluster has.
const PUBLIC_NAMES: &[&str] = &[
    "amd64",
    "arm64",
    "default",
    "default-scheduler",
    "false",
    "kube-node-lease",
    "kube-public",
    "kube-system",
    "kubernetes",
    "linux",
    "metadata.name",
    "system-cluster-critical",
    "system-node-critical",
    "true",
    "windows",
];

/// Fields whose text names something of the recorded cluster's owner, wherever they are in an object.
const NAMING: &[&str] = &[
    "claimName",
    "driver",
    "generateName",
    "handler",
    "hostname",
    "image",
    "imageID",
    "matchLabelKeys",
    "mismatchLabelKeys",
    "name",
    "namespace",
    "namespaces",
    "nodeID",
    "nodeName",
    "nominatedNodeName",
    "pdName",
    "priorityClassName",
    "providerID",
    "provisioner",
    "resourceClaimName",
    "resourceClaimTemplateName",
    "runtimeClassName",
    "serviceName",
    "storageClassName",
    "topologyKeys",
    "volumeID",
    "volumeName",
];

/// Fields whose text is one of Kubernetes' own words, a time, an identity or a quantity. The text of a field that is
/// neither here nor a name is left out: what nobody thought of does not get through.
const KEPT: &[&str] = &[
    "accessModes",
    "action",
    "apiVersion",
    "capacity",
    "creationTimestamp",
    "deletionTimestamp",
    "effect",
    "eventTime",
    "kind",
    "lastHeartbeatTime",
    "lastTransitionTime",
    "maxUnavailable",
    "maximumVolumeSize",
    "minAvailable",
    "nodeAffinityPolicy",
    "nodeTaintsPolicy",
    "operator",
    "persistentVolumeReclaimPolicy",
    "phase",
    "preemptionPolicy",
    "protocol",
    "reason",
    "reclaimPolicy",
    "reportingController",
    "resourceVersion",
    "restartPolicy",
    "schedulerName",
    "startTime",
    "status",
    "timeAdded",
    "type",
    "uid",
    "unhealthyPodEvictionPolicy",
    "volumeBindingMode",
    "volumeMode",
    "whenUnsatisfiable",
];

/// Maps of resource names and quantities, kept as they are.
const QUANTITIES: &[&str] = &["allocatable", "capacity", "limits", "overhead", "podFixed", "requests"];

/// Maps whose keys and values are the owner's.
const LABELS: &[&str] = &["labels", "matchLabels", "nodeSelector", "selector"];

/// Maps with keys of the owner that decide nothing.
const DROPPED: &[&str] = &["data", "managedFields", "parameters", "volumeAttributes"];

/// Replaces names by keyed hashes: the same name is the same everywhere, in all reels made with one key.
#[derive(Clone)]
pub struct Anonymizer {
    key: Vec<u8>,
}

impl std::fmt::Debug for Anonymizer {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Anonymizer")
    }
}

impl Anonymizer {
    /// What it does, for a reel's header.
    pub const RULE: &str =
        "names, namespaces, labels and images replaced by keyed hashes; other text removed";

    /// An anonymizer whose outcome depends on `key`.
    pub fn new(key: &[u8]) -> Anonymizer {
        Anonymizer { key: key.to_vec() }
    }

    /// The header without what tells whose cluster it was.
    #[must_use]
    pub fn header(&self, header: &Header) -> Header {
        let mut header = header.clone();
        header.command.clear();
        header.labels.clear();
        header.detail = Detail::Lifecycle;
        if let Some(run) = &mut header.run {
            run.source.clear();
            run.scheduler_config.clear();
        }
        header.cluster = ClusterInfo { context: String::new(), ..header.cluster };
        if !header.redaction.iter().any(|rule| rule == Anonymizer::RULE) {
            header.redaction.push(Anonymizer::RULE.to_owned());
        }
        header
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
                action.key = self.key(&action.key);
                action.error.clear();
                Record::Action(action)
            }
            Record::Note(_) => return None,
            other => other,
        })
    }

    /// The object without names: of pods and nodes what the lifecycle level keeps, of the kinds that a scheduler reads
    /// what is known to be no name, of any other kind its metadata.
    pub fn object(&self, object: &Json) -> Json {
        match ObjectKey::of(object).map(|key| key.kind).as_deref() {
            Some(kind @ ("Pod" | "Node")) => self.fields(&lifecycle::lean_object(kind, object)),
            Some(kind) if is_known(kind) => self.fields(object),
            _ => {
                let kept = ["apiVersion", "kind", "metadata"].into_iter();
                let kept =
                    kept.filter_map(|field| Some((Text::new_static(field), object.get(field)?.clone())));
                self.fields(&Json::Object(kept.collect()))
            }
        }
    }

    fn event(&self, event: &ObjectEvent) -> ObjectEvent {
        let object = self.object(&event.object);
        ObjectEvent { key: self.key(&event.key), object, ..event.clone() }
    }

    fn key(&self, key: &ObjectKey) -> ObjectKey {
        let namespace = key.namespace.as_ref().map(|name| self.name(name));
        ObjectKey { name: self.name(&key.name), namespace, kind: key.kind.clone() }
    }

    fn fields(&self, object: &Json) -> Json {
        self.value("", object).unwrap_or_default()
    }

    /// A value by the name of its field; `None` where it is left out.
    fn value(&self, field: &str, value: &Json) -> Option<Json> {
        match value {
            Json::String(text) if NAMING.contains(&field) => Some(self.name(text).into()),
            Json::String(_) => KEPT.contains(&field).then(|| value.clone()),
            Json::Array(items) => Some(items.iter().filter_map(|item| self.value(field, item)).collect()),
            Json::Object(_) if DROPPED.contains(&field) => None,
            Json::Object(_) if QUANTITIES.contains(&field) => Some(value.clone()),
            Json::Object(map) if field == "annotations" => {
                let id = map.get(ID_ANNOTATION).map(|id| (Text::new_static(ID_ANNOTATION), id.clone()));
                Some(Json::Object(id.into_iter().collect()))
            }
            // A selector may be a map of labels or an object of such.
            Json::Object(map) if LABELS.contains(&field) && map.values().all(Json::is_string) => {
                Some(self.labels(map))
            }
            Json::Object(map) => {
                let kept =
                    map.iter().filter_map(|(key, value)| Some((key.clone(), self.child(map, key, value)?)));
                Some(Json::Object(kept.collect()))
            }
            other => Some(other.clone()),
        }
    }

    /// A field of a map: label keys and their values stand in expressions, tolerations and taints as well.
    fn child(&self, map: &Map, key: &str, value: &Json) -> Option<Json> {
        let of_label = map.contains_key("operator") || map.contains_key("effect") || key == "topologyKey";
        match (key, value) {
            ("key" | "value" | "topologyKey", Json::String(text)) if of_label => Some(self.name(text).into()),
            ("values", Json::Array(texts)) if of_label => {
                let texts = texts.iter().filter_map(Json::as_str);
                Some(texts.map(|text| self.name(text).into()).collect())
            }
            _ => self.value(key, value),
        }
    }

    fn labels(&self, map: &Map) -> Json {
        let hashed = |value: &Json| value.as_str().map(|text| Json::String(self.name(text)));
        Json::Object(map.iter().filter_map(|(key, value)| Some((self.name(key), hashed(value)?))).collect())
    }

    /// The hash that stands for a name: 13 letters and digits that can be a name themselves.
    fn name(&self, name: &str) -> Text {
        if name.is_empty() || PUBLIC_NAMES.contains(&name) || is_public_key(name) {
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

/// Kinds whose fields are known: those that a scheduler reads, and events.
fn is_known(kind: &str) -> bool {
    std::iter::once(&EVENT).chain(CONTEXT_KINDS).any(|known| known.name() == kind)
}

/// `topology.kubernetes.io/zone`, but not `evilkubernetes.io/zone` or `zone.kubernetes.io`.
fn is_public_key(name: &str) -> bool {
    let Some((domain, _)) = name.split_once('/') else { return false };
    PUBLIC_DOMAINS
        .iter()
        .any(|public| domain.strip_suffix(public).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
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
        assert_eq!(event.object["metadata"]["name"], *event.key.name.as_str());
        assert!(
            text.contains("kubernetes.io/hostname")
                && text.contains("\"cpu\":\"1\"")
                && text.contains("default-scheduler")
        );
    }

    #[test]
    fn what_nobody_thought_of_does_not_get_through() {
        let anonymizer = Anonymizer::new(b"k");
        for object in [
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                   "spec": {"novel": "SECRET", "containers": [{"name": "c", "workingDir": "/SECRET", "novel": {"SECRET": 1}}]},
                   "status": {"message": "SECRET", "novel": ["SECRET"]}}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
                   "spec": {"externalName": "SECRET", "externalIPs": ["SECRET"], "selector": {"SECRET": "SECRET"}}}),
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "s"},
                   "parameters": {"SECRET": "SECRET"}, "mountOptions": ["SECRET"]}),
            json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "SECRET"},
                   "spec": {"type": "SECRET", "SECRET": 1}}),
            json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "SECRET"},
                   "regarding": {"kind": "Pod", "name": "SECRET"}, "note": "SECRET", "reason": "Scheduled"}),
        ] {
            let text = anonymizer.object(&object.into()).to_string();
            assert!(!text.contains("SECRET"), "{text}");
        }
    }

    #[test]
    fn what_the_scheduler_gives_a_meaning_stays() {
        let anonymizer = Anonymizer::new(b"k");
        for name in
            ["kubernetes.io/hostname", "node.kubernetes.io/not-ready", "metadata.name", "default", "true"]
        {
            assert_eq!(anonymizer.name(name), name);
        }
        for name in ["evilk8s.io/x", "shop.k8s.io", "shop", "nvidia"] {
            assert_ne!(anonymizer.name(name), name);
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": {
                "kubereel.dev/id": "u1", "note": "SECRET"}},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"nvidia.com/gpu": "1"}}}],
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "rack", "matchLabelKeys": ["app"]}],
                "affinity": {"podAffinity": {"required": [{"namespaces": ["shop"]}]}}}});
        let seen = anonymizer.object(&Json::from(&pod));
        assert_eq!(seen["metadata"]["annotations"], json!({"kubereel.dev/id": "u1"}));
        assert_eq!(seen["spec"]["containers"][0]["resources"], pod["spec"]["containers"][0]["resources"]);
        let spread = &seen["spec"]["topologySpreadConstraints"][0];
        assert_eq!(spread["topologyKey"], *anonymizer.name("rack").as_str());
        assert_eq!(spread["matchLabelKeys"], json!([anonymizer.name("app").as_str()]));
        let term = &seen["spec"]["affinity"]["podAffinity"]["required"][0];
        assert_eq!(term["namespaces"], json!([anonymizer.name("shop").as_str()]));
    }

    #[test]
    fn the_key_decides() {
        let name = |key: &[u8]| Anonymizer::new(key).name("web");
        assert_eq!(name(b"a"), name(b"a"));
        assert_ne!(name(b"a"), name(b"b"));
    }
}
