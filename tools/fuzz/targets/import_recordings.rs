//! Recordings of KWOK.
#![no_main]

#[path = "../imports.rs"]
#[allow(dead_code, reason = "each target uses one of them")]
mod imports;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| imports::recordings(bytes));
