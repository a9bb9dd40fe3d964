//! A reel as a file: random access by time, and many chunks at once.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::codec::{self, Records};
use super::format::{BLOCK_HEADER_LEN, BlockHeader, BlockType, FOOTER_LEN, Limits, MAGIC, decode_footer};
use super::parser::{Block, Fault};
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
    /// Reads header and index. Without a usable summary the index is made from the block headers, which reads 64
    /// bytes a block.
    ///
    /// # Errors
    /// [`TraceError`] where it is no reel that this version can read, or where its blocks do not follow each other.
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
    /// An error ends the iteration.
    pub fn between(
        &self,
        from: TraceTime,
        to: TraceTime,
    ) -> impl Iterator<Item = Result<Record, TraceError>> {
        let wanted = self.chunks.iter().filter(|chunk| chunk.last >= from && chunk.first < to);
        let window = Window { reel: self, wanted: wanted.collect::<Vec<_>>().into_iter(), chunk: None };
        window.filter(move |record| record.as_ref().map_or(true, |r| (from..to).contains(&r.at())))
    }

    /// Hands the records of every chunk to `map`, on as many threads as told, and gives the outcomes in the order of
    /// the file.
    ///
    /// # Errors
    /// The first error, of reading or of `map`.
    pub fn map_chunks<T: Send>(
        &self,
        threads: usize,
        map: impl Fn(ChunkRecords<'_>) -> Result<T, TraceError> + Sync,
    ) -> Result<Vec<T>, TraceError> {
        let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || -> Result<(), TraceError> {
            while let Some(entry) = self.chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                let outcome = map(self.chunk(entry)?)?;
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

    fn chunk(&self, entry: &ChunkEntry) -> Result<ChunkRecords<'_>, TraceError> {
        Ok(ChunkRecords {
            reel: self,
            file: self.reopen()?,
            records: Records::new(&self.limits),
            block: entry.offset,
            next: entry.offset,
            end: entry.offset.saturating_add(entry.len),
        })
    }

    fn block(&self, file: &mut File, offset: u64) -> Result<Block, TraceError> {
        let damaged = |what| Fault::Damaged { offset, what }.at(&self.path);
        let header = self.header_at(file, offset)?.map_err(damaged)?;
        let mut stored = vec![0; header.stored_len as usize];
        let got = read_up_to(file, &mut stored).map_err(|e| self.io(e))?;
        if got < stored.len() {
            let missing = (stored.len() - got) as u64;
            return Err(Fault::Cut { offset, missing }.at(&self.path));
        }
        Block::new(header, offset, &stored).map_err(damaged)
    }

    fn header_at(&self, file: &mut File, offset: u64) -> Result<Result<BlockHeader, String>, TraceError> {
        let mut bytes = [0; BLOCK_HEADER_LEN];
        file.seek(SeekFrom::Start(offset)).map_err(|e| self.io(e))?;
        let got = read_up_to(file, &mut bytes).map_err(|e| self.io(e))?;
        if got < bytes.len() {
            return Ok(Err("no block is here".to_owned()));
        }
        Ok(BlockHeader::decode(&bytes, &self.limits))
    }

    /// The summary that the footer names, `None` where there is no such thing.
    fn read_summary(&self, file: &mut File, len: u64) -> Result<Option<Summary>, TraceError> {
        let Some(at) = len.checked_sub(FOOTER_LEN as u64) else { return Ok(None) };
        let mut footer = [0; FOOTER_LEN];
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut footer)).map_err(|e| self.io(e))?;
        let Some(offset) = decode_footer(&footer).filter(|offset| *offset < at) else { return Ok(None) };
        let summary = match self.block(file, offset) {
            Ok(block) if block.header.kind == BlockType::Summary => {
                block.unpack().and_then(|body| codec::from_named(&body)).ok()
            }
            Ok(_) | Err(TraceError::Damaged { .. } | TraceError::Cut { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(summary)
    }

    /// The index as the block headers give it.
    fn scan(&self, file: &mut File, len: u64) -> Result<Vec<ChunkEntry>, TraceError> {
        let (mut offset, mut index) = (MAGIC.len() as u64, Summary::default());
        while offset + BLOCK_HEADER_LEN as u64 <= len {
            let damaged = |what| Fault::Damaged { offset, what }.at(&self.path);
            let header = self.header_at(file, offset)?.map_err(damaged)?;
            let size = BLOCK_HEADER_LEN as u64 + u64::from(header.stored_len);
            if header.kind.is_data() && offset + size <= len {
                index.add_block(offset, &header);
            }
            offset += size;
        }
        Ok(index.chunks)
    }

    fn io(&self, source: std::io::Error) -> TraceError {
        TraceError::Io { path: self.path.clone(), doing: "read", source }
    }
}

/// The records of one chunk, read block by block. An error is the last item.
#[derive(Debug)]
pub struct ChunkRecords<'r> {
    reel: &'r ReelFile,
    file: File,
    records: Records,
    /// Where the block at hand starts.
    block: u64,
    /// Where the next one starts.
    next: u64,
    end: u64,
}

impl ChunkRecords<'_> {
    fn advance(&mut self) -> Result<(), TraceError> {
        let block = self.reel.block(&mut self.file, self.next)?;
        self.block = self.next;
        self.next += BLOCK_HEADER_LEN as u64 + u64::from(block.header.stored_len);
        self.records.feed(&block).map_err(|what| self.damaged(what))
    }

    fn damaged(&self, what: String) -> TraceError {
        Fault::Damaged { offset: self.block, what }.at(&self.reel.path)
    }
}

impl Iterator for ChunkRecords<'_> {
    type Item = Result<Record, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let error = match self.records.next() {
                Some(Ok(record)) => return Some(Ok(record)),
                Some(Err(what)) => self.damaged(what),
                None if self.next >= self.end => return None,
                None => match self.advance() {
                    Ok(()) => continue,
                    Err(error) => error,
                },
            };
            self.next = self.end;
            self.records = Records::new(&self.reel.limits);
            return Some(Err(error));
        }
    }
}

struct Window<'r> {
    reel: &'r ReelFile,
    wanted: std::vec::IntoIter<&'r ChunkEntry>,
    chunk: Option<ChunkRecords<'r>>,
}

impl Iterator for Window<'_> {
    type Item = Result<Record, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let record = self.chunk.as_mut().and_then(Iterator::next);
            if record.as_ref().is_some_and(Result::is_err) {
                self.wanted = Vec::new().into_iter();
                self.chunk = None;
            }
            if record.is_some() {
                return record;
            }
            self.chunk = match self.reel.chunk(self.wanted.next()?) {
                Ok(chunk) => Some(chunk),
                Err(error) => return Some(Err(error)),
            };
        }
    }
}
