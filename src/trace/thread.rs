use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{FLUSH_SPAN, Header, Progress, ReelWriter, Summary, TraceError, WriteOptions};
use crate::model::{Gap, GapReason, Record, TraceTime};

/// Records that wait for the disk at most; one more is dropped and counted as a gap.
const QUEUE: usize = 1 << 14;

/// Of these, those that make [`Sink::has_room`] say no: whole objects are large, and others need room too.
const ROOM: u64 = 1 << 11;

/// How often an idle writer looks whether its block is old enough to be written.
const TICK: Duration = Duration::from_millis(100);

/// How long a writer that is done with all there was lets new records gather.
const GATHER: Duration = Duration::from_millis(1);

enum Message {
    Record(Box<Record>),
    Seal,
}

/// State that writers of records and the thread share.
#[derive(Debug, Default)]
struct Shared {
    dropped: AtomicU64,
    queued: AtomicU64,
    failed: AtomicBool,
    progress: Mutex<Progress>,
}

/// Where records go. Cheap to clone, never blocks: a full queue drops the record, which the reel then says.
#[derive(Debug, Clone)]
pub struct Sink {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
}

impl Sink {
    /// Hands a record to the writer.
    pub fn push(&self, record: Record) {
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Message::Record(Box::new(record))) {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the writer keeps up. One whose source can wait, as a watch can, waits until it does before it pushes
    /// more: nothing is lost then, and memory stays small.
    pub fn has_room(&self) -> bool {
        self.shared.queued.load(Ordering::Relaxed) < ROOM
    }

    /// Whether the writer has given up; the reason comes out of [`ReelThread::seal`].
    pub fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// What is in the file; up to a tenth of a second old.
    pub fn progress(&self) -> Progress {
        let known = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Progress { queued: self.shared.queued.load(Ordering::Relaxed), ..known }
    }
}

/// A reel that is being written on a thread of its own, so that a slow disk slows nobody down.
#[derive(Debug)]
pub struct ReelThread {
    path: PathBuf,
    sink: Sink,
    thread: JoinHandle<Result<Summary, TraceError>>,
}

impl ReelThread {
    /// Creates the file and starts the thread.
    ///
    /// # Errors
    /// As [`ReelWriter::create`].
    pub fn start(path: &Path, header: &Header, options: WriteOptions) -> Result<ReelThread, TraceError> {
        let writer = ReelWriter::create(path, header, options)?;
        let (queue, inbox) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name("reel-writer".to_owned())
                .spawn(move || write_until_sealed(writer, &inbox, &shared))
        };
        let thread = thread.map_err(|source| TraceError::Io {
            path: path.to_owned(),
            doing: "start a writer thread for",
            source,
        })?;
        Ok(ReelThread { path: path.to_owned(), sink: Sink { queue, shared }, thread })
    }

    /// Where records go.
    pub fn sink(&self) -> Sink {
        self.sink.clone()
    }

    /// Writes what is queued, seals the file and says what is in it. Records pushed later are lost.
    ///
    /// # Errors
    /// The first error that the writer met; the file is then a reel without summary.
    pub fn seal(self) -> Result<Summary, TraceError> {
        // The thread drains its queue to the end, so this waits at most for the disk.
        let asked = self.sink.queue.send(Message::Seal);
        let result = self.thread.join().map_err(|_| TraceError::WriterGone { path: self.path.clone() })?;
        asked.map_err(|_| TraceError::WriterGone { path: self.path }).and(result)
    }

    /// Ends without sealing: what was recorded stays readable, but nobody will take it for a whole recording.
    /// Waits until all sinks are dropped.
    pub fn abandon(self) {
        drop(self.sink);
        // The file is unsealed either way.
        let _ = self.thread.join();
    }
}

fn write_until_sealed(
    mut writer: ReelWriter,
    inbox: &Receiver<Message>,
    shared: &Shared,
) -> Result<Summary, TraceError> {
    let mut failure = None;
    let mut progress = Progress::default();
    let mut last = TraceTime::ZERO;
    let (mut idle, mut rested) = (Duration::ZERO, true);
    let sealing = loop {
        let message = match next(inbox, &mut rested) {
            Ok(Message::Record(record)) => {
                shared.queued.fetch_sub(1, Ordering::Relaxed);
                idle = Duration::ZERO;
                Some(record)
            }
            Err(RecvTimeoutError::Timeout) => {
                idle += TICK;
                None
            }
            Ok(Message::Seal) => break true,
            Err(RecvTimeoutError::Disconnected) => break false,
        };
        // After a failure the queue is still drained, so that no producer finds it full.
        if failure.is_some() {
            continue;
        }
        let is_worth_a_look = matches!(message.as_deref(), None | Some(Record::Synced(_)));
        let written = match message {
            Some(record) => {
                let from = std::mem::replace(&mut last, record.at());
                progress.note_gap(&record);
                note_overflow(&mut writer, &mut progress, shared, from, last)
                    .and_then(|()| writer.push(&record))
            }
            // The oldest record has waited for what the block spans and since.
            None if writer.pending_span() + idle >= FLUSH_SPAN => writer.flush(),
            None => Ok(()),
        };
        if is_worth_a_look || writer.len() != progress.bytes {
            publish(&mut progress, &writer, last, shared);
        }
        if let Err(error) = written {
            shared.failed.store(true, Ordering::Relaxed);
            failure = Some(error);
        }
    };
    let noted = match failure {
        Some(error) => Err(error),
        None => note_overflow(&mut writer, &mut progress, shared, last, last),
    };
    publish(&mut progress, &writer, last, shared);
    match noted {
        Err(error) => Err(error),
        Ok(()) if sealing => writer.seal(),
        // Whoever was recording gave up: what came is kept, but the file must not look whole.
        Ok(()) => writer.close_chunk().and(Ok(Summary::default())),
    }
}

/// The next message. Where the last one has just been taken, others may gather for a moment first: waking up for each
/// costs more than writing it.
fn next(inbox: &Receiver<Message>, rested: &mut bool) -> Result<Message, RecvTimeoutError> {
    match inbox.try_recv() {
        Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
        Err(TryRecvError::Empty) => {}
        Ok(message) => {
            *rested = false;
            return Ok(message);
        }
    }
    if !std::mem::replace(rested, true) {
        std::thread::sleep(GATHER);
    }
    let message = inbox.recv_timeout(TICK)?;
    *rested = false;
    Ok(message)
}

/// Lets others see how far the writer is: at each chunk, after the first list of a kind, and whenever there is nothing
/// else to do.
fn publish(progress: &mut Progress, writer: &ReelWriter, last: TraceTime, shared: &Shared) {
    let summary = writer.summary();
    progress.bytes = writer.len();
    progress.last = last;
    if progress.records != summary.records {
        progress.records = summary.records;
        progress.events.clone_from(&summary.events);
    }
    shared.progress.lock().unwrap_or_else(PoisonError::into_inner).clone_from(progress);
}

/// Dropped records become a gap in the reel, between the records around them.
fn note_overflow(
    writer: &mut ReelWriter,
    progress: &mut Progress,
    shared: &Shared,
    from: TraceTime,
    at: TraceTime,
) -> Result<(), TraceError> {
    let dropped = shared.dropped.swap(0, Ordering::Relaxed);
    if dropped == 0 {
        return Ok(());
    }
    let gap = Record::Gap(Gap {
        at,
        from,
        kind: "*".to_owned(),
        reason: GapReason::Overflow,
        detail: format!("{dropped} records dropped: the disk was slower than the cluster"),
    });
    progress.note_gap(&gap);
    writer.push(&gap)
}
