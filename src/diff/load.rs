use std::path::{Path, PathBuf};

use super::{Facts, RunFacts};
use crate::trace::{Ending, Header, Reader, TraceError};

/// Reads a whole reel into facts.
///
/// # Errors
/// [`TraceError`] where the file is no reel or a part of it is lost: facts about half a run would mislead.
pub fn load(path: &Path) -> Result<Facts, TraceError> {
    let mut reader = Reader::open(path)?;
    let run = run_facts(path, reader.header());
    let mut facts = Facts::collect(run, reader.by_ref())?;
    facts.run.sealed = matches!(reader.ending(), Some(Ending::Sealed(_)));
    Ok(facts)
}

/// Reads whole reels into facts, as many at once as there are cores, in the order given.
///
/// # Errors
/// As [`load`]; the first failure in the order given.
pub fn load_all(paths: &[PathBuf]) -> Result<Vec<Facts>, TraceError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut loaded = Vec::with_capacity(paths.len());
    for some in paths.chunks(cores) {
        let found: Vec<_> = std::thread::scope(|scope| {
            let workers: Vec<_> = some.iter().map(|path| scope.spawn(|| load(path))).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        for facts in found {
            loaded.push(facts?);
        }
    }
    Ok(loaded)
}

fn run_facts(path: &Path, header: &Header) -> RunFacts {
    let text = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    let run = header.run.as_ref();
    RunFacts {
        reel: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        trace_digest: run.and_then(|run| text(&run.source_sha256)),
        plan_digest: run.and_then(|run| text(&run.plan_sha256)),
        scheduler_version: text(&header.cluster.scheduler_version),
        mode: run.and_then(|run| text(&run.mode)),
        speed: run.map(|run| run.speed).filter(|speed| *speed > 0.0),
        tie_break: run.and_then(|run| text(&run.tie_break)),
        sealed: false,
        tool_version: text(&header.writer),
    }
}
