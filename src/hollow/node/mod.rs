//! One hollow node: what it looks like, how it registers, renews its lease and reports. All pure.

mod body;
mod life;
mod shape;
mod start;

pub(super) use body::Identity;
#[cfg(test)]
pub(super) use life::RENEW;
pub(super) use life::{Answer, Health, LAST_RENEW, NodeLife, NodeTask};
pub use shape::{NodeShape, registration};
