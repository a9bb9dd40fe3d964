use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::rank;
use crate::expose::accept;

/// The largest request that is read: 100,000 nodes with names of 253 bytes, and their pod.
const LARGEST: usize = 32 << 20;

/// A scheduler extender on loopback that breaks ties: `POST /prioritize` with the names of nodes is answered with a rank
/// for each. It serves until it is dropped.
#[derive(Debug)]
pub struct Extender {
    address: SocketAddr,
    refused: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Extender {
    /// Starts to listen.
    ///
    /// # Errors
    /// Where there is no port to listen on.
    pub async fn start() -> std::io::Result<Extender> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let refused = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(serve(listener, refused.clone()));
        Ok(Extender { address, refused, task })
    }

    /// Where it listens: the `urlPrefix` of a scheduler's configuration.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests it could not answer since it was last asked. Ties in them were broken by the scheduler.
    pub fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Extender {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, refused: Arc<AtomicU64>) {
    let connected = |stream| drop(tokio::spawn(connection(stream, refused.clone())));
    accept(listener, "tie-break extender", connected).await;
}

/// Connections stay open while idle: a scheduler that finds its connection closed in the middle of a request does
/// without the answer, and says nothing.
async fn connection(stream: TcpStream, refused: Arc<AtomicU64>) {
    // Answers are larger than a segment, and nothing follows them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| async {
        let response = respond(request).await;
        if response.status() != StatusCode::OK {
            refused.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<_, Infallible>(response)
    });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!("tie-break extender: {error}");
    }
}

async fn respond(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let answered = match Limited::new(request.into_body(), LARGEST).collect().await {
        Ok(body) => rank::answer(&body.to_bytes()).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let (status, body) = match answered {
        Ok(ranks) => (StatusCode::OK, ranks),
        Err(why) => {
            tracing::warn!("tie-break extender: a request that cannot be read: {why}");
            (StatusCode::BAD_REQUEST, why.into_bytes())
        }
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn it_answers_on_one_connection_and_counts_what_it_cannot_read() {
        let extender = Extender::start().await.unwrap();
        let address = extender.url().trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(address).await.unwrap();
        for (body, status, words) in
            [(r#"{"NodeNames":["a"]}"#, "200", r#"[{"Host":"a","Score":99999}]"#), ("{}", "400", "NodeNames")]
        {
            let head =
                format!("POST /prioritize HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + body).as_bytes()).await.unwrap();
            let mut answer = String::new();
            while !answer.contains(words) {
                let mut piece = [0; 1024];
                let n = stream.read(&mut piece).await.unwrap();
                assert!(n > 0, "closed after {answer}");
                answer += &String::from_utf8_lossy(&piece[..n]);
            }
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        }
        assert_eq!((extender.take_refused(), extender.take_refused()), (1, 0));
    }
}
