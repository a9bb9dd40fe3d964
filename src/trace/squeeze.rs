//! The zstd frame of a chunk, one block after the other: each block ends with a flush, so that it can be unpacked
//! before the next one is there, and is packed with all earlier blocks of its chunk in view.

use std::fmt;
use std::io;

use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

/// What a frame may look back on: a chunk of the writer's own size, and a hostile frame no more than this (8 MiB).
const WINDOW_LOG: u32 = 23;

/// Packs the blocks of chunks.
pub(super) struct Packer(Encoder<'static>);

/// Unpacks the blocks of a chunk.
pub(super) struct Unpacker(Decoder<'static>);

impl Packer {
    pub(super) fn new(level: i32) -> io::Result<Packer> {
        let mut encoder = Encoder::new(level)?;
        encoder.set_parameter(CParameter::ChecksumFlag(false))?;
        Ok(Packer(encoder))
    }

    /// A chunk starts.
    pub(super) fn start(&mut self) -> io::Result<()> {
        self.0.reinit()
    }

    /// The stored bytes of the next block.
    pub(super) fn block(&mut self, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut stored = Vec::with_capacity(zstd::zstd_safe::compress_bound(body.len()) + 64);
        let mut input = InBuffer::around(body);
        loop {
            let at = stored.len();
            let mut output = OutBuffer::around_pos(&mut stored, at);
            if input.pos() < body.len() {
                self.0.run(&mut input, &mut output)?;
            } else if self.0.flush(&mut output)? == 0 {
                return Ok(stored);
            }
            stored.reserve(1 << 10);
        }
    }
}

impl Unpacker {
    pub(super) fn new() -> io::Result<Unpacker> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Unpacker(decoder))
    }

    /// A chunk starts.
    pub(super) fn start(&mut self) -> io::Result<()> {
        self.0.reinit()
    }

    /// The `size` bytes of the next block, into `body`.
    pub(super) fn block(&mut self, stored: &[u8], size: usize, body: &mut Vec<u8>) -> Result<(), String> {
        // One byte more than claimed: what is longer must show.
        body.clear();
        body.resize(size + 1, 0);
        let mut input = InBuffer::around(stored);
        let mut output = OutBuffer::around(&mut body[..]);
        loop {
            let before = (input.pos(), output.pos());
            self.0
                .run(&mut input, &mut output)
                .map_err(|e| format!("the block cannot be decompressed: {e}"))?;
            if (input.pos(), output.pos()) == before {
                break;
            }
        }
        let (taken, unpacked) = (input.pos(), output.pos());
        body.truncate(unpacked);
        if taken == stored.len() && unpacked == size {
            Ok(())
        } else {
            Err("the block is not of the length that it claims".to_owned())
        }
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packer")
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unpacker")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unpacked(blocks: &[Vec<u8>], sizes: &[usize]) -> Result<Vec<Vec<u8>>, String> {
        let mut unpacker = Unpacker::new().unwrap();
        let unpack = |(block, size): (&Vec<u8>, &usize)| {
            let mut body = Vec::new();
            unpacker.block(block, *size, &mut body).map(|()| body)
        };
        blocks.iter().zip(sizes).map(unpack).collect()
    }

    proptest! {
        #[test]
        fn blocks_come_out_one_by_one(
            bodies in prop::collection::vec(prop::collection::vec(0..4_u8, 0..3_000), 1..8),
            level in 1..=19,
        ) {
            let mut packer = Packer::new(level).unwrap();
            let blocks: Vec<_> = bodies.iter().map(|body| packer.block(body).unwrap()).collect();
            let sizes: Vec<_> = bodies.iter().map(Vec::len).collect();
            prop_assert_eq!(unpacked(&blocks, &sizes).unwrap(), bodies);
        }
    }

    #[test]
    fn later_blocks_lean_on_earlier_ones() {
        let body: Vec<u8> =
            (0..2_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let mut packer = Packer::new(3).unwrap();
        let (first, second) = (packer.block(&body).unwrap(), packer.block(&body).unwrap());
        assert!(second.len() * 20 < first.len(), "{} after {}", second.len(), first.len());
        packer.start().unwrap();
        assert_eq!(packer.block(&body).unwrap().len(), first.len());
    }

    #[test]
    fn wrong_lengths_and_garbage_are_errors() {
        let block = Packer::new(3).unwrap().block(&[7; 100]).unwrap();
        for size in [0, 99, 101, 1 << 20] {
            assert!(unpacked(std::slice::from_ref(&block), &[size]).is_err(), "{size}");
        }
        assert!(unpacked(&[vec![1, 2, 3, 4, 5]], &[100]).is_err());
    }
}
