//! Watches to reel: one watcher a kind, every change stamped at arrival, everything that may be missing marked.

mod kinds;
mod known;
mod preflight;
mod recorder;
mod redact;
mod select;

pub use kinds::{RecordKind, default_kinds};
pub use preflight::cluster_role;
pub use recorder::{RecordError, RecordOptions, Recorder, Tap};
pub use redact::{Redaction, Sensitive};
pub use select::Selection;
