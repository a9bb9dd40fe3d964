//! One hollow node: what it looks like, how it registers, renews its lease and reports. All pure.

mod body;
mod life;
mod shape;
mod start;

pub(super) use body::Identity;
pub(super) use life::{Answer, Health, NodeLife, NodeTask};
pub use shape::{NodeShape, registration};
