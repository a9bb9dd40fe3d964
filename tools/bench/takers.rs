//! Ways to record what a server sends.

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail};
use futures::{AsyncReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kubereel::model::POD;
use kubereel::pace::{Clock, SystemClock};
use kubereel::record::{RecordKind, RecordOptions, Recorder, Redaction, Sensitive};
use kubereel::trace::{Header, ReelThread, WriteOptions};
use tokio::sync::Notify;

use crate::used::{cpu_seconds, memory_mib};

/// A way to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taker {
    /// Bytes to disk, not looked at.
    Raw,
    /// This project's recorder, as it comes.
    Ours,
    /// The same with `metadata.managedFields`.
    OursManaged,
    /// kube-rs: typed pods, written as JSON lines.
    Typed,
    /// The same with the store that a relist has to be compared with.
    TypedStore,
}

impl Taker {
    pub const ALL: [Taker; 5] =
        [Taker::Raw, Taker::Ours, Taker::OursManaged, Taker::Typed, Taker::TypedStore];

    pub fn describe(self) -> &'static str {
        match self {
            Taker::Raw => "raw copy to disk",
            Taker::Ours => "kubereel",
            Taker::OursManaged => "kubereel, with managedFields",
            Taker::Typed => "kube-rs watcher, JSON lines",
            Taker::TypedStore => "kube-rs watcher and reflector, JSON lines",
        }
    }
}

impl fmt::Display for Taker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl FromStr for Taker {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Taker> {
        Taker::ALL
            .into_iter()
            .find(|taker| taker.to_string() == text)
            .with_context(|| format!("no taker {text}"))
    }
}

/// Takes so many events or pods, and prints wall seconds, CPU seconds and peak memory in MiB.
pub async fn take(taker: Taker, port: u16, count: usize, file: &Path) -> anyhow::Result<()> {
    let config = kube::Config::new(format!("http://127.0.0.1:{port}").parse()?);
    let client = kube::Client::try_from(config)?;
    let (clock, cpu) = (SystemClock::start(), cpu_seconds("self")?);
    match taker {
        Taker::Raw => raw(&client, count, file).await?,
        Taker::Ours => ours(client, count, file, false).await?,
        Taker::OursManaged => ours(client, count, file, true).await?,
        Taker::Typed => Box::pin(typed(client, count, file)).await?,
        Taker::TypedStore => Box::pin(typed_store(client, count, file)).await?,
    }
    println!("{} {} {}", clock.now().as_secs_f64(), cpu_seconds("self")? - cpu, memory_mib("self", "VmHWM")?);
    Ok(())
}

async fn raw(client: &kube::Client, count: usize, file: &Path) -> anyhow::Result<()> {
    let path = "/api/v1/pods?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let body = client.request_stream(http::Request::get(path).body(Vec::new())?).await?;
    let (mut body, mut out) = (std::pin::pin!(body), File::create(file)?);
    let (mut buffer, mut left) = (vec![0; 1 << 18], count + 1);
    while left > 0 {
        let read = body.read(&mut buffer).await?;
        if read == 0 {
            bail!("the stream ended");
        }
        out.write_all(&buffer[..read])?;
        left -= memchr::memchr_iter(b'\n', &buffer[..read]).count();
    }
    Ok(out.sync_data()?)
}

async fn ours(client: kube::Client, count: usize, file: &Path, managed_fields: bool) -> anyhow::Result<()> {
    let reel = ReelThread::start(file, &Header::default(), WriteOptions::default())?;
    let (seen, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let tap = {
        let all = all.clone();
        Arc::new(move |_: &_| {
            if seen.fetch_add(1, Ordering::Relaxed) + 1 == count {
                all.notify_one();
            }
        })
    };
    let kept: &[_] = if managed_fields { &[Sensitive::ManagedFields] } else { &[] };
    let redaction = Arc::new(Redaction::keeping(kept));
    let options = RecordOptions { redaction, tap: Some(tap), ..RecordOptions::default() };
    let kinds = vec![RecordKind::required(POD)];
    let recorder =
        Recorder::start(client, kinds, options, reel.sink(), Arc::new(SystemClock::start())).await?;
    all.notified().await;
    recorder.stop().await;
    let summary = reel.seal()?;
    let events: u64 = summary.events.values().flat_map(|verbs| verbs.values()).sum();
    anyhow::ensure!(events == count as u64 && summary.gaps == 0, "{events} events and {} gaps", summary.gaps);
    Ok(())
}

async fn typed(client: kube::Client, count: usize, file: &Path) -> anyhow::Result<()> {
    let events = watcher(Api::<Pod>::all(client), watcher::Config::default());
    Box::pin(write_lines(events, count, file)).await
}

async fn typed_store(client: kube::Client, count: usize, file: &Path) -> anyhow::Result<()> {
    let (store, writer) = reflector::store::<Pod>();
    let events = reflector(writer, watcher(Api::all(client), watcher::Config::default()));
    Box::pin(write_lines(events, count, file)).await?;
    drop(store);
    Ok(())
}

async fn write_lines(
    events: impl futures::Stream<Item = Result<watcher::Event<Pod>, watcher::Error>>,
    count: usize,
    file: &Path,
) -> anyhow::Result<()> {
    let (mut events, mut left) = (std::pin::pin!(events.default_backoff()), count);
    let mut out = BufWriter::new(File::create(file)?);
    while left > 0 {
        let event = events.try_next().await?.context("the stream ended")?;
        let (verb, pod) = match event {
            watcher::Event::Apply(pod) => ("apply", pod),
            watcher::Event::Delete(pod) => ("delete", pod),
            watcher::Event::InitApply(pod) => ("initial", pod),
            watcher::Event::Init | watcher::Event::InitDone => continue,
        };
        serde_json::to_writer(&mut out, &(verb, pod))?;
        out.write_all(b"\n")?;
        left -= 1;
    }
    Ok(out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_data()?)
}
