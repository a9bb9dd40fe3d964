//! Metrics in Prometheus text format (exposition format 0.0.4), and the small server that shows them.

mod page;
mod server;

pub use page::Page;
pub use server::{Exposed, Health, MetricsServer, accept};
