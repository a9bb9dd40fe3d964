use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::dirs::{Layout, write_private};
use super::process::{ProcessId, boot_id};
use super::{ClusterError, Component, Settings, Version};

const FORMAT: u32 = 1;

/// What `cluster.json` holds: enough for another process to use the cluster and to take it down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    format: u32,
    pub name: String,
    pub version: Version,
    pub detached: bool,
    /// Process numbers and start times mean nothing after a restart of the machine.
    boot: String,
    /// The process that started the cluster; attached components end with it.
    pub owner: ProcessId,
    pub kubeconfig: PathBuf,
    pub settings: Settings,
    /// Where each program is, running or not.
    pub programs: BTreeMap<Component, ProgramEntry>,
    /// What was started and not stopped since.
    pub components: BTreeMap<Component, ComponentEntry>,
}

/// One program that the cluster uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProgramEntry {
    pub version: Version,
    pub path: PathBuf,
}

/// One started component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ComponentEntry {
    pub process: ProcessId,
    pub port: u16,
}

impl State {
    pub fn new(name: &str, version: &Version, detached: bool, layout: &Layout, settings: &Settings) -> State {
        State {
            format: FORMAT,
            name: name.to_owned(),
            version: version.clone(),
            detached,
            boot: boot_id(),
            owner: ProcessId::own(),
            kubeconfig: layout.kubeconfig(),
            settings: settings.clone(),
            programs: BTreeMap::new(),
            components: BTreeMap::new(),
        }
    }

    pub fn load(name: &str, layout: &Layout) -> Result<State, ClusterError> {
        let path = layout.state_file();
        let bad =
            |reason: String| ClusterError::BadState { name: name.to_owned(), path: path.clone(), reason };
        let bytes = fs::read(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => bad("the file is missing".to_owned()),
            _ => ClusterError::Io { what: "read", path: path.clone(), source },
        })?;
        let mut state: State = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        if state.format != FORMAT {
            return Err(bad(format!("it has format {}, this version reads {FORMAT}", state.format)));
        }
        if state.boot != boot_id() {
            // A start time of zero matches no process but the kernel's own first ones, which no cluster started.
            state.owner.start = 0;
            state.components.values_mut().for_each(|c| c.process.start = 0);
        }
        Ok(state)
    }

    pub fn save(&self, layout: &Layout) -> Result<(), ClusterError> {
        let text = serde_json::to_string_pretty(self).map_err(|e| ClusterError::BadState {
            name: self.name.clone(),
            path: layout.state_file(),
            reason: e.to_string(),
        })?;
        write_private(&layout.state_file(), text.as_bytes())
    }

    pub fn port(&self, component: Component) -> Option<u16> {
        self.components.get(&component).map(|c| c.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> (tempfile::TempDir, Layout, State) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().to_owned() };
        let mut state = State::new("c", &Version::default(), true, &layout, &Settings::default());
        let own = ProcessId::own();
        state.components.insert(Component::Etcd, ComponentEntry { process: own, port: 7 });
        state.programs.insert(
            Component::Scheduler,
            ProgramEntry { version: Version::new(1, 36, 3), path: "/bin/kube-scheduler".into() },
        );
        state.save(&layout).unwrap();
        (dir, layout, state)
    }

    #[test]
    fn comes_back_as_it_was_saved() {
        let (_dir, layout, state) = saved();
        assert_eq!(State::load("c", &layout).unwrap(), state);
    }

    #[test]
    fn another_boot_matches_no_process() {
        let (_dir, layout, mut state) = saved();
        state.boot = "another".to_owned();
        state.save(&layout).unwrap();
        let loaded = State::load("c", &layout).unwrap();
        assert!(!loaded.components[&Component::Etcd].process.alive());
    }

    #[test]
    fn a_broken_file_says_how_to_get_rid_of_it() {
        let (_dir, layout, _) = saved();
        fs::write(layout.state_file(), "{").unwrap();
        let said = State::load("c", &layout).unwrap_err().to_string();
        assert!(said.contains("kubereel cluster down c"), "{said}");
    }
}
