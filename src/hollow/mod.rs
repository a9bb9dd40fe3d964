//! Hollow nodes: what a kubelet shows to a control plane, without containers.
//!
//! [`Fleet`] is pure: object events and instants go in, requests come out. Drivers send the requests: a replay in
//! lockstep asks the fleet step by step, everything else runs [`Driver`]. [`Leases`] keeps the nodes alive on the
//! wall clock, whatever the speed of the trace.

mod address;
mod behaviour;
mod chance;
mod distribution;
mod driver;
pub mod endpoint;
mod event;
mod fleet;
mod lease;
mod node;
mod pod;
mod seen;
mod timers;

pub use behaviour::{ContainerRun, PodBehaviour, RunEnd, annotated_behaviour};
pub use distribution::Distribution;
pub use driver::{Driver, Report, TraceNow};
pub use fleet::{Fleet, HollowRequest, Instants, Outcome};
pub use lease::Leases;
pub use node::{NodeShape, registration};
pub use pod::Habits;
pub use seen::{SeenNode, SeenPod};
