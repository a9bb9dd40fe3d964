//! A local control plane of stock binaries: etcd, kube-apiserver, kube-controller-manager and kube-scheduler on
//! loopback, with ports, certificates and a folder of their own.
//!
//! [`up`] starts one, [`open`] takes hold of one that another process started, [`list`] says which there are, and
//! [`Cluster::down`] removes one. What was not detached ends with the process that started it, however that ends.

mod complete;
mod component;
mod dirs;
mod error;
mod flags;
mod handle;
mod install;
mod list;
mod logs;
mod pki;
mod ports;
mod probe;
mod process;
mod spawn;
mod spec;
mod state;
mod up;
mod version;

pub use complete::complete_config;
pub use component::Component;
pub use dirs::Dirs;
pub use error::ClusterError;
pub use handle::{Cluster, open, remove};
pub use install::{Origin, Program, Source, install};
pub use list::{ClusterInfo, ClusterStatus, ComponentInfo, list};
pub use logs::tail;
pub use process::ProcessId;
pub use spawn::{SHIM_COMMAND, become_component};
pub use spec::{ClusterSpec, SchedulerSpec, Settings};
pub use up::up;
pub use version::Version;
