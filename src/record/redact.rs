use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::json;

use crate::model::{Fate, Json, Kind, Rule, Rules};
use crate::trace::Anonymizer;

/// Annotations in which tools keep whole copies of an object, values of its environment included.
const APPLIED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    "kapp.k14s.io/original",
    "objectset.rio.cattle.io/applied",
    "banzaicloud.com/last-applied",
];

/// What an `exec` handler runs once its command is taken out: the API server refuses one without.
const NO_COMMAND: &str = "redacted";

/// What no replay needs and what may hold secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sensitive {
    /// Values of environment variables, and of the HTTP headers of probes.
    Env,
    /// Commands and arguments of containers, probes and hooks.
    Args,
    /// Annotations with a copy of the applied configuration.
    LastApplied,
    /// Names of image pull secrets.
    PullSecrets,
    /// What a container wrote as its last words.
    Termination,
    /// The content of Secrets and `ConfigMaps`, where those are recorded at all.
    Data,
    /// `metadata.managedFields`: no secret, but a third of the bytes.
    ManagedFields,
}

impl Sensitive {
    /// All of them.
    pub const ALL: [Sensitive; 7] = [
        Sensitive::Env,
        Sensitive::Args,
        Sensitive::LastApplied,
        Sensitive::PullSecrets,
        Sensitive::Termination,
        Sensitive::Data,
        Sensitive::ManagedFields,
    ];

    /// The name on the command line and in a reel's header.
    pub fn name(self) -> &'static str {
        match self {
            Sensitive::Env => "env",
            Sensitive::Args => "args",
            Sensitive::LastApplied => "last-applied",
            Sensitive::PullSecrets => "pull-secrets",
            Sensitive::Termination => "termination-messages",
            Sensitive::Data => "data",
            Sensitive::ManagedFields => "managed-fields",
        }
    }
}

impl fmt::Display for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Sensitive {
    type Err = String;

    fn from_str(text: &str) -> Result<Sensitive, String> {
        let names = || Sensitive::ALL.map(Sensitive::name).join(", ");
        let found = Sensitive::ALL.into_iter().find(|sensitive| sensitive.name() == text);
        found.ok_or_else(|| format!("not one of {}", names()))
    }
}

/// What is taken out of every object before anybody else sees it: fields while an object is read, names afterwards.
#[derive(Debug, Clone)]
pub struct Redaction {
    removed: BTreeSet<Sensitive>,
    anonymizer: Option<Anonymizer>,
}

impl Default for Redaction {
    /// Everything sensitive is removed; names stay.
    fn default() -> Redaction {
        Redaction::keeping(&[])
    }
}

impl Redaction {
    /// Removes all but what is to be kept.
    pub fn keeping(kept: &[Sensitive]) -> Redaction {
        let removed = Sensitive::ALL.into_iter().filter(|sensitive| !kept.contains(sensitive)).collect();
        Redaction { removed, anonymizer: None }
    }

    /// The same, with names replaced as well.
    #[must_use]
    pub fn anonymized(self, anonymizer: Anonymizer) -> Redaction {
        Redaction { anonymizer: Some(anonymizer), ..self }
    }

    /// The policy in words, for a reel's header.
    pub fn described(&self) -> Vec<String> {
        let removed = self.removed.iter().map(|sensitive| format!("removed: {sensitive}"));
        removed.chain(self.anonymizer.as_ref().map(|_| Anonymizer::RULE.to_owned())).collect()
    }

    /// What is left out of the objects of a kind while they are read.
    pub fn rules(&self, kind: &Kind) -> Arc<dyn Rules> {
        let has_data = matches!(kind.kind.as_ref(), "Secret" | "ConfigMap");
        let removed = self.removed.iter().copied().filter(|s| has_data || *s != Sensitive::Data);
        Arc::new(FieldRules::new(removed.flat_map(rules_of).collect()))
    }

    /// An object that was read by the rules, as it may be written.
    pub fn names(&self, object: Json) -> Json {
        match &self.anonymizer {
            Some(anonymizer) => anonymizer.object(&object),
            None => object,
        }
    }

    /// What a server or a connection said, as it may be written: it may name objects and users.
    pub fn message(&self, text: String) -> String {
        if self.anonymizer.is_some() { String::new() } else { text }
    }

    /// The anonymizer in force.
    pub fn anonymizer(&self) -> Option<&Anonymizer> {
        self.anonymizer.as_ref()
    }
}

/// One rule for pods, templates of workloads and whatever custom resources nest: what counts is the field, not where
/// it is.
struct FieldRules {
    /// A handful, so looking through them is quicker than hashing.
    rules: Vec<(&'static str, Rule)>,
    /// A bit for each length of a field with a rule: most fields are of another.
    lengths: u64,
}

impl FieldRules {
    fn new(rules: Vec<(&'static str, Rule)>) -> FieldRules {
        let lengths = rules.iter().fold(0, |lengths, (field, _)| lengths | length_bit(field));
        FieldRules { rules, lengths }
    }
}

/// The bit of a text's length; all lengths from 63 on have one.
fn length_bit(text: &str) -> u64 {
    1 << text.len().min(63)
}

impl Rules for FieldRules {
    fn rule(&self, key: &str) -> Option<&Rule> {
        if self.lengths & length_bit(key) == 0 {
            return None;
        }
        self.rules.iter().find(|(field, _)| *field == key).map(|(_, rule)| rule)
    }
}

/// The fields in which something sensitive is. Labels that happen to be called `env` are text, not lists or maps.
fn rules_of(sensitive: Sensitive) -> Vec<(&'static str, Rule)> {
    let array = |array| Rule { array, ..Rule::default() };
    let map = |map| Rule { map, ..Rule::default() };
    match sensitive {
        Sensitive::Env => vec![
            ("env", Rule { array: Fate::Without(&["value"]), map: Fate::Goes, ..Rule::default() }),
            ("httpHeaders", array(Fate::Without(&["value"]))),
        ],
        Sensitive::Args => vec![
            ("command", array(Fate::Goes)),
            ("args", array(Fate::Goes)),
            ("exec", map(Fate::Becomes(json!({"command": [NO_COMMAND]}).into()))),
        ],
        Sensitive::LastApplied => vec![("annotations", map(Fate::Without(APPLIED)))],
        Sensitive::PullSecrets => vec![("imagePullSecrets", Rule::gone())],
        Sensitive::Termination => vec![("terminated", map(Fate::Without(&["message"])))],
        Sensitive::Data => {
            ["data", "stringData", "binaryData"].map(|field| (field, map(Fate::Goes))).to_vec()
        }
        Sensitive::ManagedFields => vec![("managedFields", Rule::gone())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{POD, Reading};
    use serde::de::DeserializeSeed;
    use serde_json::Value;

    fn redacted(redaction: &Redaction, object: &Json) -> Json {
        let kind = Kind { kind: object["kind"].as_str().unwrap().to_owned().into(), ..POD };
        Reading { like: &Json::Null, rules: &*redaction.rules(&kind), texts: None }
            .deserialize(object)
            .unwrap()
    }

    /// A pod spec with a secret in every place that is taken out by default.
    fn pod_spec() -> Value {
        let container = json!({"name": "c", "image": "i", "command": ["run-SECRET"], "args": ["--password=SECRET"],
            "env": [{"name": "PASSWORD", "value": "SECRET"},
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "livenessProbe": {"exec": {"command": ["SECRET"]}},
            "readinessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "Authorization", "value": "SECRET"}]}},
            "lifecycle": {"preStop": {"exec": {"command": ["SECRET"]}}},
            "resources": {"requests": {"cpu": "1"}}});
        json!({"containers": [container], "initContainers": [container], "ephemeralContainers": [container],
               "imagePullSecrets": [{"name": "SECRET"}], "nodeSelector": {"env": "prod"}})
    }

    fn metadata() -> Value {
        json!({"name": "p", "labels": {"env": "prod"}, "managedFields": [{"manager": "SECRET"}],
               "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "SECRET", "mine": "stays"}})
    }

    #[test]
    fn planted_secrets_are_gone_from_pods_templates_and_custom_resources() {
        let objects = [
            json!({"kind": "Pod", "metadata": metadata(), "spec": pod_spec(),
                   "status": {"containerStatuses": [{"lastState": {"terminated": {"exitCode": 3, "message": "SECRET"}}}]}}),
            json!({"kind": "Deployment", "metadata": metadata(),
                   "spec": {"template": {"metadata": metadata(), "spec": pod_spec()}}}),
            json!({"kind": "CronJob", "metadata": metadata(),
                   "spec": {"jobTemplate": {"spec": {"template": {"spec": pod_spec()}}}}}),
            json!({"kind": "Workflow", "metadata": metadata(),
                   "spec": {"templates": [{"container": pod_spec()["containers"][0], "env": {"A": "SECRET"}}]}}),
            json!({"kind": "Secret", "metadata": metadata(), "data": {"a": "SECRET"}, "stringData": {"a": "SECRET"}}),
            json!({"kind": "ConfigMap", "metadata": metadata(), "data": {"a": "SECRET"}, "binaryData": {"a": "SECRET"}}),
        ];
        for object in objects {
            let text = redacted(&Redaction::default(), &object.into()).to_string();
            assert!(!text.contains("SECRET"), "{text}");
            assert!(text.contains(r#""env":"prod""#) && text.contains("stays"), "{text}");
        }
    }

    #[test]
    fn what_a_replay_needs_stays() {
        let pod = redacted(&Redaction::default(), &json!({"kind": "Pod", "spec": pod_spec()}).into());
        let container = &pod["spec"]["initContainers"][0];
        assert_eq!(container["resources"]["requests"]["cpu"], "1");
        assert_eq!(container["env"][0], json!({"name": "PASSWORD"}));
        assert_eq!(container["env"][1]["valueFrom"]["secretKeyRef"]["name"], "s");
        // The API server refuses a handler without a command.
        assert_eq!(container["livenessProbe"]["exec"]["command"], json!([NO_COMMAND]));
    }

    #[test]
    fn what_is_kept_stays_and_alone() {
        let object = Json::from(json!({"kind": "Pod", "metadata": metadata(), "spec": pod_spec()}));
        let kept = redacted(&Redaction::keeping(&[Sensitive::Env]), &object);
        assert_eq!(kept["spec"]["containers"][0]["env"], object["spec"]["containers"][0]["env"]);
        assert_eq!(kept["spec"]["containers"][0].get("args"), None);
        assert_eq!(redacted(&Redaction::keeping(&Sensitive::ALL), &object), object);
    }

    #[test]
    fn the_header_says_what_is_removed() {
        let rules = Redaction::keeping(&[Sensitive::ManagedFields]).described();
        assert_eq!(rules[0], "removed: env");
        assert!(!rules.iter().any(|rule| rule.contains("managed-fields")));
        for sensitive in Sensitive::ALL {
            assert_eq!(sensitive.name().parse(), Ok(sensitive));
        }
    }
}
