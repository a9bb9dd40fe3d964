use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{ClusterError, Component, Version};

/// Where programs are cached and where clusters live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// Holds `bin/<version>/<component>`.
    pub cache: PathBuf,
    /// Holds `clusters/<name>`.
    pub state: PathBuf,
}

impl Dirs {
    /// `KUBEREEL_CACHE_DIR` and `KUBEREEL_STATE_DIR`, else the XDG folders, else `~/.cache` and `~/.local/state`.
    pub fn from_env() -> Result<Dirs, ClusterError> {
        Dirs::from_lookup(|name| std::env::var_os(name).filter(|v| !v.is_empty()))
    }

    fn from_lookup(get: impl Fn(&str) -> Option<OsString>) -> Result<Dirs, ClusterError> {
        let find = |what, own: &'static str, xdg, under_home| {
            let home = || get("HOME").map(|h| Path::new(&h).join(under_home).join("kubereel"));
            get(own)
                .map(PathBuf::from)
                // The XDG specification says to ignore relative paths.
                .or_else(|| {
                    get(xdg).map(PathBuf::from).filter(|p| p.is_absolute()).map(|p| p.join("kubereel"))
                })
                .or_else(home)
                .ok_or(ClusterError::NoHome { what, variable: own })
        };
        Ok(Dirs {
            cache: absolute(&find("programs", "KUBEREEL_CACHE_DIR", "XDG_CACHE_HOME", ".cache")?)?,
            state: absolute(&find("clusters", "KUBEREEL_STATE_DIR", "XDG_STATE_HOME", ".local/state")?)?,
        })
    }

    /// Where the programs of one version are cached.
    pub fn bin(&self, version: &Version) -> PathBuf {
        self.cache.join("bin").join(version.to_string())
    }

    /// The folder of all clusters.
    pub fn clusters(&self) -> PathBuf {
        self.state.join("clusters")
    }

    pub(super) fn layout(&self, name: &str) -> Layout {
        Layout { root: self.clusters().join(name) }
    }

    /// Where the log of a component that failed to start is kept once its cluster is removed.
    pub(super) fn failed_log(&self, name: &str, component: Component) -> PathBuf {
        self.state.join("failed").join(format!("{name}-{component}.log"))
    }
}

/// Components run in another folder than kubereel may, so every path they get is absolute.
fn absolute(path: &Path) -> Result<PathBuf, ClusterError> {
    std::path::absolute(path).map_err(ClusterError::io("resolve", path))
}

/// The files of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub root: PathBuf,
}

impl Layout {
    pub fn pki(&self, file: &str) -> PathBuf {
        self.root.join("pki").join(file)
    }

    pub fn log(&self, component: Component) -> PathBuf {
        self.root.join("logs").join(format!("{component}.log"))
    }

    pub fn state_file(&self) -> PathBuf {
        self.root.join("cluster.json")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    pub fn component_kubeconfig(&self, component: Component) -> PathBuf {
        self.root.join(format!("{component}.kubeconfig"))
    }

    pub fn scheduler_config(&self) -> PathBuf {
        self.root.join("scheduler-config.json")
    }

    pub fn etcd_data(&self) -> PathBuf {
        self.root.join("etcd")
    }
}

/// Makes a folder, and the ones above it, that only the user can enter.
pub(super) fn private_dir(path: &Path) -> Result<(), ClusterError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(ClusterError::io("create", path))
}

/// Replaces a file by a temporary name and a rename, so that no reader sees half of it; only the user can read it.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<(), ClusterError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(ClusterError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(vars: &[(&str, &str)]) -> Result<Dirs, ClusterError> {
        Dirs::from_lookup(|name| vars.iter().find(|(k, _)| *k == name).map(|(_, v)| OsString::from(v)))
    }

    #[test]
    fn own_variables_come_before_xdg_and_home() {
        let all = [
            ("KUBEREEL_CACHE_DIR", "/a"),
            ("XDG_CACHE_HOME", "/b"),
            ("HOME", "/h"),
            ("XDG_STATE_HOME", "/s"),
        ];
        let got = dirs(&all).unwrap();
        assert_eq!((got.cache, got.state), (PathBuf::from("/a"), PathBuf::from("/s/kubereel")));
        let got = dirs(&[("HOME", "/h"), ("XDG_CACHE_HOME", "relative")]).unwrap();
        assert_eq!(got.cache, PathBuf::from("/h/.cache/kubereel"));
        assert_eq!(got.state, PathBuf::from("/h/.local/state/kubereel"));
    }

    #[test]
    fn without_a_home_the_error_names_the_variable() {
        let said = dirs(&[]).unwrap_err().to_string();
        assert!(said.contains("KUBEREEL_CACHE_DIR"), "{said}");
    }
}
