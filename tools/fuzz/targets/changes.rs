//! The body of a data chunk: records, forms, changes. Checksums are right, so that every input gets that far.
#![no_main]

use kubereel::model::TraceTime;
use kubereel::trace::{Block, BlockHeader, BlockType, Limits, Records};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(stored) = zstd::bulk::compress(body, 1) else { return };
    let header = BlockHeader {
        kind: BlockType::Data,
        stored_len: stored.len() as u32,
        decompressed_len: body.len() as u32,
        records: 0,
        sequence: 1,
        first: TraceTime::ZERO,
        last: TraceTime::ZERO,
        body_crc: crc32c::crc32c(&stored),
    };
    let limits = Limits { memory: 64 << 20, ..Limits::default() };
    let mut records = Records::new(&limits);
    if Block::new(header, 0, &stored).and_then(|block| records.feed(&block)).is_ok() {
        records.for_each(drop);
    }
});
