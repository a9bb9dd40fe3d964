use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::state::State;
use super::{ClusterError, Component, Dirs, Version};

/// What `list` says of one cluster.
#[derive(Debug, Clone, Serialize)]
pub struct ClusterInfo {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub status: ClusterStatus,
    /// Version of the API server; none if the state file cannot be read.
    pub version: Option<Version>,
    /// Version of the scheduler.
    pub scheduler_version: Option<Version>,
    /// Whether it outlives the process that started it.
    pub detached: bool,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// What was started and not stopped since.
    pub components: Vec<ComponentInfo>,
    /// How long its oldest component has been running, in seconds.
    pub age_seconds: Option<u64>,
}

/// One component of a listed cluster.
#[derive(Debug, Clone, Serialize)]
pub struct ComponentInfo {
    /// Which.
    pub component: Component,
    /// Its process.
    pub pid: u32,
    /// Its port.
    pub port: u16,
    /// Whether it runs.
    pub alive: bool,
}

/// How a cluster is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "is", content = "components")]
pub enum ClusterStatus {
    /// Everything that was started runs.
    Running,
    /// These have ended.
    Degraded(Vec<Component>),
    /// Nothing runs.
    Dead,
    /// Its state file is missing or cannot be read: it is being started or removed, or half of it is left.
    Unknown,
}

impl fmt::Display for ClusterStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterStatus::Running => f.write_str("running"),
            ClusterStatus::Degraded(dead) => {
                let names: Vec<&str> = dead.iter().map(|c| c.name()).collect();
                write!(f, "degraded: no {}", names.join(", "))
            }
            ClusterStatus::Dead => f.write_str("dead"),
            ClusterStatus::Unknown => f.write_str("unknown"),
        }
    }
}

/// All clusters of the state folder, by name.
pub fn list(dirs: &Dirs) -> Result<Vec<ClusterInfo>, ClusterError> {
    Ok(names(dirs)?.iter().map(|name| info(name, dirs)).collect())
}

pub(super) fn names(dirs: &Dirs) -> Result<Vec<String>, ClusterError> {
    let folder = dirs.clusters();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ClusterError::io("read", &folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(ClusterError::io("read", &folder))?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

pub(super) fn info(name: &str, dirs: &Dirs) -> ClusterInfo {
    let layout = dirs.layout(name);
    match State::load(name, &layout) {
        Ok(state) => info_of(&state),
        Err(_) => ClusterInfo {
            name: name.to_owned(),
            status: ClusterStatus::Unknown,
            version: None,
            scheduler_version: None,
            detached: false,
            kubeconfig: layout.kubeconfig(),
            components: Vec::new(),
            age_seconds: None,
        },
    }
}

fn info_of(state: &State) -> ClusterInfo {
    let components: Vec<ComponentInfo> = state
        .components
        .iter()
        .map(|(&component, c)| ComponentInfo {
            component,
            pid: c.process.pid,
            port: c.port,
            alive: c.process.alive(),
        })
        .collect();
    let ages = state.components.values().filter(|c| c.process.alive()).filter_map(|c| c.process.age());
    ClusterInfo {
        name: state.name.clone(),
        status: status(&components),
        version: Some(state.version.clone()),
        scheduler_version: state.programs.get(&Component::Scheduler).map(|p| p.version.clone()),
        detached: state.detached,
        kubeconfig: state.kubeconfig.clone(),
        age_seconds: ages.max().as_ref().map(Duration::as_secs),
        components,
    }
}

fn status(components: &[ComponentInfo]) -> ClusterStatus {
    let dead: Vec<Component> = components.iter().filter(|c| !c.alive).map(|c| c.component).collect();
    if dead.len() == components.len() {
        ClusterStatus::Dead
    } else if dead.is_empty() {
        ClusterStatus::Running
    } else {
        ClusterStatus::Degraded(dead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(component: Component, alive: bool) -> ComponentInfo {
        ComponentInfo { component, pid: 1, port: 1, alive }
    }

    #[test]
    fn a_status_names_what_has_ended() {
        let etcd = |alive| component(Component::Etcd, alive);
        let scheduler = |alive| component(Component::Scheduler, alive);
        assert_eq!(status(&[etcd(true), scheduler(true)]), ClusterStatus::Running);
        assert_eq!(status(&[etcd(false), scheduler(false)]), ClusterStatus::Dead);
        assert_eq!(status(&[]), ClusterStatus::Dead);
        let degraded = status(&[etcd(true), scheduler(false)]);
        assert_eq!(degraded.to_string(), "degraded: no kube-scheduler");
    }
}
