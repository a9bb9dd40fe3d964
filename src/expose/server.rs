use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A client that takes longer to ask is dropped.
const ASKS_WITHIN: Duration = Duration::from_secs(5);

/// How it stands with what is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does what it should.
    Ready,
    /// Not yet, for this reason.
    Starting(String),
    /// No more, for this reason.
    Failed(String),
}

/// What is served.
pub trait Exposed: Send + Sync + 'static {
    /// How it stands.
    fn health(&self) -> Health;
    /// Its metrics in Prometheus text format.
    fn metrics(&self) -> String;
}

/// Serves `/metrics`, `/healthz` and `/readyz` until it is dropped.
#[derive(Debug)]
pub struct MetricsServer {
    /// The address that it listens on.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl MetricsServer {
    /// Starts to listen.
    ///
    /// # Errors
    /// Where the address cannot be listened on.
    pub async fn start(address: SocketAddr, exposed: Arc<dyn Exposed>) -> std::io::Result<MetricsServer> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(MetricsServer { address, task: tokio::spawn(serve(listener, exposed)) })
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Hands over each client that connects to `server`, until it is dropped.
pub async fn accept(listener: TcpListener, server: &'static str, mut connected: impl FnMut(TcpStream)) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => connected(stream),
            // No more file handles, or a client that has gone.
            Err(error) => {
                tracing::debug!("{server}: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(listener: TcpListener, exposed: Arc<dyn Exposed>) {
    let connected = |stream| {
        let exposed = exposed.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer(request.uri().path(), &*exposed);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(ASKS_WITHIN).keep_alive(false);
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!("metrics: {error}");
            }
        });
    };
    accept(listener, "metrics", connected).await;
}

fn answer(path: &str, exposed: &dyn Exposed) -> Response<Full<Bytes>> {
    let (code, text) = match (path, exposed.health()) {
        ("/metrics", _) => (StatusCode::OK, exposed.metrics()),
        ("/healthz" | "/readyz", Health::Failed(why)) | ("/readyz", Health::Starting(why)) => {
            (StatusCode::SERVICE_UNAVAILABLE, why)
        }
        ("/healthz" | "/readyz", _) => (StatusCode::OK, "ok\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = code;
    let content = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, content);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    struct Waiting;

    impl Exposed for Waiting {
        fn health(&self) -> Health {
            Health::Starting("the first lists are not complete\n".to_owned())
        }

        fn metrics(&self) -> String {
            "ready 0\n".to_owned()
        }
    }

    #[tokio::test]
    async fn what_is_asked_for_is_answered() {
        let server = MetricsServer::start(([127, 0, 0, 1], 0).into(), Arc::new(Waiting)).await.unwrap();
        for (path, status, words) in [
            ("/metrics", "200", "ready 0"),
            ("/healthz", "200", "ok"),
            ("/readyz", "503", "not complete"),
            ("/", "404", "/metrics"),
        ] {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(words), "{answer}");
        }
    }
}
