//! What the fuzz targets of the importers do with their bytes. The test `import_hostile` does the same with the corpus.

use kubereel::import::{Input, Tally, Target, audit, csv, dlrm, dump, jsonl, kwok, openb, simkube};

/// A reel that nobody reads; the same file each time.
fn target() -> Target {
    let path = std::env::temp_dir().join(format!("kubereel-fuzz-{}.reel", std::process::id()));
    Target { overwrite: true, ..Target::new(path) }
}

fn input(bytes: &[u8]) -> Input {
    Input::of("fuzz", bytes)
}

/// The tables of openb and of DLRM.
pub fn tables(bytes: &[u8]) {
    let _ = openb::read_nodes(input(bytes), 110, &mut Tally::default());
    let _ = openb::read_pods(input(bytes), true, &mut Tally::default());
    let _ = dlrm::read(input(bytes), &mut Tally::default());
}

/// A mapping, an empty line, and a table.
pub fn mapped(bytes: &[u8]) {
    let parts = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap_or(bytes.len());
    let (mapping, table) = bytes.split_at(parts);
    if let Ok(mapping) = csv::Mapping::read(input(mapping)) {
        let _ = csv::read(input(table.trim_ascii_start()), &mapping, &mut Tally::default());
    }
}

/// Audit logs.
pub fn audits(bytes: &[u8]) {
    let _ = audit::import(vec![input(bytes)], Vec::new(), &target());
}

/// Dumps, as state and as arrivals.
pub fn dumps(bytes: &[u8]) {
    let _ = dump::import(vec![input(bytes)], 0, None, &target());
    let hour = Some(std::time::Duration::from_hours(1));
    let _ = dump::import(vec![input(bytes)], 0, hour, &target());
}

/// JSON lines.
pub fn lines(bytes: &[u8]) {
    let _ = jsonl::import(input(bytes), &target());
}

/// KWOK's recordings.
pub fn recordings(bytes: &[u8]) {
    let _ = kwok::import(input(bytes), &target());
}

/// `SimKube`'s traces.
pub fn traces(bytes: &[u8]) {
    if let Ok(trace) = simkube::read(input(bytes)) {
        let _ = simkube::expand(&trace, "fuzz", &mut Tally::default());
    }
}
