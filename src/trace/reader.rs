use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::format::{
    CHUNK_HEADER_LEN, ChunkHeader, ChunkType, FOOTER_LEN, Limits, MAGIC, SYNC, decode_footer,
};
use super::{Header, Summary, TraceError, codec};
use crate::model::Record;

/// How a reel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With summary and footer.
    Sealed(Box<Summary>),
    /// After a whole chunk: the writer died, or is still at work.
    Open,
}

/// Reads the records of a reel in order. Memory follows the chunk, not the file.
///
/// Damage ends the iteration with an error after all that comes before it has been yielded.
#[derive(Debug)]
pub struct Reader<R> {
    path: PathBuf,
    input: R,
    limits: Limits,
    header: Header,
    offset: u64,
    sequence: u64,
    chunk: std::vec::IntoIter<Record>,
    ending: Option<Ending>,
    broken: bool,
}

impl Reader<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`TraceError`] where it is no reel that this version can read.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let file = File::open(path).map_err(|source| TraceError::Io {
            path: path.to_owned(),
            doing: "open",
            source,
        })?;
        Reader::new(BufReader::with_capacity(1 << 16, file), path, Limits::default())
    }
}

impl<R: Read> Reader<R> {
    /// Reads magic and header; `path` is for messages.
    ///
    /// # Errors
    /// [`TraceError`] where the input is no reel that this version can read.
    pub fn new(input: R, path: &Path, limits: Limits) -> Result<Self, TraceError> {
        let mut reader = Reader {
            path: path.to_owned(),
            input,
            limits,
            header: Header::default(),
            offset: 0,
            sequence: 0,
            chunk: Vec::new().into_iter(),
            ending: None,
            broken: false,
        };
        reader.read_magic()?;
        let (chunk, body) = reader.next_chunk()?.ok_or_else(|| TraceError::Cut {
            path: path.to_owned(),
            offset: MAGIC.len() as u64,
            missing: CHUNK_HEADER_LEN as u64,
        })?;
        if chunk.kind != ChunkType::Header {
            return Err(reader.damaged(MAGIC.len() as u64, "the first chunk is not a header".to_owned()));
        }
        reader.header = codec::from_named(&body).map_err(|e| reader.damaged(MAGIC.len() as u64, e))?;
        reader.header.check_features(path)?;
        Ok(reader)
    }

    /// Where the reel comes from.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How it ended; `None` while there are records left or after damage.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    fn read_magic(&mut self) -> Result<(), TraceError> {
        let mut magic = [0; MAGIC.len()];
        let got = self.read_up_to(&mut magic)?;
        let path = self.path.clone();
        match got {
            0 => Err(TraceError::Empty { path }),
            _ if magic[..got.min(7)] != MAGIC[..got.min(7)] => {
                let found = String::from_utf8_lossy(&magic[..got]).escape_debug().to_string();
                Err(TraceError::NotAReel { path, found })
            }
            n if n < MAGIC.len() => {
                Err(TraceError::Cut { path, offset: 0, missing: (MAGIC.len() - n) as u64 })
            }
            _ if magic[7] != MAGIC[7] => Err(TraceError::Version { path, found: magic[7], known: MAGIC[7] }),
            _ => Ok(()),
        }
    }

    /// The next chunk, decompressed; `None` at the end of the file.
    fn next_chunk(&mut self) -> Result<Option<(ChunkHeader, Vec<u8>)>, TraceError> {
        let start = self.offset;
        let mut bytes = [0; CHUNK_HEADER_LEN];
        let got = self.read_up_to(&mut bytes)?;
        if got == 0 {
            self.ending.get_or_insert(Ending::Open);
            return Ok(None);
        }
        if let Some(footer) = bytes[..got].first_chunk::<FOOTER_LEN>().filter(|_| got == FOOTER_LEN)
            && decode_footer(footer).is_some()
            && self.ending.is_some()
        {
            return Ok(None);
        }
        if got < CHUNK_HEADER_LEN {
            let marker = got.min(SYNC.len());
            let unfinished = bytes[..marker] == SYNC[..marker] || self.ending.is_some();
            return Err(if unfinished {
                self.cut(start, CHUNK_HEADER_LEN - got)
            } else {
                self.damaged(start, "no chunk starts here".to_owned())
            });
        }
        let header = ChunkHeader::decode(&bytes, &self.limits).map_err(|e| self.damaged(start, e))?;
        if header.sequence != self.sequence {
            let lost = format!("chunk {} follows where chunk {} should", header.sequence, self.sequence);
            return Err(self.damaged(start, lost));
        }
        self.sequence += 1;
        let body = self.read_body(start, &header)?;
        Ok(Some((header, body)))
    }

    fn read_body(&mut self, start: u64, header: &ChunkHeader) -> Result<Vec<u8>, TraceError> {
        let mut stored = vec![0; header.stored_len as usize];
        let got = self.read_up_to(&mut stored)?;
        if got < stored.len() {
            return Err(self.cut(start, stored.len() - got));
        }
        if crc32c::crc32c(&stored) != header.body_crc {
            return Err(self.damaged(start, "the chunk fails its checksum".to_owned()));
        }
        let body = zstd::bulk::decompress(&stored, header.decompressed_len as usize)
            .map_err(|e| self.damaged(start, format!("the chunk cannot be decompressed: {e}")))?;
        if body.len() != header.decompressed_len as usize {
            return Err(self.damaged(start, "the chunk is shorter than it claims".to_owned()));
        }
        Ok(body)
    }

    /// Steps to the next data chunk; `false` at the end.
    fn advance(&mut self) -> Result<bool, TraceError> {
        loop {
            let start = self.offset;
            let Some((header, body)) = self.next_chunk()? else { return Ok(false) };
            match header.kind {
                ChunkType::Data => {
                    let records = codec::decode_body(&body).map_err(|e| self.damaged(start, e))?;
                    self.chunk = records.into_iter();
                    return Ok(true);
                }
                ChunkType::Summary => {
                    let summary = codec::from_named(&body).map_err(|e| self.damaged(start, e))?;
                    self.ending = Some(Ending::Sealed(Box::new(summary)));
                }
                ChunkType::Header | ChunkType::Unknown(_) => {}
            }
        }
    }

    fn read_up_to(&mut self, buffer: &mut [u8]) -> Result<usize, TraceError> {
        let mut got = 0;
        while got < buffer.len() {
            match self.input.read(&mut buffer[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(TraceError::Io { path: self.path.clone(), doing: "read", source });
                }
            }
        }
        self.offset += got as u64;
        Ok(got)
    }

    fn cut(&self, offset: u64, missing: usize) -> TraceError {
        TraceError::Cut { path: self.path.clone(), offset, missing: missing as u64 }
    }

    fn damaged(&self, offset: u64, what: String) -> TraceError {
        TraceError::Damaged { path: self.path.clone(), offset, what }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.chunk.next() {
                return Some(Ok(record));
            }
            if self.broken || self.ending.is_some() {
                return None;
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.broken = true;
                    self.ending = None;
                    return Some(Err(error));
                }
            }
        }
    }
}
