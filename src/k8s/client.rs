use std::path::PathBuf;
use std::time::Duration;

use http::header::{HeaderValue, USER_AGENT};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

use super::error::{K8sError, chain};
use super::multiplex::multiplexed;
use super::proxy;
use super::request::{Request, send};
use super::session::Session;
use crate::model::{Json, POD};

/// Who we are in an audit log.
const AGENT: &str = concat!("kubereel/", env!("CARGO_PKG_VERSION"));

/// Which cluster.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// Kubeconfig file; absent: `$KUBECONFIG`, `~/.kube/config`, or the service account of the pod around us.
    pub kubeconfig: Option<PathBuf>,
    /// Context in it; absent: its current one.
    pub context: Option<String>,
}

/// A cluster that answered.
#[derive(Clone)]
pub struct Target {
    /// The connection.
    pub client: kube::Client,
    /// Name of the kubeconfig context, or `in-cluster`.
    pub context: String,
    /// Address of the API server.
    pub url: String,
    /// Its `gitVersion`.
    pub version: String,
    options: ConnectOptions,
    config: Config,
}

impl Target {
    /// The connection for those that outlive its credentials.
    pub fn session(&self) -> Session {
        Session::new(self.client.clone(), self.options.clone())
    }

    /// A client of its own for many small requests: one connection carries them side by side where the server speaks
    /// HTTP/2. Not for watches, of which a connection carries a few hundred. Through a proxy it is like any other client.
    ///
    /// # Errors
    /// [`K8sError::Kubeconfig`] where the credentials cannot be had again.
    pub async fn multiplexed(&self) -> Result<kube::Client, K8sError> {
        if self.config.proxy_url.is_some() || self.config.tls_server_name.is_some() {
            return Ok(self.client.clone());
        }
        let config = self.config.clone();
        client_of(&self.options, move || multiplexed(&config)).await
    }
}

impl std::fmt::Display for Target {
    /// `kind-test (https://127.0.0.1:6443, v1.37.2)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {})", self.context, self.url, self.version)
    }
}

/// Connects and asks for the version, so that a wrong address or wrong credentials show at once.
///
/// # Errors
/// [`K8sError`] that names the kubeconfig, the address or the context to look at.
pub async fn connect(options: &ConnectOptions) -> Result<Target, K8sError> {
    let Built { client, config, context, url } = build(options).await?;
    // `/version` is open to everybody; listing namespaces' own rules is not, so wrong credentials show here.
    let whoami = Request::access_review(&POD, "", "list", None);
    let version = ask(&client, Request::get("/version".to_owned()), &url, &context).await?;
    ask(&client, whoami, &url, &context).await?;
    let version = version["gitVersion"].as_str().unwrap_or("unknown").to_owned();
    Ok(Target { client, context, url, version, options: options.clone(), config })
}

/// A client that has not been used yet.
pub(super) struct Built {
    pub(super) client: kube::Client,
    pub(super) config: Config,
    pub(super) context: String,
    pub(super) url: String,
}

/// Reads the kubeconfig and makes a client; runs the program that it names for credentials.
pub(super) async fn build(options: &ConnectOptions) -> Result<Built, K8sError> {
    let (config, context) = load(options).await?;
    let url = config.cluster_url.to_string();
    let own = config.clone();
    let client = client_of(options, move || kube::Client::try_from(own)).await?;
    Ok(Built { client, config, context, url })
}

/// Makes a client. The program for credentials that it may run takes as long as it likes: not on a thread that others
/// wait for.
async fn client_of(
    options: &ConnectOptions,
    make: impl FnOnce() -> Result<kube::Client, kube::Error> + Send + 'static,
) -> Result<kube::Client, K8sError> {
    let made = tokio::task::spawn_blocking(move || make().map_err(|e| chain(&e))).await;
    made.unwrap_or_else(|e| Err(e.to_string()))
        .map_err(|what| K8sError::Kubeconfig { path: shown_path(options), what })
}

async fn ask(client: &kube::Client, request: Request, url: &str, context: &str) -> Result<Json, K8sError> {
    match send(client, &request).await {
        Ok(reply) => Ok(reply.body),
        Err(K8sError::Api { status: 401, message, .. }) => {
            Err(K8sError::Unauthorized { url: url.to_owned(), context: context.to_owned(), what: message })
        }
        Err(K8sError::Transport { what, .. }) => Err(K8sError::Unreachable { url: url.to_owned(), what }),
        Err(other) => Err(other),
    }
}

async fn load(options: &ConnectOptions) -> Result<(Config, String), K8sError> {
    let bad = |what: String| K8sError::Kubeconfig { path: shown_path(options), what };
    let kubeconfig = match &options.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let kubeconfig = match kubeconfig {
        Ok(kubeconfig) => kubeconfig,
        Err(error) if options.kubeconfig.is_none() && options.context.is_none() => {
            let config = Config::incluster().map_err(|_| bad(chain(&error)))?;
            return Ok((ours(config, false), "in-cluster".to_owned()));
        }
        Err(error) => return Err(bad(chain(&error))),
    };
    let context =
        options.context.clone().or_else(|| kubeconfig.current_context.clone().filter(|c| !c.is_empty()));
    let known: Vec<String> = kubeconfig.contexts.iter().map(|c| c.name.clone()).collect();
    let Some(context) = context else {
        return Err(bad(format!("has no current context; its contexts are: {}", listed(&known))));
    };
    if !known.contains(&context) {
        return Err(bad(format!("has no context {context:?}; its contexts are: {}", listed(&known))));
    }
    let choice = KubeConfigOptions { context: Some(context.clone()), ..Default::default() };
    let has_own_proxy = names_proxy(&kubeconfig, &context);
    let config = Config::from_custom_kubeconfig(kubeconfig, &choice).await.map_err(|e| bad(chain(&e)))?;
    Ok((ours(config, has_own_proxy), context))
}

/// Whether the cluster of a context has a `proxy-url`.
fn names_proxy(kubeconfig: &Kubeconfig, context: &str) -> bool {
    let context = kubeconfig.contexts.iter().find(|c| c.name == context).and_then(|c| c.context.as_ref());
    let cluster = context.and_then(|context| kubeconfig.clusters.iter().find(|c| c.name == context.cluster));
    let cluster = cluster.and_then(|c| c.cluster.as_ref());
    cluster.and_then(|c| c.proxy_url.as_ref()).is_some_and(|proxy| !proxy.is_empty())
}

/// What we set in every configuration.
fn ours(mut config: Config, has_own_proxy: bool) -> Config {
    config.connect_timeout = Some(Duration::from_secs(10));
    config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
    // Retries are ours to make and to count.
    config.default_retry = false;
    if !has_own_proxy {
        let chosen = proxy::from_env(&config.cluster_url);
        // kube's reading keeps the user and password, but takes no address without scheme.
        let as_read = config.proxy_url.take().filter(|url| url.scheme().is_some());
        config.proxy_url = chosen.map(|url| as_read.unwrap_or(url));
    }
    config
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn shown_path(options: &ConnectOptions) -> PathBuf {
    let env = || std::env::var_os("KUBECONFIG").filter(|v| !v.is_empty()).map(PathBuf::from);
    options.kubeconfig.clone().or_else(env).unwrap_or_else(|| PathBuf::from("~/.kube/config"))
}

/// A client for another component of the same control plane (a scheduler's `/metrics`), with the CA and the
/// credentials of the kubeconfig.
///
/// # Errors
/// [`K8sError::Kubeconfig`] where the kubeconfig or the address cannot be used.
pub async fn component_client(options: &ConnectOptions, url: &str) -> Result<kube::Client, K8sError> {
    let (mut config, _) = load(options).await?;
    let bad = |what: String| K8sError::Kubeconfig { path: shown_path(options), what };
    config.cluster_url = url.parse().map_err(|e| bad(format!("{url:?} is no address: {e}")))?;
    kube::Client::try_from(config).map_err(|e| bad(chain(&e)))
}
