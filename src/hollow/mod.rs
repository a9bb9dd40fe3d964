//! Hollow nodes: what a kubelet shows to a control plane, without containers.
//!
//! [`Fleet`] is pure: object events and instants go in, requests come out. Drivers send the requests: a replay in
//! lockstep asks the fleet step by step, everything else runs [`Driver`]. [`Leases`] keeps the nodes alive on the
//! wall clock, whatever the speed of the trace.

mod address;
mod driver;
pub mod endpoint;
mod fleet;
mod lease;
mod node;
mod pod;
mod status;

pub use driver::{Driver, Report, TraceNow};
pub use fleet::{Fleet, HollowRequest, Instants};
pub use lease::Leases;
pub use node::{NodeShape, registration};
pub use pod::{Obligation, PodBehaviour, PodEffect, PodInput, PodState, RunEnd, annotated_behaviour};
