//! `kubereel cluster install` against a local HTTP server and local folders.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

const VERSION: &str = "v1.37.2";

/// What the server says to one path.
#[derive(Clone)]
enum Answer {
    File(Vec<u8>),
    /// Claims the whole length, sends half, and hangs up.
    Half(Vec<u8>),
}

/// A server for as long as the test runs; it remembers what was asked for.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

fn serve(files: BTreeMap<String, Answer>) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that hangs up early is its own business; what matters is what it kept.
            let _ = answer(stream.unwrap(), &files, &log);
        }
    });
    Server { url, asked }
}

fn answer(
    mut stream: TcpStream,
    files: &BTreeMap<String, Answer>,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = first.split_whitespace().nth(1).unwrap_or_default().to_owned();
    log.lock().unwrap().push(path.clone());
    let head =
        |code, length| format!("HTTP/1.1 {code}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    match files.get(&path) {
        Some(Answer::File(bytes)) => {
            stream.write_all(head("200 OK", bytes.len()).as_bytes())?;
            stream.write_all(bytes)
        }
        Some(Answer::Half(bytes)) => {
            stream.write_all(head("200 OK", bytes.len()).as_bytes())?;
            stream.write_all(&bytes[..bytes.len() / 2])
        }
        None => stream.write_all(head("404 Not Found", 0).as_bytes()),
    }
}

struct Bench {
    root: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { root: tempfile::tempdir().unwrap() }
    }

    fn bin(&self) -> PathBuf {
        self.root.path().join("cache/bin").join(VERSION)
    }

    /// Runs with a cache of its own; `PATH` holds no Go and no component.
    fn install(&self, url: &str, args: &[&str]) -> Output {
        self.command(url, args).output().unwrap()
    }

    fn command(&self, url: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubereel"));
        command
            .args(["cluster", "install", VERSION])
            .args(args)
            .env("KUBEREEL_CACHE_DIR", self.root.path().join("cache"))
            .env("KUBEREEL_STATE_DIR", self.root.path().join("state"))
            .env("KUBEREEL_RELEASE_URL", url)
            .env("KUBEREEL_ETCD_URL", url)
            .env_remove("KUBEBUILDER_ASSETS")
            .env("PATH", "");
        command
    }

    /// What the cache holds for the version, the lock apart.
    fn kept(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.bin())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| n != ".lock")
            .collect();
        names.sort();
        names
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn scheduler_path() -> String {
    format!("/{VERSION}/bin/linux/{}/kube-scheduler", architecture())
}

const PROGRAM: &[u8] = b"#!/bin/sh\necho Kubernetes v1.37.2\n";

fn release(program: Answer, digest: &str) -> Server {
    let path = scheduler_path();
    serve(BTreeMap::from([(format!("{path}.sha256"), Answer::File(digest.into())), (path, program)]))
}

#[test]
fn a_release_with_the_published_checksum_is_kept_with_its_record() {
    let bench = Bench::new();
    let server = release(Answer::File(PROGRAM.to_vec()), &sha256(PROGRAM));
    let args = ["--component", "kube-scheduler", "--from", "release"];
    let first = bench.install(&server.url, &args);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let path = bench.bin().join("kube-scheduler");
    assert_eq!(String::from_utf8_lossy(&first.stdout).trim(), path.display().to_string());
    assert_eq!(std::fs::read(&path).unwrap(), PROGRAM);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(bench.bin().join("kube-scheduler.json")).unwrap()).unwrap();
    assert_eq!(record["sha256"], sha256(PROGRAM));
    assert_eq!((&record["source"], &record["version"]), (&"release".into(), &VERSION.into()));

    let before = server.asked.lock().unwrap().len();
    let second = bench.install(&server.url, &args);
    assert_eq!(second.status.code(), Some(0), "{}", stderr(&second));
    assert_eq!(server.asked.lock().unwrap().len(), before, "a cached program was downloaded again");

    std::fs::write(&path, "something else of another making").unwrap();
    let third = bench.install(&server.url, &args);
    assert_eq!(third.status.code(), Some(0), "{}", stderr(&third));
    assert_eq!(std::fs::read(&path).unwrap(), PROGRAM, "a changed program was left in the cache");
}

#[test]
fn a_release_with_another_checksum_is_refused_and_nothing_is_kept() {
    let bench = Bench::new();
    let server = release(Answer::File(PROGRAM.to_vec()), &sha256(b"another"));
    for source in ["release", "auto"] {
        let output = bench.install(&server.url, &["--component", "scheduler", "--from", source]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains(&sha256(b"another")) && said.contains(&sha256(PROGRAM)), "{said}");
        assert_eq!(bench.kept(), [""; 0]);
    }
}

#[test]
fn a_body_that_breaks_off_is_refused_and_nothing_is_kept() {
    let bench = Bench::new();
    let program = PROGRAM.repeat(10_000);
    let server = release(Answer::Half(program.clone()), &sha256(&program));
    let output = bench.install(&server.url, &["--component", "kube-scheduler", "--from", "release"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/kube-scheduler"), "{}", stderr(&output));
    assert_eq!(bench.kept(), [""; 0]);
}

#[test]
fn a_version_that_the_release_server_does_not_have_is_named() {
    let bench = Bench::new();
    let server = serve(BTreeMap::new());
    let output = bench.install(&server.url, &["--component", "kube-scheduler", "--from", "release"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no such Kubernetes version v1.37.2"), "{}", stderr(&output));
    assert_eq!(server.asked.lock().unwrap()[0], format!("{}.sha256", scheduler_path()));
}

#[test]
fn etcd_is_unpacked_from_its_archive() {
    let bench = Bench::new();
    let name = format!("etcd-v3.7.0-linux-{}", architecture());
    let mut archive =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (file, content) in [("README.md", &b"etcd"[..]), ("etcd", PROGRAM)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, format!("{name}/{file}"), content).unwrap();
    }
    let archive = archive.into_inner().unwrap().finish().unwrap();
    let sums = format!("{}  other.zip\n{}  {name}.tar.gz\n", sha256(b"other"), sha256(&archive));
    let server = serve(BTreeMap::from([
        ("/v3.7.0/SHA256SUMS".to_owned(), Answer::File(sums.into_bytes())),
        (format!("/v3.7.0/{name}.tar.gz"), Answer::File(archive)),
    ]));
    let output = bench.install(&server.url, &["--component", "etcd", "--from", "release"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(std::fs::read(bench.bin().join("etcd")).unwrap(), PROGRAM);
    assert_eq!(bench.kept(), ["etcd", "etcd.json"]);
}

#[test]
fn without_a_release_and_without_go_the_error_names_every_source() {
    let bench = Bench::new();
    let output = bench.install(&dead_url(), &["--component", "kube-scheduler"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for part in ["KUBEBUILDER_ASSETS", "release: cannot download", "install Go 1.26"] {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
    let output = bench.install(&dead_url(), &["--component", "kube-scheduler", "--from", "go"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("`go` is not on PATH"), "{}", stderr(&output));
}

#[test]
fn a_folder_given_is_copied_and_a_program_it_lacks_is_named() {
    let bench = Bench::new();
    let folder = bench.root.path().join("mine");
    std::fs::create_dir(&folder).unwrap();
    write_program(&folder.join("kube-scheduler"));
    let from = folder.display().to_string();
    let output = bench.install(&dead_url(), &["--component", "kube-scheduler", "--from", &from]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(std::fs::read(bench.bin().join("kube-scheduler")).unwrap(), PROGRAM);
    let output = bench.install(&dead_url(), &["--component", "etcd", "--from", &from]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("found no etcd v1.37.2"), "{}", stderr(&output));
}

#[test]
fn assets_and_path_are_used_if_they_have_the_version() {
    for variable in ["KUBEBUILDER_ASSETS", "PATH"] {
        let bench = Bench::new();
        let folder = bench.root.path().join("assets");
        std::fs::create_dir(&folder).unwrap();
        write_program(&folder.join("kube-scheduler"));
        let args = ["--component", "kube-scheduler"];
        let output = bench.command(&dead_url(), &args).env(variable, &folder).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{variable}: {}", stderr(&output));
        assert_eq!(std::fs::read(bench.bin().join("kube-scheduler")).unwrap(), PROGRAM);

        let second = Bench::new();
        let other = String::from_utf8_lossy(PROGRAM).replace("v1.37.2", "v1.37.1");
        std::fs::write(folder.join("kube-scheduler"), other).unwrap();
        let output = second.command(&dead_url(), &args).env(variable, &folder).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{variable}: another version was taken");
    }
}

fn write_program(path: &Path) {
    std::fs::write(path, PROGRAM).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// An address where nothing listens.
fn dead_url() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
