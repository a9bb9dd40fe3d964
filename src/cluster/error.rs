use std::io;
use std::path::{Path, PathBuf};

use super::{Component, Version};

/// Why a local control plane could not be found, built, started or stopped. What the system said is the
/// [source](std::error::Error::source) where there is one, and not part of the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// Text that is no version.
    #[error("`{text}` is no version; write it like v1.37.2")]
    BadVersion {
        /// What was given.
        text: String,
    },
    /// Text that names no component.
    #[error(
        "`{text}` is no component; there are etcd, kube-apiserver, kube-controller-manager and kube-scheduler"
    )]
    BadComponent {
        /// What was given.
        text: String,
    },
    /// A cluster name that cannot be a folder and a kubeconfig context.
    #[error(
        "`{name}` is no cluster name; take up to 63 of a-z, 0-9 and `-`, starting with a letter or digit"
    )]
    BadName {
        /// What was given.
        name: String,
    },
    /// Neither the variables nor the home folder say where to keep things.
    #[error("no place for {what}: HOME is not set; set {variable}")]
    NoHome {
        /// What was to be kept.
        what: &'static str,
        /// The variable that settles it.
        variable: &'static str,
    },
    /// The file system said no.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried, such as `write`.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The name is taken.
    #[error(
        "there is a cluster named `{name}` already ({state}); take it down with `kubereel cluster down {name}` or choose another --name"
    )]
    NameInUse {
        /// The name.
        name: String,
        /// What state that cluster is in.
        state: String,
    },
    /// No such cluster.
    #[error("there is no cluster named `{name}`; {known}")]
    NoSuchCluster {
        /// The name asked for.
        name: String,
        /// Which there are.
        known: String,
    },
    /// A state file that cannot be used.
    #[error("the state of cluster `{name}` in {} cannot be read ({reason}); `kubereel cluster down {name}` removes it", path.display())]
    BadState {
        /// The cluster.
        name: String,
        /// The state file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The version is not published.
    #[error("no such Kubernetes version {version} ({said}); try a published one such as {example}", example = Version::default())]
    NoSuchVersion {
        /// The version asked for.
        version: Version,
        /// What the source said.
        said: String,
    },
    /// No source had the program.
    #[error("found no {component} {version}:\n{tried}")]
    NotFound {
        /// The program.
        component: Component,
        /// Its version.
        version: Version,
        /// One line a source, with why not.
        tried: String,
    },
    /// There is no Go.
    #[error(
        "building needs Go, and `go` is not on PATH; install Go 1.26 or later, or use `--from release` or `--from DIR` \
         with ready-made programs"
    )]
    NoGo,
    /// The build went wrong.
    #[error("`{command}` failed for {version} ({status}); it said last:\n{said}")]
    GoFailed {
        /// The command line.
        command: String,
        /// Which version was built.
        version: Version,
        /// How it ended.
        status: String,
        /// The last lines it wrote.
        said: String,
    },
    /// A download went wrong.
    #[error("cannot download {url}: {reason}")]
    Download {
        /// From where.
        url: String,
        /// What happened.
        reason: String,
    },
    /// A file is not what its checksum says.
    #[error("{what} has SHA-256 {got}, but {expected} was published or recorded; nothing was kept")]
    Checksum {
        /// Which file.
        what: String,
        /// The checksum that was published or recorded.
        expected: String,
        /// The checksum that was computed.
        got: String,
    },
    /// Key or certificate making failed.
    #[error("cannot make the certificate for {subject}")]
    Certificate {
        /// For whom.
        subject: String,
        /// What rcgen said.
        source: rcgen::Error,
    },
    /// A component ended while it was being started.
    #[error("{component} ended at start ({status}); its last log lines:\n{tail}\nwhole log: {}", log.display())]
    Died {
        /// Which.
        component: Component,
        /// Its exit status.
        status: String,
        /// The end of its log.
        tail: String,
        /// Where the log is kept.
        log: PathBuf,
    },
    /// A component did not become ready.
    #[error(
        "{component} was not ready after {seconds} s (last answer: {answer}); its last log lines:\n{tail}\nwhole log: {}",
        log.display()
    )]
    NotReady {
        /// Which.
        component: Component,
        /// How long it was waited for.
        seconds: u64,
        /// What its health endpoint said last.
        answer: String,
        /// The end of its log.
        tail: String,
        /// Where the log is kept.
        log: PathBuf,
    },
    /// A component cannot be started at all.
    #[error("cannot start {component} ({})", program.display())]
    Spawn {
        /// Which.
        component: Component,
        /// The program that was run.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A component is still there after SIGKILL.
    #[error("{component} (pid {pid}) of cluster `{name}` does not end, not even on SIGKILL")]
    Unkillable {
        /// The cluster.
        name: String,
        /// Which component.
        component: Component,
        /// Its process.
        pid: u32,
    },
    /// A scheduler does not take its configuration.
    #[error(
        "kube-scheduler {version} does not take the configuration that it is given; it said last:\n{said}"
    )]
    SchedulerConfig {
        /// Its version.
        version: Version,
        /// The last lines that it wrote.
        said: String,
    },
    /// A component that the cluster does not run.
    #[error("cluster `{name}` runs no {component}")]
    NotRunning {
        /// The cluster.
        name: String,
        /// Which component.
        component: Component,
    },
    /// The client for the new cluster could not be made.
    #[error("cannot make a client for {url}: {reason}")]
    Client {
        /// The endpoint.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

impl ClusterError {
    /// For `map_err` on file system calls.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
        let path = path.to_owned();
        move |source| ClusterError::Io { what, path, source }
    }

    /// The message with its causes, for the log.
    pub(super) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said_once_with_its_path() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = ClusterError::io("write", Path::new("/c/pki/ca.crt"))(full);
        assert_eq!(error.to_string(), "cannot write /c/pki/ca.crt");
        assert_eq!(error.with_causes(), "cannot write /c/pki/ca.crt: no storage space");
        assert_eq!(
            format!("{:#}", anyhow::Error::new(error)),
            "cannot write /c/pki/ca.crt: no storage space"
        );
    }
}
