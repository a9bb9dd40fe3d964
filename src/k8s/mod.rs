//! The only code that talks to a cluster: connecting, raw watches, single requests, ordered submission.

mod backoff;
mod client;
mod discover;
mod error;
mod lines;
mod multiplex;
mod open;
mod proxy;
mod queue;
mod recent;
mod request;
mod retry;
mod scope;
mod session;
mod step;
mod submit;
mod watch;
mod wire;

pub use client::{ConnectOptions, Target, component_client, connect};
pub use discover::discover;
pub use error::K8sError;
pub use request::{Brief, BriefMeta, PatchType, Reply, Request, fetch_text, send, send_brief};
pub use retry::Patience;
pub use scope::Scope;
pub use session::Session;
pub use step::{Interruption, Step, WatchLimits};
pub use submit::{Answer, Submitter};
pub use watch::Watcher;
pub use wire::Watched;
