use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Child;

use rustix::process::Signal;
use tracing::{info, warn};

use super::dirs::{Layout, private_dir};
use super::list::names;
use super::spec::check_name;
use super::state::State;
use super::{ClusterError, ClusterSpec, Component, Dirs, Program, Version, pki};

/// A control plane. One that this process started without detaching it is killed and removed when this is dropped;
/// [`Cluster::down`] does so in order.
#[derive(Debug)]
pub struct Cluster {
    pub(super) dirs: Dirs,
    pub(super) layout: Layout,
    pub(super) state: State,
    pub(super) shim: Option<PathBuf>,
    /// What this process started; the others are known by their number and start time alone.
    pub(super) children: BTreeMap<Component, Child>,
    /// Whether dropping this takes the cluster down.
    pub(super) armed: bool,
}

/// Takes hold of a cluster that is there, whoever started it. Dropping what this returns leaves the cluster alone.
pub fn open(name: &str, dirs: &Dirs) -> Result<Cluster, ClusterError> {
    check_name(name)?;
    let layout = dirs.layout(name);
    if !layout.root.is_dir() {
        return Err(no_such_cluster(name, dirs)?);
    }
    let state = State::load(name, &layout)?;
    Ok(Cluster { dirs: dirs.clone(), layout, state, shim: None, children: BTreeMap::new(), armed: false })
}

/// Takes a cluster down, however much of it is left, and removes its folder.
pub async fn remove(name: &str, dirs: &Dirs) -> Result<(), ClusterError> {
    match open(name, dirs) {
        Ok(cluster) => cluster.down().await,
        Err(error @ ClusterError::BadState { .. }) => {
            warn!("{error}; removing its folder, nothing is known of its processes");
            remove_folder(&dirs.layout(name).root)
        }
        Err(error) => Err(error),
    }
}

fn no_such_cluster(name: &str, dirs: &Dirs) -> Result<ClusterError, ClusterError> {
    let names = names(dirs)?;
    let known = if names.is_empty() {
        "there are none".to_owned()
    } else {
        format!("there are: {}", names.join(", "))
    };
    Ok(ClusterError::NoSuchCluster { name: name.to_owned(), known })
}

fn remove_folder(folder: &Path) -> Result<(), ClusterError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(ClusterError::io("remove", folder)(error)),
        _ => Ok(()),
    }
}

impl Cluster {
    /// Makes the folder, which reserves the name, and what the components need before they start.
    pub(super) fn create(spec: &ClusterSpec, programs: &[Program]) -> Result<Cluster, ClusterError> {
        let layout = spec.dirs.layout(&spec.name);
        private_dir(&spec.dirs.clusters())?;
        fs::create_dir(&layout.root).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => name_in_use(&spec.name, &spec.dirs),
            _ => ClusterError::Io { what: "create", path: layout.root.clone(), source },
        })?;
        // From here on a failure removes the folder again.
        let state = State::new(&spec.name, &spec.version, spec.detach, &layout, &spec.settings);
        let mut cluster = Cluster {
            dirs: spec.dirs.clone(),
            layout,
            state,
            shim: spec.shim.clone(),
            children: BTreeMap::new(),
            armed: true,
        };
        for program in programs {
            cluster.state.programs.insert(program.component, program.into());
        }
        for folder in ["", "logs", "etcd"] {
            private_dir(&cluster.layout.root.join(folder))?;
            restrict(&cluster.layout.root.join(folder))?;
        }
        cluster.save()?;
        pki::create(&cluster.layout, &spec.name)?;
        Ok(cluster)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Version of the API server.
    pub fn version(&self) -> &Version {
        &self.state.version
    }

    /// Version of the scheduler, running or not.
    pub fn scheduler_version(&self) -> Option<&Version> {
        self.state.programs.get(&Component::Scheduler).map(|p| &p.version)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.kubeconfig.clone()
    }

    /// `https://127.0.0.1:PORT`; none while the component is stopped. All take the administrator's certificate.
    pub fn url(&self, component: Component) -> Option<String> {
        self.state.port(component).map(|port| format!("https://127.0.0.1:{port}"))
    }

    /// Where components serve `/metrics`, by name: those that run, but for the API server.
    pub fn metrics_urls(&self) -> BTreeMap<String, String> {
        let others = Component::ALL.into_iter().filter(|component| *component != Component::ApiServer);
        others.filter_map(|component| Some((component.to_string(), self.url(component)?))).collect()
    }

    /// Where the scheduler serves `/metrics`; none while it is stopped.
    pub fn scheduler_url(&self) -> Option<String> {
        self.url(Component::Scheduler)
    }

    /// The log of a component.
    pub fn log(&self, component: Component) -> PathBuf {
        self.layout.log(component)
    }

    /// The process of a component; none while it is stopped.
    pub fn process(&self, component: Component) -> Option<super::ProcessId> {
        self.state.components.get(&component).map(|c| c.process)
    }

    /// Components that were started, not stopped, and do not run any more.
    pub fn dead(&self) -> Vec<Component> {
        self.state
            .components
            .iter()
            .filter(|(_, c)| !c.process.alive())
            .map(|(component, _)| *component)
            .collect()
    }

    /// Whether its folder is still there; `cluster down` from elsewhere removes it.
    pub fn exists(&self) -> bool {
        self.layout.state_file().exists()
    }

    /// Stops one component and leaves the others running.
    pub async fn stop_component(&mut self, component: Component) -> Result<(), ClusterError> {
        if !self.state.components.contains_key(&component) {
            return Err(ClusterError::NotRunning { name: self.name().to_owned(), component });
        }
        self.stop_started(component).await?;
        self.save()
    }

    async fn stop_started(&mut self, component: Component) -> Result<(), ClusterError> {
        let Some(entry) = self.state.components.get(&component) else { return Ok(()) };
        let process = entry.process;
        if !process.stop().await {
            let name = self.name().to_owned();
            return Err(ClusterError::Unkillable { name, component, pid: process.pid });
        }
        self.state.components.remove(&component);
        self.reap(component);
        Ok(())
    }

    /// Collects the exit status of a child that has ended, so that no zombie stays.
    pub(super) fn reap(&mut self, component: Component) {
        if let Some(mut child) = self.children.remove(&component) {
            let _ = child.wait();
        }
    }

    /// Stops everything, what talks before what it talks to, and removes the folder.
    pub async fn down(mut self) -> Result<(), ClusterError> {
        info!("stopping cluster {}", self.name());
        for component in Component::STOP_ORDER {
            self.stop_started(component).await?;
        }
        self.armed = false;
        remove_folder(&self.layout.root)
    }

    pub(super) fn save(&self) -> Result<(), ClusterError> {
        self.state.save(&self.layout)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        for component in Component::STOP_ORDER {
            if let Some(entry) = self.state.components.get(&component) {
                entry.process.signal(Signal::KILL);
            }
            self.reap(component);
        }
        if let Err(error) = remove_folder(&self.layout.root) {
            warn!("{}", error.with_causes());
        }
    }
}

fn name_in_use(name: &str, dirs: &Dirs) -> ClusterError {
    let state = super::list::info(name, dirs).status.to_string();
    ClusterError::NameInUse { name: name.to_owned(), state }
}

/// `create_dir` follows the umask; the folder holds keys.
fn restrict(folder: &Path) -> Result<(), ClusterError> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
        .map_err(ClusterError::io("restrict", folder))
}
