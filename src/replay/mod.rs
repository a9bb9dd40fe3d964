//! A reel played against a live scheduler: a pure plan, then a run that records itself into a reel.

mod attempts;
mod engine;
mod eviction;
mod lockstep;
mod open;
mod outlook;
mod plan;
mod preflight;
mod refill;
mod run;
mod scheduler;
mod shape;
mod tainting;
mod target;
mod world;

pub use outlook::{Demand, Impossible, NAMED, Outlook};
pub use plan::{Action, Left, NodeChange, Plan, Replacement, TimedAction};
pub use preflight::{Finding, Severity, preflight};
pub use run::{Mode, ReplayError, RunOptions, RunSummary, run};
pub use scheduler::SchedulerProbe;
pub use shape::{PodFilter, RunTime, Shape};
pub use target::{OWNER_ANNOTATION, RUN_ANNOTATION, clean};
