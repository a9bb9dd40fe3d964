//! kubereel records the pod and node event streams of a Kubernetes cluster, replays them in front of a live
//! kube-scheduler, and diffs the decisions of runs.
//!
//! Modules by layer, lowest first; a module uses only lower layers (`tests/layering.rs` holds the table):
//!
//! | layer | modules |
//! | --- | --- |
//! | 0 | [`model`], [`stats`] |
//! | 1 | [`trace`], [`pace`], [`k8s`], [`expose`] |
//! | 2 | [`record`], [`import`], [`hollow`], [`cluster`], [`diff`] |
//! | 3 | [`replay`] |
//! | 4 | [`compare`], [`report`] |
//! | 5 | [`cli`] |
//!
//! Flows meet only in the trace: `record` and `import` write it, `replay` and `diff` read it.

pub mod cli;
pub mod cluster;
pub mod compare;
pub mod diff;
pub mod expose;
pub mod hollow;
pub mod import;
pub mod k8s;
pub mod model;
pub mod pace;
pub mod record;
pub mod replay;
pub mod report;
pub mod stats;
pub mod trace;
