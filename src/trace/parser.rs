//! The framing of a reel as a state machine without I/O: bytes in, chunks out.

use super::TraceError;
use super::codec::Body;
use super::format::{
    CHUNK_HEADER_LEN, ChunkHeader, ChunkType, FOOTER_LEN, Limits, MAGIC, SYNC, decode_footer,
};
use crate::model::Record;
use std::path::Path;

/// What is wrong with the bytes of a reel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There are none.
    Empty,
    /// They start with something else than the magic.
    NotAReel {
        /// The first bytes, printable.
        found: String,
    },
    /// The major version is another one.
    Version {
        /// What the file says.
        found: u8,
    },
    /// They end inside a chunk.
    Cut {
        /// Where the unfinished chunk starts, in bytes.
        offset: u64,
        /// How many bytes it lacks.
        missing: u64,
    },
    /// A chunk is not what was written.
    Damaged {
        /// Where the chunk starts, in bytes.
        offset: u64,
        /// What does not fit.
        what: String,
    },
}

impl Fault {
    /// The fault with the name of its file.
    pub fn at(self, path: &Path) -> TraceError {
        let path = path.to_owned();
        match self {
            Fault::Empty => TraceError::Empty { path },
            Fault::NotAReel { found } => TraceError::NotAReel { path, found },
            Fault::Version { found } => TraceError::Version { path, found, known: MAGIC[7] },
            Fault::Cut { offset, missing } => TraceError::Cut { path, offset, missing },
            Fault::Damaged { offset, what } => TraceError::Damaged { path, offset, what },
        }
    }
}

/// A chunk, checked and decompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The fixed part.
    pub header: ChunkHeader,
    /// Where the chunk starts, in bytes from the start of the file.
    pub offset: u64,
    pub(super) body: Vec<u8>,
    pub(super) memory: u64,
}

impl Chunk {
    /// Checks and decompresses the stored bytes of a chunk.
    ///
    /// # Errors
    /// A sentence that says what is wrong with them.
    pub fn unpack(header: ChunkHeader, offset: u64, stored: &[u8], limits: &Limits) -> Result<Chunk, String> {
        if crc32c::crc32c(stored) != header.body_crc {
            return Err("the chunk fails its checksum".to_owned());
        }
        let body = zstd::bulk::decompress(stored, header.decompressed_len as usize)
            .map_err(|e| format!("the chunk cannot be decompressed: {e}"))?;
        if body.len() != header.decompressed_len as usize {
            return Err("the chunk is shorter than it claims".to_owned());
        }
        Ok(Chunk { header, offset, body, memory: limits.memory })
    }

    /// The records of a data chunk, decoded one by one; none of other chunks. An error is a sentence about one
    /// record; the records after it still come where they do not depend on it.
    pub fn into_records(self) -> impl Iterator<Item = Result<Record, String>> {
        self.into_body()
    }

    pub(super) fn into_body(self) -> Body {
        let body = if self.header.kind == ChunkType::Data { self.body } else { Vec::new() };
        Body::new(body, self.memory)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Magic,
    ChunkHeader,
    ChunkBody(ChunkHeader),
    Done,
}

/// Takes a reel apart. Hand it the bytes that it [wants](Parser::wants), in order, until it is done.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    state: State,
    /// Where the part that is wanted starts.
    offset: u64,
    /// Where the current chunk starts.
    start: u64,
    sequence: u64,
    /// The summary has been seen: only the footer may follow.
    sealed: bool,
}

impl Parser {
    /// A parser for a reel from its first byte.
    pub fn new(limits: Limits) -> Parser {
        Parser { limits, state: State::Magic, offset: 0, start: 0, sequence: 0, sealed: false }
    }

    /// How many bytes to hand over next; 0 when there is nothing more to come.
    pub fn wants(&self) -> usize {
        match self.state {
            State::Magic => MAGIC.len(),
            State::ChunkHeader => CHUNK_HEADER_LEN,
            State::ChunkBody(header) => header.stored_len as usize,
            State::Done => 0,
        }
    }

    /// Whether the end was reached: everything that follows the last chunk was as it should be.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next bytes, fewer than wanted only at the end of the input. A chunk comes out when it is whole.
    ///
    /// # Errors
    /// [`Fault`]; the parser is then of no further use.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Chunk>, Fault> {
        let wanted = self.wants();
        self.offset += bytes.len() as u64;
        match self.state {
            State::Magic => self.magic(bytes)?,
            State::ChunkHeader => self.chunk_header(bytes)?,
            State::ChunkBody(_) if bytes.len() < wanted => return Err(self.cut(wanted - bytes.len())),
            State::ChunkBody(header) => {
                self.state = State::ChunkHeader;
                self.sealed |= header.kind == ChunkType::Summary;
                let chunk = Chunk::unpack(header, self.start, bytes, &self.limits);
                self.start = self.offset;
                return chunk.map(Some).map_err(|what| {
                    let start = self.offset - bytes.len() as u64 - CHUNK_HEADER_LEN as u64;
                    Fault::Damaged { offset: start, what }
                });
            }
            State::Done => {}
        }
        Ok(None)
    }

    fn magic(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let name = bytes.len().min(MAGIC.len() - 1);
        if bytes.is_empty() {
            return Err(Fault::Empty);
        }
        if bytes[..name] != MAGIC[..name] {
            return Err(Fault::NotAReel { found: String::from_utf8_lossy(bytes).escape_debug().to_string() });
        }
        match bytes.get(MAGIC.len() - 1) {
            None => Err(self.cut(MAGIC.len() - bytes.len())),
            Some(version) if *version != MAGIC[7] => Err(Fault::Version { found: *version }),
            Some(_) => {
                self.start = self.offset;
                self.state = State::ChunkHeader;
                Ok(())
            }
        }
    }

    fn chunk_header(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let is_footer =
            self.sealed && <&[u8; FOOTER_LEN]>::try_from(bytes).is_ok_and(|f| decode_footer(f).is_some());
        if bytes.is_empty() || is_footer {
            self.state = State::Done;
            return Ok(());
        }
        let Ok(bytes) = <&[u8; CHUNK_HEADER_LEN]>::try_from(bytes) else {
            let marker = bytes.len().min(SYNC.len());
            let cut = bytes[..marker] == SYNC[..marker] || self.sealed;
            let missing = CHUNK_HEADER_LEN - bytes.len();
            return Err(if cut {
                self.cut(missing)
            } else {
                self.damaged("no chunk starts here".to_owned())
            });
        };
        let header = ChunkHeader::decode(bytes, &self.limits).map_err(|what| self.damaged(what))?;
        if header.sequence != self.sequence {
            let what = format!("chunk {} follows where chunk {} should", header.sequence, self.sequence);
            return Err(self.damaged(what));
        }
        self.sequence += 1;
        self.state = State::ChunkBody(header);
        Ok(())
    }

    fn cut(&self, missing: usize) -> Fault {
        Fault::Cut { offset: self.start, missing: missing as u64 }
    }

    fn damaged(&self, what: String) -> Fault {
        Fault::Damaged { offset: self.start, what }
    }
}
