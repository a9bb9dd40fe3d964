//! Uploads to a real S3 server on loopback, through a proxy that answers 503 or drops half of an upload.
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::support::Sandbox;
use crate::support::recorder::Recorder;
use kubereel::trace::Reader;

/// What the proxy does with requests.
#[derive(Clone, Copy)]
enum Mood {
    Pass = 0,
    Unavailable = 1,
    DropHalf = 2,
}

/// A server that does as it is told with each request, and asks the real one where it may.
struct Proxy {
    port: u16,
    mood: Arc<AtomicU8>,
}

impl Proxy {
    fn before(upstream: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy {
            port: listener.local_addr().unwrap().port(),
            mood: Arc::new(AtomicU8::new(Mood::Pass as u8)),
        };
        let mood = proxy.mood.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mood = mood.clone();
                std::thread::spawn(move || one_request(client, upstream, mood.load(Ordering::SeqCst)));
            }
        });
        proxy
    }

    fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }
}

/// One request a connection. What breaks off here breaks off for both sides.
fn one_request(mut client: TcpStream, upstream: u16, mood: u8) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let header = |name: &str| {
        text.lines().find_map(|line| line.to_lowercase().strip_prefix(name).map(|v| v.trim().to_owned()))
    };
    let len: usize = header("content-length:").and_then(|len| len.parse().ok()).unwrap_or(0);
    if mood == Mood::Unavailable as u8 {
        let mut body = vec![0; len];
        client.read_exact(&mut body).ok()?;
        return client
            .write_all(b"HTTP/1.1 503 Slow Down\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            .ok();
    }
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).ok()?;
    let (line, rest) = text.split_once("\r\n")?;
    let rest = rest.replace("connection: keep-alive\r\n", "");
    server.write_all(format!("{line}\r\nconnection: close\r\n{rest}").as_bytes()).ok()?;
    let half = mood == Mood::DropHalf as u8 && line.starts_with("PUT");
    let mut body = vec![0; if half { len / 2 } else { len }];
    client.read_exact(&mut body).ok()?;
    server.write_all(&body).ok()?;
    if half {
        server.shutdown(Shutdown::Both).ok()?;
        return client.shutdown(Shutdown::Both).ok();
    }
    std::io::copy(&mut server, &mut client).ok()?;
    Some(())
}

/// A real S3 server over a folder.
struct Gateway {
    child: Child,
    port: u16,
    bucket: PathBuf,
}

impl Gateway {
    fn start(program: &Path, folder: &Path) -> Gateway {
        let bucket = folder.join("traces");
        fs::create_dir_all(&bucket).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .args(["--port", &format!("127.0.0.1:{port}"), "--access", "key", "--secret", "secret", "posix"])
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(50));
        }
        Gateway { child, port, bucket }
    }

    fn objects(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.bucket.join("clusters")) else { return Vec::new() };
        let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| path.is_file());
        found.sort();
        found
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `make test` installs it; without it there is nothing to test against.
fn gateway_program() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/versitygw");
    let program = std::env::var_os("KUBEREEL_S3_SERVER").map_or(default, PathBuf::from);
    program.exists().then_some(program)
}

fn record(sandbox: &Sandbox, proxy: &Proxy, more: &[&str]) -> Command {
    let base = ["-o", "s3://traces/clusters/prod", "--spool", "spool", "--metrics-addr", "127.0.0.1:0"];
    let mut command = sandbox.record(&[&base[..], more].concat());
    command
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", proxy.port))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "us-east-1");
    command
}

fn spooled(sandbox: &Sandbox) -> usize {
    fs::read_dir(sandbox.path("spool")).map_or(0, Iterator::count)
}

#[test]
fn a_store_that_fails_delays_files_and_loses_none() {
    let Some(program) = gateway_program() else {
        println!(
            "SKIPPED: no S3 server; `make target/venv/bin/versitygw` installs one, or set KUBEREEL_S3_SERVER"
        );
        return;
    };
    let sandbox = Sandbox::new();
    sandbox.lab();
    let gateway = Gateway::start(&program, &sandbox.path("store"));
    let proxy = Proxy::before(gateway.port);

    proxy.set(Mood::Unavailable);
    let mut recorder = Recorder::start(record(&sandbox, &proxy, &["--rotate-every", "2s"]));
    recorder.until_metric("upload_failures_total", 1.0);
    assert!(recorder.metric("uploads_waiting") >= 1.0);
    assert!(gateway.objects().is_empty());
    proxy.set(Mood::DropHalf);
    let failures = recorder.metric("upload_failures_total");
    recorder.until_metric("upload_failures_total", failures + 2.0);
    assert!(gateway.objects().is_empty(), "half a file is in the store");
    proxy.set(Mood::Pass);
    recorder.until_metric("uploads_total", 4.0);
    let ran = recorder.stop("-TERM");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(spooled(&sandbox), 0, "uploaded files leave the spool");
    let objects = gateway.objects();
    let mut parts = BTreeSet::new();
    for object in &objects {
        sandbox.ok(&["trace", "check", &object.to_string_lossy()]);
        parts.insert(Reader::open(object).unwrap().header().labels["part"].parse::<usize>().unwrap());
    }
    assert_eq!(parts, (1..=objects.len()).collect());

    left_behind(&sandbox, &gateway, &proxy, objects.len());
}

/// What could not be uploaded at the end is named, stays, and is the first thing that the next recording uploads.
fn left_behind(sandbox: &Sandbox, gateway: &Gateway, proxy: &Proxy, before: usize) {
    proxy.set(Mood::Unavailable);
    let recorder = Recorder::start(record(sandbox, proxy, &["--last-uploads", "1s"]));
    let ran = recorder.stop("-INT");
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(
        ran.out.contains("WAITING  spool/prod-") && ran.err.contains("not uploaded"),
        "{}\n{}",
        ran.out,
        ran.err
    );
    assert_eq!((spooled(sandbox), gateway.objects().len()), (1, before));
    // As of a recorder that died, and large enough to go up in parts.
    let large: Vec<u8> = (0..20 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    fs::write(sandbox.path("spool/prod-20260101T000000Z-000001.reel"), &large).unwrap();
    proxy.set(Mood::Pass);
    let mut recorder = Recorder::start(record(sandbox, proxy, &[]));
    recorder.until_metric("uploads_total", 2.0);
    let ran = recorder.stop("-INT");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!((spooled(sandbox), gateway.objects().len()), (0, before + 3));
    assert!(fs::read(&gateway.objects()[0]).unwrap() == large, "the store has something else");
}
