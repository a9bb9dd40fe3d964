use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::codec::{self, Records};
use super::format::{BLOCK_HEADER_LEN, BlockType, Limits, MAGIC};
use super::parser::{Block, Fault, Parser};
use super::{Header, Summary, TraceError};
use crate::model::Record;

/// How a reel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With summary and footer.
    Sealed(Box<Summary>),
    /// After a whole block: the writer died, or is still at work.
    Open,
}

/// Reads the records of a reel in order. Memory follows the block and the objects of its chunk, not the file.
///
/// Damage ends the iteration with an error after all that comes before it has been yielded.
#[derive(Debug)]
pub struct Reader<R> {
    path: PathBuf,
    input: R,
    parser: Parser,
    buffer: Vec<u8>,
    header: Header,
    records: Records,
    offset: u64,
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

impl Reader<Box<dyn Read + Send>> {
    /// Opens a file, or standard input where `path` is `-`.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_or_stdin(path: &Path) -> Result<Self, TraceError> {
        let io = |source| TraceError::Io { path: path.to_owned(), doing: "open", source };
        let input: Box<dyn Read + Send> = if path.as_os_str() == "-" {
            Box::new(BufReader::with_capacity(1 << 16, io::stdin()))
        } else {
            Box::new(BufReader::with_capacity(1 << 16, File::open(path).map_err(io)?))
        };
        Reader::new(input, path, Limits::default())
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
            parser: Parser::new(limits),
            buffer: Vec::new(),
            header: Header::default(),
            records: Records::new(&limits),
            offset: 0,
            ending: None,
            broken: false,
        };
        let first = MAGIC.len() as u64;
        let block = reader
            .next_block()?
            .ok_or_else(|| Fault::Cut { offset: first, missing: BLOCK_HEADER_LEN as u64 }.at(path))?;
        reader.header =
            Header::from_block(&block).map_err(|what| Fault::Damaged { offset: first, what }.at(path))?;
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

    /// The next block; `None` at the end of the file.
    fn next_block(&mut self) -> Result<Option<Block>, TraceError> {
        while !self.parser.is_done() {
            let got = self.fill(self.parser.wants())?;
            let block = self.parser.feed(&self.buffer[..got]).map_err(|fault| fault.at(&self.path))?;
            if block.is_some() {
                return Ok(block);
            }
        }
        self.ending.get_or_insert(Ending::Open);
        Ok(None)
    }

    /// Steps to the next block of data; `false` at the end.
    fn advance(&mut self) -> Result<bool, TraceError> {
        while let Some(block) = self.next_block()? {
            self.offset = block.offset;
            match block.header.kind {
                BlockType::Data | BlockType::More => {
                    self.records.feed(&block).map_err(|what| self.damaged(what))?;
                    return Ok(true);
                }
                BlockType::Summary => {
                    let summary = block.unpack().and_then(|body| codec::from_named(&body));
                    self.ending = Some(Ending::Sealed(Box::new(summary.map_err(|what| self.damaged(what))?)));
                }
                BlockType::Header | BlockType::Unknown(_) => {}
            }
        }
        Ok(false)
    }

    /// Reads up to `wanted` bytes into the buffer, fewer only at the end of the input.
    fn fill(&mut self, wanted: usize) -> Result<usize, TraceError> {
        self.buffer.resize(wanted.max(self.buffer.len()), 0);
        let got = read_up_to(&mut self.input, &mut self.buffer[..wanted]);
        got.map_err(|source| TraceError::Io { path: self.path.clone(), doing: "read", source })
    }

    fn damaged(&self, what: String) -> TraceError {
        Fault::Damaged { offset: self.offset, what }.at(&self.path)
    }
}

/// Fills the buffer, unless the input ends before.
pub(super) fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match input.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.broken {
                return None;
            }
            let step = match self.records.next() {
                Some(Ok(record)) => return Some(Ok(record)),
                Some(Err(what)) => Err(self.damaged(what)),
                None if self.ending.is_some() => return None,
                None => self.advance(),
            };
            match step {
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
