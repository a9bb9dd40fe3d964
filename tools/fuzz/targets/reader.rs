//! A whole file: framing, header, records, resynchronisation.
#![no_main]

use std::path::Path;

use kubereel::trace::{Limits, Reader, Records, Salvage, Stretch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { stored: 1 << 20, decompressed: 1 << 20, memory: 64 << 20 };
    if let Ok(reader) = Reader::new(bytes, Path::new("fuzz.reel"), limits) {
        reader.take_while(Result::is_ok).for_each(drop);
    }
    let mut records = Records::new(&limits);
    let mut salvage = Salvage::after_magic(bytes, limits);
    while let Ok(Some(stretch)) = salvage.next_stretch() {
        if let Stretch::Block(block) = stretch
            && records.feed(&block).is_ok()
        {
            records.by_ref().for_each(drop);
        }
    }
});
