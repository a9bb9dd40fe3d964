use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ClusterError;

/// A Kubernetes or etcd release such as `v1.37.2` or `v1.38.0-alpha.1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Patch number.
    pub patch: u32,
    /// What follows the dash, empty for a release.
    pub pre: String,
}

impl Version {
    /// A release without a suffix.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Version {
        Version { major, minor, patch, pre: String::new() }
    }

    /// The version of the same release's staging modules: `v1.37.2` goes with `k8s.io/api v0.37.2`.
    pub(super) fn staging(&self) -> Version {
        Version { major: 0, ..self.clone() }
    }
}

impl Default for Version {
    /// The version that `cluster up` starts when none is asked for.
    fn default() -> Self {
        Version::new(1, 37, 2)
    }
}

impl fmt::Display for Version {
    /// With the `v` that tags and module versions carry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)?;
        if self.pre.is_empty() { Ok(()) } else { write!(f, "-{}", self.pre) }
    }
}

impl FromStr for Version {
    type Err = ClusterError;

    /// Takes `v1.37.2` and `1.37.2`. The suffix may hold only what a tag may, for it becomes part of paths and URLs.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ClusterError::BadVersion { text: text.to_owned() };
        let plain = text.strip_prefix('v').unwrap_or(text);
        let (numbers, pre) = plain.split_once('-').map_or((plain, None), |(n, p)| (n, Some(p)));
        let mut parts = numbers.split('.').map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            if digits { part.parse::<u32>().map_err(|_| bad()) } else { Err(bad()) }
        });
        let mut next = || parts.next().unwrap_or_else(|| Err(bad()));
        let (major, minor, patch) = (next()?, next()?, next()?);
        let pre_ok = |p: &str| {
            p.starts_with(|c: char| c.is_ascii_alphanumeric())
                && !p.contains("..")
                && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        };
        if parts.next().is_some() || pre.is_some_and(|p| !pre_ok(p)) {
            return Err(bad());
        }
        Ok(Version { major, minor, patch, pre: pre.unwrap_or_default().to_owned() })
    }
}

impl TryFrom<String> for Version {
    type Error = ClusterError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> String {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_versions_with_and_without_the_v() {
        assert_eq!("v1.37.2".parse::<Version>().unwrap(), Version::new(1, 37, 2));
        assert_eq!("1.37.2".parse::<Version>().unwrap().to_string(), "v1.37.2");
        let alpha: Version = "v1.38.0-alpha.1".parse().unwrap();
        assert_eq!(
            (alpha.to_string().as_str(), alpha.staging().to_string().as_str()),
            ("v1.38.0-alpha.1", "v0.38.0-alpha.1")
        );
        for bad in [
            "",
            "v",
            "1.37",
            "v1.37.2.3",
            "v1.x.2",
            "latest",
            "v1.37.-2",
            "v1.37.2-",
            "v1.37.2-../../x",
            "v+1.2.3",
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn orders_by_number() {
        assert!(Version::new(1, 9, 0) < Version::new(1, 37, 2));
    }
}
