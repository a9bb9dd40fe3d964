use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::pace::Clock;
use crate::trace::{Progress, Sink};

/// How a recording is doing: kept by it, looked at by whoever shows it.
#[derive(Debug, Default)]
pub struct Status(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: Vec<Open>,
    sealed: Progress,
    /// Objects at the end of the last file that was sealed.
    objects: BTreeMap<String, u64>,
    files: u64,
    removed: u64,
    failure: Option<String>,
    waiting: BTreeMap<PathBuf, u64>,
    uploaded: u64,
    upload_failures: u64,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    sink: Sink,
    clock: Arc<dyn Clock>,
}

/// How a recording is doing at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Whether the first lists are in and the file can be written.
    pub ready: bool,
    /// Why nothing can be written any more.
    pub failure: Option<String>,
    /// What all files hold together. Counts of events include the first state in each file.
    pub total: Progress,
    /// Objects there now, by kind.
    pub objects: BTreeMap<String, u64>,
    /// How long the oldest record that is not yet with the writer has waited.
    pub lag: Duration,
    /// Files sealed.
    pub files: u64,
    /// Files removed because there are newer ones.
    pub removed: u64,
    /// Uploads.
    pub uploads: Uploads,
}

/// How uploads are doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uploads {
    /// Files uploaded and verified.
    pub done: u64,
    /// Tries that failed.
    pub failures: u64,
    /// Files that wait.
    pub waiting: u64,
    /// Bytes that wait.
    pub waiting_bytes: u64,
}

impl Status {
    /// How it is now.
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.lock();
        let mut total = inner.sealed.clone();
        let mut lag = Duration::ZERO;
        let mut objects = inner.objects.clone();
        for open in &inner.open {
            let progress = open.sink.progress();
            if progress.queued > 0 {
                lag = lag.max(open.clock.now().since(progress.last));
            }
            // The last one is the newest, but at first it knows of nothing.
            if !progress.events.is_empty() {
                objects = objects_in(&progress);
            }
            total.add(&progress);
        }
        Snapshot {
            ready: inner.failure.is_none() && inner.open.iter().any(|open| !open.sink.has_failed()),
            failure: inner.failure.clone(),
            total,
            objects,
            lag,
            files: inner.files,
            removed: inner.removed,
            uploads: Uploads {
                done: inner.uploaded,
                failures: inner.upload_failures,
                waiting: inner.waiting.len() as u64,
                waiting_bytes: inner.waiting.values().sum(),
            },
        }
    }

    pub(super) fn opened(&self, path: &Path, sink: Sink, clock: Arc<dyn Clock>) {
        self.lock().open.push(Open { path: path.to_owned(), sink, clock });
    }

    pub(super) fn sealed(&self, path: &Path, holds: &Progress) {
        let mut inner = self.lock();
        inner.open.retain(|open| open.path != path);
        inner.sealed.add(holds);
        inner.objects = objects_in(holds);
        inner.files += 1;
    }

    pub(super) fn failed(&self, path: &Path, error: &dyn std::error::Error) {
        let mut inner = self.lock();
        inner.open.retain(|open| open.path != path);
        inner.failure = Some(error.to_string());
    }

    pub(super) fn removed(&self) {
        self.lock().removed += 1;
    }

    pub(super) fn upload_waits(&self, path: &Path, bytes: u64) {
        self.lock().waiting.insert(path.to_owned(), bytes);
    }

    pub(super) fn upload_failed(&self) {
        self.lock().upload_failures += 1;
    }

    /// A file waits no longer: it was uploaded, or it is no longer here.
    pub(super) fn upload_over(&self, path: &Path, done: bool) {
        let mut inner = self.lock();
        inner.waiting.remove(path);
        inner.uploaded += u64::from(done);
    }

    pub(super) fn waiting(&self) -> Vec<PathBuf> {
        self.lock().waiting.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn objects_in(progress: &Progress) -> BTreeMap<String, u64> {
    progress.objects().map(|(kind, count)| (kind.to_owned(), count)).collect()
}
