//! Random access.
#![no_main]

#[path = "../bodies.rs"]
#[allow(dead_code, reason = "each target uses one of them")]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("kubereel-fuzz-{}.reel", std::process::id()));
    bodies::index(bytes, &path);
});
