//! Health over verified TLS with the administrator's certificate.

use std::time::Duration;

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use tokio::time::timeout;

use super::dirs::Layout;
use super::{ClusterError, Component, pki};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Schedulers since 1.31 say here when their caches are filled: nodes made before that would arrive in the initial
/// list, in random order. Older ones do not have it, and count as ready once they are healthy.
const READY: &str = "/readyz";

/// One endpoint of the cluster.
pub(super) struct Probe {
    client: Client,
}

impl Probe {
    pub async fn new(layout: &Layout, port: u16) -> Result<Probe, ClusterError> {
        let url = format!("https://127.0.0.1:{port}");
        let failed = |reason: String| ClusterError::Client { url: url.clone(), reason };
        let kubeconfig: Kubeconfig = serde_json::from_value(pki::kubeconfig(layout, "probe", &url, "admin")?)
            .map_err(|e| failed(e.to_string()))?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|e| failed(e.to_string()))?;
        // A proxy from the environment has no business on the loopback address.
        config.proxy_url = None;
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|e| failed(e.to_string()))?;
        Ok(Probe { client })
    }

    /// The body of a successful answer, else what went wrong.
    pub async fn get(&self, path: &str) -> Result<String, String> {
        let request = http::Request::get(path).body(Vec::new()).map_err(|e| e.to_string())?;
        match timeout(ANSWER_WITHIN, self.client.request_text(request)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 && path == READY => Ok(String::new()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer to {path} within {} s", ANSWER_WITHIN.as_secs())),
        }
    }
}

/// What must answer before the component counts as ready. For the API server that includes what the others and the
/// first pods need: the namespace, and the config map from which the scheduler learns whom to trust.
pub(super) fn paths(component: Component) -> &'static [&'static str] {
    match component {
        Component::Etcd => &["/health"],
        Component::ApiServer => &[
            READY,
            "/api/v1/namespaces/default",
            "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication",
        ],
        Component::ControllerManager => &["/healthz"],
        Component::Scheduler => &["/healthz", READY],
    }
}
