//! The attempts of a scheduler that kubereel started, from its log into the run's reel: one object record an attempt
//! (`docs/report.md`, "Attempts").

mod log;

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use log::Attempts;

use crate::model::{ObjectEvent, Record, TraceTime, Verb};
use crate::pace::Clock;
use crate::trace::Sink;

/// Pause where the log has nothing new.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How much is read at once.
const PIECE: usize = 1 << 16;

/// Follows a log on a thread of its own.
#[derive(Debug)]
pub(super) struct AttemptLog {
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl AttemptLog {
    /// Follows the log from its present end on; a point of a score plugin counts `point` in it. A log that is not there
    /// has no attempts.
    pub(super) fn follow(path: PathBuf, point: i64, clock: Arc<dyn Clock>, sink: Sink) -> Option<AttemptLog> {
        let at_end = |mut file: File| file.seek(SeekFrom::End(0)).map(|_| file);
        let mut file = match File::open(&path).and_then(at_end) {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!("{}: {error}; the run has no attempts of the scheduler", path.display());
                return None;
            }
        };
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let work = move || {
            let mut writer = Writer { clock, sink, attempts: Attempts::new(point), count: 0 };
            if let Err(error) = writer.follow(&mut file, &stop) {
                tracing::warn!("{}: {error}; later attempts of the scheduler are missing", path.display());
            }
        };
        let thread = std::thread::Builder::new().name("scheduler-log".to_owned()).spawn(work);
        thread
            .inspect_err(|error| tracing::warn!("no thread for the scheduler's log: {error}"))
            .ok()
            .map(|thread| AttemptLog { over, thread })
    }

    /// Reads what is left and ends.
    pub(super) fn finish(self) {
        self.over.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::warn!("the thread of the scheduler's log has panicked");
        }
    }
}

struct Writer {
    clock: Arc<dyn Clock>,
    sink: Sink,
    attempts: Attempts,
    count: u64,
}

impl Writer {
    fn follow(&mut self, file: &mut File, over: &AtomicBool) -> std::io::Result<()> {
        let (mut piece, mut line) = (vec![0; PIECE], Vec::new());
        loop {
            // Before the read: what was written until then is read.
            let last = over.load(Ordering::Relaxed);
            let read = match file.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read?,
            };
            for part in piece[..read].split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(part);
                if line.ends_with(b"\n") {
                    self.take(&line);
                    line.clear();
                }
            }
            if read == 0 {
                if last {
                    return Ok(());
                }
                std::thread::sleep(LOOK_AGAIN);
            }
        }
    }

    fn take(&mut self, line: &[u8]) {
        let Some(attempt) = self.attempts.line(line) else { return };
        self.count += 1;
        let (at, object) = (self.time_of(attempt.wall_ns), attempt.object(self.count));
        let Some(event) = ObjectEvent::new(at, Verb::Added, object) else { return };
        // A log can wait, so nothing is lost where the disk is slow.
        while !self.sink.has_room() && !self.sink.has_failed() {
            std::thread::sleep(LOOK_AGAIN);
        }
        self.sink.push(Record::Object(event));
    }

    /// A time of the log on the run's time line.
    fn time_of(&self, wall_ns: i64) -> TraceTime {
        let ago = self.clock.wall_ns().saturating_sub(wall_ns);
        self.clock.now() - Duration::from_nanos(ago.max(0).unsigned_abs())
    }
}
