//! Finds what is whole in a damaged reel. Memory follows the block, not the file.

use std::io::{self, Read};

use super::format::{
    BLOCK_HEADER_LEN, BlockHeader, BlockType, FOOTER_LEN, Limits, MAGIC, SYNC, decode_footer,
};
use super::parser::Block;

/// One stretch of a reel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stretch {
    /// A block that is whole.
    Block(Box<Block>),
    /// Bytes that are none.
    Hole(Hole),
}

/// Bytes that belong to no whole block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Where they start, in bytes.
    pub offset: u64,
    /// How many they are.
    pub len: u64,
    /// Records in them, as far as a block header that is whole says so.
    pub records: u64,
    /// What is wrong where they start.
    pub what: String,
}

/// Goes through a reel from sync marker to sync marker, whatever is between them.
#[derive(Debug)]
pub struct Salvage<R> {
    input: R,
    limits: Limits,
    buffer: Vec<u8>,
    /// The part of the buffer that has not been looked at starts here.
    at: usize,
    /// Where the buffer starts in the input, in bytes.
    offset: u64,
    ended: bool,
    sealed: bool,
    hole: Option<Hole>,
    ready: Option<Block>,
}

impl<R: Read> Salvage<R> {
    /// Starts after the magic, which the caller has read from `input`.
    pub fn after_magic(input: R, limits: Limits) -> Self {
        Salvage {
            input,
            limits,
            buffer: Vec::new(),
            at: 0,
            offset: MAGIC.len() as u64,
            ended: false,
            sealed: false,
            hole: None,
            ready: None,
        }
    }

    /// The next stretch; `None` at the end.
    ///
    /// # Errors
    /// As the input.
    pub fn next_stretch(&mut self) -> io::Result<Option<Stretch>> {
        loop {
            if self.hole.is_none()
                && let Some(block) = self.ready.take()
            {
                return Ok(Some(Stretch::Block(Box::new(block))));
            }
            if self.ready.is_some() || self.at_end()? {
                return Ok(match self.hole.take() {
                    Some(hole) => Some(Stretch::Hole(hole)),
                    None => self.ready.take().map(|block| Stretch::Block(Box::new(block))),
                });
            }
            match self.block()? {
                Ok(block) => self.ready = Some(block),
                Err((what, records)) => self.skip(what, records),
            }
        }
    }

    /// Whether all is read, or only the footer is left.
    fn at_end(&mut self) -> io::Result<bool> {
        self.want(BLOCK_HEADER_LEN)?;
        let left = &self.buffer[self.at..];
        let footer = <&[u8; FOOTER_LEN]>::try_from(left).is_ok_and(|footer| decode_footer(footer).is_some());
        Ok(left.is_empty() || footer && self.sealed && self.hole.is_none())
    }

    /// The block here, or what is wrong with it and how many records it should have.
    fn block(&mut self) -> io::Result<Result<Block, (String, u64)>> {
        let Some(head) = self.buffer[self.at..].first_chunk::<BLOCK_HEADER_LEN>() else {
            return Ok(Err(("the file ends inside a block header".to_owned(), 0)));
        };
        let header = match BlockHeader::decode(head, &self.limits) {
            Ok(header) => header,
            Err(what) => return Ok(Err((what, 0))),
        };
        let records = if header.kind.is_data() { u64::from(header.records) } else { 0 };
        let len = BLOCK_HEADER_LEN + header.stored_len as usize;
        self.want(len)?;
        let Some(stored) = self.buffer.get(self.at + BLOCK_HEADER_LEN..self.at + len) else {
            return Ok(Err(("the file ends inside the block".to_owned(), records)));
        };
        let block = Block::new(header, self.offset + self.at as u64, stored);
        if block.is_ok() {
            self.at += len;
            self.sealed |= header.kind == BlockType::Summary;
        }
        Ok(block.map_err(|what| (what, records)))
    }

    /// Steps to where the next block may start.
    fn skip(&mut self, what: String, records: u64) {
        let from = self.offset + self.at as u64;
        let hole = self.hole.get_or_insert(Hole { offset: from, len: 0, records: 0, what });
        hole.records += records;
        let start = self.at + 1;
        let rest = self.buffer.get(start..).unwrap_or_default();
        let next = match rest.windows(SYNC.len()).position(|window| window == SYNC) {
            Some(found) => start + found,
            // The last bytes may be the start of a marker, unless nothing follows.
            None if self.ended => self.buffer.len(),
            None => start.max(self.buffer.len().saturating_sub(SYNC.len() - 1)),
        };
        hole.len += (next - self.at) as u64;
        self.at = next;
    }

    /// Reads until `len` bytes are there to look at, or the input ends.
    fn want(&mut self, len: usize) -> io::Result<()> {
        if self.buffer.len() - self.at >= len || self.ended {
            return Ok(());
        }
        self.buffer.drain(..self.at);
        self.offset += self.at as u64;
        self.at = 0;
        let missing = (len - self.buffer.len()).max(1 << 16) as u64;
        let got = self.input.by_ref().take(missing).read_to_end(&mut self.buffer)?;
        self.ended = (got as u64) < missing;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TraceTime;

    fn block(body: &[u8]) -> Vec<u8> {
        let stored = zstd::bulk::compress(body, 3).unwrap();
        let header = BlockHeader {
            kind: BlockType::Data,
            stored_len: stored.len() as u32,
            decompressed_len: body.len() as u32,
            records: 5,
            sequence: 0,
            first: TraceTime::ZERO,
            last: TraceTime::ZERO,
            body_crc: crc32c::crc32c(&stored),
        };
        [header.encode().as_slice(), &stored].concat()
    }

    /// Stretches as (is a block, bytes, records of a hole).
    fn stretches(bytes: &[u8]) -> Vec<(bool, u64, u64)> {
        let mut salvage = Salvage::after_magic(bytes, Limits::default());
        std::iter::from_fn(|| salvage.next_stretch().unwrap())
            .map(|stretch| match stretch {
                Stretch::Block(block) => (true, 64 + u64::from(block.header.stored_len), 0),
                Stretch::Hole(hole) => (false, hole.len, hole.records),
            })
            .collect()
    }

    #[test]
    fn whole_blocks_are_found_between_rubbish() {
        let (good, mut bad) = (block(b"abc"), block(b"def"));
        bad[70] ^= 1;
        let len = good.len() as u64;
        let rubbish = vec![7_u8; 200_000];
        let bytes = [&good[..], &rubbish, &good, &bad, &good, &good[..70]].concat();
        let expected = [
            (true, len, 0),
            (false, 200_000, 0),
            (true, len, 0),
            (false, len, 5),
            (true, len, 0),
            (false, 70, 5),
        ];
        assert_eq!(stretches(&bytes), expected);
    }

    #[test]
    fn every_byte_is_in_some_stretch() {
        let bytes = [&[1_u8; 10][..], &block(b"abc"), &SYNC, &[2; 63], &block(b"x"), &SYNC[..9]].concat();
        assert_eq!(stretches(&bytes).iter().map(|(_, len, _)| len).sum::<u64>(), bytes.len() as u64);
        assert_eq!(stretches(&[]), []);
    }
}
