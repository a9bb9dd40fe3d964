//! What each fuzz target does with its bytes. The test `trace_hostile` does the same with the corpus.

use std::path::Path;

use kubereel::model::TraceTime;
use kubereel::trace::{
    Block, BlockHeader, BlockType, Limits, Reader, Records, ReelFile, Salvage, Stretch, check,
};

/// What a target may take: less than the program's own limits, so that a leak shows.
fn limits() -> Limits {
    Limits { stored: 1 << 20, decompressed: 1 << 20, memory: 64 << 20 }
}

/// A whole file: framing, header, records, resynchronisation.
pub fn reader(bytes: &[u8]) {
    if let Ok(reader) = Reader::new(bytes, Path::new("fuzz.reel"), limits()) {
        reader.take_while(Result::is_ok).for_each(drop);
    }
    let mut records = Records::new(&limits());
    let mut salvage = Salvage::after_magic(bytes, limits());
    while let Ok(Some(stretch)) = salvage.next_stretch() {
        if let Stretch::Block(block) = stretch
            && records.feed(&block).is_ok()
        {
            records.by_ref().for_each(drop);
        }
    }
}

/// The body of a data block: records, forms, changes. Checksums are right, so that every input gets that far.
pub fn changes(body: &[u8]) {
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
    let mut records = Records::new(&limits());
    if Block::new(header, 0, &stored).and_then(|block| records.feed(&block)).is_ok() {
        records.for_each(drop);
    }
}

/// Random access to a file whose index says anything; it is written to `path`.
pub fn index(bytes: &[u8], path: &Path) {
    if std::fs::write(path, bytes).is_err() {
        return;
    }
    if let Ok(reel) = ReelFile::open(path) {
        reel.between(TraceTime::from_millis(1), TraceTime::from_millis(9)).for_each(drop);
        let _ = reel.map_chunks(2, |chunk| Ok(chunk.count()));
    }
    let _ = check(path);
}
