//! What each change of an audit log does to the objects of a cluster.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Deserializer, json};

use super::event::{Action, Entry};
use crate::import::objects::{Objects, key_of};
use crate::import::patch::strategic;
use crate::import::{ImportError, Output, UNWANTED};
use crate::model::{CONTEXT_KINDS, Json, Kind, NODE, ObjectKey, POD, PodView};

/// What became of an entry, for the tally.
pub type Took = Result<(), &'static str>;

/// Why a change is not in the reel: nobody knows its object.
pub const UNSEEN: &str =
    "a change of an object that was there before the log begins (give its state with --initial)";
/// Why a change is not in the reel: its answer came after that to the deletion of its object.
pub const OVERTAKEN: &str = "a change that the deletion of its object overtook";

const NO_BODY: &str = "a change without its body: the policy must log it at level Request or above";
const NO_OBJECT: &str = "a change without the stored object: the policy must log it at level RequestResponse";

/// Deletions that are remembered, to tell changes that they overtook from changes of what was never seen.
const REMEMBERED: usize = 1 << 12;

/// Applies entries to the objects of a reel.
#[derive(Debug)]
pub struct Apply {
    kinds: Vec<Kind>,
    /// The last deletions with the time of their answers, the oldest first.
    deleted: VecDeque<(ObjectKey, i64)>,
    /// The largest time that a binding took.
    pub slowest_binding: Duration,
}

impl Default for Apply {
    fn default() -> Apply {
        let kinds = [POD, NODE].into_iter().chain(CONTEXT_KINDS.iter().cloned());
        Apply { kinds: kinds.collect(), deleted: VecDeque::new(), slowest_binding: Duration::ZERO }
    }
}

/// An entry on its way into the reel.
struct Change<'a> {
    entry: &'a Entry,
    key: ObjectKey,
    objects: &'a mut Objects,
    out: &'a mut Output,
}

impl Apply {
    /// Applies an entry, and says to which object. The inner result says why it cannot be, or [`UNWANTED`].
    ///
    /// # Errors
    /// [`ImportError::Trace`].
    pub fn apply(
        &mut self,
        entry: &Entry,
        objects: &mut Objects,
        out: &mut Output,
    ) -> Result<(Option<ObjectKey>, Took), ImportError> {
        let is_binding = entry.subresource == "binding" || entry.resource == "bindings";
        let plural = if is_binding { "pods" } else { entry.resource.as_str() };
        let found =
            self.kinds.iter().find(|kind| kind.plural == plural && kind.group == entry.group.as_str());
        let Some(kind) = found else {
            return Ok((None, Err(UNWANTED)));
        };
        if entry.truncated {
            let why = "an event whose bodies the server took out because they were too large";
            return Ok((None, Err(why)));
        }
        let namespace =
            Some(entry.namespace.clone()).filter(|namespace| kind.namespaced && !namespace.is_empty());
        let key = ObjectKey { kind: kind.name().into(), namespace, name: entry.name.clone() };
        let mut change = Change { entry, key, objects, out };
        let took = match (entry.subresource.as_str(), entry.action) {
            _ if is_binding => {
                let latency = Duration::from_nanos(u64::try_from(entry.latency).unwrap_or(0));
                self.slowest_binding = self.slowest_binding.max(latency);
                change.bind()?
            }
            ("", Action::Create) => change.created()?,
            ("" | "status" | "resize" | "ephemeralcontainers", Action::Update | Action::Patch) => {
                change.changed()?
            }
            ("", Action::Delete) => change.deleted()?,
            ("", Action::DeleteCollection) => change.all_deleted()?,
            ("eviction", Action::Create) => change.evicted()?,
            _ => Err("a subresource that changes nothing a scheduler reads"),
        };
        let key = change.key;
        let took = if took == Err(UNSEEN) && self.is_overtaken(&key, entry) { Err(OVERTAKEN) } else { took };
        if took.is_ok() && objects.last(&key).is_none() {
            self.deleted.push_back((key.clone(), entry.at));
            if self.deleted.len() > REMEMBERED {
                self.deleted.pop_front();
            }
        }
        Ok((Some(key), took))
    }

    /// Whether a request was made while its object was still there.
    fn is_overtaken(&self, key: &ObjectKey, entry: &Entry) -> bool {
        let received = entry.at.saturating_sub(entry.latency);
        self.deleted.iter().rev().any(|(gone, at)| gone == key && received <= *at)
    }
}

impl Change<'_> {
    fn created(&mut self) -> Result<Took, ImportError> {
        let Some(text) = self.entry.response() else { return Ok(Err(NO_OBJECT)) };
        self.whole(text)
    }

    /// The stored object, as an answer has it.
    fn whole(&mut self, text: &str) -> Result<Took, ImportError> {
        let at = self.objects.time(self.entry.at);
        if self.key.name.is_empty() {
            // The server names what is made with `generateName`.
            match key_of(&mut Deserializer::from_str(text)) {
                Ok(key) => self.key = ObjectKey { kind: self.key.kind.clone(), ..key },
                Err(why) => return Ok(Err(why)),
            }
        }
        let read = self.objects.read(at, self.key.clone(), &mut Deserializer::from_str(text), self.out)?;
        if read.is_ok() && self.objects.last(&self.key).is_some_and(is_removed) {
            self.objects.gone(at, &self.key, false, self.out)?;
        }
        Ok(read)
    }

    fn changed(&mut self) -> Result<Took, ImportError> {
        if let Some(text) = self.entry.response() {
            return self.whole(text);
        }
        let Some(request) = self.entry.request() else { return Ok(Err(NO_BODY)) };
        let Ok(request) = serde_json::from_str::<Json>(request) else { return Ok(Err(NO_BODY)) };
        let Some(known) = self.objects.last(&self.key) else { return Ok(Err(UNSEEN)) };
        let patched = match (self.entry.action, &request) {
            (Action::Patch, Json::Object(_)) => strategic(known, &without_version(&request)),
            (Action::Patch, _) => {
                return Ok(Err(
                    "a JSON patch without the stored object: the policy must log it at level RequestResponse",
                ));
            }
            // The body is the whole object, of which the subresource takes its own part.
            _ => {
                let mut object = known.clone();
                object.set(&["status"], request["status"].clone());
                object
            }
        };
        let at = self.objects.time(self.entry.at);
        self.objects.put(at, self.key.clone(), patched, self.out)?;
        Ok(Ok(()))
    }

    /// The decision (`pkg/registry/core/pod/storage/storage.go`, v1.37.2, `assignPod`).
    fn bind(&mut self) -> Result<Took, ImportError> {
        #[derive(Deserialize)]
        struct Binding {
            target: Target,
            #[serde(default)]
            metadata: Option<Json>,
        }
        #[derive(Deserialize)]
        struct Target {
            name: String,
        }
        let Some(request) = self.entry.request() else { return Ok(Err(NO_BODY)) };
        let Ok(binding) = serde_json::from_str::<Binding>(request) else { return Ok(Err(NO_BODY)) };
        if self.key.name.is_empty()
            && let Some(name) = binding.metadata.as_ref().and_then(|metadata| metadata["name"].as_text())
        {
            self.key.name = name.clone();
        }
        let Some(pod) = self.objects.last(&self.key) else { return Ok(Err(UNSEEN)) };
        let condition = json!({"type": "PodScheduled", "status": "True", "reason": null, "message": null,
                               "lastTransitionTime": self.second()});
        let patch = json!({"spec": {"nodeName": binding.target.name}, "status": {"conditions": [condition]}});
        let bound = strategic(pod, &patch.into());
        let at = self.objects.time(self.entry.at);
        self.objects.put(at, self.key.clone(), bound, self.out)?;
        Ok(Ok(()))
    }

    fn deleted(&mut self) -> Result<Took, ImportError> {
        let at = self.objects.time(self.entry.at);
        // The answer is the object itself, or says only that all went well.
        if let Some(text) = self.entry.response()
            && let Ok(answer) = serde_json::from_str::<Json>(text)
            && answer["kind"] != "Status"
            && answer["metadata"]["name"].is_string()
        {
            if !answer["metadata"]["deletionTimestamp"].is_null() && !is_removed(&answer) {
                return self.whole(text);
            }
            let gone = self.objects.gone_as(at, &self.key, &answer, self.out)?;
            return Ok(if gone { Ok(()) } else { Err(UNSEEN) });
        }
        let options =
            self.entry.request().and_then(|text| serde_json::from_str::<Json>(text).ok()).unwrap_or_default();
        self.asked(options["gracePeriodSeconds"].as_u64(), None)
    }

    /// Pods are evicted by a request of their own, after which the server asks for the deletion itself
    /// (`pkg/registry/core/pod/storage/eviction.go`, v1.37.2).
    fn evicted(&mut self) -> Result<Took, ImportError> {
        let eviction =
            self.entry.request().and_then(|text| serde_json::from_str::<Json>(text).ok()).unwrap_or_default();
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                               "message": "Eviction API: evicting", "lastTransitionTime": self.second()});
        self.asked(eviction["deleteOptions"]["gracePeriodSeconds"].as_u64(), Some(condition.into()))
    }

    /// A deletion was asked for: pods that are bound and not over get their grace period, all else goes at once
    /// (`pkg/registry/core/pod/strategy.go`, v1.37.2, `CheckGracefulDelete`).
    fn asked(&mut self, grace: Option<u64>, condition: Option<Json>) -> Result<Took, ImportError> {
        let at = self.objects.time(self.entry.at);
        let Some(known) = self.objects.last(&self.key) else { return Ok(Err(UNSEEN)) };
        let pod = PodView(known);
        let is_graceful = self.key.kind == "Pod" && pod.node_name().is_some() && !pod.phase().is_terminal();
        let grace = grace.or_else(|| pod.0["spec"]["terminationGracePeriodSeconds"].as_u64()).unwrap_or(30);
        if !is_graceful || grace == 0 {
            self.objects.gone(at, &self.key, false, self.out)?;
            return Ok(Ok(()));
        }
        let mut patch =
            json!({"metadata": {"deletionTimestamp": self.second(), "deletionGracePeriodSeconds": grace}});
        if let Some(condition) = condition {
            patch["status"] = json!({"conditions": [condition]});
        }
        let going = strategic(known, &patch.into());
        self.objects.put(at, self.key.clone(), going, self.out)?;
        Ok(Ok(()))
    }

    /// The answer lists what was deleted.
    fn all_deleted(&mut self) -> Result<Took, ImportError> {
        let Some(list) = self.entry.response().and_then(|text| serde_json::from_str::<Json>(text).ok())
        else {
            return Ok(Err(NO_OBJECT));
        };
        for item in list["items"].items() {
            let Some(name) = item["metadata"]["name"].as_text() else { continue };
            self.key.name = name.clone();
            self.key.namespace = item["metadata"]["namespace"].as_text().cloned();
            // What is not known was not there, as far as the log knows.
            let _ = self.asked(item["metadata"]["deletionGracePeriodSeconds"].as_u64(), None)?;
        }
        Ok(Ok(()))
    }

    /// The time of the answer, as the server writes times.
    fn second(&self) -> String {
        let time = chrono::DateTime::from_timestamp_nanos(self.entry.at);
        time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }
}

/// Whether a stored object is gone with this change: its deletion was asked for, nothing has to be waited for.
fn is_removed(object: &Json) -> bool {
    let metadata = &object["metadata"];
    metadata["deletionTimestamp"].is_string()
        && metadata["deletionGracePeriodSeconds"].as_u64().unwrap_or(0) == 0
        && metadata["finalizers"].items().is_empty()
}

/// A patch without the preconditions that it carries.
fn without_version(patch: &Json) -> Json {
    let mut patch = patch.clone();
    let metadata = patch.as_object_mut().and_then(|fields| fields.get_mut("metadata"));
    if let Some(metadata) = metadata.and_then(Json::as_object_mut) {
        metadata.remove("uid");
        metadata.remove("resourceVersion");
    }
    patch
}
