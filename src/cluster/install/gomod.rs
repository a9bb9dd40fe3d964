//! The `go.mod` of a throw-away module that can build the commands of a Kubernetes version.

use crate::cluster::Version;

const STAGING: &str = "./staging/src/";

/// Turns Kubernetes' own `go.mod` into that of a module which requires Kubernetes. Its `replace` lines point into its
/// source tree; the same modules are published as `v0.Y.Z`. The `go` and `godebug` lines are kept: they set defaults
/// of the programs that are built.
pub(super) fn rewrite(text: &str, version: &Version) -> String {
    let staging = version.staging().to_string();
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        if line.starts_with("module ") {
            out.push_str("module kubereel.dev/build");
        } else if let Some((left, right)) = line.split_once(" => ")
            && let Some(module) = right.trim().strip_prefix(STAGING)
        {
            out.extend([left, " => ", module, " ", &staging]);
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out.extend(["\nrequire k8s.io/kubernetes ", &version.to_string(), "\n"]);
    out
}

/// The version that a `go.mod` requires of a module.
pub(super) fn required(text: &str, module: &str) -> Option<Version> {
    text.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        if words.next()? == module { words.next()?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: &str = "// generated\nmodule k8s.io/kubernetes\n\ngo 1.26.0\n\ngodebug default=go1.26\n\nrequire (\n\
        \tgo.etcd.io/etcd/client/pkg/v3 v3.7.1\n\tgo.etcd.io/etcd/client/v3 v3.7.0\n)\n\nreplace (\n\
        \tk8s.io/api => ./staging/src/k8s.io/api\n\texample.org/x => example.org/y v1.0.0\n)\n";

    #[test]
    fn staging_paths_become_published_versions() {
        let ours = rewrite(THEIRS, &Version::new(1, 37, 2));
        assert!(ours.contains("\nmodule kubereel.dev/build\n"), "{ours}");
        assert!(ours.contains("\tk8s.io/api => k8s.io/api v0.37.2\n"), "{ours}");
        assert!(ours.contains("\texample.org/x => example.org/y v1.0.0\n"), "{ours}");
        assert!(ours.contains("\ngodebug default=go1.26\n"), "{ours}");
        assert!(ours.ends_with("\nrequire k8s.io/kubernetes v1.37.2\n"), "{ours}");
        assert!(!ours.contains("staging"), "{ours}");
    }

    #[test]
    fn a_required_version_is_that_of_the_very_module() {
        assert_eq!(required(THEIRS, "go.etcd.io/etcd/client/v3"), Some(Version::new(3, 7, 0)));
        assert_eq!(required(THEIRS, "go.etcd.io/etcd/server/v3"), None);
        assert_eq!(required("require a.b/c v1.2.3", "a.b/c"), Some(Version::new(1, 2, 3)));
    }
}
