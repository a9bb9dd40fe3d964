//! One event of an audit log, in either of two envelopes: `audit.k8s.io/v1`
//! (`k8s.io/apiserver/pkg/apis/audit/v1/types.go`, v0.37.2) and Google's Cloud Audit Logs.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::import::objects::wall_ns;
use crate::model::Text;

/// A change that an API server carried out, as its audit log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When the answer was complete, nanoseconds since the Unix epoch.
    pub at: i64,
    /// How long the request took, nanoseconds.
    pub latency: i64,
    /// A hash of what names the request.
    pub id: u64,
    /// What was done.
    pub action: Action,
    /// API group, empty for the core group.
    pub group: Text,
    /// Plural, such as `pods`.
    pub resource: Text,
    /// Such as `binding`; empty for the object itself.
    pub subresource: Text,
    /// Namespace, empty for cluster-scoped objects.
    pub namespace: Text,
    /// Name; empty where the server gave it.
    pub name: Text,
    /// Whether the bodies were taken out because they were too large.
    pub truncated: bool,
    /// Number of the line.
    pub line: u64,
    /// The text of the event, in which the bodies are.
    pub text: Vec<u8>,
    request: Option<Range<usize>>,
    response: Option<Range<usize>>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An object was made.
    Create,
    /// It was replaced.
    Update,
    /// It was changed in part.
    Patch,
    /// Its deletion was asked for.
    Delete,
    /// The deletion of all that match was asked for.
    DeleteCollection,
}

/// Why a line is no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum No {
    /// As it should be: reads, leases, requests that were refused.
    Use(&'static str),
    /// Something is wrong with it.
    Sense(&'static str),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow, rename = "auditID", default)]
    audit_id: Cow<'a, str>,
    #[serde(borrow, default)]
    stage: Cow<'a, str>,
    #[serde(borrow, rename = "requestURI", default)]
    request_uri: Cow<'a, str>,
    #[serde(borrow, default)]
    verb: Cow<'a, str>,
    #[serde(borrow, default)]
    object_ref: Option<ObjectRef<'a>>,
    #[serde(default)]
    response_status: Option<Status>,
    #[serde(borrow, default)]
    request_object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response_object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    request_received_timestamp: Cow<'a, str>,
    #[serde(borrow, default)]
    stage_timestamp: Cow<'a, str>,
    #[serde(borrow, default)]
    annotations: Option<Annotations<'a>>,
    /// The other envelope.
    #[serde(borrow, default)]
    proto_payload: Option<Payload<'a>>,
    #[serde(borrow, default)]
    timestamp: Cow<'a, str>,
    #[serde(borrow, default)]
    insert_id: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef<'a> {
    #[serde(borrow)]
    resource: Cow<'a, str>,
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    api_group: Cow<'a, str>,
    #[serde(borrow)]
    subresource: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    code: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Annotations<'a> {
    #[serde(borrow, rename = "audit.k8s.io/truncated")]
    truncated: Cow<'a, str>,
}

/// `google.cloud.audit.AuditLog`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Payload<'a> {
    /// `io.k8s.core.v1.pods.binding.create`.
    #[serde(borrow)]
    method_name: Cow<'a, str>,
    /// `core/v1/namespaces/shop/pods/web-1/binding`.
    #[serde(borrow)]
    resource_name: Cow<'a, str>,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    /// `google.rpc.Status`: 0 is success.
    status: Option<Status>,
}

/// What both envelopes say.
struct Said<'a> {
    at: &'a str,
    received: &'a str,
    id: &'a str,
    verb: &'a str,
    object: Object<'a>,
    request: Option<&'a RawValue>,
    response: Option<&'a RawValue>,
    truncated: bool,
}

struct Object<'a> {
    group: &'a str,
    resource: &'a str,
    subresource: &'a str,
    namespace: &'a str,
    name: &'a str,
}

impl Entry {
    /// Reads a line. `text` comes back if it is no change.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(text: Vec<u8>, line: u64) -> Result<Entry, (No, Vec<u8>)> {
        match read(&text, line) {
            Ok(entry) => Ok(Entry { text, ..entry }),
            Err(no) => Err((no, text)),
        }
    }

    /// The body of the request, where the log has it.
    pub fn request(&self) -> Option<&str> {
        self.part(self.request.as_ref())
    }

    /// The body of the answer, where the log has it.
    pub fn response(&self) -> Option<&str> {
        self.part(self.response.as_ref())
    }

    fn part(&self, range: Option<&Range<usize>>) -> Option<&str> {
        std::str::from_utf8(self.text.get(range?.clone())?).ok()
    }
}

/// The events of a line: one, or those of an `EventList`, as webhooks get them.
pub fn events_of(text: Vec<u8>) -> Vec<Vec<u8>> {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(borrow)]
        items: Vec<&'a RawValue>,
    }
    // Only a list has this word so near to its start, or it is not read as one.
    let head = &text[..text.len().min(64)];
    if memchr::memmem::find(head, b"EventList").is_some()
        && let Ok(list) = serde_json::from_slice::<List<'_>>(&text)
    {
        return list.items.iter().map(|item| item.get().as_bytes().to_vec()).collect();
    }
    vec![text]
}

fn read(text: &[u8], line: u64) -> Result<Entry, No> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(text).map_err(|_| No::Sense("no audit event in JSON, one a line"))?;
    let said = match &envelope.proto_payload {
        Some(payload) => said_by_google(&envelope, payload)?,
        None => said(&envelope)?,
    };
    let action = match said.verb {
        "create" => Action::Create,
        "update" => Action::Update,
        "patch" => Action::Patch,
        "delete" => Action::Delete,
        "deletecollection" => Action::DeleteCollection,
        "get" | "list" | "watch" => return Err(No::Use("a read")),
        _ => return Err(No::Use("a verb that changes no object")),
    };
    let at = wall_ns(said.at).ok_or(No::Sense("an event without a time"))?;
    let within = |part: Option<&RawValue>| {
        let start = part?.get().as_ptr() as usize - text.as_ptr() as usize;
        Some(start..start + part?.get().len())
    };
    Ok(Entry {
        at,
        latency: wall_ns(said.received).map_or(0, |received| at.saturating_sub(received)),
        id: FixedState::default().hash_one(said.id),
        action,
        group: said.object.group.into(),
        resource: said.object.resource.into(),
        subresource: said.object.subresource.into(),
        namespace: said.object.namespace.into(),
        name: said.object.name.into(),
        truncated: said.truncated,
        line,
        text: Vec::new(),
        request: within(said.request),
        response: within(said.response),
    })
}

fn said<'e>(envelope: &'e Envelope<'_>) -> Result<Said<'e>, No> {
    match envelope.stage.as_ref() {
        "ResponseComplete" => {}
        "" => return Err(No::Sense("no audit event in JSON, one a line")),
        _ => return Err(No::Use("a stage before the answer")),
    }
    let code = envelope.response_status.as_ref().map_or(0, |status| status.code);
    if !(200..300).contains(&code) {
        return Err(No::Use("a request that was refused"));
    }
    // `dryRun=All` is the only value that there is.
    if envelope.request_uri.contains("dryRun=") {
        return Err(No::Use("a dry run"));
    }
    let object = envelope.object_ref.as_ref().ok_or(No::Use("a request about no object"))?;
    Ok(Said {
        at: &envelope.stage_timestamp,
        received: &envelope.request_received_timestamp,
        id: &envelope.audit_id,
        verb: &envelope.verb,
        object: Object {
            group: &object.api_group,
            resource: &object.resource,
            subresource: &object.subresource,
            namespace: &object.namespace,
            name: &object.name,
        },
        request: envelope.request_object,
        response: envelope.response_object,
        truncated: envelope.annotations.as_ref().is_some_and(|notes| notes.truncated == "true"),
    })
}

fn said_by_google<'e>(envelope: &'e Envelope<'_>, payload: &'e Payload<'_>) -> Result<Said<'e>, No> {
    if payload.status.as_ref().is_some_and(|status| status.code != 0) {
        return Err(No::Use("a request that was refused"));
    }
    let verb = payload.method_name.rsplit('.').next().unwrap_or_default();
    let object = object_of(&payload.resource_name).ok_or(No::Use("a request about no object"))?;
    Ok(Said {
        at: &envelope.timestamp,
        received: &envelope.timestamp,
        id: &envelope.insert_id,
        verb,
        object,
        request: payload.request,
        response: payload.response,
        truncated: false,
    })
}

/// What `core/v1/namespaces/shop/pods/web-1/binding` or `core/v1/nodes/n1/status` names.
fn object_of(path: &str) -> Option<Object<'_>> {
    let parts: Vec<&str> = path.split('/').collect();
    let (group, rest) = (*parts.first()?, parts.get(2..)?);
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    Some(Object {
        group: if group == "core" { "" } else { group },
        resource: rest.first()?,
        subresource: rest.get(2).copied().unwrap_or_default(),
        namespace,
        name: rest.get(1).copied().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(event: &Value) -> Result<Entry, No> {
        Entry::read(event.to_string().into_bytes(), 1).map_err(|(no, _)| no)
    }

    fn binding() -> Value {
        json!({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Request", "auditID": "a-1", "job": "audit",
            "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/n/pods/p/binding", "verb": "create",
            "objectRef": {"resource": "pods", "namespace": "n", "name": "p", "uid": "u", "apiVersion": "v1", "subresource": "binding"},
            "responseStatus": {"metadata": {}, "code": 201}, "requestObject": {"target": {"name": "node-1"}},
            "requestReceivedTimestamp": "2026-11-25T10:00:00.000000Z", "stageTimestamp": "2026-11-25T10:00:00.004500Z"})
    }

    #[test]
    fn an_event_is_read_with_its_bodies_and_its_latency() {
        let entry = entry(&binding()).unwrap();
        assert_eq!(
            (entry.action, entry.subresource.as_str(), entry.latency),
            (Action::Create, "binding", 4_500_000)
        );
        assert_eq!((entry.request(), entry.response()), (Some(r#"{"target":{"name":"node-1"}}"#), None));
    }

    #[test]
    fn what_changed_nothing_is_told_from_what_makes_no_sense() {
        let with = |field: &str, value: Value| {
            let mut event = binding();
            event[field] = value;
            entry(&event).unwrap_err()
        };
        assert_eq!(with("verb", json!("watch")), No::Use("a read"));
        assert_eq!(with("stage", json!("RequestReceived")), No::Use("a stage before the answer"));
        assert_eq!(with("responseStatus", json!({"code": 409})), No::Use("a request that was refused"));
        assert_eq!(with("requestURI", json!("/api/v1/pods?dryRun=All")), No::Use("a dry run"));
        assert_eq!(with("stageTimestamp", json!("soon")), No::Sense("an event without a time"));
        assert!(matches!(entry(&json!({"a": 1})), Err(No::Sense(_))));
        assert!(matches!(Entry::read(b"{".to_vec(), 1), Err((No::Sense(_), _))));
        let deep = format!("{{\"requestObject\":{}", "[".repeat(1 << 20));
        assert!(matches!(Entry::read(deep.into_bytes(), 1), Err((No::Sense(_), _))));
    }

    #[test]
    fn googles_envelope_says_the_same() {
        let event = json!({"insertId": "i", "timestamp": "2026-11-25T10:00:00.5Z", "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog", "methodName": "io.k8s.core.v1.pods.binding.create",
            "resourceName": "core/v1/namespaces/n/pods/p/binding", "request": {"@type": "core.k8s.io/v1.Binding"}, "status": {}}});
        let found = entry(&event).unwrap();
        assert_eq!(
            (
                found.group.as_str(),
                found.resource.as_str(),
                found.subresource.as_str(),
                found.namespace.as_str(),
                found.name.as_str()
            ),
            ("", "pods", "binding", "n", "p")
        );
        let node = object_of("core/v1/nodes/n1/status").unwrap();
        assert_eq!(
            (node.resource, node.name, node.subresource, node.namespace),
            ("nodes", "n1", "status", "")
        );
        assert_eq!(object_of("core/v1/namespaces/n").unwrap().resource, "namespaces");
        assert_eq!(object_of("policy/v1/namespaces/n/poddisruptionbudgets/b").unwrap().group, "policy");
        assert!(object_of("core").is_none());
        let mut refused = event;
        refused["protoPayload"]["status"]["code"] = json!(5);
        assert_eq!(entry(&refused).unwrap_err(), No::Use("a request that was refused"));
    }

    #[test]
    fn a_list_of_a_webhook_is_its_events() {
        let list =
            json!({"apiVersion": "audit.k8s.io/v1", "items": [binding(), binding()], "kind": "EventList"});
        // Go writes the kind first.
        let text = format!(r#"{{"kind":"EventList",{}"#, &list.to_string()[1..]);
        assert_eq!(events_of(text.into_bytes()).len(), 2);
        assert_eq!(events_of(binding().to_string().into_bytes()).len(), 1);
    }
}
