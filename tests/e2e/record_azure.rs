//! Uploads to Azure, as its emulator on loopback speaks the protocol.
//!
//! Google Cloud Storage has no test: `object_store` uploads through the XML API, of which `fake-gcs-server` (v1.52.2) answers
//! a PUT with "invalid uploadType". `docs/recording.md` says how it was tried by hand.
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::Sandbox;
use crate::support::recorder::Recorder;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::TryStreamExt;
use kubereel::pace::{Clock, SystemClock};
use kubereel::trace::Reader;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::{ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};

/// Account and key of every Azure emulator
/// (<https://learn.microsoft.com/azure/storage/common/storage-use-azurite>, "Well-known storage account and key").
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A program that serves on a port until it is dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts a program with the arguments that go with a free port.
    fn start(program: &Path, args: impl Fn(&str) -> Vec<String>) -> Server {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        command.args(args(&port.to_string())).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "{} ended", program.display());
            std::thread::sleep(Duration::from_millis(50));
        }
        Server { child, port }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An emulator that `make` installs; without it there is nothing to test against.
fn emulator(name: &str) -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin").join(name);
    if !program.exists() {
        println!("SKIPPED: no {name}; `make target/venv/bin/{name}` installs it");
    }
    program.exists().then_some(program)
}

/// What every client of a store needs once a process.
fn with_cryptography() {
    // Another test may have installed one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Records into the store until it has two files, and reads back all that it has.
fn fills(address: &str, environment: &[(&str, &str)], store: &dyn ObjectStore) {
    let sandbox = Sandbox::new();
    sandbox.lab();
    let more = ["-o", address, "--spool", "spool", "--metrics-addr", "127.0.0.1:0", "--rotate-every", "2s"];
    let mut command = sandbox.record(&more);
    command.envs(environment.iter().copied());
    let mut recorder = Recorder::start(command);
    recorder.until_metric("uploads_total", 2.0);
    let ran = recorder.stop("-TERM");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(
        fs::read_dir(sandbox.path("spool")).map_or(0, Iterator::count),
        0,
        "uploaded files leave the spool"
    );

    let files = tokio::runtime::Runtime::new().unwrap().block_on(contents(store));
    assert!(files.len() >= 2, "{} files", files.len());
    for (number, bytes) in files.iter().enumerate() {
        let path = sandbox.path(&format!("{number}.reel"));
        fs::write(&path, bytes).unwrap();
        sandbox.ok(&["trace", "check", &path.to_string_lossy()]);
        assert_eq!(Reader::open(&path).unwrap().header().labels["part"], (number + 1).to_string());
    }
}

/// The bytes of everything in a folder, by name.
async fn contents(store: &dyn ObjectStore) -> Vec<Vec<u8>> {
    let folder = object_store::path::Path::from("clusters");
    let mut found: Vec<_> = store.list(Some(&folder)).try_collect().await.unwrap();
    found.sort_by(|a, b| a.location.cmp(&b.location));
    let mut files = Vec::new();
    for object in found {
        files.push(store.get(&object.location).await.unwrap().bytes().await.unwrap().to_vec());
    }
    files
}

#[test]
fn azure_takes_files() {
    let Some(program) = emulator("azurite-blob") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&program, |port| {
        let root = dir.path().to_string_lossy().into_owned();
        let args = [
            "--silent",
            "--disableTelemetry",
            "--skipApiVersionCheck",
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            port,
        ];
        args.into_iter().map(str::to_owned).chain(["--location".to_owned(), root]).collect()
    });
    make_container(&server, "traces");
    let endpoint = format!("{}/{ACCOUNT}", server.url());
    let environment = [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
        ("AZURE_STORAGE_ENDPOINT", &*endpoint),
        ("AZURE_ALLOW_HTTP", "true"),
    ];
    with_cryptography();
    let store = MicrosoftAzureBuilder::new()
        .with_account(ACCOUNT)
        .with_access_key(KEY)
        .with_endpoint(endpoint.clone())
        .with_allow_http(true)
        .with_container_name("traces");
    fills("az://traces/clusters/prod", &environment, &store.build().unwrap());
}

/// "Create Container", signed as <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key> says.
fn make_container(server: &Server, name: &str) {
    const VERSION: &str = "2021-08-06";
    let now = chrono::DateTime::from_timestamp_nanos(SystemClock::start().wall_ns());
    let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let text = format!(
        "PUT{}x-ms-date:{date}\nx-ms-version:{VERSION}\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container",
        "\n".repeat(12)
    );
    let signature = BASE64.encode(hmac_sha256(&BASE64.decode(KEY).unwrap(), text.as_bytes()));
    let answer = ureq::put(format!("{}/{ACCOUNT}/{name}?restype=container", server.url()))
        .header("x-ms-date", &date)
        .header("x-ms-version", VERSION)
        .header("authorization", format!("SharedKey {ACCOUNT}:{signature}"))
        .send_empty();
    assert_eq!(answer.unwrap().status(), 201);
}

/// RFC 2104, for keys of at most a block.
fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}
