use std::fs;
use std::path::Path;

use super::format::{CHUNK_HEADER_LEN, ChunkHeader, ChunkType, Limits, MAGIC, SYNC};
use super::{Header, ReelWriter, Summary, TraceError, WriteOptions, codec};
use crate::model::{Gap, GapReason, Record, TraceTime};

/// What [`recover`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// What is in the new reel.
    pub summary: Summary,
    /// Data chunks that were whole.
    pub chunks: u64,
    /// Stretches of bytes that were skipped.
    pub holes: u64,
    /// Bytes skipped.
    pub lost_bytes: u64,
}

impl Recovered {
    /// Whether anything is missing.
    pub fn is_lossy(&self) -> bool {
        self.holes > 0
    }
}

/// Copies every whole chunk of a damaged reel into a new, sealed one. Between two chunks that are not neighbours
/// stands a gap record.
///
/// # Errors
/// [`TraceError`] where the input's header is lost, or where the output cannot be written.
pub fn recover(input: &Path, output: &Path, options: WriteOptions) -> Result<Recovered, TraceError> {
    let bytes =
        fs::read(input).map_err(|source| TraceError::Io { path: input.to_owned(), doing: "read", source })?;
    // The ordinary reader judges magic and header, with its messages.
    let header = super::Reader::new(bytes.as_slice(), input, Limits::default())?.header().clone();
    let mut writer = ReelWriter::create(output, &note_source(header, input), options)?;
    let mut found = Recovered { summary: Summary::default(), chunks: 0, holes: 0, lost_bytes: 0 };
    let mut at = MAGIC.len();
    let mut next_sequence = 0;
    let mut last = TraceTime::ZERO;
    let mut sealed = false;
    while at < bytes.len() && !sealed {
        let Some((chunk, body, len)) = whole_chunk(&bytes[at..]) else {
            let skipped = next_marker(&bytes, at + 1) - at;
            found.holes += 1;
            found.lost_bytes += skipped as u64;
            at += skipped;
            continue;
        };
        at += len;
        if chunk.sequence != next_sequence {
            writer.push(&Record::Gap(gap(last, chunk.first, next_sequence, chunk.sequence)))?;
        }
        next_sequence = chunk.sequence + 1;
        last = chunk.last;
        match chunk.kind {
            ChunkType::Data => {
                found.chunks += 1;
                for record in codec::Body::new(body, 1 << 28).flatten() {
                    writer.push(&record)?;
                }
            }
            ChunkType::Summary => sealed = true,
            ChunkType::Header | ChunkType::Unknown(_) => {}
        }
    }
    found.summary = writer.seal()?;
    Ok(found)
}

fn note_source(mut header: Header, input: &Path) -> Header {
    header.labels.insert("recovered-from".to_owned(), input.display().to_string());
    header
}

fn gap(from: TraceTime, at: TraceTime, expected: u64, got: u64) -> Gap {
    let detail = format!("chunks {expected} to {} of the original are lost", got.saturating_sub(1));
    Gap { at, from, kind: "*".to_owned(), reason: GapReason::Unreadable, detail }
}

/// The chunk at the start of `bytes`, decompressed, and its length; `None` where it is not whole.
fn whole_chunk(bytes: &[u8]) -> Option<(ChunkHeader, Vec<u8>, usize)> {
    let header = ChunkHeader::decode(bytes.first_chunk::<CHUNK_HEADER_LEN>()?, &Limits::default()).ok()?;
    let len = CHUNK_HEADER_LEN + header.stored_len as usize;
    let stored = bytes.get(CHUNK_HEADER_LEN..len)?;
    if crc32c::crc32c(stored) != header.body_crc {
        return None;
    }
    let body = zstd::bulk::decompress(stored, header.decompressed_len as usize).ok()?;
    Some((header, body, len))
}

/// Where the next chunk may start, or the end.
fn next_marker(bytes: &[u8], from: usize) -> usize {
    let found = bytes[from..].windows(SYNC.len()).position(|window| window == SYNC);
    found.map_or(bytes.len(), |at| from + at)
}
