//! A reel as a file: random access by time, and many chunks at once.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::codec::{self, Body};
use super::format::{CHUNK_HEADER_LEN, ChunkHeader, ChunkType, FOOTER_LEN, Limits, MAGIC, decode_footer};
use super::parser::{Chunk, Fault};
use super::reader::read_up_to;
use super::{ChunkEntry, Header, Reader, Summary, TraceError};
use crate::model::{Record, TraceTime};

/// A reel whose chunks can be read in any order.
#[derive(Debug)]
pub struct ReelFile {
    path: PathBuf,
    limits: Limits,
    header: Header,
    summary: Option<Summary>,
    chunks: Vec<ChunkEntry>,
}

impl ReelFile {
    /// Reads header and index. Without a usable summary the index is made from the chunk headers, which reads 64
    /// bytes a chunk.
    ///
    /// # Errors
    /// [`TraceError`] where it is no reel that this version can read, or where its chunks do not follow each other.
    pub fn open(path: &Path) -> Result<ReelFile, TraceError> {
        let header = Reader::open(path)?.header().clone();
        let mut reel = ReelFile {
            path: path.to_owned(),
            limits: Limits::default(),
            header,
            summary: None,
            chunks: Vec::new(),
        };
        let mut file = reel.reopen()?;
        let len = file.metadata().map_err(|e| reel.io(e))?.len();
        match reel.read_summary(&mut file, len)? {
            Some(summary) if summary.is_index(len) => {
                reel.chunks.clone_from(&summary.chunks);
                reel.summary = Some(summary);
            }
            _ => reel.chunks = reel.scan(&mut file, len)?,
        }
        Ok(reel)
    }

    /// Where the reel comes from.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The summary of a sealed reel.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    /// The data chunks, in the order of the file.
    pub fn chunks(&self) -> &[ChunkEntry] {
        &self.chunks
    }

    /// The records from `from` on and before `to`, in the order of the file. Only chunks that may hold such records
    /// are read.
    ///
    /// # Errors
    /// [`TraceError::Io`]; damage comes out of the iterator and ends it.
    pub fn between(
        &self,
        from: TraceTime,
        to: TraceTime,
    ) -> Result<impl Iterator<Item = Result<Record, TraceError>>, TraceError> {
        let wanted = self.chunks.iter().filter(|chunk| chunk.last >= from && chunk.first < to);
        let window = Window {
            reel: self,
            file: self.reopen()?,
            wanted: wanted.collect::<Vec<_>>().into_iter(),
            chunk: None,
        };
        Ok(window.filter(move |record| record.as_ref().map_or(true, |r| (from..to).contains(&r.at()))))
    }

    /// Hands every chunk to `map`, on as many threads as told, and gives the outcomes in the order of the file.
    ///
    /// # Errors
    /// The first error, of reading or of `map`.
    pub fn map_chunks<T: Send>(
        &self,
        threads: usize,
        map: impl Fn(Chunk) -> Result<T, TraceError> + Sync,
    ) -> Result<Vec<T>, TraceError> {
        let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || -> Result<(), TraceError> {
            let mut file = self.reopen()?;
            while let Some(entry) = self.chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                let outcome = map(self.chunk(&mut file, entry)?)?;
                outcomes
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .push((entry.offset, outcome));
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (1..threads.max(1)).map(|_| scope.spawn(work)).collect();
            let mine = work();
            let others = workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            others.fold(mine, Result::and)
        })?;
        let mut outcomes = outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        outcomes.sort_by_key(|(offset, _)| *offset);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    fn reopen(&self) -> Result<File, TraceError> {
        File::open(&self.path).map_err(|source| TraceError::Io {
            path: self.path.clone(),
            doing: "open",
            source,
        })
    }

    fn chunk(&self, file: &mut File, entry: &ChunkEntry) -> Result<Chunk, TraceError> {
        let damaged = |what| Fault::Damaged { offset: entry.offset, what }.at(&self.path);
        let header = self.header_at(file, entry.offset)?.map_err(damaged)?;
        let mut stored = vec![0; header.stored_len as usize];
        let got = read_up_to(file, &mut stored).map_err(|e| self.io(e))?;
        if got < stored.len() {
            let missing = (stored.len() - got) as u64;
            return Err(Fault::Cut { offset: entry.offset, missing }.at(&self.path));
        }
        Chunk::unpack(header, entry.offset, &stored, &self.limits).map_err(damaged)
    }

    fn header_at(&self, file: &mut File, offset: u64) -> Result<Result<ChunkHeader, String>, TraceError> {
        let mut bytes = [0; CHUNK_HEADER_LEN];
        file.seek(SeekFrom::Start(offset)).map_err(|e| self.io(e))?;
        let got = read_up_to(file, &mut bytes).map_err(|e| self.io(e))?;
        if got < bytes.len() {
            return Ok(Err("no chunk is here".to_owned()));
        }
        Ok(ChunkHeader::decode(&bytes, &self.limits))
    }

    /// The summary that the footer names, `None` where there is no such thing.
    fn read_summary(&self, file: &mut File, len: u64) -> Result<Option<Summary>, TraceError> {
        let Some(at) = len.checked_sub(FOOTER_LEN as u64) else { return Ok(None) };
        let mut footer = [0; FOOTER_LEN];
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut footer)).map_err(|e| self.io(e))?;
        let Some(offset) = decode_footer(&footer).filter(|offset| *offset < at) else { return Ok(None) };
        let entry = ChunkEntry {
            offset,
            len: at - offset,
            records: 1,
            first: TraceTime::ZERO,
            last: TraceTime::ZERO,
        };
        let summary = match self.chunk(file, &entry) {
            Ok(chunk) if chunk.header.kind == ChunkType::Summary => codec::from_named(&chunk.body).ok(),
            Ok(_) | Err(TraceError::Damaged { .. } | TraceError::Cut { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(summary)
    }

    /// The index as the chunk headers give it.
    fn scan(&self, file: &mut File, len: u64) -> Result<Vec<ChunkEntry>, TraceError> {
        let (mut offset, mut chunks) = (MAGIC.len() as u64, Vec::new());
        while offset + CHUNK_HEADER_LEN as u64 <= len {
            let damaged = |what| Fault::Damaged { offset, what }.at(&self.path);
            let header = self.header_at(file, offset)?.map_err(damaged)?;
            let size = CHUNK_HEADER_LEN as u64 + u64::from(header.stored_len);
            if header.kind == ChunkType::Data && offset + size <= len {
                let (records, first, last) = (header.records, header.first, header.last);
                chunks.push(ChunkEntry { offset, len: size, records, first, last });
            }
            offset += size;
        }
        Ok(chunks)
    }

    fn io(&self, source: std::io::Error) -> TraceError {
        TraceError::Io { path: self.path.clone(), doing: "read", source }
    }
}

struct Window<'r> {
    reel: &'r ReelFile,
    file: File,
    wanted: std::vec::IntoIter<&'r ChunkEntry>,
    chunk: Option<(u64, Body)>,
}

impl Iterator for Window<'_> {
    type Item = Result<Record, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((offset, body)) = &mut self.chunk {
                match body.next() {
                    Some(Ok(record)) => return Some(Ok(record)),
                    Some(Err(what)) => {
                        let fault = Fault::Damaged { offset: *offset, what };
                        self.wanted = Vec::new().into_iter();
                        self.chunk = None;
                        return Some(Err(fault.at(&self.reel.path)));
                    }
                    None => self.chunk = None,
                }
            }
            let entry = self.wanted.next()?;
            match self.reel.chunk(&mut self.file, entry) {
                Ok(chunk) => self.chunk = Some((entry.offset, chunk.into_body())),
                Err(error) => {
                    self.wanted = Vec::new().into_iter();
                    return Some(Err(error));
                }
            }
        }
    }
}
