//! Hollow nodes: what a kubelet shows to a control plane, without containers.
//!
//! [`Fleet`] is pure: object events and instants go in, requests come out. Drivers send the requests: a replay in
//! lockstep asks the fleet step by step, everything else runs [`Driver`]. [`Leases`] keeps the nodes alive on the
//! wall clock, whatever the speed of the trace. [`Host`] is all of it for `kubereel hollow`.

mod access;
mod address;
mod adopt;
mod behaviour;
mod chance;
mod distribution;
mod driver;
pub mod endpoint;
mod event;
mod failure;
mod fleet;
mod group;
mod host;
mod informer;
mod keeper;
mod lease;
mod meter;
mod metrics;
mod node;
mod nodes;
mod outlet;
mod pod;
mod seen;
mod static_pod;
mod timers;
mod watch;

pub use adopt::Adopt;
pub use behaviour::{ContainerRun, PodBehaviour, RunEnd, annotated_behaviour};
pub use chance::chance;
pub use distribution::Distribution;
pub use driver::{Driver, Report, TraceNow};
pub use event::NodeTold;
pub use failure::{FAILURE_ANNOTATION, Failure};
pub use fleet::{Fleet, HollowRequest, Instants, NodeNews, Outcome, Waiting};
pub use group::{HOLLOW_LABEL, NodeGroup, NodeGroups, Shard};
pub use host::{Counts, Defaults, Host, HostOptions, Morph, OWNER_ANNOTATION, Profile};
pub use lease::Leases;
pub use meter::{Histogram, Meter, Readings};
pub use node::{NodeShape, registration};
pub use pod::Habits;
pub use seen::{SeenNode, SeenPod};
