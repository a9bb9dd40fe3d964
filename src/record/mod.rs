//! Watches to reel: one watcher a kind, every change stamped at arrival, everything that may be missing marked.

mod clocks;
mod follow;
mod kinds;
mod known;
mod metrics;
mod preflight;
mod recorder;
mod redact;
mod select;
mod series;

pub use kinds::{RecordKind, default_kinds};
pub use metrics::exposition;
pub use preflight::cluster_role;
pub use recorder::{RecordError, RecordOptions, Recorder, Tap};
pub use redact::{Redaction, Sensitive};
pub use select::Selection;
pub use series::{
    Afterwards, FileNames, Files, Recorded, Retention, Rotation, SealedFile, SeriesError, SeriesOptions,
    Snapshot, Status, Store, StoreError, Uploads, record,
};
