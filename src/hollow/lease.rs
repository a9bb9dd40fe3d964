use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::k8s::{K8sError, Request, send};
use crate::pace::Clock;

/// `leaseDurationSeconds` of a kubelet (`pkg/kubelet/apis/config/v1beta1/defaults.go`, v1.37.2).
const LEASE_SECONDS: u64 = 40;

/// A kubelet renews at a quarter of the duration (`pkg/kubelet/kubelet.go`, `nodeLeaseRenewIntervalFraction` 0.25).
const RENEW: Duration = Duration::from_secs(LEASE_SECONDS / 4);

/// Ticks that the renewals are spread over.
const SLOTS: u64 = 100;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

#[derive(Debug, Clone)]
struct Held {
    uid: String,
    slot: u64,
    /// resourceVersion of our last write; empty before the first.
    rv: String,
}

/// Renews the leases of hollow nodes, each with its node as holder, spread evenly over the interval.
#[derive(Debug)]
pub struct Leases {
    held: Arc<Mutex<HashMap<String, Held>>>,
    task: JoinHandle<()>,
}

impl Leases {
    /// Starts renewing on the current runtime.
    pub fn start(client: kube::Client, clock: Arc<dyn Clock>) -> Leases {
        let held = Arc::new(Mutex::new(HashMap::new()));
        let task = tokio::spawn(renew(client, clock, held.clone()));
        Leases { held, task }
    }

    /// A node was registered. Its first renewal follows within a tenth of a second times its place in the spread.
    pub fn add(&self, node: &str, uid: &str) {
        let mut held = lock(&self.held);
        let slot = held.len() as u64 % SLOTS;
        held.insert(node.to_owned(), Held { uid: uid.to_owned(), slot, rv: String::new() });
    }

    /// A node is gone, or has fallen silent.
    pub fn remove(&self, node: &str) {
        lock(&self.held).remove(node);
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(held: &Mutex<HashMap<String, Held>>) -> MutexGuard<'_, HashMap<String, Held>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn renew(client: kube::Client, clock: Arc<dyn Clock>, held: Arc<Mutex<HashMap<String, Held>>>) {
    let mut ticks = tokio::time::interval(RENEW / SLOTS as u32);
    for tick in 0u64.. {
        ticks.tick().await;
        // New nodes get their lease at once: the node lifecycle controller looks for it.
        let due: Vec<(String, Held)> = lock(&held)
            .iter()
            .filter(|(_, h)| h.rv.is_empty() || h.slot == tick % SLOTS)
            .map(|(node, h)| (node.clone(), h.clone()))
            .collect();
        for (node, lease) in due {
            let renewed = renew_one(&client, &node, &lease, wall(&*clock)).await;
            match renewed {
                Ok(rv) => {
                    if let Some(h) = lock(&held).get_mut(&node) {
                        h.rv = rv;
                    }
                }
                Err(error) => tracing::debug!("lease of {node}: {error}"),
            }
        }
    }
}

async fn renew_one(
    client: &kube::Client,
    node: &str,
    lease: &Held,
    now: DateTime<Utc>,
) -> Result<String, K8sError> {
    let body = lease_object(node, lease, now);
    let path = format!("{LEASES}/{node}");
    let request = if lease.rv.is_empty() {
        Request::post(LEASES.to_owned(), &body)
    } else {
        Request::put(path.clone(), &body)
    };
    let reply = match send(client, &request).await {
        // It exists, or somebody else wrote it: take its version and write over it.
        Err(error) if error.status() == Some(409) => {
            let current = send(client, &Request::get(path.clone())).await?;
            let rv = text(&current.body["metadata"]["resourceVersion"]);
            send(client, &Request::put(path, &lease_object(node, &Held { rv, ..lease.clone() }, now))).await?
        }
        other => other?,
    };
    Ok(text(&reply.body["metadata"]["resourceVersion"]))
}

fn lease_object(node: &str, lease: &Held, now: DateTime<Utc>) -> Value {
    let mut object = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": node, "namespace": "kube-node-lease", "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": node, "uid": lease.uid}]},
        "spec": {"holderIdentity": node, "leaseDurationSeconds": LEASE_SECONDS,
                 "renewTime": now.to_rfc3339_opts(SecondsFormat::Micros, true)},
    });
    if !lease.rv.is_empty() {
        object["metadata"]["resourceVersion"] = lease.rv.as_str().into();
    }
    object
}

fn text(value: &crate::model::Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The wall clock as the API writes it.
pub(super) fn wall(clock: &dyn Clock) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(clock.wall_ns())
}
