//! One pod on a hollow node: what it looks like, how it lives, what its status says. All pure.

mod admission;
mod container;
mod life;
mod restart;
mod shape;
mod status;
mod step;
mod stop;
#[cfg(test)]
mod tests;

pub(super) use admission::{NodeFacts, Usage, admit};
pub use life::Habits;
pub(super) use life::{Obligation, PodEffect, PodInput, PodLife, Stage, Told};
pub(super) use shape::{ContainerShape, PodShape, Shapes};
pub(super) use status::{Resize, StatusOf, Transitions, patch};
