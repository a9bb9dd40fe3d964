use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{SeriesError, SeriesOptions};
use crate::k8s::Target;
use crate::pace::{Clock, SystemClock};
use crate::record::{RecordOptions, Recorder};
use crate::trace::{Header, Progress, ReelThread, Sink, TraceError};

/// A file that is being recorded: a recording of its own, with its own clock and its own first list, so that it can be
/// replayed without the others.
pub(super) struct Part {
    path: PathBuf,
    id: String,
    clock: Arc<dyn Clock>,
    recorder: Recorder,
    reel: ReelThread,
}

/// A file that is complete.
#[derive(Debug, Clone)]
pub struct SealedFile {
    /// Where it was written.
    pub path: PathBuf,
    /// What it holds.
    pub holds: Progress,
    /// What it spans.
    pub span: Duration,
}

impl Part {
    /// Starts a file and waits until the first lists are in it. Of one that does not come to that nothing stays.
    pub(super) async fn start(
        target: &Target,
        options: &SeriesOptions,
        number: u64,
        previous: Option<&str>,
    ) -> Result<Part, SeriesError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let path = options.files.path(clock.wall_ns(), number);
        let header = header(options, &*clock, number, previous);
        let reel = ReelThread::start(&path, &header, options.write)?;
        let unfinished = Unfinished(Some(&path));
        let recorded = RecordOptions { redaction: options.redaction.clone(), ..RecordOptions::default() };
        let kinds = options.kinds.clone();
        let recorder = Recorder::start(target.session(), kinds, recorded, reel.sink(), clock.clone()).await?;
        unfinished.keep();
        Ok(Part { id: header.id, clock, recorder, reel, path })
    }

    /// Ends the watches and seals the file.
    pub(super) async fn seal(self) -> Result<SealedFile, TraceError> {
        self.recorder.stop().await;
        let (sink, path) = (self.reel.sink(), self.path.clone());
        let sealed = tokio::task::spawn_blocking(|| self.reel.seal()).await;
        let summary = sealed.map_err(|_| TraceError::WriterGone { path: path.clone() })??;
        let bytes = std::fs::metadata(&path).map_or(0, |file| file.len());
        let holds = Progress {
            records: summary.records,
            events: summary.events,
            bytes,
            queued: 0,
            ..sink.progress()
        };
        Ok(SealedFile { path, holds, span: summary.last.since(summary.first) })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn sink(&self) -> Sink {
        self.reel.sink()
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    pub(super) fn age(&self) -> Duration {
        self.clock.now().since(crate::model::TraceTime::ZERO)
    }
}

/// A file that holds no recording yet: goes unless somebody says otherwise.
struct Unfinished<'p>(Option<&'p Path>);

impl Unfinished<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            // Where it cannot be removed it is a reel without objects: harmless.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn header(options: &SeriesOptions, clock: &dyn Clock, number: u64, previous: Option<&str>) -> Header {
    let mut header = Header {
        id: uuid::Uuid::new_v4().to_string(),
        started_wall_ns: clock.wall_ns(),
        redaction: options.redaction.described(),
        ..options.header.clone()
    };
    if let Some(anonymizer) = options.redaction.anonymizer() {
        header = anonymizer.header(&header);
    }
    if options.rotation.is_on() {
        header.labels.insert("part".to_owned(), number.to_string());
    }
    if let Some(previous) = previous {
        header.labels.insert("previous".to_owned(), previous.to_owned());
    }
    header
}
