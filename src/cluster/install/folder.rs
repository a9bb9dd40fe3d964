//! Programs that are there already.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Origin, Program, cache};
use crate::cluster::{ClusterError, Component, Dirs, Version};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The oldest etcd that is taken from `KUBEBUILDER_ASSETS` and `PATH`: it is not tied to a Kubernetes version.
const OLDEST_ETCD: Version = Version::new(3, 5, 0);

/// The program in a folder, if it is there and can be run.
pub(super) fn program_in(folder: &Path, component: Component) -> Option<PathBuf> {
    let path = std::path::absolute(folder.join(component.name())).ok()?;
    let metadata = std::fs::metadata(&path).ok()?;
    (metadata.is_file() && metadata.permissions().mode() & 0o111 != 0).then_some(path)
}

/// The program in `KUBEBUILDER_ASSETS`, where envtest keeps its programs, if it has the right version.
pub(super) async fn in_assets(version: &Version, component: Component) -> Option<PathBuf> {
    let folder = std::env::var_os("KUBEBUILDER_ASSETS").filter(|v| !v.is_empty())?;
    fitting(program_in(Path::new(&folder), component)?, version, component).await
}

/// The program on `PATH`, if it has the right version.
pub(super) async fn on_path(version: &Version, component: Component) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .find_map(|folder| program_in(&folder, component))?;
    fitting(found, version, component).await
}

async fn fitting(path: PathBuf, version: &Version, component: Component) -> Option<PathBuf> {
    let reported = reported_version(&path, component).await?;
    if fits(&reported, version, component) {
        info!("using {} ({reported})", path.display());
        return Some(path);
    }
    info!("not using {}: it is {reported}", path.display());
    None
}

fn fits(reported: &Version, version: &Version, component: Component) -> bool {
    if component == Component::Etcd { *reported >= OLDEST_ETCD } else { reported == version }
}

/// A folder given by name is taken at its word, but not silently.
pub(super) async fn warn_of_other_version(path: &Path, component: Component, version: &Version) {
    match reported_version(path, component).await {
        Some(reported) if fits(&reported, version, component) => {}
        Some(reported) => {
            warn!("{} says it is {reported}, not {version}; using it all the same", path.display());
        }
        None => warn!("{} does not say which version it is; using it as {version}", path.display()),
    }
}

/// Copies all programs from a folder into the cache.
pub(super) async fn copy_all(
    version: &Version,
    components: &[Component],
    folder: &Path,
    dirs: &Dirs,
) -> Result<Vec<Program>, ClusterError> {
    let mut programs = Vec::new();
    for &component in components {
        let path = program_in(folder, component).ok_or_else(|| ClusterError::NotFound {
            component,
            version: version.clone(),
            tried: format!("  {}: no program of that name", folder.display()),
        })?;
        warn_of_other_version(&path, component, version).await;
        programs.push(cache::copy(dirs, version, component, &path, Origin::Folder).await?);
    }
    Ok(programs)
}

/// What a program says to `--version`.
async fn reported_version(path: &Path, component: Component) -> Option<Version> {
    let output = Command::new(path).arg("--version").kill_on_drop(true).output();
    let output = timeout(ANSWER_WITHIN, output).await.ok()?.ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout), component)
}

fn parse_version(said: &str, component: Component) -> Option<Version> {
    let label = if component == Component::Etcd { "etcd Version: " } else { "Kubernetes " };
    said.lines().find_map(|line| line.trim().strip_prefix(label)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_programs_say() {
        assert_eq!(parse_version("Kubernetes v1.37.2\n", Component::Scheduler), Some(Version::new(1, 37, 2)));
        let etcd = "etcd Version: 3.7.0\nGit SHA: Not provided\nGo Version: go1.26.8\n";
        assert_eq!(parse_version(etcd, Component::Etcd), Some(Version::new(3, 7, 0)));
        assert_eq!(parse_version("something else", Component::Etcd), None);
    }

    #[test]
    fn any_recent_etcd_fits_and_only_the_same_kubernetes() {
        let version = Version::new(1, 37, 2);
        assert!(fits(&Version::new(3, 6, 8), &version, Component::Etcd));
        assert!(!fits(&Version::new(3, 4, 30), &version, Component::Etcd));
        assert!(fits(&version, &version, Component::Scheduler));
        assert!(!fits(&Version::new(1, 37, 1), &version, Component::Scheduler));
    }
}
