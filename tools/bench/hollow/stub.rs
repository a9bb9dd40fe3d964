//! An API server that only answers, and how late leases come to it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::fleet::{Fleet, Who};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What the server has seen.
#[derive(Default)]
struct Seen {
    versions: AtomicU64,
    requests: AtomicU64,
    leases: Mutex<Leases>,
}

/// When each lease was written last, and the times between writes.
#[derive(Default)]
struct Leases {
    last: HashMap<String, Instant>,
    gaps: Vec<f64>,
}

pub async fn measure(nodes: usize, window: u64) -> anyhow::Result<()> {
    let seen = Arc::new(Seen::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, seen.clone()));
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "stub",
        "clusters": [{"name": "stub", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "stub", "user": {}}],
        "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "stub"}}]});
    std::fs::write(&kubeconfig, config.to_string())?;
    let mut fleet = Fleet::start(Who::Light, nodes, &kubeconfig, folder.path())?;
    let start = Instant::now();
    while seen.lock().last.len() < nodes {
        fleet.check()?;
        ensure!(
            start.elapsed() < Duration::from_mins(5),
            "{} leases after five minutes",
            seen.lock().last.len()
        );
        sleep(Duration::from_millis(200)).await;
    }
    let registered = start.elapsed();
    // Until each lease has been renewed, its gap counts from its creation.
    sleep(Duration::from_secs(12)).await;
    seen.lock().gaps.clear();
    let (cpu, requests) = (fleet.cpu_seconds()?, seen.requests.load(Ordering::Relaxed));
    let start = Instant::now();
    sleep(Duration::from_secs(window)).await;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = (fleet.cpu_seconds()? - cpu) / seconds;
    let rate = (seen.requests.load(Ordering::Relaxed) - requests) as f64 / seconds;
    let mut gaps = std::mem::take(&mut seen.lock().gaps);
    // A lease that did not come at all is as late as it is now.
    gaps.extend(seen.lock().last.values().map(|last| last.elapsed().as_secs_f64()).filter(|age| *age > 10.5));
    gaps.sort_by(f64::total_cmp);
    let at = |q: f64| gaps.get((gaps.len() as f64 * q) as usize).or(gaps.last()).copied().unwrap_or(f64::NAN);
    let late = gaps.iter().filter(|gap| **gap > 12.0).count();
    println!(
        "| nodes | registered, s | requests/s | cores | RSS, MiB | KiB a node | lease p50, s | p99 | max | over 12 s |"
    );
    println!("| --- |{}", " --- |".repeat(9));
    println!(
        "| {nodes} | {:.1} | {rate:.0} | {cpu:.3} | {:.1} | {:.2} | {:.2} | {:.2} | {:.2} | {late} of {} |",
        registered.as_secs_f64(),
        fleet.memory("VmRSS")?,
        fleet.memory("VmRSS")? * 1024.0 / nodes as f64,
        at(0.5),
        at(0.99),
        at(1.0),
        gaps.len()
    );
    Ok(())
}

impl Seen {
    fn lock(&self) -> std::sync::MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease_written(&self, path: &str) {
        let now = Instant::now();
        let mut leases = self.lock();
        if let Some(last) = leases.last.insert(path.to_owned(), now) {
            leases.gaps.push((now - last).as_secs_f64());
        }
    }
}

async fn serve(listener: TcpListener, seen: Arc<Seen>) {
    while let Ok((stream, _)) = listener.accept().await {
        let seen = seen.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, seen.clone()));
            // The client goes when it goes.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> Result<Response<Body>, Infallible> {
    seen.requests.fetch_add(1, Ordering::Relaxed);
    let (head, body) = request.into_parts();
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let version = seen.versions.fetch_add(1, Ordering::Relaxed).to_string();
    if query.contains("watch=true") || query.contains("watch=1") {
        return Ok(watch(query, &version));
    }
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
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
        if path.contains("/kube-node-lease/leases") {
            seen.lease_written(&name);
        }
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
