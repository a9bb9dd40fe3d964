use crate::model::TraceTime;

/// First bytes of every reel; the last one is the major version.
pub const MAGIC: [u8; 8] = [0x89, b'R', b'E', b'E', b'L', b'\r', b'\n', 1];

/// Last bytes of a sealed reel.
pub(super) const END_MAGIC: [u8; 8] = *b"REELEND\n";

/// Starts every block, so that a reader finds the next one after damage. Random, so that data does not hold it.
pub(super) const SYNC: [u8; 16] =
    [0x9d, 0x4b, 0xe1, 0x7a, 0x52, 0xc8, 0x36, 0xf0, 0xa5, 0x1e, 0x6b, 0xd4, 0x83, 0x2f, 0x97, 0x0c];

/// Bytes of a block header.
pub const BLOCK_HEADER_LEN: usize = 64;

/// Bytes of the footer.
pub(super) const FOOTER_LEN: usize = 24;

const CODEC_ZSTD: u8 = 1;

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockType {
    /// One MessagePack map: the [`Header`](super::Header).
    Header,
    /// The first records of a chunk.
    Data,
    /// More records of the chunk that the block before belongs to.
    More,
    /// One MessagePack map: the [`Summary`](super::Summary).
    Summary,
    /// A type of a later minor version: skipped.
    Unknown(u8),
}

impl BlockType {
    /// Whether it holds records.
    pub fn is_data(self) -> bool {
        matches!(self, BlockType::Data | BlockType::More)
    }

    fn code(self) -> u8 {
        match self {
            BlockType::Header => 1,
            BlockType::Data => 2,
            BlockType::Summary => 3,
            BlockType::More => 4,
            BlockType::Unknown(code) => code,
        }
    }

    fn from_code(code: u8) -> BlockType {
        match code {
            1 => BlockType::Header,
            2 => BlockType::Data,
            3 => BlockType::Summary,
            4 => BlockType::More,
            other => BlockType::Unknown(other),
        }
    }
}

/// How much a reader takes from a file that may be hostile.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a block as stored.
    pub stored: u32,
    /// Bytes of a block once decompressed.
    pub decompressed: u32,
    /// What the objects of a chunk may take in memory, about, in bytes.
    pub memory: u64,
}

impl Default for Limits {
    /// 64 MiB a block: etcd takes objects of 1.5 MiB by default, and writers close chunks at 1 MiB. 512 MiB in
    /// memory: writers close chunks at 128 MiB.
    fn default() -> Self {
        Limits { stored: 64 << 20, decompressed: 64 << 20, memory: 512 << 20 }
    }
}

/// The fixed part in front of a block's compressed body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHeader {
    /// What the body holds.
    pub kind: BlockType,
    /// Bytes of the compressed body.
    pub stored_len: u32,
    /// Bytes of the body once decompressed.
    pub decompressed_len: u32,
    /// Records in the body.
    pub records: u32,
    /// Position among the blocks of the file, from 0: a jump means lost blocks.
    pub sequence: u64,
    /// Least time of a record.
    pub first: TraceTime,
    /// Greatest time of a record.
    pub last: TraceTime,
    /// CRC-32C of the compressed body.
    pub body_crc: u32,
}

impl BlockHeader {
    /// The bytes of the header.
    pub fn encode(&self) -> [u8; BLOCK_HEADER_LEN] {
        let mut out = [0; BLOCK_HEADER_LEN];
        out[..16].copy_from_slice(&SYNC);
        out[16] = self.kind.code();
        out[17] = CODEC_ZSTD;
        out[20..24].copy_from_slice(&self.stored_len.to_le_bytes());
        out[24..28].copy_from_slice(&self.decompressed_len.to_le_bytes());
        out[28..32].copy_from_slice(&self.records.to_le_bytes());
        out[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        out[40..48].copy_from_slice(&self.first.as_nanos().to_le_bytes());
        out[48..56].copy_from_slice(&self.last.as_nanos().to_le_bytes());
        out[56..60].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = crc32c::crc32c(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header.
    ///
    /// # Errors
    /// A sentence that says which part is wrong: marker, checksum, codec or a length over the limits.
    pub fn decode(bytes: &[u8; BLOCK_HEADER_LEN], limits: &Limits) -> Result<BlockHeader, String> {
        if bytes[..16] != SYNC {
            return Err("no block starts here".to_owned());
        }
        if crc32c::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return Err("the block header fails its checksum".to_owned());
        }
        if bytes[17] != CODEC_ZSTD {
            return Err(format!(
                "the block is packed with codec {}, known is {CODEC_ZSTD} (zstd)",
                bytes[17]
            ));
        }
        let header = BlockHeader {
            kind: BlockType::from_code(bytes[16]),
            stored_len: u32_at(bytes, 20),
            decompressed_len: u32_at(bytes, 24),
            records: u32_at(bytes, 28),
            sequence: u64_at(bytes, 32),
            first: TraceTime::from_nanos(u64_at(bytes, 40)),
            last: TraceTime::from_nanos(u64_at(bytes, 48)),
            body_crc: u32_at(bytes, 56),
        };
        if header.stored_len > limits.stored || header.decompressed_len > limits.decompressed {
            return Err(format!(
                "the block claims {} bytes stored and {} decompressed; the limits are {} and {}",
                header.stored_len, header.decompressed_len, limits.stored, limits.decompressed
            ));
        }
        Ok(header)
    }
}

/// The footer of a sealed reel: where the summary block starts.
pub(super) fn encode_footer(summary_offset: u64) -> [u8; FOOTER_LEN] {
    let mut out = [0; FOOTER_LEN];
    out[..8].copy_from_slice(&summary_offset.to_le_bytes());
    let crc = crc32c::crc32c(&out[..8]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    out[16..].copy_from_slice(&END_MAGIC);
    out
}

/// The offset of the summary block, `None` where the bytes are no footer.
pub(super) fn decode_footer(bytes: &[u8; FOOTER_LEN]) -> Option<u64> {
    let sound = bytes[16..] == END_MAGIC && crc32c::crc32c(&bytes[..8]) == u32_at(bytes, 8);
    sound.then(|| u64_at(bytes, 0))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |value, byte| (value << 8) | u32::from(*byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> BlockHeader {
        BlockHeader {
            kind: BlockType::Data,
            stored_len: 10,
            decompressed_len: 20,
            records: 3,
            sequence: 7,
            first: TraceTime::from_nanos(1),
            last: TraceTime::from_nanos(u64::MAX),
            body_crc: 0xdead_beef,
        }
    }

    #[test]
    fn a_header_survives_the_way_through_bytes() {
        assert_eq!(BlockHeader::decode(&header().encode(), &Limits::default()), Ok(header()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = header().encode();
        for at in 0..BLOCK_HEADER_LEN * 8 {
            let mut bad = good;
            bad[at / 8] ^= 1 << (at % 8);
            assert!(BlockHeader::decode(&bad, &Limits::default()).is_err(), "bit {at}");
        }
    }

    #[test]
    fn huge_lengths_are_refused() {
        let huge = BlockHeader { decompressed_len: u32::MAX, ..header() }.encode();
        assert!(BlockHeader::decode(&huge, &Limits::default()).unwrap_err().contains("claims"));
    }

    #[test]
    fn a_footer_survives_and_notices_damage() {
        let mut footer = encode_footer(123_456);
        assert_eq!(decode_footer(&footer), Some(123_456));
        footer[3] ^= 1;
        assert_eq!(decode_footer(&footer), None);
    }
}
