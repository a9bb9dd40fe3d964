//! The only code that talks to a cluster: connecting, raw watches, single requests, ordered submission.

mod client;
mod discover;
mod error;
mod request;
mod scope;
mod submit;
mod watch;

pub use client::{ConnectOptions, Target, component_client, connect};
pub use discover::discover;
pub use error::K8sError;
pub use request::{PatchType, Reply, Request, send};
pub use scope::Scope;
pub use submit::{Answer, Submitter};
pub use watch::{Interruption, Step, Watcher};
