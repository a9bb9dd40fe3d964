//! The kubelet's HTTPS endpoint, one for all hollow nodes of a process.
//!
//! A pod is known by its namespace and name, so `logs`, `exec` and their like need no node. What is asked about a node
//! says which by one of: the path (`/nodes/NAME/metrics/resource`, announced to metrics-server by the annotation
//! [`METRICS_PATH_ANNOTATION`]), the `Host` header, or the address that was connected to, where that is one node's
//! `InternalIP`.
//!
//! Anybody who can connect may ask, as with a kubelet's read-only port: there is nothing to protect but names and
//! made-up figures. So it listens on loopback unless told otherwise.

mod answer;
mod figures;
mod meter;
mod server;
mod usage;

pub use server::{Endpoint, EndpointError};
pub use usage::{USAGE_CPU, USAGE_MEMORY};

use std::net::IpAddr;

use crate::model::Json;

/// Where metrics-server looks for the path of a node's `/metrics/resource`
/// (`pkg/scraper/client/resource/client.go`, v0.7.0 and later).
pub const METRICS_PATH_ANNOTATION: &str = "metrics.k8s.io/resource-metrics-path";

/// The path under which a node's `/metrics/resource` is served.
pub fn metrics_path(node: &str) -> String {
    format!("/nodes/{node}/metrics/resource")
}

/// What the endpoint tells about: the hollow nodes of this process and the pods on them.
pub trait Residents: Send + Sync {
    /// The node whose `InternalIP` this is; `None` where it is no node's or that of several.
    fn node_at(&self, address: IpAddr) -> Option<String>;

    /// The pods on a node, as the API has them; `None` where there is no such node.
    fn pods_on(&self, node: &str) -> Option<Vec<Json>>;

    /// A pod of any node.
    fn pod(&self, namespace: &str, name: &str) -> Option<Json>;
}
