//! The framing of a reel as a state machine without I/O: bytes in, blocks out.

use super::TraceError;
use super::format::{
    BLOCK_HEADER_LEN, BlockHeader, BlockType, FOOTER_LEN, Limits, MAGIC, SYNC, decode_footer,
};
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
    /// They end inside a block.
    Cut {
        /// Where the unfinished block starts, in bytes.
        offset: u64,
        /// How many bytes it lacks.
        missing: u64,
    },
    /// A block is not what was written.
    Damaged {
        /// Where the block starts, in bytes.
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

/// A block whose checksums are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The fixed part.
    pub header: BlockHeader,
    /// Where the block starts, in bytes from the start of the file.
    pub offset: u64,
    pub(super) stored: Vec<u8>,
}

impl Block {
    /// Checks the stored bytes of a block.
    ///
    /// # Errors
    /// A sentence where they fail their checksum.
    pub fn new(header: BlockHeader, offset: u64, stored: &[u8]) -> Result<Block, String> {
        if crc32c::crc32c(stored) == header.body_crc {
            Ok(Block { header, offset, stored: stored.to_vec() })
        } else {
            Err("the block fails its checksum".to_owned())
        }
    }

    /// The body of a header or summary block, which is packed alone.
    pub(super) fn unpack(&self) -> Result<Vec<u8>, String> {
        let size = self.header.decompressed_len as usize;
        let body = zstd::bulk::decompress(&self.stored, size)
            .map_err(|e| format!("the block cannot be decompressed: {e}"))?;
        if body.len() == size { Ok(body) } else { Err("the block is shorter than it claims".to_owned()) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Magic,
    BlockHeader,
    Body(BlockHeader),
    Done,
}

/// Takes a reel apart. Hand it the bytes that it [wants](Parser::wants), in order, until it is done.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    state: State,
    /// Where the part that is wanted starts.
    offset: u64,
    /// Where the current block starts.
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
            State::BlockHeader => BLOCK_HEADER_LEN,
            State::Body(header) => header.stored_len as usize,
            State::Done => 0,
        }
    }

    /// Whether the end was reached: everything that follows the last block was as it should be.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next bytes, fewer than wanted only at the end of the input. A block comes out when it is whole.
    ///
    /// # Errors
    /// [`Fault`]; the parser is then of no further use.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Block>, Fault> {
        let wanted = self.wants();
        self.offset += bytes.len() as u64;
        match self.state {
            State::Magic => self.magic(bytes)?,
            State::BlockHeader => self.block_header(bytes)?,
            State::Body(_) if bytes.len() < wanted => return Err(self.cut(wanted - bytes.len())),
            State::Body(header) => {
                self.state = State::BlockHeader;
                self.sealed |= header.kind == BlockType::Summary;
                let block = Block::new(header, self.start, bytes).map_err(|what| self.damaged(what))?;
                self.start = self.offset;
                return Ok(Some(block));
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
                self.state = State::BlockHeader;
                Ok(())
            }
        }
    }

    fn block_header(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let is_footer =
            self.sealed && <&[u8; FOOTER_LEN]>::try_from(bytes).is_ok_and(|f| decode_footer(f).is_some());
        if bytes.is_empty() || is_footer {
            self.state = State::Done;
            return Ok(());
        }
        let Ok(bytes) = <&[u8; BLOCK_HEADER_LEN]>::try_from(bytes) else {
            let marker = bytes.len().min(SYNC.len());
            let cut = bytes[..marker] == SYNC[..marker] || self.sealed;
            let missing = BLOCK_HEADER_LEN - bytes.len();
            return Err(if cut {
                self.cut(missing)
            } else {
                self.damaged("no block starts here".to_owned())
            });
        };
        let header = BlockHeader::decode(bytes, &self.limits).map_err(|what| self.damaged(what))?;
        if header.sequence != self.sequence {
            let what = format!("block {} follows where block {} should", header.sequence, self.sequence);
            return Err(self.damaged(what));
        }
        self.sequence += 1;
        self.state = State::Body(header);
        Ok(())
    }

    fn cut(&self, missing: usize) -> Fault {
        Fault::Cut { offset: self.start, missing: missing as u64 }
    }

    fn damaged(&self, what: String) -> Fault {
        Fault::Damaged { offset: self.start, what }
    }
}
