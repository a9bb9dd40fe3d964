//! Recordings of a real control plane hold exactly what its API server says, whatever happens to server and network in
//! between.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::oracle::{Listed, Marks};
use crate::proxy::{Mode, Proxy};
use crate::shake::{self, Shaker};
use crate::support::server::{ApiServer, compact};
use crate::support::{self, Sandbox, VERSION};
use kubereel::k8s::{ConnectOptions, Target, WatchLimits, connect};
use kubereel::model::{GapReason, ObjectEvent, ObjectKey};
use kubereel::pace::{Clock, SystemClock};
use kubereel::record::{RecordKind, RecordOptions, Recorder, Redaction, Sensitive};
use kubereel::trace::{Header, ReelThread, WriteOptions};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A control plane and ways to disturb it.
struct Lab {
    sandbox: Sandbox,
    direct: Target,
    listed: Value,
}

impl Lab {
    async fn new() -> Lab {
        let sandbox = Sandbox::new();
        sandbox.ok(&["cluster", "up", "--name", "lab", "--detach", "--version", VERSION]);
        let listed = sandbox.ok(&["cluster", "list", "--format", "json"]).json()[0].take();
        let kubeconfig = sandbox.path("state/clusters/lab/kubeconfig");
        let direct = connect(&ConnectOptions { kubeconfig: Some(kubeconfig), context: None }).await.unwrap();
        Lab { sandbox, direct, listed }
    }

    fn component(&self, name: &str) -> (u32, u16) {
        let components = self.listed["components"].as_array().unwrap();
        let found = components.iter().find(|c| c["component"] == name).unwrap();
        let number = |field: &str| found[field].as_u64().unwrap();
        (u32::try_from(number("pid")).unwrap(), u16::try_from(number("port")).unwrap())
    }

    fn folder(&self) -> PathBuf {
        self.sandbox.path("state/clusters/lab")
    }

    /// The cluster as seen through a proxy.
    async fn through_proxy(&self) -> (Proxy, Target) {
        let (_, port) = self.component("kube-apiserver");
        let proxy = Proxy::start(port, None).await.unwrap();
        let kubeconfig = std::fs::read_to_string(self.folder().join("kubeconfig")).unwrap();
        let path = self.sandbox.path(&format!("kubeconfig-{}", proxy.port));
        let there = format!("127.0.0.1:{port}");
        assert!(kubeconfig.contains(&there), "{kubeconfig}");
        std::fs::write(&path, kubeconfig.replace(&there, &format!("127.0.0.1:{}", proxy.port))).unwrap();
        let target = connect(&ConnectOptions { kubeconfig: Some(path), context: None }).await.unwrap();
        (proxy, target)
    }

    /// Starts to record what is shaken.
    async fn record(&self, name: &str, target: &Target, limits: WatchLimits) -> Recording {
        let path = self.sandbox.path(&format!("{name}.reel"));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let header = Header { started_wall_ns: clock.wall_ns(), ..Header::default() };
        let reel = ReelThread::start(&path, &header, WriteOptions::default()).unwrap();
        let seen: Arc<Mutex<HashSet<ObjectKey>>> = Arc::default();
        let tap = {
            let seen = seen.clone();
            Arc::new(move |event: &ObjectEvent| {
                seen.lock().unwrap().insert(event.key.clone());
            })
        };
        let kinds = shake::kinds().into_iter().map(RecordKind::required).collect();
        // What is left out on purpose is none of the oracle's business.
        let kept: Vec<_> =
            Sensitive::ALL.into_iter().filter(|what| *what != Sensitive::ManagedFields).collect();
        let redaction = Arc::new(Redaction::keeping(&kept));
        let options = RecordOptions { redaction, limits, tap: Some(tap), ..RecordOptions::default() };
        let recorder = Recorder::start(target.session(), kinds, options, reel.sink(), clock).await.unwrap();
        Recording { path, reel, recorder, seen }
    }

    /// Stops the recording and holds it against the API server's word; returns the reel's marks.
    async fn verdict(&self, recording: Recording, shaker: &mut Shaker) -> Marks {
        // A list of a recorder that is still coming back may be younger than ours.
        recording.sees_all_of(shaker).await;
        let mut lists = Vec::new();
        for kind in shake::kinds() {
            lists.push(Listed::now(&self.direct.client, &kind).await.unwrap());
        }
        recording.sees_all_of(shaker).await;
        let Recording { path, reel, recorder, .. } = recording;
        recorder.stop().await;
        reel.seal().unwrap();
        for list in lists {
            check(&list, &path);
        }
        let marks = Marks::of(&path).unwrap();
        assert_eq!(marks.lost_unmarked(&shaker.taken), [""; 0], "{:?}", marks.gaps);
        marks
    }
}

fn check(list: &Listed, path: &std::path::Path) {
    let differences = list.differences(path).unwrap();
    let shown = &differences[..differences.len().min(3)];
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), shown.join("\n"));
}

struct Recording {
    path: PathBuf,
    reel: ReelThread,
    recorder: Recorder,
    seen: Arc<Mutex<HashSet<ObjectKey>>>,
}

impl Recording {
    /// Waits until the recorder has seen marks that are made now, and with them everything before.
    async fn sees_all_of(&self, shaker: &mut Shaker) {
        let marks = shaker.mark().await.unwrap();
        let seen = || {
            let seen = self.seen.lock().unwrap();
            marks.iter().all(|key| seen.contains(key))
        };
        for _ in 0..1200 {
            if seen() {
                return;
            }
            tokio::time::sleep(SECOND / 20).await;
        }
        panic!("the recorder does not come back");
    }
}

/// One control plane at a time: several at once on a small machine would only wait for each other.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_holds_what_the_api_server_says() {
    let _turn = TURN.lock().await;
    let lab = Lab::new().await;
    for seed in 1..=10 {
        let mut shaker = Shaker::new(lab.direct.client.clone(), seed);
        shaker.shake(30).await;
        shaker.taken.clear();
        let recording = lab.record(&format!("plain-{seed}"), &lab.direct, WatchLimits::default()).await;
        shaker.shake(200).await;
        let Marks { gaps, notes, .. } = lab.verdict(recording, &mut shaker).await;
        assert!(gaps.is_empty() && notes.is_empty(), "seed {seed}: {gaps:?} {notes:?}");
    }

    proxies_are_honoured(&lab).await;

    // Watches that the server ends after 5 s at most.
    let mut shaker = Shaker::new(lab.direct.client.clone(), 11);
    let limits = WatchLimits { lifetime: 5 * SECOND, ..WatchLimits::default() };
    let recording = lab.record("timeouts", &lab.direct, limits).await;
    for _ in 0..24 {
        shaker.shake(10).await;
        tokio::time::sleep(SECOND / 2).await;
    }
    let Marks { gaps, .. } = lab.verdict(recording, &mut shaker).await;
    assert_eq!(gaps, [], "a watch that the server ends loses nothing");

    // A network that drops everything for 30 s.
    let mut shaker = Shaker::new(lab.direct.client.clone(), 12);
    let (proxy, far) = lab.through_proxy().await;
    let limits = WatchLimits { silence: 6 * SECOND, ..WatchLimits::default() };
    let recording = lab.record("dropped", &far, limits).await;
    shaker.shake(50).await;
    proxy.set(Mode::Silent);
    for _ in 0..30 {
        shaker.shake(5).await;
        tokio::time::sleep(SECOND).await;
    }
    proxy.set(Mode::Open);
    shaker.shake(50).await;
    let Marks { gaps, notes, .. } = lab.verdict(recording, &mut shaker).await;
    assert_eq!(gaps, [], "the server still had everything");
    assert!(notes.iter().any(|note| note.contains("pods: the watch goes on after")), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_survives_its_api_server_and_marks_what_it_missed() {
    let _turn = TURN.lock().await;
    let lab = Lab::new().await;
    let (pid, _) = lab.component("kube-apiserver");
    let (_, etcd) = lab.component("etcd");
    let mut api_server = ApiServer::of(pid).unwrap();
    for seed in 21..=22 {
        let mut shaker = Shaker::new(lab.direct.client.clone(), seed);
        let recording = lab.record(&format!("killed-{seed}"), &lab.direct, WatchLimits::default()).await;
        shaker.shake(100).await;
        api_server.kill().await.unwrap();
        api_server.start(&[], &lab.direct.client).await.unwrap();
        shaker.shake(100).await;
        let Marks { gaps, notes, .. } = lab.verdict(recording, &mut shaker).await;
        let told = notes.iter().filter(|note| note.contains("the watch is interrupted")).count();
        assert!(told >= shake::kinds().len(), "seed {seed}: {notes:?} {gaps:?}");
    }

    // Without its cache the API server gives what etcd still has: nothing before the compaction.
    api_server.kill().await.unwrap();
    api_server.start(&["--watch-cache=false"], &lab.direct.client).await.unwrap();
    let mut shaker = Shaker::new(lab.direct.client.clone(), 23);
    let (proxy, far) = lab.through_proxy().await;
    let limits = WatchLimits { silence: 3 * SECOND, ..WatchLimits::default() };
    let recording = lab.record("compacted", &far, limits).await;
    shaker.shake(100).await;
    proxy.set(Mode::Silent);
    shaker.shake(200).await;
    compact(&lab.folder(), etcd).await.unwrap();
    proxy.set(Mode::Open);
    shaker.shake(50).await;
    let Marks { gaps, .. } = lab.verdict(recording, &mut shaker).await;
    let expired = |kind: &str| gaps.iter().any(|gap| gap.kind == kind && gap.reason == GapReason::Expired);
    assert!(expired("Pod") && expired("Node"), "{gaps:?}");
}

/// An HTTP proxy that makes tunnels, all to one port of this machine; counts them.
async fn tunnels(to: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                assert!(head.starts_with(b"CONNECT kubereel.invalid:6443 "));
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                // Either side may end the tunnel.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (port, made)
}

/// `HTTPS_PROXY` is the way to a server that is nowhere else, unless `NO_PROXY` names it.
async fn proxies_are_honoured(lab: &Lab) {
    let (_, port) = lab.component("kube-apiserver");
    let (proxy, made) = tunnels(port).await;
    let kubeconfig = std::fs::read_to_string(lab.folder().join("kubeconfig")).unwrap();
    let far = kubeconfig.replace(&format!("127.0.0.1:{port}"), "kubereel.invalid:6443");
    let mut far: Value = serde_json::from_str(&far).unwrap();
    far["clusters"][0]["cluster"]["tls-server-name"] = "127.0.0.1".into();
    std::fs::write(lab.sandbox.path("far"), far.to_string()).unwrap();
    let record = |no_proxy: &str| {
        let args = ["record", "--kubeconfig", "far", "--duration", "1s", "--overwrite", "-o", "far.reel"];
        let mut command = lab.sandbox.command(&args);
        command.env("HTTPS_PROXY", format!("http://127.0.0.1:{proxy}")).env("NO_PROXY", no_proxy);
        tokio::task::spawn_blocking(move || support::Ran::of(&command.output().unwrap()))
    };
    let ran = record("").await.unwrap();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(made.load(Ordering::SeqCst) > 0);
    let direct = record(".invalid").await.unwrap();
    assert_eq!(direct.code, Some(1), "{}", direct.err);
    assert!(direct.err.contains("cannot be reached"), "{}", direct.err);
}
