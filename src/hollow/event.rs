//! Events as kubelets post them (`pkg/kubelet/kuberuntime/kuberuntime_container.go`, `images/image_manager.go`,
//! `kubelet.go`, `kubelet_node_status.go` and `cm/node_container_manager_linux.go`, v1.37.2) and kube-proxies
//! (`cmd/kube-proxy/app/server.go`).

use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::json;

use super::fleet::Instants;
use super::pod::{ContainerShape, Told};
use crate::k8s::Request;
use crate::model::{ObjectKey, Text};

/// What a node tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeTold {
    /// Its kubelet starts.
    Starting,
    /// It has memory, disk space and process IDs.
    HasSufficientMemory,
    /// See above.
    HasNoDiskPressure,
    /// See above.
    HasSufficientPid,
    /// What pods may use is set.
    AllocatableEnforced,
    /// It takes pods.
    Ready,
    /// It does not.
    NotReady,
    /// It was cordoned.
    NotSchedulable,
    /// It was uncordoned.
    Schedulable,
    /// Its kube-proxy starts.
    ProxyStarting,
}

impl NodeTold {
    /// What a kubelet tells when it starts.
    pub(super) const AT_START: [NodeTold; 6] = [
        NodeTold::Starting,
        NodeTold::HasSufficientMemory,
        NodeTold::HasNoDiskPressure,
        NodeTold::HasSufficientPid,
        NodeTold::AllocatableEnforced,
        NodeTold::Ready,
    ];

    fn reason(self) -> &'static str {
        match self {
            NodeTold::Starting | NodeTold::ProxyStarting => "Starting",
            NodeTold::HasSufficientMemory => "NodeHasSufficientMemory",
            NodeTold::HasNoDiskPressure => "NodeHasNoDiskPressure",
            NodeTold::HasSufficientPid => "NodeHasSufficientPID",
            NodeTold::AllocatableEnforced => "NodeAllocatableEnforced",
            NodeTold::Ready => "NodeReady",
            NodeTold::NotReady => "NodeNotReady",
            NodeTold::NotSchedulable => "NodeNotSchedulable",
            NodeTold::Schedulable => "NodeSchedulable",
        }
    }
}

/// The request that posts an event of a node about itself.
pub(super) fn post_of_node(name: &str, uid: &str, told: NodeTold, now: Instants) -> Request {
    let reason = told.reason();
    let id = format!("{name}.{reason}.{:x}", now.trace.as_nanos()).to_lowercase();
    if told == NodeTold::ProxyStarting {
        // The newer API: no count, no component that is its source.
        let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": format!("{id}.proxy"), "namespace": "default"},
            "eventTime": now.wall.to_rfc3339_opts(SecondsFormat::Micros, true),
            "action": "StartKubeProxy", "reason": reason, "type": "Normal",
            "regarding": {"kind": "Node", "name": name},
            "reportingController": "kube-proxy", "reportingInstance": format!("kube-proxy-{name}")});
        return Request::post("/apis/events.k8s.io/v1/namespaces/default/events".to_owned(), &event);
    }
    let message = match told {
        NodeTold::Starting => "Starting kubelet.".to_owned(),
        NodeTold::AllocatableEnforced => "Updated Node Allocatable limit across pods".to_owned(),
        _ => format!("Node {name} status is now: {reason}"),
    };
    let time = now.wall.to_rfc3339_opts(SecondsFormat::Secs, true);
    let involved = Involved { api_version: "v1", kind: "Node", namespace: None, name, uid, field_path: None };
    let about = Posted { id, namespace: "default", involved, node: name, time: &time };
    about.request(reason, &message, "Normal")
}

/// An event in the making.
struct Posted<'a> {
    id: String,
    namespace: &'a str,
    involved: Involved<'a>,
    node: &'a str,
    time: &'a str,
}

impl Posted<'_> {
    fn request(self, reason: &'static str, message: &str, severity: &'static str) -> Request {
        let event = Event {
            api_version: "v1",
            kind: "Event",
            metadata: Metadata { name: self.id, namespace: self.namespace },
            involved_object: self.involved,
            reason,
            message,
            source: Source { component: "kubelet", host: self.node },
            first_timestamp: self.time,
            last_timestamp: self.time,
            count: 1,
            severity,
            reporting_component: "kubelet",
            reporting_instance: self.node,
        };
        Request::post(format!("/api/v1/namespaces/{}/events", self.namespace), &event)
    }
}

/// What an event is about.
pub(super) struct About<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) uid: &'a str,
    pub(super) node: &'a Text,
    pub(super) container: &'a ContainerShape,
    pub(super) is_init: bool,
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
    first_timestamp: &'a str,
    last_timestamp: &'a str,
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

/// The request that posts an event about a container.
pub(super) fn post(about: &About<'_>, told: Told, now: Instants) -> Request {
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
    let time = now.wall.to_rfc3339_opts(SecondsFormat::Secs, true);
    // As `fieldPath` in `pkg/kubelet/container/ref.go`.
    let list = if about.is_init { "initContainers" } else { "containers" };
    // Unique among the events of one pod: a container is told of once at an instant for a reason.
    let suffix = format!("{reason}.{container}.{:x}", now.trace.as_nanos()).to_lowercase();
    let namespace = namespace.as_deref().unwrap_or("default");
    let involved = Involved {
        api_version: "v1",
        kind: "Pod",
        namespace: Some(namespace),
        name,
        uid: about.uid,
        field_path: Some(format!("spec.{list}{{{container}}}")),
    };
    let posted =
        Posted { id: format!("{name}.{suffix}"), namespace, involved, node: about.node, time: &time };
    posted.request(reason, &message, if told == Told::BackOff { "Warning" } else { "Normal" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TraceTime;
    use chrono::DateTime;
    use std::collections::HashSet;

    #[test]
    fn events_of_a_node_have_names_of_their_own() {
        let now = Instants { trace: TraceTime::ZERO, wall: DateTime::UNIX_EPOCH };
        let all = NodeTold::AT_START.into_iter().chain([NodeTold::ProxyStarting]);
        let posted = all.map(|told| post_of_node("n1", "u", told, now));
        let posted: Vec<serde_json::Value> =
            posted.map(|request| serde_json::from_slice(request.body()).unwrap()).collect();
        let names: HashSet<_> = posted.iter().map(|event| event["metadata"]["name"].to_string()).collect();
        assert_eq!(names.len(), posted.len(), "{posted:?}");
        assert_eq!(posted[0]["message"], "Starting kubelet.");
        assert_eq!(posted[5]["message"], "Node n1 status is now: NodeReady");
    }
}
