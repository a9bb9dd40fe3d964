use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::json;

use crate::model::{Json, Text};
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

/// What is taken out of every object before anybody else sees it. A pure function of the object.
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
    pub fn rules(&self) -> Vec<String> {
        let removed = self.removed.iter().map(|sensitive| format!("removed: {sensitive}"));
        removed.chain(self.anonymizer.as_ref().map(|_| Anonymizer::RULE.to_owned())).collect()
    }

    /// The object as it may be written. What does not change is shared with the one given.
    pub fn object(&self, object: &Json) -> Json {
        let mut redacted = self.walk(object).unwrap_or_else(|| object.clone());
        if self.removes(Sensitive::Data)
            && matches!(object["kind"].as_str(), Some("Secret" | "ConfigMap"))
            && let Some(fields) = redacted.as_object_mut()
        {
            for field in ["data", "stringData", "binaryData"] {
                fields.remove(field);
            }
        }
        match &self.anonymizer {
            Some(anonymizer) => anonymizer.object(&redacted),
            None => redacted,
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

    fn removes(&self, sensitive: Sensitive) -> bool {
        self.removed.contains(&sensitive)
    }

    /// The value without what is removed, `None` where that is nothing. One rule for pods, templates of workloads and
    /// whatever custom resources nest: what counts is the field, not where it is.
    fn walk(&self, value: &Json) -> Option<Json> {
        match value {
            Json::Array(items) => {
                let walked: Vec<_> = items.iter().map(|item| self.walk(item)).collect();
                let same = walked.iter().all(Option::is_none);
                let all = walked.into_iter().zip(items.iter());
                (!same).then(|| all.map(|(new, old)| new.unwrap_or_else(|| old.clone())).collect())
            }
            Json::Object(map) => {
                let fate = |(key, value): (&Text, &Json)| (key.clone(), self.field(key, value));
                let walked: Vec<_> = map.iter().map(fate).collect();
                let same = walked.iter().all(|(_, fate)| matches!(fate, Fate::Stays));
                let all = walked.into_iter().zip(map.values());
                let kept = all.filter_map(|((key, fate), old)| match fate {
                    Fate::Stays => Some((key, old.clone())),
                    Fate::Becomes(new) => Some((key, new)),
                    Fate::Goes => None,
                });
                (!same).then(|| Json::Object(kept.collect()))
            }
            _ => None,
        }
    }

    /// What becomes of a field. Labels that happen to be called `env` are text, not lists or maps.
    fn field(&self, key: &str, value: &Json) -> Fate {
        let rule = match (key, value) {
            ("managedFields", _) => Some((Sensitive::ManagedFields, Fate::Goes)),
            ("imagePullSecrets", _) => Some((Sensitive::PullSecrets, Fate::Goes)),
            ("env" | "httpHeaders", Json::Array(items)) => Some((
                Sensitive::Env,
                Fate::Becomes(items.iter().map(|item| without(item, &["value"])).collect()),
            )),
            ("env", Json::Object(_)) => Some((Sensitive::Env, Fate::Goes)),
            ("command" | "args", Json::Array(_)) => Some((Sensitive::Args, Fate::Goes)),
            ("exec", Json::Object(_)) => {
                let command = Json::from(json!({"command": [NO_COMMAND]}));
                Some((Sensitive::Args, Fate::Becomes(command)))
            }
            ("annotations", Json::Object(_)) => {
                Some((Sensitive::LastApplied, Fate::Becomes(without(value, APPLIED))))
            }
            ("terminated", Json::Object(_)) => {
                Some((Sensitive::Termination, Fate::Becomes(without(value, &["message"]))))
            }
            _ => None,
        };
        match rule {
            Some((sensitive, fate)) if self.removes(sensitive) => fate,
            _ => self.walk(value).map_or(Fate::Stays, Fate::Becomes),
        }
    }
}

/// What becomes of a field.
enum Fate {
    Stays,
    Becomes(Json),
    Goes,
}

/// A map without these keys.
fn without(value: &Json, keys: &[&str]) -> Json {
    let mut value = value.clone();
    if let Some(map) = value.as_object_mut() {
        for key in keys {
            map.remove(key);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

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
            let text = Redaction::default().object(&object.into()).to_string();
            assert!(!text.contains("SECRET"), "{text}");
            assert!(text.contains(r#""env":"prod""#) && text.contains("stays"), "{text}");
        }
    }

    #[test]
    fn what_a_replay_needs_stays() {
        let pod = Redaction::default().object(&json!({"kind": "Pod", "spec": pod_spec()}).into());
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
        let kept = Redaction::keeping(&[Sensitive::Env]).object(&object);
        assert_eq!(kept["spec"]["containers"][0]["env"], object["spec"]["containers"][0]["env"]);
        assert_eq!(kept["spec"]["containers"][0].get("args"), None);
        assert_eq!(Redaction::keeping(&Sensitive::ALL).object(&object), object);
    }

    #[test]
    fn the_header_says_what_is_removed() {
        let rules = Redaction::keeping(&[Sensitive::ManagedFields]).rules();
        assert_eq!(rules[0], "removed: env");
        assert!(!rules.iter().any(|rule| rule.contains("managed-fields")));
        for sensitive in Sensitive::ALL {
            assert_eq!(sensitive.name().parse(), Ok(sensitive));
        }
    }
}
