use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::attempts::AttemptLog;
use super::observe::{self, Observer};
use super::on_error::OnError;
use super::plan::Plan;
use super::preflight::{Existing, Finding, Severity, preflight};
use super::scheduler::SchedulerProbe;
use super::shard;
use super::stage::Stage;
use super::status::RunStatus;
use super::tainting::Tainting;
use crate::hollow::Shard;
use crate::k8s::{ConnectOptions, K8sError, Target};
use crate::model::{Note, Record};
use crate::pace::{Clock, Stop, SystemClock};
use crate::record::{RecordError, Redaction};
use crate::trace::{ClusterInfo, Header, ReelThread, RunInfo, Summary, TraceError, WriteOptions};

/// For how long requests are made again where nobody says otherwise: an API server restarts in less.
pub const RETRY: Duration = Duration::from_mins(2);

/// How often metrics are recorded where nobody says otherwise.
pub const METRICS_EVERY: Duration = Duration::from_secs(15);

/// Header label of a part of a run: which part of how many.
pub const SHARD_LABEL: &str = "shard";

/// How a trace is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Trace time divided by the speed.
    Open {
        /// Trace seconds per second.
        speed: f64,
    },
    /// Each action waits until the scheduler has come to rest from the last one.
    Lockstep,
    /// As fast as the target takes it.
    Flood,
}

impl Mode {
    /// `open`, `lockstep` or `flood`.
    pub fn name(&self) -> &'static str {
        match self {
            Mode::Open { .. } => "open",
            Mode::Lockstep => "lockstep",
            Mode::Flood => "flood",
        }
    }

    pub(super) fn tainting(&self) -> Tainting {
        match self {
            Mode::Open { .. } | Mode::Flood => Tainting::Controller,
            Mode::Lockstep => Tainting::Replay,
        }
    }
}

/// A run to make.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// How.
    pub mode: Mode,
    /// Where the run's reel goes.
    pub out: PathBuf,
    /// Replace a reel that is there.
    pub overwrite: bool,
    /// Address of the scheduler, for its metrics; lockstep needs it.
    pub scheduler_url: Option<String>,
    /// The scheduler's log, in JSON format, where kubereel started it: its attempts go into the reel.
    pub scheduler_log: Option<PathBuf>,
    /// What one point of a score plugin counts in that log: 1 unless all weights were multiplied.
    pub score_point: i64,
    /// Play even where the target has nodes and pods of others.
    pub allow_existing: bool,
    /// How long to wait after the last action for what it caused.
    pub drain: Duration,
    /// For how long a request is made again that the target may take later.
    pub retry: Duration,
    /// What ends the run.
    pub on_error: OnError,
    /// Addresses of the control plane's components but for the API server, by name: their metrics go into the reel.
    pub components: BTreeMap<String, String>,
    /// How often metrics are recorded, besides at the start and at the end.
    pub metrics_every: Duration,
    /// Tells how it is going.
    pub status: RunStatus,
    /// Which part of a run this process plays, where several share it.
    pub shard: Option<Shard>,
    /// Id of the run; absent: a new one. Parts of a run have the same.
    pub run_id: Option<String>,
    /// When the play starts, ns since the Unix epoch; absent: after the warm-up. Parts of a run have the same.
    pub start_at_wall_ns: Option<i64>,
    /// The command line, for the header.
    pub command: Vec<String>,
    /// Where the trace comes from, for the header; mode and speed are filled in.
    pub source: RunInfo,
    /// Version of the scheduler under test, where known.
    pub scheduler_version: String,
}

/// A run that was made; how it went says its reel.
#[derive(Debug, Clone)]
pub struct RunSummary {
    /// Id of the run: in its reel's header, and on everything that it made.
    pub id: String,
    /// Counts of the run's reel.
    pub reel: Summary,
}

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Something at the target stands in the way of the plan.
    #[error("the target cannot take this replay: {}", errors(.findings))]
    Unfit {
        /// All that was found, errors first.
        findings: Vec<Finding>,
    },
    /// Lockstep without a scheduler to ask.
    #[error(
        "lockstep needs the scheduler's address for its metrics: replay against a cluster of `kubereel cluster up` with --cluster NAME, or give --scheduler-url https://HOST:10259"
    )]
    NoScheduler,
    /// A node did not become ready.
    #[error(
        "node {node} still has its not-ready taint after {patience:?}: does the target's kube-controller-manager run the node-lifecycle-controller?"
    )]
    NodeNotReady {
        /// The node.
        node: String,
        /// How long was waited.
        patience: Duration,
    },
    /// A request of the warm-up was refused.
    #[error("warm-up: {what} could not be made")]
    WarmUp {
        /// The object.
        what: String,
        /// What the server said.
        source: K8sError,
    },
    /// Lockstep in parts.
    #[error(
        "lockstep waits after each action, so it cannot be shared: use --mode open or flood with --shard"
    )]
    SharedLockstep,
    /// The warm-up took too long.
    #[error(
        "the warm-up ended {late:.1?} too late for the instant that --start-at says; clean the target and choose a later one"
    )]
    StartPassed {
        /// By how much.
        late: Duration,
    },
    /// The first part has not made the context.
    #[error(
        "{object} is still not there after {patience:?}: shard 0 makes it; does it run, with the same trace and --run-id?"
    )]
    NoContext {
        /// The object that is made last.
        object: String,
        /// How long was waited.
        patience: Duration,
    },
    /// The trace has nothing to play.
    #[error(
        "the trace has no pods to submit and no nodes to register; `kubereel trace info` says what is in it"
    )]
    NothingToPlay,
    /// Talking to the target failed.
    #[error(transparent)]
    K8s(#[from] K8sError),
    /// The run could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The run's reel could not be written.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

fn errors(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| finding.text.as_str()).collect::<Vec<_>>().join("; ")
}

/// Plays a plan against a target and records the run.
///
/// # Errors
/// [`ReplayError`]; the reel written so far stays, unsealed, unless the run had not begun.
pub async fn run(
    target: &Target,
    connect: &ConnectOptions,
    plan: Plan,
    options: &RunOptions,
    stop: &Stop,
) -> Result<RunSummary, ReplayError> {
    if plan.nodes.is_empty() && plan.actions.is_empty() {
        return Err(ReplayError::NothingToPlay);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let header = header(target, options, clock.wall_ns());
    let existing = Existing { allowed: options.allow_existing, run: &header.id };
    let findings = preflight(target, &plan, options.mode, existing).await?;
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(ReplayError::Unfit { findings });
    }
    let shard = options.shard.unwrap_or_default();
    let awaited = plan.awaited(shard);
    let plan = plan.part(shard);
    let probe = match (&options.scheduler_url, options.mode) {
        (_, Mode::Lockstep) if shard.count > 1 => return Err(ReplayError::SharedLockstep),
        (Some(url), _) => Some(SchedulerProbe::connect(connect, url).await?),
        (None, Mode::Lockstep) => return Err(ReplayError::NoScheduler),
        (None, Mode::Open { .. } | Mode::Flood) => None,
    };
    let write = WriteOptions { overwrite: options.overwrite, ..WriteOptions::default() };
    let reel = ReelThread::start(&options.out, &header, write)?;
    for finding in &findings {
        tracing::warn!("{}", finding.text);
        reel.sink().push(Record::Note(Note { at: clock.now(), text: format!("preflight: {finding}") }));
    }
    let id = header.id;
    // The first part looks for all.
    let is_first = shard.index == 0;
    let log = options.scheduler_log.clone().filter(|_| is_first);
    let log = log.and_then(|path| AttemptLog::follow(path, options.score_point, clock.clone(), reel.sink()));
    let components = if is_first {
        observe::components(&target.client, connect, &options.components).await?
    } else {
        Vec::new()
    };
    let observer = Observer::start(components, options.metrics_every, clock.clone(), reel.sink()).await;
    let stage = Stage::set(target, &plan, id.clone(), clock, reel.sink(), options, stop).await?;
    let ready = match &awaited {
        Some(object) => shard::wait_for(&target.client, object, stop).await,
        None => Ok(()),
    };
    let played = match ready {
        Ok(()) => stage.play(plan, probe, options, stop).await,
        Err(error) => Err(error),
    };
    observer.finish().await;
    stage.recorder.stop().await;
    if let Some(log) = log {
        log.finish();
    }
    played?;
    Ok(RunSummary { id, reel: reel.seal()? })
}

fn header(target: &Target, options: &RunOptions, wall_ns: i64) -> Header {
    let speed = match options.mode {
        Mode::Open { speed } => speed,
        Mode::Lockstep | Mode::Flood => 0.0,
    };
    Header {
        id: options.run_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        writer: concat!("kubereel ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: options.command.clone(),
        started_wall_ns: wall_ns,
        cluster: ClusterInfo {
            server_version: target.version.clone(),
            scheduler_version: options.scheduler_version.clone(),
            context: target.context.clone(),
        },
        redaction: Redaction::default().described(),
        labels: options.shard.map(|shard| (SHARD_LABEL.to_owned(), shard.to_string())).into_iter().collect(),
        run: Some(RunInfo { mode: options.mode.name().to_owned(), speed, ..options.source.clone() }),
        ..Header::default()
    }
}
