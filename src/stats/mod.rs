//! Quantiles and tests over numbers. Pure; the source of every formula stands at its function.

mod quantile;
mod summary;

pub use quantile::quantile;
pub use summary::Summary;
