//! An API server that only answers: what is written comes back, lists are empty, watches are silent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Collected, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Hears what the server is asked.
pub trait Seen: Send + Sync + 'static {
    /// A request came.
    fn asked(&self) {}
    /// An object with a name was written to this path.
    fn written(&self, _path: &str, _name: &str) {}
}

/// A kubeconfig that leads to it.
pub fn kubeconfig(address: SocketAddr) -> Value {
    json!({"apiVersion": "v1", "kind": "Config", "current-context": "stub",
        "clusters": [{"name": "stub", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "stub", "user": {}}],
        "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "stub"}}]})
}

/// Until it is dropped, with all connections.
pub async fn serve(listener: TcpListener, seen: Arc<impl Seen>) {
    let mut connections = JoinSet::new();
    let versions = Arc::new(AtomicU64::new(1));
    while let Ok((stream, _)) = listener.accept().await {
        // Its answers are small and come one by one: none may wait for the next.
        let _ = stream.set_nodelay(true);
        let (seen, versions) = (seen.clone(), versions.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let version = versions.fetch_add(1, Ordering::Relaxed);
                answer(request, seen.clone(), version)
            });
            // The client goes when it goes.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<impl Seen>,
    version: u64,
) -> Result<Response<Body>, Infallible> {
    seen.asked();
    let (head, body) = request.into_parts();
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let version = version.to_string();
    if query.contains("watch=true") || query.contains("watch=1") {
        return Ok(watch(query, &version));
    }
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let mut object: Value = serde_json::from_slice(&body).unwrap_or_else(|_| json!({}));
    let name = object["metadata"]["name"].as_str().map(str::to_owned);
    let is_list =
        head.method == Method::GET && path.split('/').count() <= 6 && !path.starts_with("/api/v1/nodes/");
    if path == "/version" {
        object = json!({"gitVersion": "v1.37.2", "major": "1", "minor": "37"});
    } else if is_list {
        object = json!({"metadata": {"resourceVersion": version}, "items": []});
    } else if let Some(name) = name {
        object["metadata"]["resourceVersion"] = version.as_str().into();
        object["metadata"]["uid"] = format!("uid-{name}").into();
        seen.written(path, &name);
    } else if path.contains("selfsubject") {
        object["status"] = json!({"allowed": true});
    } else {
        // A patch, or an object that this server has forgotten.
        let name = path.trim_end_matches("/status").rsplit('/').next().unwrap_or_default();
        object["metadata"]["name"] = name.into();
        object["metadata"]["uid"] = format!("uid-{name}").into();
        object["metadata"]["resourceVersion"] = version.as_str().into();
    }
    let mut response = Response::new(Full::from(object.to_string()).boxed_unsync());
    *response.status_mut() = if head.method == Method::POST { StatusCode::CREATED } else { StatusCode::OK };
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The end of the first events, where they are asked for, and then silence.
fn watch(query: &str, version: &str) -> Response<Body> {
    let bookmark = json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version,
        "annotations": {"k8s.io/initial-events-end": "true"}}}});
    let first = query.contains("sendInitialEvents=true").then(|| Bytes::from(format!("{bookmark}\n")));
    let frames = stream::iter(first).chain(stream::pending()).map(|bytes| Ok(Frame::data(bytes)));
    Response::new(StreamBody::new(frames).boxed_unsync())
}
