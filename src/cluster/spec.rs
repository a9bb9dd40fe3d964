use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::install::Source;
use super::{ClusterError, Component, Dirs, Version};

/// What to start.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// Its name: a folder, and part of the kubeconfig context.
    pub name: String,
    /// Version of all components but the scheduler.
    pub version: Version,
    /// The scheduler.
    pub scheduler: SchedulerSpec,
    /// What the API server and the controllers run with.
    pub settings: Settings,
    /// A fixed port for the API server; a free one otherwise.
    pub port: Option<u16>,
    /// Whether the components outlive this process.
    pub detach: bool,
    /// Where the programs come from.
    pub source: Source,
    /// The `kubereel` program that starts the components; this process's own program if not given.
    pub shim: Option<PathBuf>,
    /// Where programs and clusters are kept.
    pub dirs: Dirs,
}

impl ClusterSpec {
    /// A cluster of one version with nothing special about it.
    pub fn new(name: impl Into<String>, version: Version, dirs: Dirs) -> ClusterSpec {
        ClusterSpec {
            name: name.into(),
            scheduler: SchedulerSpec::new(version.clone()),
            version,
            settings: Settings::default(),
            port: None,
            detach: false,
            source: Source::Auto,
            shim: None,
            dirs,
        }
    }

    pub(super) fn check(&self) -> Result<(), ClusterError> {
        check_name(&self.name)
    }
}

/// A name that can be a folder and a kubeconfig context, and cannot lead out of the folder of clusters.
pub(super) fn check_name(name: &str) -> Result<(), ClusterError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ok = name.len() <= 63
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|b| plain(b) || b == b'-');
    if ok { Ok(()) } else { Err(ClusterError::BadName { name: name.to_owned() }) }
}

/// What the API server and the controllers run with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Controllers to run, as the controller manager's `--controllers` takes them; `*` is all that are on by default.
    pub controllers: Vec<String>,
    /// `Name=true` or `Name=false`, for the API server and the controller manager.
    pub feature_gates: Vec<String>,
    /// More arguments for a component, after our own.
    pub extra_args: BTreeMap<Component, Vec<String>>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { controllers: vec!["*".to_owned()], feature_gates: Vec::new(), extra_args: BTreeMap::new() }
    }
}

/// Which scheduler, and how it is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulerSpec {
    /// Its version.
    pub version: Version,
    /// A program to use instead of the stock one of that version.
    pub binary: Option<PathBuf>,
    /// A `KubeSchedulerConfiguration`. Its client connection and leader election are filled in.
    pub config: Option<Value>,
    /// `-v`.
    pub verbosity: u8,
    /// Whether the log is written as JSON.
    pub json_log: bool,
    /// `Name=true` or `Name=false`.
    pub feature_gates: Vec<String>,
}

impl SchedulerSpec {
    /// The stock scheduler of a version with its default configuration.
    pub fn new(version: Version) -> SchedulerSpec {
        SchedulerSpec {
            version,
            binary: None,
            config: None,
            verbosity: 0,
            json_log: false,
            feature_gates: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_the_folder_of_clusters() {
        for good in ["a", "kubereel", "run-3", "0"] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
        for bad in ["", ".", "..", "a/b", "-a", "A", "a b", &"a".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
