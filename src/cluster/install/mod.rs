//! Finds the programs, or gets them.
//!
//! In the order in which they are looked for: a folder given, `KUBEBUILDER_ASSETS`, the cache, `PATH`, the official
//! release, a build with Go. What is used from the cache is compared with its recorded SHA-256 by `install` and with
//! its recorded size, which costs nothing, each time a cluster starts.

mod cache;
mod folder;
mod go;
mod gomod;
mod release;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{ClusterError, Component, Dirs, Version};

/// Where programs are to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Wherever they are found first.
    Auto,
    /// A folder with ready-made programs.
    Folder(PathBuf),
    /// The official release.
    Release,
    /// A build with Go.
    Go,
}

impl FromStr for Source {
    type Err = std::convert::Infallible;

    /// `auto`, `release`, `go`, else a folder.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "auto" => Source::Auto,
            "release" => Source::Release,
            "go" => Source::Go,
            folder => Source::Folder(folder.into()),
        })
    }
}

/// Where a program came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A folder, `KUBEBUILDER_ASSETS` or `PATH`.
    Folder,
    /// The official release.
    Release,
    /// A build with Go.
    Go,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Folder => "folder",
            Origin::Release => "release",
            Origin::Go => "go",
        })
    }
}

/// A program that was found or got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Which.
    pub component: Component,
    /// The Kubernetes version that it belongs to.
    pub version: Version,
    /// Where it is.
    pub path: PathBuf,
    /// Where it came from.
    pub origin: Origin,
    /// Its checksum; none for a program used in place.
    pub sha256: Option<String>,
}

impl Program {
    fn in_place(component: Component, version: &Version, path: PathBuf) -> Program {
        Program { component, version: version.clone(), path, origin: Origin::Folder, sha256: None }
    }
}

/// Makes sure that the cache holds these programs. Two installs of one version at a time wait for each other.
pub async fn install(
    version: &Version,
    components: &[Component],
    source: &Source,
    dirs: &Dirs,
) -> Result<Vec<Program>, ClusterError> {
    let _lock = cache::lock(dirs, version).await?;
    let mut programs = Vec::new();
    let mut missing = Vec::new();
    for &component in components {
        match cached(version, component, source, dirs).await? {
            Some(program) => {
                info!("{component} {version} is in the cache ({}), checksum verified", program.origin);
                programs.push(program);
            }
            None => missing.push(component),
        }
    }
    if !missing.is_empty() {
        programs.extend(obtain(version, missing, source, dirs).await?);
    }
    programs.sort_by_key(|p| p.component);
    Ok(programs)
}

/// What the cache holds, verified, if it came from the source that is asked for.
async fn cached(
    version: &Version,
    component: Component,
    source: &Source,
    dirs: &Dirs,
) -> Result<Option<Program>, ClusterError> {
    let Some(program) = cache::lookup(dirs, version, component, source)? else { return Ok(None) };
    match cache::verify(program).await {
        Ok(program) => Ok(Some(program)),
        Err(error @ ClusterError::Checksum { .. }) => {
            warn!("{error}; getting it again");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn obtain(
    version: &Version,
    components: Vec<Component>,
    source: &Source,
    dirs: &Dirs,
) -> Result<Vec<Program>, ClusterError> {
    match source {
        Source::Folder(folder) => folder::copy_all(version, &components, folder, dirs).await,
        Source::Release => {
            let mut programs = Vec::new();
            for component in components {
                programs.push(release::download(version, component, dirs).await?);
            }
            Ok(programs)
        }
        Source::Go => go::build(version, &components, dirs).await,
        Source::Auto => obtain_anywhere(version, components, dirs).await,
    }
}

async fn obtain_anywhere(
    version: &Version,
    components: Vec<Component>,
    dirs: &Dirs,
) -> Result<Vec<Program>, ClusterError> {
    let mut programs = Vec::new();
    let mut missing = Vec::new();
    let mut refused: Option<ClusterError> = None;
    for component in components {
        if let Some(found) = folder::in_assets(version, component).await {
            programs.push(cache::copy(dirs, version, component, &found, Origin::Folder).await?);
        } else if let Some(found) = folder::on_path(version, component).await {
            programs.push(cache::copy(dirs, version, component, &found, Origin::Folder).await?);
        } else if refused.is_some() {
            missing.push(component);
        } else {
            match release::download(version, component, dirs).await {
                Ok(program) => programs.push(program),
                // Not a matter of reach: a program that is not what was published is not to be papered over.
                Err(error @ ClusterError::Checksum { .. }) => return Err(error),
                Err(error) => {
                    info!(
                        "no release of {component} {version}: {}; building with Go instead",
                        error.with_causes()
                    );
                    refused = Some(error);
                    missing.push(component);
                }
            }
        }
    }
    let Some(&component) = missing.first() else { return Ok(programs) };
    match go::build(version, &missing, dirs).await {
        Ok(built) => programs.extend(built),
        Err(ClusterError::NoGo) => {
            let release = refused.map_or_else(|| "not tried".to_owned(), |e| e.with_causes());
            return Err(ClusterError::NotFound {
                component,
                version: version.clone(),
                tried: format!(
                    "  KUBEBUILDER_ASSETS and PATH: none of that version\n  cache: nothing in {}\n  release: {release}\n  \
                     build: {}",
                    dirs.bin(version).display(),
                    ClusterError::NoGo
                ),
            });
        }
        Err(error) => return Err(error),
    }
    Ok(programs)
}

/// Finds programs to run in place, and installs what is found nowhere.
pub(super) async fn find(
    version: &Version,
    components: &[Component],
    source: &Source,
    dirs: &Dirs,
) -> Result<Vec<Program>, ClusterError> {
    let mut programs = Vec::new();
    let mut missing = Vec::new();
    for &component in components {
        match find_in_place(version, component, source, dirs).await? {
            Some(program) => programs.push(program),
            None => missing.push(component),
        }
    }
    if !missing.is_empty() {
        let source = if matches!(source, Source::Folder(_)) { &Source::Auto } else { source };
        programs.extend(install(version, &missing, source, dirs).await?);
    }
    Ok(programs)
}

async fn find_in_place(
    version: &Version,
    component: Component,
    source: &Source,
    dirs: &Dirs,
) -> Result<Option<Program>, ClusterError> {
    let in_place = |path| Some(Program::in_place(component, version, path));
    match source {
        Source::Folder(dir) => {
            if let Some(path) = folder::program_in(dir, component) {
                folder::warn_of_other_version(&path, component, version).await;
                return Ok(in_place(path));
            }
            info!("{} holds no {component}, looking elsewhere", dir.display());
            cache::lookup(dirs, version, component, &Source::Auto)
        }
        Source::Auto => {
            if let Some(path) = folder::in_assets(version, component).await {
                return Ok(in_place(path));
            }
            if let Some(program) = cache::lookup(dirs, version, component, source)? {
                return Ok(Some(program));
            }
            Ok(folder::on_path(version, component).await.and_then(in_place))
        }
        Source::Release | Source::Go => cache::lookup(dirs, version, component, source),
    }
}

/// Runs something that blocks without holding up the runtime.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, ClusterError> + Send + 'static,
) -> Result<T, ClusterError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ClusterError::io("work on", path)(std::io::Error::other(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_word_or_a_folder() {
        let parse = |text: &str| text.parse::<Source>().unwrap();
        assert_eq!(parse("auto"), Source::Auto);
        assert_eq!(parse("release"), Source::Release);
        assert_eq!(parse("go"), Source::Go);
        assert_eq!(parse("./go"), Source::Folder("./go".into()));
    }
}
