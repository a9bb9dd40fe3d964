//! Recordings of KWOK: a YAML stream of whole objects, then of `ResourcePatch` documents
//! (`pkg/apis/action/v1alpha1`, `pkg/kwokctl/recording` of `kubernetes-sigs/kwok`). There are two dialects: the API's
//! (`kwokctl snapshot export --record`), whose times count from the end of the first list, and etcd's (`kwokctl snapshot record`
//! of v0.5 to v0.7, `kectl snapshot record`), whose times count from the first event.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};

use super::documents::each_object;
use super::objects::{Objects, is_wanted};
use super::patch::strategic;
use super::{ImportError, Imported, Input, Origin, Output, Tally, Target, UNWANTED};
use crate::model::{CONTEXT_KINDS, Json, Kind, NODE, ObjectKey, POD, Text};

const ACTION_GROUP: &str = "action.kwok.x-k8s.io/";
const ACTION: &str = "action.kwok.x-k8s.io/v1alpha1";

/// An import of a recording.
#[derive(Debug, Clone)]
pub struct Kwok {
    /// The recording.
    pub file: PathBuf,
}

impl Kwok {
    /// Makes the reel.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn run(&self, target: &Target) -> Result<Imported, ImportError> {
        import(Input::open(&self.file)?, target)
    }
}

/// Makes a reel of any bytes.
///
/// # Errors
/// [`ImportError`].
pub fn import(input: Input, target: &Target) -> Result<Imported, ImportError> {
    let name = input.name.clone();
    let mut out = target.start(Origin { format: "kwok", inputs: vec![name.clone()], ..Origin::default() })?;
    // The recording has no calendar: its times become those of the epoch.
    let mut play = Play {
        objects: Objects::new(0, Arc::clone(&target.rules)),
        kinds: kinds(),
        first: None,
        refused: None,
    };
    let mut tally = Tally::default();
    each_object(input, &mut tally, &mut |place, object, tally| {
        match play.take(&object, &mut out)? {
            Ok(()) => tally.used += 1,
            Err(UNWANTED) => tally.skip(place, UNWANTED),
            Err(why) => tally.bad(place, why),
        }
        Ok(())
    })?;
    if let Some(version) = play.refused {
        return Err(ImportError::Format {
            input: name,
            what: format!("it has actions of {version}; kubereel reads {ACTION}"),
        });
    }
    play.objects.complete(&mut out)?;
    let dialect = match play.first {
        Some(0) => "the dialect is that of etcd: time 0 is the first event",
        Some(_) => {
            "the dialect is that of the API: time 0 is the end of the first list; the last events before the \
                    recorder was stopped may be missing"
        }
        None => "there are no events, only a state",
    };
    out.finish(tally, lost(), vec![dialect.to_owned()])
}

fn lost() -> Vec<String> {
    vec![
        "the calendar: the recording has none, times of objects are made to fit its start".to_owned(),
        "versions of objects".to_owned(),
        "what happened after a watch of the recorder ended: it does not watch again".to_owned(),
    ]
}

/// Kinds by group and the name that a recording has for them; etcd's dialect forms plurals by rule.
fn kinds() -> HashMap<(String, String), Kind> {
    let all = [POD, NODE].into_iter().chain(CONTEXT_KINDS.iter().cloned());
    all.flat_map(|kind| {
        let by_rule = format!("{}s", kind.kind.to_lowercase());
        [kind.plural.to_string(), by_rule].map(|name| ((kind.group.to_string(), name), kind.clone()))
    })
    .collect()
}

struct Play {
    objects: Objects,
    kinds: HashMap<(String, String), Kind>,
    /// Time of the first event, nanoseconds.
    first: Option<i64>,
    /// A version of actions that is not known.
    refused: Option<String>,
}

impl Play {
    fn take(&mut self, document: &Json, out: &mut Output) -> Result<Result<(), &'static str>, ImportError> {
        let version = document["apiVersion"].as_str().unwrap_or_default();
        if version == ACTION && document["kind"] == "ResourcePatch" {
            return self.act(document, out);
        }
        if version.starts_with(ACTION_GROUP) {
            self.refused.get_or_insert_with(|| format!("{version} {}", document["kind"]));
            return Ok(Err("an action of a version that kubereel does not know"));
        }
        let object = with_times(document);
        let Some(key) = ObjectKey::of(&object) else {
            return Ok(Err("an object without apiVersion, kind or name"));
        };
        if !is_wanted(&key.kind) {
            return Ok(Err(UNWANTED));
        }
        self.objects.read(self.objects.time(0), key, &object, out)
    }

    fn act(&mut self, action: &Json, out: &mut Output) -> Result<Result<(), &'static str>, ImportError> {
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let Some(nanos) = action["durationNanosecond"].as_i64() else {
            return Ok(Err("an action without a time"));
        };
        if nanos < 0 {
            return Ok(Err("a negative time"));
        }
        // What comes now was not there, however old it says it is.
        self.objects.all_new(out)?;
        self.first.get_or_insert(nanos);
        let resource = &action["resource"];
        let Some(kind) = self.kinds.get(&(text(&resource["group"]), text(&resource["resource"]))) else {
            return Ok(Err(UNWANTED));
        };
        let target = &action["target"];
        let Some(name) = target["name"].as_text() else { return Ok(Err("an action without a target")) };
        let namespace = target["namespace"].as_text().filter(|_| kind.namespaced).cloned();
        let key = ObjectKey { kind: kind.name().into(), namespace, name: name.clone() };
        let (at, template) = (self.objects.time(nanos), with_times(&action["template"]));
        match action["method"].as_str().unwrap_or_default() {
            "create" => self.objects.read(at, key, &kind.typed(template), out),
            "patch" => match self.objects.last(&key) {
                Some(known) => {
                    let patched = strategic(known, &template);
                    self.objects.put(at, key, patched, out).map(Ok)
                }
                None => Ok(Err("a patch of an object that was not seen before")),
            },
            "delete" if self.objects.gone(at, &key, false, out)? => Ok(Ok(())),
            "delete" => Ok(Err("the deletion of an object that was not seen before")),
            _ => Ok(Err("a method that is neither create, patch nor delete")),
        }
    }
}

/// A value with times in the place of what KWOK writes for them: `$(time-offset-nanosecond N)`, from the start.
fn with_times(value: &Json) -> Json {
    match value {
        Json::String(text) => Json::String(with_time(text)),
        Json::Array(items) => items.iter().map(with_times).collect(),
        Json::Object(map) => Json::Object(map.iter().map(|(k, v)| (k.clone(), with_times(v))).collect()),
        other => other.clone(),
    }
}

fn with_time(text: &Text) -> Text {
    let offset = text.strip_prefix("$(time-offset-nanosecond ").and_then(|rest| rest.strip_suffix(')'));
    match offset.and_then(|offset| offset.parse().ok()) {
        Some(nanos) => {
            DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(SecondsFormat::Secs, true).into()
        }
        None => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::testing::{made, refused};

    const SNAPSHOT: &str = "apiVersion: v1
kind: Node
metadata: {name: n1, uid: n1, creationTimestamp: '$(time-offset-nanosecond -600000000000)'}
status: {allocatable: {cpu: '4'}}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
";

    fn action(nanos: i64, method: &str, rest: &str) -> String {
        format!(
            "---\napiVersion: {ACTION}\nkind: ResourcePatch\ndurationNanosecond: {nanos}\nmethod: {method}\n\
             resource: {{resource: pods, version: v1}}\ntarget: {{name: p, namespace: n}}\n{rest}"
        )
    }

    const POD: &str = "template:\n  apiVersion: v1\n  kind: Pod\n  metadata: {name: p, namespace: n, uid: u, \
        creationTimestamp: '$(time-offset-nanosecond -5)'}\n  status: {phase: Pending}\n";

    #[test]
    fn both_dialects_are_played() {
        for (first, word) in [(0, "etcd"), (1_000_000_000, "API")] {
            let text = [
                SNAPSHOT.to_owned(),
                action(first, "create", POD),
                action(2_000_000_000, "patch", "template: {spec: {nodeName: n1}}\n"),
                action(3_000_000_000, "delete", ""),
                action(4_000_000_000, "delete", ""),
                action(-4, "delete", ""),
                action(5_000_000_000, "dance", ""),
            ];
            let made = made(|target| import(Input::of("r.yaml", text.concat()), target));
            let start = first / 1_000_000_000;
            assert_eq!(
                made.events("Pod"),
                [
                    format!("{start} added p - Pending"),
                    "2 modified p n1 Pending".to_owned(),
                    "3 deleted p n1 Pending".to_owned()
                ]
            );
            assert_eq!(made.events("Node"), ["0 initial n1"]);
            assert!(
                made.report.remarks.iter().any(|remark| remark.contains(word)),
                "{:?}",
                made.report.remarks
            );
            let rows = &made.report.rows;
            assert_eq!((rows.read, rows.used), (8, 4), "{}", rows.reasons());
            assert_eq!(rows.dropped.values().filter(|d| !d.expected).map(|d| d.count).sum::<u64>(), 3);
        }
    }

    #[test]
    fn a_version_that_is_not_known_is_refused_by_its_name() {
        let text = SNAPSHOT.to_owned() + &action(0, "create", POD).replace("v1alpha1", "v1beta7");
        let why = refused(|target| import(Input::of("r.yaml", text.clone()), target));
        assert!(why.contains("action.kwok.x-k8s.io/v1beta7"), "{why}");
    }
}
