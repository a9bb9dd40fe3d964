//! Inputs that nobody wrote: the corpus of the importers' fuzz targets as it is and with bytes changed. Each must end in a reel
//! or an error. `KUBEREEL_FUZZ_SECONDS=600 cargo test --release --test import_hostile` goes on for longer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../tools/fuzz/imports.rs"]
mod imports;

use std::path::Path;

use kubereel::pace::{Clock, SystemClock};

/// Changed inputs of each seed without more time.
const ROUNDS: u64 = 40;

/// Pieces that parsers trip over.
const PIECES: &[&str] = &[
    "\u{feff}",
    "\r\n",
    "\n---\n",
    "\"",
    "{",
    "[",
    "-1",
    "1e400",
    "null",
    "\0",
    "99999999999999999999",
    ",,",
    "$patch",
    "&a [*a]",
    "2026-11-25T10:00:00Z",
    "\u{1f600}",
];

/// A small generator: the same seed, the same bytes.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 => bytes.truncate(at),
                2 => {
                    let piece = PIECES[self.below(PIECES.len())];
                    bytes.splice(at..at, piece.bytes());
                }
                3 => {
                    let part = bytes[at..(at + self.below(40)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, part.repeat(1 + self.below(30)));
                }
                _ => {
                    let end = (at + self.below(20)).min(bytes.len());
                    bytes.drain(at..end);
                }
            }
        }
    }
}

/// Feeds the corpus of a target, and changes of it.
fn shake(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/fuzz/corpus").join(target);
    let mut seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{target} has no corpus");
    let seconds = std::env::var("KUBEREEL_FUZZ_SECONDS").ok().and_then(|text| text.parse::<f64>().ok());
    let clock = SystemClock::start();
    for (number, seed) in seeds.iter().enumerate() {
        let bytes = std::fs::read(seed).unwrap();
        body(&bytes);
        let mut draw = Draw(number as u64 + 1);
        let mut rounds = 0;
        while rounds < ROUNDS
            || seconds
                .is_some_and(|s| clock.now().as_secs_f64() < s * (number + 1) as f64 / seeds.len() as f64)
        {
            let mut changed = bytes.clone();
            draw.change(&mut changed);
            body(&changed);
            rounds += 1;
        }
    }
}

#[test]
fn tables_end_in_rows_or_an_error() {
    shake("import_tables", imports::tables);
    shake("import_mapped", imports::mapped);
}

#[test]
fn logs_and_recordings_end_in_a_reel_or_an_error() {
    shake("import_audits", imports::audits);
    shake("import_lines", imports::lines);
    shake("import_recordings", imports::recordings);
}

#[test]
fn dumps_and_traces_end_in_a_reel_or_an_error() {
    shake("import_dumps", imports::dumps);
    shake("import_traces", imports::traces);
}
