//! `kubereel cluster up` with real control planes. The programs come from the cache, or are built with Go into it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kubereel::cluster::{self, ClusterSpec, Component, Dirs, ProcessId, SchedulerSpec, Version};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const VERSION: &str = "v1.37.2";

/// One control plane at a time: several at once on a small machine would only wait for each other.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    static INSTALLED: OnceLock<()> = OnceLock::new();
    let guard = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    INSTALLED.get_or_init(|| {
        let done = kubereel().args(["cluster", "install", VERSION]).stdout(Stdio::null()).status().unwrap();
        assert!(done.success(), "the programs of {VERSION} cannot be installed");
    });
    guard
}

fn kubereel() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kubereel"))
}

/// A state folder of its own; what runs from it is found by its path and ends with the test.
struct Bench {
    state: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Bench {
    fn new() -> Bench {
        Bench { _turn: turn(), state: tempfile::tempdir().unwrap() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = kubereel();
        command.arg("cluster").args(args).env("KUBEREEL_STATE_DIR", self.state.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs what has to succeed, and gives what it printed.
    fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn list(&self) -> Vec<Value> {
        serde_json::from_str(&self.done(&["list", "--format", "json"])).unwrap()
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.state.path().join("clusters").join(name)
    }

    /// Every process that was given a path of the state folder.
    fn processes(&self) -> Vec<u32> {
        let needle = self.state.path().display().to_string();
        let numbers = std::fs::read_dir("/proc").unwrap();
        let numbers = numbers.filter_map(|e| e.unwrap().file_name().to_str()?.parse::<u32>().ok());
        let ours = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&needle)
        };
        numbers.filter(ours).collect()
    }

    fn nothing_is_left(&self, name: &str) {
        assert_eq!(self.processes(), [0; 0], "processes are left");
        assert!(!self.folder(name).exists(), "the folder of {name} is left");
    }

    /// `up` in the foreground, once it says that it is ready.
    fn foreground(&self, name: &str) -> Child {
        let mut child = self.command(&["up", "--name", name]).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let ready = stdout.lines().any(|line| line.unwrap().contains("Ctrl-C"));
        assert!(ready, "`up` ended before it was ready");
        child
    }

    /// Waits for what has to happen soon; only a machine that hangs makes it give up.
    fn until(&self, what: &str, mut happened: impl FnMut() -> bool) {
        for _ in 0..600 {
            if happened() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{what} did not happen; running: {:?}", self.processes());
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for pid in self.processes() {
            signal(pid, Signal::KILL);
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may have ended by itself.
    let _ = kill_process(pid, signal);
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn pids(cluster: &Value) -> Vec<(String, u32)> {
    let components = cluster["components"].as_array().unwrap().iter();
    components
        .map(|c| {
            (c["component"].as_str().unwrap().to_owned(), u32::try_from(c["pid"].as_u64().unwrap()).unwrap())
        })
        .collect()
}

/// What an endpoint says to the client of a kubeconfig, over verified TLS.
async fn get(
    kubeconfig: &Path,
    url: Option<&str>,
    path: &str,
    with_identity: bool,
) -> Result<String, kube::Error> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    assert!(!config.accept_invalid_certs);
    if let Some(url) = url {
        config.cluster_url = url.parse().unwrap();
    }
    if !with_identity {
        config.auth_info.client_certificate_data = None;
        config.auth_info.client_key_data = None;
    }
    let client = kube::Client::try_from(config).unwrap();
    client.request_text(http::Request::get(path).body(Vec::new()).unwrap()).await
}

fn port_url(cluster: &Value, component: &str) -> String {
    let components = cluster["components"].as_array().unwrap();
    let found = components.iter().find(|c| c["component"] == component).unwrap();
    format!("https://127.0.0.1:{}", found["port"])
}

#[tokio::test]
async fn a_detached_cluster_is_listed_used_over_tls_and_taken_down() {
    let bench = Bench::new();
    let said = bench.done(&["up", "--detach", "--name", "one"]);
    let kubeconfig = bench.folder("one").join("kubeconfig");
    assert!(said.contains(&format!("export KUBECONFIG={}", kubeconfig.display())), "{said}");
    assert_eq!(bench.done(&["kubeconfig"]).trim(), kubeconfig.display().to_string());
    assert_eq!(bench.done(&["kubeconfig", "one", "--raw"]), std::fs::read_to_string(&kubeconfig).unwrap());

    let listed = &bench.list()[0];
    assert_eq!((&listed["name"], &listed["status"]["is"]), (&"one".into(), &"running".into()), "{listed}");
    let table = bench.done(&["list"]);
    assert!(table.contains("one") && table.contains("running (detached)"), "{table}");
    let mut running = bench.processes();
    let mut known: Vec<u32> = pids(listed).into_iter().map(|(_, pid)| pid).collect();
    running.sort_unstable();
    known.sort_unstable();
    assert_eq!(running, known, "what runs is not what is listed");
    assert_eq!(known.len(), 4);

    let version: Value =
        serde_json::from_str(&get(&kubeconfig, None, "/version", true).await.unwrap()).unwrap();
    assert_eq!(version["gitVersion"], VERSION);
    assert!(
        get(&kubeconfig, None, "/api/v1/nodes", false).await.is_err(),
        "a client without a certificate got in"
    );
    for component in ["kube-scheduler", "kube-controller-manager"] {
        let url = port_url(listed, component);
        let metrics = get(&kubeconfig, Some(&url), "/metrics", true).await.unwrap();
        assert!(metrics.contains("process_cpu_seconds_total"), "{component}");
        assert!(get(&kubeconfig, Some(&url), "/metrics", false).await.is_err(), "{component} lets anyone in");
    }
    assert!(bench.done(&["logs", "kube-scheduler", "--tail", "1000"]).contains("Serving securely"));

    let again = bench.run(&["up", "--detach", "--name", "one"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("kubereel cluster down one"), "{}", stderr(&again));
    assert_eq!(bench.processes().len(), 4, "a refused `up` touched the cluster");

    bench.done(&["down", "one"]);
    bench.nothing_is_left("one");
    let gone = bench.run(&["down", "one"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("there is no cluster named `one`"), "{}", stderr(&gone));
}

#[tokio::test]
async fn two_clusters_run_side_by_side() {
    let bench = Bench::new();
    bench.done(&["up", "--detach", "--name", "a", "--controllers", "node-lifecycle-controller"]);
    bench.done(&["up", "--detach", "--name", "b", "--controllers", "node-lifecycle-controller"]);
    let path = |name: &str| bench.folder(name).join("kubeconfig");
    for name in ["a", "b"] {
        assert_eq!(get(&path(name), None, "/readyz", true).await.unwrap(), "ok");
    }
    let listed = bench.list();
    let b_url = port_url(&listed[1], "kube-apiserver");
    assert!(
        get(&path("a"), Some(&b_url), "/readyz", true).await.is_err(),
        "a's client trusts b's certificate"
    );
    let ambiguous = bench.run(&["kubeconfig"]);
    assert_eq!(ambiguous.status.code(), Some(1));
    assert!(stderr(&ambiguous).contains("a, b"), "{}", stderr(&ambiguous));

    bench.done(&["down", "a"]);
    assert_eq!(get(&path("b"), None, "/readyz", true).await.unwrap(), "ok");
    bench.done(&["down", "--all"]);
    bench.nothing_is_left("a");
    bench.nothing_is_left("b");
}

#[test]
fn components_do_not_outlive_a_parent_that_is_killed() {
    let bench = Bench::new();
    let mut parent = bench.foreground("p");
    let components = pids(&bench.list()[0]);
    assert!(components.iter().all(|(_, pid)| ProcessId::of(*pid).is_some()));
    parent.kill().unwrap();
    parent.wait().unwrap();
    bench.until("the end of all components", || bench.processes().is_empty());
    // A process that is being killed loses its command line before it is gone.
    bench.until("a cluster known to be dead", || bench.list()[0]["status"]["is"] == "dead");
    bench.done(&["down"]);
    bench.nothing_is_left("p");
}

#[test]
fn a_foreground_cluster_goes_down_on_sigterm() {
    let bench = Bench::new();
    let mut parent = bench.foreground("t");
    signal(parent.id(), Signal::TERM);
    assert_eq!(parent.wait().unwrap().code(), Some(0));
    bench.nothing_is_left("t");
}

#[test]
fn a_foreground_cluster_says_which_component_ended_by_itself() {
    let bench = Bench::new();
    let mut parent = bench.foreground("t");
    let components = pids(&bench.list()[0]);
    let (_, scheduler) = components.iter().find(|(name, _)| name == "kube-scheduler").unwrap();
    signal(*scheduler, Signal::KILL);
    assert_eq!(parent.wait().unwrap().code(), Some(1));
    bench.nothing_is_left("t");
}

#[test]
fn a_component_that_ends_at_start_shows_its_log_and_leaves_nothing() {
    let bench = Bench::new();
    let config = bench.state.path().join("bad.yaml");
    let text = "profiles:\n- schedulerName: mine\n  plugins:\n    score:\n      enabled:\n      - name: NoSuchPlugin\n";
    std::fs::write(&config, text).unwrap();
    let output =
        bench.run(&["up", "--detach", "--name", "s", "--scheduler-config", &config.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("kube-scheduler ended at start (exit status: 1)"), "{said}");
    assert!(said.contains("NoSuchPlugin"), "{said}");
    bench.nothing_is_left("s");
    let kept = bench.state.path().join("failed/s-kube-scheduler.log");
    assert!(said.contains(&kept.display().to_string()), "{said}");
    assert!(std::fs::read_to_string(kept).unwrap().contains("NoSuchPlugin"));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let bench = Bench::new();
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let output = bench.run(&["up", "--detach", "--name", "p", "--port", &port]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("kube-apiserver ended at start"), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{port}: bind: address already in use")), "{said}");
    bench.nothing_is_left("p");
}

#[test]
fn what_is_left_of_a_half_dead_cluster_goes_down() {
    let bench = Bench::new();
    bench.done(&["up", "--detach", "--name", "h"]);
    let components = pids(&bench.list()[0]);
    for (name, pid) in &components {
        if matches!(name.as_str(), "etcd" | "kube-scheduler") {
            signal(*pid, Signal::KILL);
            bench.until("the end of a killed component", || ProcessId::of(*pid).is_none());
        }
    }
    let status = &bench.list()[0]["status"];
    assert_ne!(status["is"], "running", "{status}");
    bench.done(&["down", "h"]);
    bench.nothing_is_left("h");

    std::fs::create_dir_all(bench.folder("h")).unwrap();
    assert_eq!(bench.list()[0]["status"]["is"], "unknown");
    bench.done(&["down", "h"]);
    bench.nothing_is_left("h");
}

#[tokio::test]
async fn a_scheduler_is_replaced_while_the_rest_runs_on() {
    let bench = Bench::new();
    let environment = Dirs::from_env().unwrap();
    let dirs = Dirs { state: bench.state.path().to_owned(), ..environment };
    let version: Version = VERSION.parse().unwrap();
    let mut spec = ClusterSpec::new("r", version.clone(), dirs.clone());
    spec.shim = Some(env!("CARGO_BIN_EXE_kubereel").into());
    let mut cluster = cluster::up(&spec).await.unwrap();
    let api_server = cluster.process(Component::ApiServer);

    cluster.stop_component(Component::Scheduler).await.unwrap();
    assert_eq!((cluster.scheduler_url(), bench.processes().len()), (None, 3));
    assert_eq!(bench.list()[0]["status"]["is"], "running", "a stopped component counts as dead");
    let mine = serde_json::json!({"profiles": [{"schedulerName": "mine"}]});
    let scheduler =
        SchedulerSpec { config: Some(mine), json_log: true, verbosity: 2, ..SchedulerSpec::new(version) };
    cluster.start_scheduler(&scheduler).await.unwrap();
    let url = cluster.scheduler_url().unwrap();
    let configz = get(&cluster.kubeconfig(), Some(&url), "/configz", true).await.unwrap();
    assert!(configz.contains(r#""schedulerName":"mine""#), "{configz}");
    assert_eq!(cluster.process(Component::ApiServer), api_server);
    let log = std::fs::read_to_string(cluster.log(Component::Scheduler)).unwrap();
    assert!(log.lines().rev().any(|line| serde_json::from_str::<Value>(line).is_ok()), "no JSON in the log");

    let other = cluster::open("r", &dirs).unwrap();
    assert_eq!(other.scheduler_url(), Some(url));
    drop(other);
    assert_eq!(bench.processes().len(), 4, "dropping a second handle took the cluster down");
    drop(cluster);
    bench.nothing_is_left("r");
}

#[test]
fn a_version_that_does_not_exist_is_named_and_nothing_is_started() {
    let bench = Bench::new();
    let cache = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dead = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = bench
        .command(&["up", "--version", "v1.37.999", "--name", "v"])
        .env("KUBEREEL_CACHE_DIR", cache.path())
        .env("KUBEREEL_RELEASE_URL", &dead)
        .env("KUBEREEL_ETCD_URL", &dead)
        .env("GOPROXY", empty_module_proxy())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no such Kubernetes version v1.37.999"), "{}", stderr(&output));
    bench.nothing_is_left("v");
}

/// A Go module proxy that has no module.
fn empty_module_proxy() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            let mut line = String::new();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            while request.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer).unwrap();
        }
    });
    url
}

#[test]
fn a_state_folder_that_cannot_be_made_is_named() {
    let bench = Bench::new();
    let file = bench.state.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = bench.command(&["up", "--detach"]).env("KUBEREEL_STATE_DIR", &file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&file.display().to_string()), "{}", stderr(&output));
}
