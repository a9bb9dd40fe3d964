//! Reels that nobody wrote: the conformance cases with bytes changed below the checksums, so that decompressor, record
//! decoder, patch decoder and index meet what a hostile file may hold. Each must end in records or an error, within
//! bounded memory. `KUBEREEL_FUZZ_SECONDS=600 cargo test --release --test trace_hostile` goes on for longer.

#[path = "../tools/fuzz/bodies.rs"]
mod bodies;

use std::path::{Path, PathBuf};

use kubereel::pace::{Clock, SystemClock};
use kubereel::trace::{
    BLOCK_HEADER_LEN, BlockHeader, BlockType, Limits, MAGIC, Reader, Records, ReelFile, Salvage, Stretch,
    check,
};
use zstd::stream::raw::{Decoder, Encoder, Operation, OutBuffer};

/// Changed files a case without more time.
const ROUNDS: u64 = 40;

/// Bytes of address space: what a reader may take at most, with room for the test itself.
const MEMORY: u64 = 3 << 30;

/// The parts of a reel: block headers with decompressed bodies, and what follows the last block.
struct Taken {
    blocks: Vec<(BlockHeader, Vec<u8>)>,
    rest: Vec<u8>,
}

fn take_apart(mut bytes: &[u8]) -> Taken {
    let mut blocks = Vec::new();
    let mut decoder = Decoder::new().expect("memory suffices");
    bytes = &bytes[MAGIC.len()..];
    while let Some(head) = bytes.first_chunk::<BLOCK_HEADER_LEN>()
        && let Ok(header) = BlockHeader::decode(head, &Limits::default())
        && let Some(stored) = bytes.get(BLOCK_HEADER_LEN..BLOCK_HEADER_LEN + header.stored_len as usize)
    {
        if header.kind != BlockType::More {
            decoder.reinit().expect("memory suffices");
        }
        let mut body = vec![0; header.decompressed_len as usize];
        // Of the cases some are damaged already.
        if decoder.run_on_buffers(stored, &mut body).is_err() {
            body.clear();
        }
        bytes = &bytes[BLOCK_HEADER_LEN + stored.len()..];
        blocks.push((header, body));
    }
    Taken { blocks, rest: bytes.to_vec() }
}

fn put_together(taken: &Taken) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    let mut encoder = Encoder::new(1).expect("memory suffices");
    for (header, body) in &taken.blocks {
        if header.kind != BlockType::More {
            encoder.reinit().expect("memory suffices");
        }
        let mut stored = vec![0; body.len() + 1_000];
        let packed = encoder.run_on_buffers(body, &mut stored).expect("memory suffices").bytes_written;
        let mut rest = OutBuffer::around_pos(&mut stored[..], packed);
        encoder.flush(&mut rest).expect("memory suffices");
        let len = rest.pos();
        stored.truncate(len);
        let header = BlockHeader {
            stored_len: stored.len() as u32,
            decompressed_len: body.len() as u32,
            body_crc: crc32c::crc32c(&stored),
            ..*header
        };
        bytes.extend(header.encode());
        bytes.extend(stored);
    }
    bytes.extend(&taken.rest);
    bytes
}

/// `SplitMix64`.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }
}

/// Changes a few places of one body.
fn spoil(draw: &mut Draw, taken: &mut Taken) {
    let index = draw.below(taken.blocks.len());
    let other = taken.blocks[draw.below(taken.blocks.len())].1.clone();
    let body = &mut taken.blocks[index].1;
    for _ in 0..=draw.below(4) {
        let at = draw.below(body.len() + 1);
        match draw.below(6) {
            0 if at < body.len() => body[at] ^= 1 << draw.below(8),
            // Markers of MessagePack that claim much, and the numbers of forms, objects and strings.
            1 if at < body.len() => {
                body[at] =
                    [0xdd, 0xdf, 0xdb, 0xc6, 0xc9, 0xcf, 0x00, 0x01, 0x7f, 0xff, 0x91, 0xc1][draw.below(12)];
            }
            2 => body.insert(at, draw.below(256) as u8),
            3 if at < body.len() => drop(body.remove(at)),
            4 if at < body.len() => {
                let end = (at + draw.below(64)).min(body.len());
                let copy = body[at..end].to_vec();
                let into = draw.below(body.len());
                body.splice(into..into, copy);
            }
            _ => {
                let from = draw.below(other.len());
                let piece = &other[from..(from + draw.below(200)).min(other.len())];
                body.splice(at..at, piece.iter().copied());
            }
        }
    }
}

/// Everything that reads, on one file.
fn read(bytes: &[u8], path: &Path) {
    if let Ok(reader) = Reader::new(bytes, path, Limits::default()) {
        for record in reader {
            let Ok(record) = record else { break };
            std::hint::black_box(record.at());
        }
    }
    let mut records = Records::new(&Limits::default());
    let mut salvage = Salvage::after_magic(&bytes[MAGIC.len().min(bytes.len())..], Limits::default());
    while let Some(stretch) = salvage.next_stretch().expect("memory does not fail") {
        if let Stretch::Block(block) = stretch
            && records.feed(&block).is_ok()
        {
            records.by_ref().for_each(drop);
        }
    }
    std::fs::write(path, bytes).expect("there is room");
    let _ = check(path);
    if let Ok(file) = ReelFile::open(path) {
        let (from, to) =
            (kubereel::model::TraceTime::from_millis(1), kubereel::model::TraceTime::from_millis(9));
        file.between(from, to).for_each(drop);
        let _ = file.map_chunks(2, |chunk| Ok(chunk.count()));
    }
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/conformance");
    let files = std::fs::read_dir(folder).expect("the folder is there");
    let mut cases: Vec<_> = files.map(|entry| entry.expect("the folder can be read").path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "reel"));
    cases.sort();
    cases
}

#[test]
fn spoiled_reels_end_in_records_or_an_error() {
    let limit = rustix::process::Rlimit { current: Some(MEMORY), maximum: None };
    rustix::process::setrlimit(rustix::process::Resource::As, limit).expect("a limit can be lowered");
    let seconds: u64 = std::env::var("KUBEREEL_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let clock = SystemClock::start();
    let dir = tempfile::tempdir().expect("there is room");
    let path = dir.path().join("spoiled.reel");
    let mut round = 0;
    while round < ROUNDS || clock.now().as_secs_f64() < seconds as f64 {
        for case in cases() {
            let mut taken = take_apart(&std::fs::read(&case).expect("the case can be read"));
            // Seeded by round, so that a failure can be had again.
            let mut draw = Draw(round.wrapping_mul(1_000_003));
            spoil(&mut draw, &mut taken);
            if draw.below(2) == 0 {
                spoil(&mut draw, &mut taken);
            }
            read(&put_together(&taken), &path);
        }
        round += 1;
    }
}

#[test]
fn a_bomb_is_refused_by_its_claims() {
    let header = take_apart(&std::fs::read(&cases()[0]).expect("the case can be read")).blocks[0].0;
    let bomb = zstd::bulk::compress(&vec![0; 512 << 20], 3).expect("memory suffices");
    for claimed in [512 << 20, 1 << 20] {
        let header = BlockHeader {
            stored_len: bomb.len() as u32,
            decompressed_len: claimed,
            body_crc: crc32c::crc32c(&bomb),
            ..header
        };
        let bytes = [MAGIC.as_slice(), &header.encode(), &bomb].concat();
        let error = Reader::new(bytes.as_slice(), Path::new("bomb.reel"), Limits::default())
            .expect_err("it is a bomb");
        assert!(error.is_loss(), "{error}");
    }
}

/// What the fuzzer has found worth keeping, as it is and with bytes changed, through the fuzz targets' own code.
#[test]
fn the_fuzzers_corpus_ends_in_records_or_an_error() {
    let dir = tempfile::tempdir().expect("there is room");
    let path = dir.path().join("corpus.reel");
    let mut seen = 0;
    for target in ["reader", "changes", "index"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/fuzz/corpus").join(target);
        for entry in std::fs::read_dir(folder).expect("the corpus is there") {
            let bytes = std::fs::read(entry.expect("the folder can be read").path()).expect("a file");
            let mut draw = Draw(seen);
            for round in 0..4 {
                let mut bytes = bytes.clone();
                for _ in 0..round.min(bytes.len()) {
                    let at = draw.below(bytes.len());
                    bytes[at] = draw.below(256) as u8;
                }
                match target {
                    "reader" => bodies::reader(&bytes),
                    "changes" => bodies::changes(&bytes),
                    _ => bodies::index(&bytes, &path),
                }
            }
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen} files");
}
