use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::Residents;
use super::answer::{Answer, Answerer, Asked};
use crate::expose::accept;
use crate::hollow::keeper::wall;
use crate::pace::Clock;

/// A client that takes longer to shake hands or to ask is dropped.
const ASKS_WITHIN: Duration = Duration::from_secs(5);

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// No certificate could be made.
    #[error("cannot make a certificate for the kubelet endpoint")]
    Certificate(#[from] rcgen::Error),
    /// The certificate cannot be served.
    #[error("cannot serve with the certificate of the kubelet endpoint")]
    Tls(#[from] rustls::Error),
}

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Endpoint {
    task: JoinHandle<()>,
}

impl Endpoint {
    /// Answers whoever connects, with a certificate that it signs itself, as a kubelet without `--tls-cert-file` does.
    ///
    /// # Errors
    /// [`EndpointError`] where no certificate can be made.
    pub fn start(
        listener: TcpListener,
        residents: impl Residents + 'static,
        clock: Arc<dyn Clock>,
    ) -> Result<Endpoint, EndpointError> {
        let acceptor = TlsAcceptor::from(Arc::new(server_config()?));
        let answerer = Answerer::new(residents, wall(&*clock));
        let service = Service { answerer: Arc::new(Mutex::new(answerer)), clock };
        Ok(Endpoint { task: tokio::spawn(serve(listener, acceptor, service)) })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn server_config() -> Result<ServerConfig, EndpointError> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "kubereel-hollow");
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok(config)
}

struct Service<R> {
    answerer: Arc<Mutex<Answerer<R>>>,
    clock: Arc<dyn Clock>,
}

impl<R> Clone for Service<R> {
    fn clone(&self) -> Self {
        Service { answerer: self.answerer.clone(), clock: self.clock.clone() }
    }
}

impl<R: Residents> Service<R> {
    fn answer(&self, request: &Request<Incoming>, address: IpAddr) -> Response<Full<Bytes>> {
        let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
        // A name or IPv4 address: nodes are not called by IPv6 addresses.
        let host = host.and_then(|host| host.split(':').next());
        let asked = Asked { path: request.uri().path(), host, address };
        let mut answerer = self.answerer.lock().unwrap_or_else(PoisonError::into_inner);
        let Answer { status, content_type, body } = answerer.answer(asked, wall(&*self.clock));
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        let content_type = HeaderValue::from_static(content_type);
        response.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
        response
    }
}

async fn serve<R: Residents + 'static>(listener: TcpListener, acceptor: TlsAcceptor, service: Service<R>) {
    let connected = |stream| {
        let connection = connection(stream, acceptor.clone(), service.clone());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("kubelet endpoint: {error}");
            }
        });
    };
    accept(listener, "kubelet endpoint", connected).await;
}

async fn connection<R: Residents>(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    service: Service<R>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let address = stream.local_addr()?.ip();
    let stream = tokio::time::timeout(ASKS_WITHIN, acceptor.accept(stream)).await??;
    let service = service_fn(move |request| {
        let answer = service.answer(&request, address);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(ASKS_WITHIN);
    server.serve_connection(TokioIo::new(stream), service).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hollow::endpoint::answer::tests::Two;
    use crate::pace::SystemClock;

    #[tokio::test]
    async fn it_speaks_https_and_keeps_connections() {
        let clock = Arc::new(SystemClock::start());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let _endpoint = Endpoint::start(listener, Two, clock).unwrap();
        // It may be another test's already.
        let _ = ring::default_provider().install_default();
        let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
        for (path, status, words) in [
            ("nodes/n1/metrics/resource", 200, "pod_cpu_usage_seconds_total"),
            ("containerLogs/shop/web/main", 200, "no containers"),
            ("exec/shop/web/main?command=ls", 501, "nothing to run a command in"),
            ("nodes/n9/pods", 404, "no hollow node"),
        ] {
            let answer = client.get(format!("https://{address}/{path}")).send().await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            let body = answer.text().await.unwrap();
            assert!(body.contains(words), "{path}: {body}");
        }
    }
}
