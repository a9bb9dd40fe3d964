//! The body of a data chunk: records, forms, changes. Checksums are right, so that every input gets that far.
#![no_main]

use kubereel::model::TraceTime;
use kubereel::trace::{Chunk, ChunkHeader, ChunkType, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(stored) = zstd::bulk::compress(body, 1) else { return };
    let header = ChunkHeader {
        kind: ChunkType::Data,
        stored_len: stored.len() as u32,
        decompressed_len: body.len() as u32,
        records: 0,
        sequence: 1,
        first: TraceTime::ZERO,
        last: TraceTime::ZERO,
        body_crc: crc32c::crc32c(&stored),
    };
    let limits = Limits { memory: 64 << 20, ..Limits::default() };
    if let Ok(chunk) = Chunk::unpack(header, 0, &stored, &limits) {
        chunk.into_records().for_each(drop);
    }
});
