//! The only code that talks to a cluster: connecting, raw watches, single requests, ordered submission.

mod client;
mod error;
mod request;
mod submit;
mod watch;

pub use client::{ConnectOptions, Target, component_client, connect};
pub use error::K8sError;
pub use request::{PatchType, Reply, Request, send};
pub use submit::{Answer, Submitter};
pub use watch::{Interruption, Step, Watcher};
