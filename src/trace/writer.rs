use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::codec::BodyWriter;
use super::format::{BlockHeader, BlockType, MAGIC, encode_footer};
use super::header::DELTA;
use super::squeeze::Packer;
use super::{BLOCK_HEADER_LEN, ChunkEntry, Detail, Header, Summary, TraceError, codec, lifecycle};
use crate::model::{Record, TraceTime};

/// A chunk is closed once its records reach this many bytes before compression.
pub const CHUNK_BYTES: usize = 1 << 20;

/// A chunk is closed once its records span this much time: damage costs at most this, and so much is read in vain
/// to get to a time.
pub const CHUNK_SPAN: Duration = Duration::from_mins(1);

/// A block of a chunk is written once its records span this much time: a crash loses at most this.
pub const FLUSH_SPAN: Duration = Duration::from_secs(1);

/// How to write.
#[derive(Debug, Clone, Copy)]
pub struct WriteOptions {
    /// zstd level.
    pub level: i32,
    /// Replace a file that exists.
    pub overwrite: bool,
    /// How much of each object to keep.
    pub detail: Detail,
    /// What a crash may cost.
    pub durability: Durability,
}

/// What a crash of the writer may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The last second of the trace: what is being recorded does not come again.
    #[default]
    EachSecond,
    /// All of it: the reel is made of something that stays, and can be made again. Blocks and chunks end by size
    /// alone: in a trace of months with a pod a minute each record would be a chunk of its own.
    WhenSealed,
}

impl Default for WriteOptions {
    fn default() -> Self {
        WriteOptions {
            level: 3,
            overwrite: false,
            detail: Detail::Lossless,
            durability: Durability::EachSecond,
        }
    }
}

/// Where the bytes go.
enum Output {
    File(File),
    Stream(Box<dyn Write + Send>),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Output::File(_)) { "File" } else { "Stream" })
    }
}

impl Output {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Output::File(file) => file.write_all(bytes),
            Output::Stream(stream) => stream.write_all(bytes),
        }
    }

    /// Takes back the half of a chunk that found no room, so that the file ends with a whole one.
    fn cut_back(&mut self, len: u64) {
        if let Output::File(file) = self {
            // Where that fails too, readers find a torn chunk: `recover` knows those.
            let _ = file.set_len(len);
        }
    }

    /// Waits until what was written is out of this process's and, of a file, the system's hands.
    fn sync(&mut self) -> io::Result<()> {
        match self {
            Output::File(file) => file.sync_data(),
            Output::Stream(stream) => stream.flush(),
        }
    }
}

/// Writes one reel. A block reaches the disk (`fdatasync`) before the next one starts; after a failed write
/// every later call fails too, so that nothing half-written is continued.
#[derive(Debug)]
pub struct ReelWriter {
    path: PathBuf,
    output: Output,
    options: WriteOptions,
    packer: Packer,
    offset: u64,
    sequence: u64,
    body: BodyWriter,
    /// The records that are in `body`.
    pending: Span,
    /// The blocks of the current chunk that are written.
    chunk: Option<ChunkEntry>,
    /// Bytes of those blocks before compression.
    chunk_bytes: usize,
    summary: Summary,
    failed: bool,
}

/// How many records, and the time that they span.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    records: u32,
    first: TraceTime,
    last: TraceTime,
}

impl Span {
    fn add(&mut self, at: TraceTime) {
        // Records of several sources may be slightly out of order; the span covers them all.
        self.first = if self.records == 0 { at } else { self.first.min(at) };
        self.last = self.last.max(at);
        self.records += 1;
    }
}

impl ReelWriter {
    /// Creates the file, locks it and writes the header.
    ///
    /// # Errors
    /// [`TraceError::Exists`] unless overwriting was asked for; [`TraceError::Io`].
    pub fn create(path: &Path, header: &Header, options: WriteOptions) -> Result<ReelWriter, TraceError> {
        ReelWriter::start(path, Output::File(open_new(path, options.overwrite)?), header, options)
    }

    /// Writes the header to a pipe or the like; `path` is for messages.
    ///
    /// # Errors
    /// [`TraceError::Io`].
    pub fn stream(
        stream: Box<dyn Write + Send>,
        path: &Path,
        header: &Header,
        options: WriteOptions,
    ) -> Result<ReelWriter, TraceError> {
        ReelWriter::start(path, Output::Stream(stream), header, options)
    }

    fn start(
        path: &Path,
        output: Output,
        header: &Header,
        options: WriteOptions,
    ) -> Result<ReelWriter, TraceError> {
        let packer = Packer::new(options.level).map_err(|source| TraceError::Io {
            path: path.to_owned(),
            doing: "set up compression for",
            source,
        })?;
        let mut writer = ReelWriter {
            path: path.to_owned(),
            output,
            options,
            packer,
            offset: 0,
            sequence: 0,
            body: BodyWriter::default(),
            pending: Span::default(),
            chunk: None,
            chunk_bytes: 0,
            summary: Summary::default(),
            failed: false,
        };
        writer.write_all(&MAGIC)?;
        let mut header = Header { detail: options.detail, ..header.clone() };
        if !header.requires.iter().any(|feature| feature == DELTA) {
            header.requires.push(DELTA.to_owned());
        }
        let map = codec::named(&header)?;
        writer.write_alone(BlockType::Header, &map, Span { records: 1, ..Span::default() })?;
        Ok(writer)
    }

    /// Adds a record; writes the block when it spans a second, and closes the chunk when it is full.
    ///
    /// # Errors
    /// [`TraceError::Io`] when a block could not be written, now or at an earlier call.
    pub fn push(&mut self, record: &Record) -> Result<(), TraceError> {
        let at = record.at();
        if self.options.durability == Durability::EachSecond {
            self.end_by_time(at)?;
        }
        match record {
            Record::Object(event) if self.options.detail == Detail::Lifecycle => {
                self.body.push(&Record::Object(lifecycle::lean(event)))?;
            }
            _ => self.body.push(record)?,
        }
        self.pending.add(at);
        self.summary.count(record);
        if self.chunk_bytes + self.body.bytes().len() >= CHUNK_BYTES || self.body.is_full() {
            self.close_chunk()
        } else {
            Ok(())
        }
    }

    /// Ends the block and the chunk that a record of this time would make too long.
    fn end_by_time(&mut self, at: TraceTime) -> Result<(), TraceError> {
        if self.pending.records > 0 && at.since(self.pending.first) >= FLUSH_SPAN {
            self.flush()?;
        }
        if self.chunk.is_some_and(|chunk| at.since(chunk.first) >= CHUNK_SPAN) {
            self.close_chunk()?;
        }
        Ok(())
    }

    /// Writes what is pending and waits for the disk.
    ///
    /// # Errors
    /// [`TraceError::Io`].
    pub fn flush(&mut self) -> Result<(), TraceError> {
        if self.pending.records == 0 {
            return Ok(());
        }
        let io = |path: &Path, source| TraceError::Io { path: path.to_owned(), doing: "compress", source };
        let kind = if self.chunk.is_some() { BlockType::More } else { BlockType::Data };
        if kind == BlockType::Data {
            self.packer.start().map_err(|e| io(&self.path, e))?;
        }
        let stored = self.packer.block(self.body.bytes()).map_err(|e| io(&self.path, e))?;
        let (offset, size) = (self.offset, self.body.bytes().len());
        let span = std::mem::take(&mut self.pending);
        self.write_block(kind, &stored, size, span)?;
        self.chunk_bytes += size;
        self.body.next_block();
        let len = self.offset - offset;
        self.chunk = Some(match self.chunk {
            Some(chunk) => ChunkEntry {
                len: chunk.len + len,
                records: chunk.records + span.records,
                first: chunk.first.min(span.first),
                last: chunk.last.max(span.last),
                ..chunk
            },
            None => ChunkEntry { offset, len, records: span.records, first: span.first, last: span.last },
        });
        Ok(())
    }

    /// Writes what is pending; the next record starts a chunk, which decodes without this one.
    ///
    /// # Errors
    /// [`TraceError::Io`].
    pub fn close_chunk(&mut self) -> Result<(), TraceError> {
        self.flush()?;
        self.summary.chunks.extend(self.chunk.take());
        self.chunk_bytes = 0;
        self.body.reset();
        Ok(())
    }

    /// Writes summary and footer: the reel is sealed.
    ///
    /// # Errors
    /// [`TraceError::Io`]; the file is then a reel without summary.
    pub fn seal(mut self) -> Result<Summary, TraceError> {
        self.close_chunk()?;
        let summary_offset = self.offset;
        let map = codec::named(&self.summary)?;
        let span = Span { records: 1, first: self.summary.first, last: self.summary.last };
        self.write_alone(BlockType::Summary, &map, span)?;
        self.write_all(&encode_footer(summary_offset))?;
        self.sync()?;
        Ok(self.summary)
    }

    /// What has been pushed so far.
    pub(super) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// How much time the records that are not yet on the disk span.
    pub(super) fn pending_span(&self) -> Duration {
        self.pending.last.since(self.pending.first)
    }

    /// Bytes in the file so far.
    pub fn len(&self) -> u64 {
        self.offset
    }

    /// Whether nothing was written; a reel has its header at least.
    pub fn is_empty(&self) -> bool {
        self.offset == 0
    }

    /// Writes a block that is a frame of its own.
    fn write_alone(&mut self, kind: BlockType, body: &[u8], span: Span) -> Result<(), TraceError> {
        let stored = zstd::bulk::compress(body, self.options.level).map_err(|e| self.io("compress", e))?;
        self.write_block(kind, &stored, body.len(), span)
    }

    fn write_block(
        &mut self,
        kind: BlockType,
        stored: &[u8],
        size: usize,
        span: Span,
    ) -> Result<(), TraceError> {
        let header = BlockHeader {
            kind,
            stored_len: length(stored.len())?,
            decompressed_len: length(size)?,
            records: span.records,
            sequence: self.sequence,
            first: span.first,
            last: span.last,
            body_crc: crc32c::crc32c(stored),
        };
        let mut bytes = Vec::with_capacity(BLOCK_HEADER_LEN + stored.len());
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(stored);
        self.write_all(&bytes)?;
        if self.options.durability == Durability::EachSecond {
            self.sync()?;
        }
        self.sequence += 1;
        Ok(())
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), TraceError> {
        if self.failed {
            let source = io::Error::other("an earlier write failed");
            return Err(self.io("write", source));
        }
        if let Err(source) = self.output.write_all(bytes) {
            self.failed = true;
            self.output.cut_back(self.offset);
            return Err(self.io("write", source));
        }
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), TraceError> {
        if let Err(source) = self.output.sync() {
            self.failed = true;
            return Err(self.io("flush", source));
        }
        Ok(())
    }

    fn io(&self, doing: &'static str, source: io::Error) -> TraceError {
        TraceError::Io { path: self.path.clone(), doing, source }
    }
}

fn open_new(path: &Path, overwrite: bool) -> Result<File, TraceError> {
    let io = |doing| move |source| TraceError::Io { path: path.to_owned(), doing, source };
    let mut options = OpenOptions::new();
    options.write(true).create(overwrite).create_new(!overwrite);
    let file = match options.open(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            return Err(TraceError::Exists { path: path.to_owned() });
        }
        other => other.map_err(io("create"))?,
    };
    // Held until the writer is gone, so that others can tell "being written" from "writer died".
    file.try_lock().map_err(|e| TraceError::Io { path: path.to_owned(), doing: "lock", source: e.into() })?;
    file.set_len(0).map_err(io("truncate"))?;
    Ok(file)
}

fn length(len: usize) -> Result<u32, TraceError> {
    u32::try_from(len).map_err(|_| TraceError::Encode(format!("a block of {len} bytes is over 4 GiB")))
}
