//! Watches to reel: one watcher a kind, every change stamped at arrival, everything that may be missing marked.

mod clocks;
mod follow;
mod kinds;
mod known;
mod recorder;

pub use kinds::{RecordKind, default_kinds};
pub use recorder::{RecordError, RecordOptions, Recorder, Tap};
