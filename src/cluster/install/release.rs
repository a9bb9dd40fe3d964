//! Downloads official releases and compares them with their published SHA-256.

use std::env::consts::ARCH;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use tracing::info;
use ureq::tls::{RootCerts, TlsConfig};

use super::{Origin, Program, blocking, cache};
use crate::cluster::{ClusterError, Component, Dirs, Version};

const KUBERNETES: &str = "https://dl.k8s.io/release";
const ETCD: &str = "https://github.com/etcd-io/etcd/releases/download";
/// Short, for a machine without internet falls through to the build.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const NEXT_BYTES_WITHIN: Duration = Duration::from_secs(30);
/// A report for each so many bytes.
const REPORT_EVERY: u64 = 16 << 20;

/// Downloads one program into the cache.
pub(super) async fn download(
    version: &Version,
    component: Component,
    dirs: &Dirs,
) -> Result<Program, ClusterError> {
    let (version, dirs) = (version.clone(), dirs.clone());
    let path = dirs.bin(&version);
    let work = move || {
        if component == Component::Etcd {
            download_etcd(&version, &dirs)
        } else {
            download_kubernetes(&version, component, &dirs)
        }
    };
    blocking(&path, work).await
}

fn download_kubernetes(
    version: &Version,
    component: Component,
    dirs: &Dirs,
) -> Result<Program, ClusterError> {
    let base = base_url("KUBEREEL_RELEASE_URL", KUBERNETES);
    let url = format!("{base}/{version}/bin/linux/{}/{component}", architecture());
    let agent = agent();
    let published = text(&agent, &format!("{url}.sha256")).map_err(|e| no_such_version(e, version))?;
    let expected = first_digest(&published, |_| true).ok_or_else(|| no_digest(&format!("{url}.sha256")))?;
    let mut staged = cache::stage(dirs, version)?;
    let (sha256, size) = file(&agent, &url, staged.as_file_mut())?;
    check(&url, &expected, &sha256)?;
    cache::commit(dirs, version, component, Origin::Release, staged, sha256, size)
}

fn download_etcd(version: &Version, dirs: &Dirs) -> Result<Program, ClusterError> {
    let etcd = etcd_for(version);
    let base = base_url("KUBEREEL_ETCD_URL", ETCD);
    let name = format!("etcd-{etcd}-linux-{}.tar.gz", architecture());
    let sums = format!("{base}/{etcd}/SHA256SUMS");
    let agent = agent();
    let published = text(&agent, &sums)?;
    let expected = first_digest(&published, |file| file == name).ok_or_else(|| no_digest(&sums))?;
    let url = format!("{base}/{etcd}/{name}");
    let mut archive = cache::stage(dirs, version)?;
    let (sha256, _) = file(&agent, &url, archive.as_file_mut())?;
    check(&url, &expected, &sha256)?;
    let unpack = |reason: String| ClusterError::Download { url: url.clone(), reason };
    let mut staged = cache::stage(dirs, version)?;
    let (sha256, size) = unpack_etcd(archive.as_file_mut(), staged.as_file_mut())
        .map_err(|e| unpack(format!("cannot unpack it: {e}")))?
        .ok_or_else(|| unpack("the archive holds no etcd".to_owned()))?;
    cache::commit(dirs, version, Component::Etcd, Origin::Release, staged, sha256, size)
}

/// The etcd that goes with a Kubernetes version: of the same series as the client library it is built with.
fn etcd_for(version: &Version) -> Version {
    match version.minor {
        ..=33 => Version::new(3, 5, 21),
        34..=36 => Version::new(3, 6, 8),
        37.. => Version::new(3, 7, 0),
    }
}

fn unpack_etcd(archive: &mut File, to: &mut File) -> io::Result<Option<(String, u64)>> {
    archive.seek(SeekFrom::Start(0))?;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() && entry.path()?.ends_with("etcd") {
            return cache::copy_hashed(&mut entry, to).map(Some);
        }
    }
    Ok(None)
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_resolve(Some(CONNECT_WITHIN))
        .timeout_connect(Some(CONNECT_WITHIN))
        .timeout_recv_response(Some(NEXT_BYTES_WITHIN))
        .timeout_per_read(Some(NEXT_BYTES_WITHIN))
        // The system's own trust store: mirrors inside companies are signed by authorities that only it knows.
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .user_agent(concat!("kubereel/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

fn base_url(variable: &str, official: &str) -> String {
    let given = std::env::var(variable).ok().filter(|url| !url.is_empty());
    given.unwrap_or_else(|| official.to_owned()).trim_end_matches('/').to_owned()
}

fn architecture() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

fn text(agent: &ureq::Agent, url: &str) -> Result<String, ClusterError> {
    let answer = agent.get(url).call().map_err(failed(url))?;
    answer.into_body().read_to_string().map_err(failed(url))
}

/// Writes the body to a file; its SHA-256 and length.
fn file(agent: &ureq::Agent, url: &str, to: &mut File) -> Result<(String, u64), ClusterError> {
    info!("downloading {url}");
    let answer = agent.get(url).call().map_err(failed(url))?;
    let body = answer.into_body();
    let total = body.content_length();
    let mut body = Counted { inner: body.into_reader(), url, total, read: 0 };
    cache::copy_hashed(&mut body, to)
        .map_err(|error| ClusterError::Download { url: url.to_owned(), reason: error.to_string() })
}

/// Reports progress while it is read.
struct Counted<'a, R> {
    inner: R,
    url: &'a str,
    total: Option<u64>,
    read: u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let before = self.read / REPORT_EVERY;
        self.read += count as u64;
        if self.read / REPORT_EVERY > before {
            let total = self.total.map_or_else(String::new, |t| format!(" of {} MiB", t >> 20));
            info!("{}: {} MiB{total}", self.url, self.read >> 20);
        }
        Ok(count)
    }
}

fn failed(url: &str) -> impl FnOnce(ureq::Error) -> ClusterError {
    let url = url.to_owned();
    move |error| ClusterError::Download {
        reason: match error {
            ureq::Error::StatusCode(code) => format!("the server answered {code}"),
            error => error.to_string(),
        },
        url,
    }
}

fn no_such_version(error: ClusterError, version: &Version) -> ClusterError {
    match error {
        ClusterError::Download { url, reason } if reason.ends_with("404") => {
            ClusterError::NoSuchVersion { version: version.clone(), said: format!("{url}: {reason}") }
        }
        error => error,
    }
}

fn no_digest(url: &str) -> ClusterError {
    ClusterError::Download { url: url.to_owned(), reason: "it holds no SHA-256 for the file".to_owned() }
}

/// The digest in a line of `sha256sum`, or alone on its line.
fn first_digest(text: &str, wanted: impl Fn(&str) -> bool) -> Option<String> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let digest = words.next()?;
        let name = words.next().unwrap_or_default().trim_start_matches('*');
        let whole = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        (whole && wanted(name)).then(|| digest.to_ascii_lowercase())
    })
}

fn check(url: &str, expected: &str, got: &str) -> Result<(), ClusterError> {
    if expected == got {
        return Ok(());
    }
    Err(ClusterError::Checksum { what: url.to_owned(), expected: expected.to_owned(), got: got.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_digest_of_the_named_file() {
        let (a, b) = ("A".repeat(64), "b".repeat(64));
        let sums = format!("### checksums\n{a}  etcd-x.zip\n{b} *etcd-x.tar.gz\n");
        assert_eq!(first_digest(&sums, |f| f == "etcd-x.tar.gz"), Some(b.clone()));
        assert_eq!(first_digest(&format!("{a}\n"), |_| true), Some("a".repeat(64)));
        assert_eq!(first_digest("<html>not found</html>", |_| true), None);
        assert_eq!(first_digest(&sums, |f| f == "other"), None);
    }

    #[test]
    fn etcd_follows_the_minor_version() {
        assert_eq!(etcd_for(&Version::new(1, 30, 0)).to_string(), "v3.5.21");
        assert_eq!(etcd_for(&Version::new(1, 36, 3)).to_string(), "v3.6.8");
        assert_eq!(etcd_for(&Version::new(1, 37, 2)).to_string(), "v3.7.0");
    }
}
