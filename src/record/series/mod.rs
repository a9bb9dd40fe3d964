//! A recording of any length: one file after the other, each of which can be replayed alone.
//!
//! A new file begins with a recorder of its own. Only when that has its first lists is the old one stopped and sealed,
//! so events around the hand-over may be in both files, but none is in neither. Where the next file cannot begin, the
//! old one goes on.

mod files;
mod part;
mod status;
mod store;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use files::{FileNames, Retention, Rotation};
use part::Part;
pub use part::SealedFile;
pub use status::{Snapshot, Status, Uploads};
pub use store::{Store, StoreError};
use upload::Uploader;

use super::{RecordError, RecordKind, Redaction};
use crate::k8s::Target;
use crate::pace::Stop;
use crate::trace::{Header, Progress, TraceError, WriteOptions};

/// How often to look at the size of the file, the writer, and whether to stop.
const LOOK: Duration = Duration::from_millis(100);

/// How long to go on with a file that is due before the next try to begin another.
const HAND_OVER_RETRY: Duration = Duration::from_secs(30);

/// A recording to make.
#[derive(Debug, Clone)]
pub struct SeriesOptions {
    /// What to watch.
    pub kinds: Vec<RecordKind>,
    /// What to take out.
    pub redaction: Arc<Redaction>,
    /// What all files say; identity, time and redaction are filled in.
    pub header: Header,
    /// How to write.
    pub write: WriteOptions,
    /// Where.
    pub files: Files,
    /// When to begin another file.
    pub rotation: Rotation,
    /// What becomes of sealed files.
    pub afterwards: Afterwards,
}

/// Where a recording is written.
#[derive(Debug, Clone)]
pub enum Files {
    /// One file.
    One(PathBuf),
    /// A file after the other.
    Many(FileNames),
}

impl Files {
    fn path(&self, wall_ns: i64, number: u64) -> PathBuf {
        match self {
            Files::One(path) => path.clone(),
            Files::Many(names) => names.path(wall_ns, number),
        }
    }
}

/// What becomes of sealed files.
#[derive(Debug, Clone)]
pub enum Afterwards {
    /// They stay, the oldest until there are too many.
    Keep(Retention),
    /// They are uploaded and then removed.
    Upload {
        /// To where.
        store: Arc<Store>,
        /// How long to go on trying once the recording has ended.
        patience: Duration,
    },
}

/// Why a recording failed.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// It could not begin.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A file could not be made.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// It broke off.
    #[error(
        "the recording ended {after:.0?} after its file was begun: it can no longer be written; what was written until then can be read, though it is not sealed"
    )]
    Ended {
        /// How long after the start of the file.
        after: Duration,
        /// What the writer said.
        source: TraceError,
    },
    /// The folder of the files.
    #[error("{folder}: cannot {doing}", folder = folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A recording that has ended.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// Its files, in order; some may have been uploaded or removed.
    pub files: Vec<SealedFile>,
    /// What they hold together.
    pub total: Progress,
    /// Files that could not be uploaded and are still here.
    pub waiting: Vec<PathBuf>,
}

/// Records until it is stopped, or until nothing can be written any more.
///
/// # Errors
/// [`SeriesError`]; files that were sealed before stay.
pub async fn record(
    target: &Target,
    options: &SeriesOptions,
    stop: &Stop,
    status: &Arc<Status>,
) -> Result<Recorded, SeriesError> {
    let uploader = match &options.afterwards {
        Afterwards::Upload { store, .. } => Some(uploader(store, options, status)?),
        Afterwards::Keep(_) => None,
    };
    let mut series = Series { target, options, stop, status, uploader, sealed: Vec::new() };
    let ran = series.run().await;
    let Series { uploader, sealed, .. } = series;
    let waiting = match (uploader, &options.afterwards) {
        (Some(uploader), Afterwards::Upload { patience, .. }) => uploader.finish(*patience).await,
        _ => Vec::new(),
    };
    for path in &waiting {
        tracing::warn!("{}: not uploaded; the next recording with this spool tries again", path.display());
    }
    ran?;
    let mut total = Progress::default();
    for file in &sealed {
        total.add(&file.holds);
    }
    Ok(Recorded { files: sealed, total, waiting })
}

/// Starts to upload what an earlier recording left behind.
fn uploader(
    store: &Arc<Store>,
    options: &SeriesOptions,
    status: &Arc<Status>,
) -> Result<Uploader, SeriesError> {
    let uploader = Uploader::start(store.clone(), status.clone());
    if let Files::Many(names) = &options.files {
        let io =
            |doing| move |source| SeriesError::Folder { folder: names.folder().to_owned(), doing, source };
        std::fs::create_dir_all(names.folder()).map_err(io("create the folder"))?;
        for (path, bytes) in names.existing().map_err(io("list the folder"))? {
            tracing::info!("{}: left by an earlier recording, is uploaded first", path.display());
            uploader.add(path, bytes);
        }
    }
    Ok(uploader)
}

/// Why a file ends.
enum End {
    Stopped,
    Failed,
    Due,
}

struct Series<'s> {
    target: &'s Target,
    options: &'s SeriesOptions,
    stop: &'s Stop,
    status: &'s Arc<Status>,
    uploader: Option<Uploader>,
    sealed: Vec<SealedFile>,
}

impl Series<'_> {
    async fn run(&mut self) -> Result<(), SeriesError> {
        let mut number = 1;
        let Some(part) = self.begin(number, None).await.transpose()? else { return Ok(()) };
        let mut part = part;
        let mut not_before = Duration::ZERO;
        loop {
            match self.until_end(&part, not_before).await {
                End::Stopped | End::Failed => return self.seal(part).await,
                End::Due => {}
            }
            match self.begin(number + 1, Some(part.id())).await {
                None => return self.seal(part).await,
                Some(Ok(next)) => {
                    let done = std::mem::replace(&mut part, next);
                    number += 1;
                    not_before = Duration::ZERO;
                    if let Err(error) = self.seal(done).await {
                        // The newer file is whole: it must not be lost with the older one.
                        self.seal(part).await?;
                        return Err(error);
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!("the next file cannot begin, so this one goes on: {error}");
                    not_before = part.age() + HAND_OVER_RETRY;
                }
            }
        }
    }

    /// Starts a file; `None` where the recording is stopped before it has its lists.
    async fn begin(&self, number: u64, previous: Option<&str>) -> Option<Result<Part, SeriesError>> {
        let started = tokio::select! {
            started = Part::start(self.target, self.options, number, previous) => started,
            () = self.stopped() => return None,
        };
        if let Ok(part) = &started {
            tracing::info!("recording {} into {}", self.target, part.path().display());
            self.status.opened(part.path(), part.sink(), part.clock());
        }
        Some(started)
    }

    async fn stopped(&self) {
        while !self.stop.is_stopped() {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn until_end(&self, part: &Part, not_before: Duration) -> End {
        let sink = part.sink();
        loop {
            if sink.has_failed() {
                return End::Failed;
            }
            if self.stop.is_stopped() {
                return End::Stopped;
            }
            let age = part.age();
            if age >= not_before && self.options.rotation.is_due(sink.progress().bytes, age) {
                return End::Due;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn seal(&mut self, part: Part) -> Result<(), SeriesError> {
        let (path, after) = (part.path().to_owned(), part.age());
        match part.seal().await {
            Ok(file) => {
                self.status.sealed(&path, &file.holds);
                self.dispose(&file);
                self.sealed.push(file);
                Ok(())
            }
            Err(source) => {
                self.status.failed(&path, &source);
                Err(SeriesError::Ended { after, source })
            }
        }
    }

    /// Does with a sealed file what is to be done.
    fn dispose(&self, file: &SealedFile) {
        match (&self.options.afterwards, &self.options.files) {
            (Afterwards::Upload { .. }, _) => {
                if let Some(uploader) = &self.uploader {
                    uploader.add(file.path.clone(), file.holds.bytes);
                }
            }
            (Afterwards::Keep(retention), Files::Many(names)) => self.remove_old(*retention, names),
            (Afterwards::Keep(_), Files::One(_)) => {}
        }
    }

    fn remove_old(&self, retention: Retention, names: &FileNames) {
        let files = match names.existing() {
            Ok(files) => files,
            Err(error) => return tracing::warn!("{}: cannot be listed: {error}", names.folder().display()),
        };
        for (path, _) in retention.superfluous(&files) {
            match std::fs::remove_file(path) {
                Ok(()) => {
                    tracing::info!("{}: removed, there are newer ones", path.display());
                    self.status.removed();
                }
                Err(error) => tracing::warn!("{}: cannot be removed: {error}", path.display()),
            }
        }
    }
}
