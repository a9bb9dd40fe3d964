use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::cluster;
use crate::k8s::ConnectOptions;
use crate::trace::{Anonymizer, Detail};

/// Which cluster to talk to.
#[derive(Debug, Clone, Args)]
pub(super) struct ConnectArgs {
    /// Kubeconfig file; default: $KUBECONFIG, ~/.kube/config, or the service account of the pod.
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig; default: its current one.
    #[arg(long, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// A local cluster of `kubereel cluster up`, by its name, instead of a kubeconfig.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["kubeconfig", "context"])]
    pub(super) cluster: Option<String>,
}

/// A cluster that was chosen: how to connect, and what is known when it is one of ours.
pub(super) struct Chosen {
    pub(super) connect: ConnectOptions,
    /// Address of its scheduler.
    pub(super) scheduler_url: Option<String>,
    /// Log of its scheduler.
    pub(super) scheduler_log: Option<PathBuf>,
    /// Version of its scheduler.
    pub(super) scheduler_version: String,
    /// Addresses of its components but for the API server, by name.
    pub(super) components: BTreeMap<String, String>,
}

impl ConnectArgs {
    /// Whether a cluster was named.
    pub(super) fn is_given(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some() || self.cluster.is_some()
    }

    /// Finds the cluster.
    ///
    /// # Errors
    /// Where a local cluster of that name does not exist.
    pub(super) fn choose(&self) -> anyhow::Result<Chosen> {
        let Some(name) = &self.cluster else {
            let connect =
                ConnectOptions { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
            return Ok(Chosen {
                connect,
                scheduler_url: None,
                scheduler_log: None,
                scheduler_version: String::new(),
                components: BTreeMap::new(),
            });
        };
        let local = cluster::open(name, &cluster::Dirs::from_env()?)?;
        Ok(Chosen {
            connect: ConnectOptions { kubeconfig: Some(local.kubeconfig()), context: None },
            scheduler_url: local.scheduler_url(),
            scheduler_log: local.scheduler_version().map(|_| local.log(cluster::Component::Scheduler)),
            scheduler_version: local.scheduler_version().map(ToString::to_string).unwrap_or_default(),
            components: local.metrics_urls(),
        })
    }
}

/// How much of each object a reel keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    /// Everything.
    Lossless,
    /// Life cycle, decisions, requests and scheduling constraints of pods and nodes.
    Lifecycle,
}

impl From<Level> for Detail {
    fn from(level: Level) -> Detail {
        match level {
            Level::Lossless => Detail::Lossless,
            Level::Lifecycle => Detail::Lifecycle,
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, with its time.
    Json,
}

/// How to print a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// An anonymizer with the secret in a file.
///
/// # Errors
/// Where the file cannot be read or is empty.
pub(super) fn anonymizer(key_file: &Path) -> anyhow::Result<Anonymizer> {
    let key = std::fs::read(key_file).with_context(|| format!("{}: cannot read", key_file.display()))?;
    anyhow::ensure!(
        !key.is_empty(),
        "{}: is empty; a key is any secret, such as 32 bytes of /dev/urandom",
        key_file.display()
    );
    Ok(Anonymizer::new(&key))
}

/// `10x`, `0.5x` or `10`: trace seconds per second.
pub(super) fn parse_speed(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix(['x', 'X']).unwrap_or(text);
    match number.parse::<f64>() {
        Ok(speed) if speed > 0.0 && speed.is_finite() => Ok(speed),
        _ => Err("a speed is a number above 0, such as 1x, 10x or 0.5x".to_owned()),
    }
}

/// `2026-11-25T12:00:00Z`, as nanoseconds since the Unix epoch.
pub(super) fn parse_instant(text: &str) -> Result<i64, String> {
    let instant = chrono::DateTime::parse_from_rfc3339(text).map_err(|e| e.to_string());
    let nanos = instant.map(|instant| instant.timestamp_nanos_opt())?;
    nanos.ok_or_else(|| "that is too far away".to_owned())
}

/// `90s`, `10m`, `1h30m`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|e| format!("{e}; write 90s, 10m or 1h30m"))
}

/// `512MiB`, `2GB` or bytes.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    const UNITS: &[(&str, u64)] = &[
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("", 1),
    ];
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()));
    let size = number.parse().ok().zip(unit).and_then(|(n, (_, unit)): (u64, _)| n.checked_mul(*unit));
    size.filter(|size| *size > 0).ok_or_else(|| "write 512MiB, 2GB or a number of bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("2MiB"), Ok(2 << 20));
        assert_eq!(parse_size("3 gb"), Ok(3_000_000_000));
        assert_eq!(parse_size("17"), Ok(17));
        for bad in ["", "0", "x", "1.5GiB", "-1", "9999999999TiB", "1PB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn speeds() {
        assert_eq!(parse_speed("10x"), Ok(10.0));
        assert_eq!(parse_speed("0.5"), Ok(0.5));
        for bad in ["0x", "-1", "x", "infx", "NaN"] {
            assert!(parse_speed(bad).is_err(), "{bad}");
        }
    }
}
