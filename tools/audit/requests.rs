//! Requests out of an API server's audit log, counted.

use std::collections::{BTreeMap, HashSet};
use std::io::BufRead;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The policy of the API server that makes such a log: what was asked, once a request, and not by the control plane
/// itself.
pub const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [system:apiserver, system:kube-scheduler, system:kube-controller-manager]
- level: None
  userGroups: [system:serviceaccounts:kube-system]
- level: None
  nonResourceURLs: ['/*']
- level: Metadata
";

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// When the API server received it.
    pub at: DateTime<Utc>,
    /// What is counted together.
    pub class: Class,
    /// Whether it is the renewal of a node's lease, and of which.
    pub renews: Option<String>,
}

/// What requests are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Class {
    /// The program, from the user agent: `kubelet`.
    pub agent: String,
    /// As in RBAC: `get`, `watch`, `patch`.
    pub verb: String,
    /// As in RBAC: `leases.coordination.k8s.io`, `pods/status`.
    pub resource: String,
}

/// A line of the log, as far as it is read (`k8s.io/apiserver/pkg/apis/audit/v1/types.go`, v0.37.2).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "auditID")]
    id: String,
    verb: String,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<ObjectRef>,
    request_received_timestamp: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef {
    resource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    api_group: String,
    #[serde(default)]
    subresource: String,
}

impl Line {
    fn request(self) -> Option<Request> {
        let object = self.object_ref?;
        let group =
            if object.api_group.is_empty() { String::new() } else { format!(".{}", object.api_group) };
        let sub =
            if object.subresource.is_empty() { String::new() } else { format!("/{}", object.subresource) };
        let is_renewal = object.namespace == "kube-node-lease" && matches!(&*self.verb, "update" | "patch");
        let agent = self.user_agent.split(['/', ' ']).next().filter(|agent| !agent.is_empty());
        Some(Request {
            at: self.request_received_timestamp,
            renews: is_renewal.then_some(object.name),
            class: Class {
                agent: agent.unwrap_or("-").to_owned(),
                verb: self.verb,
                resource: format!("{}{group}{sub}", object.resource),
            },
        })
    }
}

/// Reads a log. A watch has several lines and is one request.
///
/// # Errors
/// Where a line cannot be read; a last line without end is one that is being written, and left out.
pub fn read(mut log: impl BufRead) -> anyhow::Result<Vec<Request>> {
    let (mut seen, mut requests, mut text, mut number) = (HashSet::new(), Vec::new(), String::new(), 0);
    while log.read_line(&mut text)? > 0 && text.ends_with('\n') {
        number += 1;
        let line: Line = serde_json::from_str(&text)
            .map_err(|e| anyhow::anyhow!("line {number} is no audit event: {e}"))?;
        if seen.insert(line.id.clone()) {
            requests.extend(line.request());
        }
        text.clear();
    }
    Ok(requests)
}

/// How many there are of each class.
pub fn count<'a>(requests: impl IntoIterator<Item = &'a Request>) -> BTreeMap<Class, u64> {
    let mut counts = BTreeMap::new();
    for request in requests {
        *counts.entry(request.class.clone()).or_insert(0) += 1;
    }
    counts
}

/// How many nodes renewed their lease.
pub fn nodes(requests: &[Request]) -> usize {
    requests.iter().filter_map(|request| request.renews.as_ref()).collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn line(id: &str, verb: &str, object: &Value) -> String {
        let line = json!({"kind": "Event", "auditID": id, "stage": "ResponseComplete", "verb": verb,
            "userAgent": "kubelet/v1.37.2 (linux/amd64) kubernetes/0", "objectRef": object,
            "requestReceivedTimestamp": "2026-11-25T10:00:00.000001Z"});
        format!("{line}\n")
    }

    #[test]
    fn requests_are_counted_once_by_program_verb_and_resource() {
        let lease = |name: &str| {
            json!({"resource": "leases", "namespace": "kube-node-lease", "name": name,
                "apiGroup": "coordination.k8s.io"})
        };
        let pod = json!({"resource": "pods", "subresource": "status", "namespace": "a", "name": "p"});
        let log = [
            line("1", "update", &lease("n1")),
            line("2", "update", &lease("n2")),
            line("3", "update", &lease("n1")),
            line("4", "patch", &pod),
            line("5", "watch", &json!({"resource": "pods"})),
            line("5", "watch", &json!({"resource": "pods"})),
            line("6", "get", &Value::Null),
            "{\"being written".to_owned(),
        ];
        let requests = read(log.concat().as_bytes()).unwrap();
        let counts: Vec<String> = count(&requests)
            .iter()
            .map(|(c, n)| format!("{} {} {} {n}", c.agent, c.verb, c.resource))
            .collect();
        assert_eq!(
            counts,
            [
                "kubelet patch pods/status 1",
                "kubelet update leases.coordination.k8s.io 3",
                "kubelet watch pods 1"
            ]
        );
        assert_eq!(nodes(&requests), 2);
        let error = read("{}\n".as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("line 1 is no audit event"), "{error}");
    }
}
