//! Many small requests over one connection, as kubelets send theirs: `kube`'s own client speaks HTTP/1.1 alone, where each
//! request on its way has a connection of its own.

use std::time::Duration;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::Config;
use kube::client::{Body, ClientBuilder, ConfigExt};
use tower::{BoxError, ServiceBuilder};

/// A connection on which requests wait and nothing comes is asked for a sign of life after this time, and given up after
/// it once more: well before a lease of 40 s ends.
const SILENCE: Duration = Duration::from_secs(5);

/// A client with one connection to a server that speaks HTTP/2, with several to one that does not.
pub(super) fn multiplexed(config: &Config) -> Result<kube::Client, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(config.connect_timeout);
    let tls = HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?);
    let connector = tls.https_or_http().enable_http1().enable_http2().wrap_connector(tcp);
    let client: Client<_, Body> = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(SILENCE)
        .http2_keep_alive_timeout(SILENCE)
        .build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}
