//! The kinds that the scenario makes, beyond those that a recording holds.

use std::borrow::Cow;

use kubereel::model::{CONTEXT_KINDS, Kind, NODE, POD};

const fn kind(group: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        group: Cow::Borrowed(group),
        version: Cow::Borrowed("v1"),
        kind: Cow::Borrowed(kind),
        plural: Cow::Borrowed(plural),
        namespaced: true,
    }
}

const WORKLOADS: &[Kind] = &[
    kind("apps", "Deployment", "deployments"),
    kind("apps", "DaemonSet", "daemonsets"),
    kind("batch", "Job", "jobs"),
    kind("batch", "CronJob", "cronjobs"),
];

/// The kind of this name, `None` for one that the scenario does not use.
pub fn named(name: &str) -> Option<Kind> {
    let all = [POD, NODE].into_iter().chain(WORKLOADS.iter().cloned()).chain(CONTEXT_KINDS.iter().cloned());
    all.into_iter().find(|kind| kind.kind == name)
}
