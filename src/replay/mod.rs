//! A reel played against a live scheduler: a pure plan, then a run that records itself into a reel.

mod attempts;
mod engine;
mod eviction;
mod lockstep;
mod observe;
mod on_error;
mod open;
mod outlook;
mod plan;
mod preflight;
mod refill;
mod run;
mod scheduler;
mod shape;
mod shard;
mod stage;
mod status;
mod tainting;
mod target;
mod world;

pub use on_error::{OnError, OnErrorRule};
pub use outlook::{Demand, Impossible, NAMED, Outlook};
pub use plan::{Action, Left, NodeChange, Plan, Replacement, TimedAction};
pub use preflight::{Existing, Finding, Severity, preflight};
pub use run::{METRICS_EVERY, Mode, RETRY, ReplayError, RunOptions, RunSummary, SHARD_LABEL, run};
pub use scheduler::SchedulerProbe;
pub use shape::{PodFilter, RunTime, Shape};
pub use status::{RunSnapshot, RunStatus};
pub use target::{OWNER_ANNOTATION, RUN_ANNOTATION, clean};
