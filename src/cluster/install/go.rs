//! Builds the programs with Go from the published modules. Needs no internet but a Go module proxy.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tracing::info;

use super::{Origin, Program, cache, gomod};
use crate::cluster::logs::last_lines;
use crate::cluster::{ClusterError, Component, Dirs, Version};

const ETCD_CLIENT: &str = "go.etcd.io/etcd/client/v3";
const ETCD_SERVER: &str = "go.etcd.io/etcd/server/v3";
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How many lines of what Go said an error shows.
const SHOWN: usize = 15;

/// Builds programs and puts them into the cache.
pub(super) async fn build(
    version: &Version,
    components: &[Component],
    dirs: &Dirs,
) -> Result<Vec<Program>, ClusterError> {
    let module = download_module(version).await?;
    let theirs = std::fs::read_to_string(&module).map_err(ClusterError::io("read", Path::new(&module)))?;
    let folder = dirs.bin(version);
    let work = tempfile::Builder::new()
        .prefix(".staged-build-")
        .tempdir_in(&folder)
        .map_err(ClusterError::io("write in", &folder))?;
    let mut programs = Vec::new();
    for &component in components {
        let path = build_one(version, component, &theirs, work.path()).await?;
        programs.push(cache::copy(dirs, version, component, &path, Origin::Go).await?);
    }
    Ok(programs)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    go_mod: Option<String>,
    error: Option<String>,
}

/// Fetches Kubernetes' source and says where its `go.mod` is.
async fn download_module(version: &Version) -> Result<String, ClusterError> {
    let args = ["mod", "download", "-json", &format!("k8s.io/kubernetes@{version}")].map(str::to_owned);
    let what = format!("fetching the source of Kubernetes {version}");
    let said = run(version, &args, &std::env::temp_dir(), &what).await?;
    let failed = |said: String| ClusterError::GoFailed {
        command: format!("go {}", args.join(" ")),
        version: version.clone(),
        status: said.lines().next().unwrap_or("no answer").to_owned(),
        said: last_lines(&said, SHOWN),
    };
    let answer: Downloaded = match serde_json::from_str(&said.output) {
        Ok(answer) => answer,
        Err(_) => return Err(failed(said.errors)),
    };
    match (answer.go_mod, answer.error) {
        (Some(path), None) => Ok(path),
        (_, Some(error)) if names_no_version(&error) => Err(ClusterError::NoSuchVersion {
            version: version.clone(),
            said: last_lines(&error, 1).trim().to_owned(),
        }),
        (_, error) => Err(failed(error.unwrap_or(said.errors))),
    }
}

/// Whether Go says that the version does not exist, rather than that it could not ask.
fn names_no_version(error: &str) -> bool {
    [
        "unknown revision",
        "invalid version",
        "404 Not Found",
        "410 Gone",
        "no matching versions",
        "version is not available",
        "not found:",
    ]
    .iter()
    .any(|said| error.contains(said))
}

async fn build_one(
    version: &Version,
    component: Component,
    theirs: &str,
    work: &Path,
) -> Result<std::path::PathBuf, ClusterError> {
    let plan = Plan::new(version, component, theirs).ok_or_else(|| ClusterError::NotFound {
        component,
        version: version.clone(),
        tried: format!("  build: the go.mod of Kubernetes {version} names no version of {ETCD_CLIENT}"),
    })?;
    let folder = work.join(format!("{component}-module"));
    let out = work.join(component.name());
    let go_mod = folder.join("go.mod");
    std::fs::create_dir(&folder)
        .and_then(|()| std::fs::write(&go_mod, &plan.go_mod))
        .map_err(ClusterError::io("write", &go_mod))?;
    let mut args = ["build", "-v", "-trimpath", "-ldflags", &plan.ldflags, "-o"].map(str::to_owned).to_vec();
    args.push(out.display().to_string());
    args.push(plan.package);
    let what = format!("building {component} {} with Go", plan.version);
    info!("{what}; from nothing this takes minutes");
    let said = run(version, &args, &folder, &what).await?;
    if said.success {
        return Ok(out);
    }
    Err(ClusterError::GoFailed {
        command: format!("go {}", args.join(" ")),
        version: plan.version,
        status: said.status,
        said: last_lines(&said.errors, SHOWN),
    })
}

/// What to build and from which module.
struct Plan {
    version: Version,
    go_mod: String,
    package: String,
    ldflags: String,
}

impl Plan {
    /// None where Kubernetes' `go.mod` does not say which etcd goes with it.
    fn new(version: &Version, component: Component, theirs: &str) -> Option<Plan> {
        if component == Component::Etcd {
            let etcd = gomod::required(theirs, ETCD_CLIENT)?;
            return Some(Plan {
                go_mod: format!("module kubereel.dev/build\n\ngo 1.24.0\n\nrequire {ETCD_SERVER} {etcd}\n"),
                package: ETCD_SERVER.to_owned(),
                ldflags: "-s -w".to_owned(),
                version: etcd,
            });
        }
        // Without these the programs call themselves v0.0.0-master, and the API server derives its feature and API
        // defaults from that.
        let variable = "-X k8s.io/component-base/version";
        Some(Plan {
            go_mod: gomod::rewrite(theirs, version),
            package: format!("k8s.io/kubernetes/cmd/{component}"),
            ldflags: format!(
                "-s -w {variable}.gitVersion={version} {variable}.gitMajor={} {variable}.gitMinor={}",
                version.major, version.minor
            ),
            version: version.clone(),
        })
    }
}

struct Said {
    success: bool,
    status: String,
    output: String,
    errors: String,
}

/// Runs Go, reporting every few seconds how far it is: it writes a line for each module and each package.
async fn run(
    version: &Version,
    args: &[impl AsRef<OsStr>],
    folder: &Path,
    what: &str,
) -> Result<Said, ClusterError> {
    let mut command = Command::new("go");
    command
        .args(args)
        .current_dir(folder)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=mod")
        .env("GOWORK", "off");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ClusterError::NoGo,
        _ => ClusterError::io("run", Path::new("go"))(error),
    };
    let mut child = command.spawn().map_err(failed)?;
    let (Some(mut stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(failed(io::Error::other("its output is not piped")));
    };
    let mut output = String::new();
    let reading = async { stdout.read_to_string(&mut output).await };
    let (_, errors) = tokio::try_join!(reading, follow(stderr, what)).map_err(failed)?;
    let status = child.wait().await.map_err(failed)?;
    tracing::debug!(%version, %status, "go has ended");
    Ok(Said { success: status.success(), status: status.to_string(), output, errors })
}

async fn follow(stderr: impl tokio::io::AsyncRead + Unpin, what: &str) -> io::Result<String> {
    let mut lines = BufReader::new(stderr).lines();
    let mut all = String::new();
    let mut progress = Progress::default();
    let mut tick = tokio::time::interval(REPORT_EVERY);
    tick.tick().await;
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => {
                    progress.count(&line);
                    all.push_str(&line);
                    all.push('\n');
                }
                None => return Ok(all),
            },
            _ = tick.tick() => info!("{what}: {progress}"),
        }
    }
}

#[derive(Debug, Default)]
struct Progress {
    modules: u32,
    packages: u32,
}

impl Progress {
    fn count(&mut self, line: &str) {
        if line.starts_with("go: downloading ") {
            self.modules += 1;
        } else if !line.starts_with("go: ") && !line.contains(' ') {
            self.packages += 1;
        }
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} modules downloaded, {} packages compiled so far", self.modules, self.packages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_modules_and_packages() {
        let mut progress = Progress::default();
        for line in [
            "go: downloading k8s.io/api v0.37.2",
            "go: finding x",
            "k8s.io/api/core/v1",
            "# a warning",
            "fmt",
        ] {
            progress.count(line);
        }
        assert_eq!((progress.modules, progress.packages), (1, 2));
    }

    #[test]
    fn tells_a_version_that_does_not_exist_from_a_proxy_that_does_not_answer() {
        assert!(names_no_version("k8s.io/kubernetes@v1.99.9: invalid version: unknown revision v1.99.9"));
        assert!(!names_no_version("k8s.io/kubernetes@v1.37.2: dial tcp: lookup proxy: no such host"));
    }

    #[test]
    fn the_programs_carry_their_version() {
        let theirs = "module k8s.io/kubernetes\nrequire go.etcd.io/etcd/client/v3 v3.7.0\n";
        let version = Version::new(1, 37, 2);
        let plan = Plan::new(&version, Component::Scheduler, theirs).unwrap();
        assert_eq!(plan.package, "k8s.io/kubernetes/cmd/kube-scheduler");
        assert!(plan.ldflags.contains("version.gitVersion=v1.37.2 "), "{}", plan.ldflags);
        assert!(plan.ldflags.ends_with("version.gitMinor=37"), "{}", plan.ldflags);
        let etcd = Plan::new(&version, Component::Etcd, theirs).unwrap();
        assert!(etcd.go_mod.contains("require go.etcd.io/etcd/server/v3 v3.7.0"), "{}", etcd.go_mod);
        assert!(Plan::new(&version, Component::Etcd, "module x").is_none());
    }
}
