use std::path::{Path, PathBuf};
use std::time::Duration;

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
        started_wall_ns: header.started_wall_ns,
        max_lateness: run.map(|run| Duration::from_nanos(run.max_lateness_ns)).filter(|max| !max.is_zero()),
        client_qps: run.and_then(|run| client_qps(&run.scheduler_config)),
    }
}

/// `clientConnection.qps` of a `KubeSchedulerConfiguration`, 50 where it says nothing
/// (`pkg/scheduler/apis/config/v1/defaults.go`, v1.37.2); `None` where the configuration is not known.
fn client_qps(config: &str) -> Option<f64> {
    let config: serde_json::Value = serde_json::from_str(config).ok()?;
    Some(config["clientConnection"]["qps"].as_f64().filter(|qps| *qps > 0.0).unwrap_or(50.0))
}

#[cfg(test)]
mod tests {
    use super::client_qps;

    #[test]
    fn the_limit_of_the_client_is_the_configured_one_or_the_default() {
        assert_eq!(client_qps(r#"{"clientConnection": {"qps": 45}}"#), Some(45.0));
        assert_eq!(client_qps("{}"), Some(50.0));
        assert_eq!(client_qps(""), None);
    }
}
