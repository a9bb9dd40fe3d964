//! Watches that each node keeps for itself, with the selectors that kubelets and kube-proxies of v1.37.2 use, by an API
//! server's audit log.

use serde::Deserialize;

use crate::k8s::{Scope, Step, Watched, Watcher};
use crate::model::{Kind, NODE, POD, Text};

const SERVICE: Kind = Kind::of("", "v1", "Service", "services", true);
const CONFIG_MAP: Kind = Kind::of("", "v1", "ConfigMap", "configmaps", true);
const SECRET: Kind = Kind::of("", "v1", "Secret", "secrets", true);
const CSI_DRIVER: Kind = Kind::of("storage.k8s.io", "v1", "CSIDriver", "csidrivers", false);
const RUNTIME_CLASS: Kind = Kind::of("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", false);
const CERTIFICATE: Kind =
    Kind::of("certificates.k8s.io", "v1", "PodCertificateRequest", "podcertificaterequests", true);
const ENDPOINT_SLICE: Kind = Kind::of("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", true);
const SERVICE_CIDR: Kind = Kind::of("networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs", false);

/// What is watched.
pub(super) type Informer = (Kind, Scope);

fn fields(selector: String) -> Scope {
    Scope { fields: selector, ..Scope::default() }
}

/// The pods of a node.
pub(super) fn pods(node: &str) -> Informer {
    (POD, fields(format!("spec.nodeName={node}")))
}

/// The node itself.
pub(super) fn node(node: &str) -> Informer {
    (NODE, fields(format!("metadata.name={node}")))
}

/// What a kubelet watches besides its node and pods; nothing here follows from it.
pub(super) fn of_kubelet(node: &str) -> Vec<Informer> {
    vec![
        (SERVICE, fields("spec.clusterIP!=None".to_owned())),
        (CSI_DRIVER, Scope::default()),
        (RUNTIME_CLASS, Scope::default()),
        (CERTIFICATE, fields(format!("spec.nodeName={node}"))),
    ]
}

/// What a kube-proxy watches (`cmd/kube-proxy/app/server.go`, v1.37.2).
pub(super) fn of_proxy(name: &str) -> Vec<Informer> {
    let labels = |selector: &str, scope: Scope| Scope { labels: selector.to_owned(), ..scope };
    let services = fields("spec.clusterIP!=None".to_owned());
    vec![
        (SERVICE, labels("!service.kubernetes.io/service-proxy-name", services)),
        (ENDPOINT_SLICE, labels("!service.kubernetes.io/headless", Scope::default())),
        (SERVICE_CIDR, Scope::default()),
        node(name),
    ]
}

/// A config map or secret that pods of a node refer to: kubelets watch each on its own
/// (`pkg/kubelet/util/manager/watch_based_manager.go`, v1.37.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Referred {
    pub(super) is_secret: bool,
    pub(super) namespace: Text,
    pub(super) name: Text,
}

impl Referred {
    pub(super) fn informer(&self) -> Informer {
        let scope = Scope {
            namespace: Some(self.namespace.to_string()),
            ..fields(format!("metadata.name={}", self.name))
        };
        (if self.is_secret { SECRET } else { CONFIG_MAP }, scope)
    }
}

/// What is kept of an object that nothing follows from.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Passed {
    metadata: PassedMeta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PassedMeta {
    resource_version: Text,
}

impl Watched for Passed {
    fn version(&self) -> Option<&str> {
        Some(&self.metadata.resource_version)
    }
}

/// Keeps a watch for its own sake, for ever. A kind that is not served or not allowed is left alone.
pub(super) async fn keep(mut watcher: Watcher<Passed>) {
    loop {
        match watcher.next().await {
            Ok(Step::Interrupted(why)) => tracing::debug!("a watch was interrupted: {why:?}"),
            Ok(_) => {}
            Err(error) => return tracing::debug!("a watch is left out: {error}"),
        }
    }
}
