use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::codec::BodyWriter;
use super::format::{ChunkHeader, ChunkType, MAGIC, encode_footer};
use super::header::DELTA;
use super::{CHUNK_HEADER_LEN, Detail, Header, Summary, TraceError, codec, lifecycle};
use crate::model::{Record, TraceTime};

/// A chunk is closed once its records reach this many bytes before compression.
pub const CHUNK_BYTES: usize = 1 << 20;

/// A chunk is closed once its records span this much time: a crash loses at most this.
pub const CHUNK_SPAN: Duration = Duration::from_secs(1);

/// How to write.
#[derive(Debug, Clone, Copy)]
pub struct WriteOptions {
    /// zstd level.
    pub level: i32,
    /// Replace a file that exists.
    pub overwrite: bool,
    /// How much of each object to keep.
    pub detail: Detail,
}

impl Default for WriteOptions {
    fn default() -> Self {
        WriteOptions { level: 3, overwrite: false, detail: Detail::Lossless }
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

/// Writes one reel. A chunk reaches the disk (`fdatasync`) before the next one starts; after a failed write
/// every later call fails too, so that nothing half-written is continued.
#[derive(Debug)]
pub struct ReelWriter {
    path: PathBuf,
    output: Output,
    options: WriteOptions,
    offset: u64,
    sequence: u64,
    body: BodyWriter,
    records: u32,
    first: TraceTime,
    last: TraceTime,
    summary: Summary,
    failed: bool,
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
        let mut writer = ReelWriter {
            path: path.to_owned(),
            output,
            options,
            offset: 0,
            sequence: 0,
            body: BodyWriter::default(),
            records: 0,
            first: TraceTime::ZERO,
            last: TraceTime::ZERO,
            summary: Summary::default(),
            failed: false,
        };
        writer.write_all(&MAGIC)?;
        let mut header = Header { detail: options.detail, ..header.clone() };
        if !header.requires.iter().any(|feature| feature == DELTA) {
            header.requires.push(DELTA.to_owned());
        }
        let map = codec::named(&header)?;
        writer.write_chunk(ChunkType::Header, &map, 1)?;
        Ok(writer)
    }

    /// Adds a record; closes the chunk when it is full or spans a second.
    ///
    /// # Errors
    /// [`TraceError::Io`] when the chunk could not be written, now or at an earlier call.
    pub fn push(&mut self, record: &Record) -> Result<(), TraceError> {
        let at = record.at();
        if self.records > 0 && at.since(self.first) >= CHUNK_SPAN {
            self.close_chunk()?;
        }
        match record {
            Record::Object(event) if self.options.detail == Detail::Lifecycle => {
                self.body.push(&Record::Object(lifecycle::lean(event)))?;
            }
            _ => self.body.push(record)?,
        }
        if self.records == 0 {
            self.first = at;
            self.last = at;
        }
        // Records of several sources may be slightly out of order; the chunk covers them all.
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        self.records += 1;
        self.summary.count(record);
        if self.body.bytes().len() >= CHUNK_BYTES || self.body.is_full() {
            self.close_chunk()
        } else {
            Ok(())
        }
    }

    /// Writes what is pending and waits for the disk.
    ///
    /// # Errors
    /// [`TraceError::Io`].
    pub fn close_chunk(&mut self) -> Result<(), TraceError> {
        if self.records == 0 {
            return Ok(());
        }
        let body = std::mem::take(&mut self.body);
        let offset = self.offset;
        let header = self.write_chunk(ChunkType::Data, body.bytes(), self.records)?;
        self.summary.add_chunk(offset, self.offset - offset, &header);
        self.body = body;
        self.body.reset();
        self.records = 0;
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
        self.first = self.summary.first;
        self.last = self.summary.last;
        self.write_chunk(ChunkType::Summary, &map, 1)?;
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
        if self.records == 0 { Duration::ZERO } else { self.last.since(self.first) }
    }

    /// Bytes in the file so far.
    pub fn len(&self) -> u64 {
        self.offset
    }

    /// Whether nothing was written; a reel has its header at least.
    pub fn is_empty(&self) -> bool {
        self.offset == 0
    }

    fn write_chunk(&mut self, kind: ChunkType, body: &[u8], records: u32) -> Result<ChunkHeader, TraceError> {
        let stored = zstd::bulk::compress(body, self.options.level).map_err(|e| self.io("compress", e))?;
        let header = ChunkHeader {
            kind,
            stored_len: length(stored.len())?,
            decompressed_len: length(body.len())?,
            records,
            sequence: self.sequence,
            first: self.first,
            last: self.last,
            body_crc: crc32c::crc32c(&stored),
        };
        let mut bytes = Vec::with_capacity(CHUNK_HEADER_LEN + stored.len());
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(&stored);
        self.write_all(&bytes)?;
        self.sync()?;
        self.sequence += 1;
        Ok(header)
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
    u32::try_from(len).map_err(|_| TraceError::Encode(format!("a chunk of {len} bytes is over 4 GiB")))
}
