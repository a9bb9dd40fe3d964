//! Events as a kubelet posts them (`pkg/kubelet/kuberuntime/kuberuntime_container.go` and `images/image_manager.go`,
//! v1.37.2).

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::pod::{ContainerShape, Told};
use crate::k8s::Request;
use crate::model::{ObjectKey, Text, TraceTime};

/// What an event is about.
pub(super) struct About<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) uid: &'a str,
    pub(super) node: &'a Text,
    pub(super) container: &'a ContainerShape,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    involved_object: Involved<'a>,
    reason: &'static str,
    message: &'a str,
    source: Source<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_timestamp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_timestamp: Option<&'a str>,
    count: u32,
    #[serde(rename = "type")]
    severity: &'static str,
    reporting_component: &'static str,
    reporting_instance: &'a str,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: String,
    namespace: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Involved<'a> {
    api_version: &'static str,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    name: &'a str,
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field_path: Option<String>,
}

#[derive(Serialize)]
struct Source<'a> {
    component: &'static str,
    host: &'a str,
}

/// The request that posts an event about a container. `wall` is absent where nobody looks at a clock: then the time is
/// the API server's.
pub(super) fn post(about: &About<'_>, told: Told, now: TraceTime, wall: Option<DateTime<Utc>>) -> Request {
    let ObjectKey { namespace, name, .. } = about.key;
    let (container, image) = (&about.container.name, &about.container.image);
    let (reason, message) = match told {
        Told::Pulled => ("Pulled", format!("Container image \"{image}\" already present on machine")),
        Told::Created => ("Created", "Container created".to_owned()),
        Told::Started => ("Started", "Container started".to_owned()),
        Told::Killing => ("Killing", format!("Stopping container {container}")),
        Told::BackOff => {
            let pod = format!("{name}_{}({})", namespace.as_deref().unwrap_or_default(), about.uid);
            ("BackOff", format!("Back-off restarting failed container {container} in pod {pod}"))
        }
    };
    let time = wall.map(|wall| wall.to_rfc3339_opts(SecondsFormat::Secs, true));
    // Unique among the events of one pod: a container is told of once at an instant for a reason.
    let suffix = format!("{reason}.{container}.{:x}", now.as_nanos()).to_lowercase();
    let namespace = namespace.as_deref().unwrap_or("default");
    let event = Event {
        api_version: "v1",
        kind: "Event",
        metadata: Metadata { name: format!("{name}.{suffix}"), namespace },
        involved_object: Involved {
            api_version: "v1",
            kind: "Pod",
            namespace: Some(namespace),
            name,
            uid: about.uid,
            field_path: Some(format!("spec.containers{{{container}}}")),
        },
        reason,
        message: &message,
        source: Source { component: "kubelet", host: about.node },
        first_timestamp: time.as_deref(),
        last_timestamp: time.as_deref(),
        count: 1,
        severity: if told == Told::BackOff { "Warning" } else { "Normal" },
        reporting_component: "kubelet",
        reporting_instance: about.node,
    };
    Request::post(format!("/api/v1/namespaces/{namespace}/events"), &event)
}
