//! Random access to a file whose index says anything.
#![no_main]

use kubereel::model::TraceTime;
use kubereel::trace::{ReelFile, check};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("kubereel-fuzz-{}.reel", std::process::id()));
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    if let Ok(reel) = ReelFile::open(&path) {
        reel.between(TraceTime::from_millis(1), TraceTime::from_millis(9)).for_each(drop);
        let _ = reel.map_chunks(2, |chunk| Ok(chunk.count()));
    }
    let _ = check(&path);
});
