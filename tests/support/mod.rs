//! What the tests at the process boundary share: running the binary, private folders, small made-up traces.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod api;
pub mod deploy;
pub mod recorder;
pub mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kubereel::model::{ObjectEvent, Record, Synced, TraceTime, Verb};
use kubereel::trace::{Header, ReelWriter, WriteOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The version that tests run everything in, and the older scheduler that they compare with.
pub const VERSION: &str = "v1.37.2";
/// A bound for runs whose lateness is no concern of a test: the machine may be busy.
pub const HOWEVER_LATE: &str = "10m";
/// See [`VERSION`].
pub const OLDER: &str = "v1.36.3";

/// A folder of its own for a test: files, and the state of its clusters. Clusters left over are taken down.
pub struct Sandbox {
    dir: TempDir,
}

/// What a run of the binary printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Sandbox {
    pub fn new() -> Sandbox {
        Sandbox { dir: TempDir::new().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The binary with these arguments, in this sandbox.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubereel"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("KUBEREEL_STATE_DIR", self.path("state"))
            .env_remove("KUBECONFIG")
            .env_remove("KUBEREEL_LOG");
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    /// Runs it and insists on success.
    pub fn ok(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "kubereel {}\n{}\n{}", args.join(" "), ran.out, ran.err);
        ran
    }
}

impl Sandbox {
    /// Starts the cluster `lab` and connects to it. Its kubeconfig is in the file `kubeconfig`.
    pub fn lab(&self) -> api::Api {
        self.lab_with(&[])
    }

    /// The same with more arguments of `cluster up`.
    pub fn lab_with(&self, more: &[&str]) -> api::Api {
        let up = ["cluster", "up", "--name", "lab", "--detach", "--version", VERSION];
        self.ok(&[&up, more].concat());
        let kubeconfig = self.ok(&["cluster", "kubeconfig", "lab", "--raw"]).out;
        std::fs::write(self.path("kubeconfig"), kubeconfig).unwrap();
        api::Api::connect(&self.path("kubeconfig"))
    }

    /// A recorder of the lab.
    pub fn record(&self, args: &[&str]) -> Command {
        self.command(&[&["record", "--cluster", "lab"], args].concat())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.command(&["cluster", "down", "--all"]).output();
    }
}

impl Ran {
    pub fn of(output: &Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.out, self.err))
    }
}

/// Writes a made-up trace, event by event.
pub struct Script {
    events: Vec<Record>,
}

impl Script {
    /// A cluster of `nodes` nodes with 4 cores and 8 GiB each, two zones.
    pub fn new(nodes: usize) -> Script {
        let mut script = Script { events: Vec::new() };
        for n in 0..nodes {
            script.event(0, Verb::Initial, node(n));
        }
        for kind in ["Node", "Pod"] {
            let at = TraceTime::from_millis(100);
            script.events.push(Record::Synced(Synced { at, kind: kind.into(), rv: "1".into() }));
        }
        script
    }

    fn event(&mut self, millis: u64, verb: Verb, object: Value) -> &mut Script {
        let at = TraceTime::from_millis(millis);
        self.events.push(Record::Object(ObjectEvent::new(at, verb, object).unwrap()));
        self
    }

    /// Any event.
    pub fn push(&mut self, millis: u64, verb: Verb, object: Value) -> &mut Script {
        self.event(millis, verb, object)
    }

    /// A pod that is created, bound 20 ms later and runs 100 ms after that.
    pub fn pod(&mut self, millis: u64, name: &str, cpu: &str) -> &mut Script {
        self.event(millis, Verb::Added, pod(name, cpu));
        let mut bound = pod(name, cpu);
        bound["spec"]["nodeName"] = "n0".into();
        self.event(millis + 20, Verb::Modified, bound.clone());
        bound["status"] = json!({"phase": "Running"});
        self.event(millis + 120, Verb::Modified, bound)
    }

    /// The pod succeeds.
    pub fn succeeds(&mut self, millis: u64, name: &str, cpu: &str) -> &mut Script {
        let mut ended = pod(name, cpu);
        ended["spec"]["nodeName"] = "n0".into();
        ended["status"] = json!({"phase": "Succeeded"});
        self.event(millis, Verb::Modified, ended)
    }

    /// Somebody deletes the pod; it is gone 200 ms later.
    pub fn deleted(&mut self, millis: u64, name: &str, cpu: &str) -> &mut Script {
        let mut going = pod(name, cpu);
        going["spec"]["nodeName"] = "n0".into();
        going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        going["metadata"]["deletionGracePeriodSeconds"] = 30.into();
        self.event(millis, Verb::Modified, going.clone());
        self.event(millis + 200, Verb::Deleted, going)
    }

    /// Writes the trace.
    pub fn write(&self, path: &Path) {
        let header = Header { id: "script".into(), writer: "test".into(), ..Header::default() };
        let mut writer = ReelWriter::create(path, &header, WriteOptions::default()).unwrap();
        for event in &self.events {
            writer.push(event).unwrap();
        }
        writer.seal().unwrap();
    }
}

/// Node `nN` with 4 cores and 8 GiB.
pub fn node(n: usize) -> Value {
    let resources = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
    json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": format!("n{n}"), "uid": format!("node-{n}"), "resourceVersion": "1", "labels": {
            "kubernetes.io/hostname": format!("n{n}"), "topology.kubernetes.io/zone": format!("z{}", n % 2)}},
        "spec": {},
        "status": {"capacity": resources, "allocatable": resources,
            "conditions": [{"type": "Ready", "status": "True"}]}})
}

/// A pending pod of namespace `default`.
pub fn pod(name: &str, cpu: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "resourceVersion": "1",
            "labels": {"app": name.split('-').next()}},
        "spec": {"schedulerName": "default-scheduler", "containers": [
            {"name": "c", "image": "none", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}]},
        "status": {"phase": "Pending"}})
}

/// Agreement on the exact node between these groups of runs: decisions alike, decisions compared.
pub fn exact(report: &Value, pairs: &str) -> (u64, u64) {
    let ladder = report["decisions"]["ladder"].as_array().unwrap();
    let agreement = &ladder.iter().find(|entry| entry["rung"] == "exact-node").unwrap()[pairs];
    (agreement["agree"].as_u64().unwrap(), agreement["pairs"].as_u64().unwrap())
}
