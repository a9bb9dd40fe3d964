//! The programs that keep hollow nodes, as processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use clap::ValueEnum;

use crate::used;

const KUBEREEL: &str = env!("CARGO_BIN_EXE_kubereel");
const CAPACITY: &str = "cpu=72,memory=256Gi,ephemeral-storage=1Ti,pods=110";
/// The stages that KWOK's `fast` set-up with leases has, in its source.
const STAGES: [&str; 3] = ["pod/fast", "node/fast", "node/heartbeat-with-lease"];

/// Who keeps the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Who {
    Kubemark,
    Kwok,
    Light,
    Kubelet,
    Proxy,
}

impl Who {
    pub fn name(self) -> &'static str {
        match self {
            Who::Kubemark => "kubemark v1.37.2",
            Who::Kwok => "KWOK v0.8.0",
            Who::Light => "kubereel, light",
            Who::Kubelet => "kubereel, kubelet",
            Who::Proxy => "kubereel, kubelet and proxy",
        }
    }
}

/// Its processes; they end with it.
pub struct Fleet {
    children: Vec<Child>,
}

impl Fleet {
    /// Starts it. KWOK's nodes are made by others, so they are not there yet.
    pub fn start(who: Who, nodes: usize, kubeconfig: &Path, folder: &Path) -> anyhow::Result<Fleet> {
        let mut commands = match who {
            Who::Kubemark => {
                let program = peer("kubemark")?;
                (0..nodes).map(|n| kubemark(&program, n, folder)).collect::<anyhow::Result<Vec<_>>>()?
            }
            Who::Kwok => vec![kwok(&peer("kwok")?, folder)?],
            Who::Light => vec![kubereel(nodes, &["--profile", "light"])],
            Who::Kubelet => vec![kubereel(nodes, &["--profile", "kubelet"])],
            Who::Proxy => vec![kubereel(nodes, &["--profile", "kubelet", "--morph", "kubelet,proxy"])],
        };
        let mut fleet = Fleet { children: Vec::new() };
        for (number, command) in commands.iter_mut().enumerate() {
            let log = File::create(folder.join(format!("fleet-{number}.log")))?;
            command.arg("--kubeconfig").arg(kubeconfig);
            command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null());
            let child = command.spawn().with_context(|| format!("{who:?} does not start"))?;
            fleet.children.push(child);
        }
        Ok(fleet)
    }

    /// CPU of all processes, seconds.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.sum(used::cpu_seconds)
    }

    /// A memory figure of all processes, MiB: `VmRSS` or `VmHWM`.
    pub fn memory(&self, figure: &str) -> anyhow::Result<f64> {
        self.sum(|pid| used::memory_mib(pid, figure))
    }

    fn sum(&self, figure: impl Fn(u32) -> anyhow::Result<f64>) -> anyhow::Result<f64> {
        self.children.iter().map(|child| figure(child.id())).sum()
    }

    /// Fails where one has ended by itself.
    pub fn check(&mut self) -> anyhow::Result<()> {
        for child in &mut self.children {
            ensure!(child.try_wait()?.is_none(), "a process of the fleet has ended; see its log");
        }
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn kubereel(nodes: usize, more: &[&str]) -> Command {
    let mut command = Command::new(KUBEREEL);
    command.args(["hollow", "--nodes", &nodes.to_string(), "--name-prefix", "hollow-"]);
    command.args(["--capacity", CAPACITY, "--kubelet-address", "127.0.0.1:0"]).args(more);
    command
}

/// A hollow kubelet of its own, with a folder and ports of its own.
fn kubemark(program: &Path, number: usize, folder: &Path) -> anyhow::Result<Command> {
    let certificates = folder.join(format!("kubemark-{number}"));
    std::fs::create_dir_all(&certificates)?;
    let mut command = Command::new(program);
    command.args(["--morph=kubelet", "--use-host-image-service=false", "--v=0"]);
    command.arg(format!("--name=hollow-{number}"));
    command.arg(format!("--cert-dir={}", certificates.display()));
    command.arg(format!("--kubelet-port={}", 20_000 + 2 * number));
    command.arg(format!("--kubelet-read-only-port={}", 20_001 + 2 * number));
    command.arg(format!("--extended-resources={CAPACITY}"));
    Ok(command)
}

fn kwok(program: &Path, folder: &Path) -> anyhow::Result<Command> {
    let source = Command::new("go").args(["mod", "download", "-json", "sigs.k8s.io/kwok@v0.8.0"]).output()?;
    let source: serde_json::Value = serde_json::from_slice(&source.stdout)?;
    let source = Path::new(source["Dir"].as_str().context("go does not say where KWOK's source is")?);
    let mut stages = String::new();
    for part in STAGES {
        let mut files: Vec<PathBuf> = std::fs::read_dir(source.join("kustomize/stage").join(part))?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<_>>()?;
        files.sort();
        for file in files {
            let is_stage =
                file.extension().is_some_and(|e| e == "yaml") && !file.ends_with("kustomization.yaml");
            if is_stage {
                stages = stages + "---\n" + &std::fs::read_to_string(&file)? + "\n";
            }
        }
    }
    let config = folder.join("stages.yaml");
    std::fs::write(&config, stages)?;
    let mut command = Command::new(program);
    command.args(["--manage-all-nodes", "--node-lease-duration-seconds=40", "--node-ip=10.0.0.1"]);
    command.args(["--server-address=127.0.0.1:0", "--config"]).arg(config);
    Ok(command)
}

/// A program that `tools/peers.py` has built.
fn peer(name: &str) -> anyhow::Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/peers.py");
    let built = Command::new(script).arg(name).stderr(Stdio::inherit()).output()?;
    ensure!(built.status.success(), "tools/peers.py {name} failed");
    Ok(PathBuf::from(String::from_utf8(built.stdout)?.trim()))
}
