use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::plan::{Side, order};
use super::profile::deterministic;
use crate::cluster::{self, Cluster, ClusterError, ClusterSpec, Component, Dirs, SchedulerSpec, Version};
use crate::diff::{self, Facts};
use crate::k8s::{ConnectOptions, K8sError, connect};
use crate::pace::Stop;
use crate::replay::{self, METRICS_EVERY, Mode, OnError, Plan, RETRY, ReplayError, RunOptions, RunStatus};
use crate::trace::{RunInfo, TraceError};

/// Controllers of an open run: taints that follow from conditions, evictions that follow from taints, the removal of
/// pods whose node is gone. Others would act on objects that the trace brings.
const OPEN_CONTROLLERS: &[&str] =
    &["node-lifecycle-controller", "taint-eviction-controller", "pod-garbage-collector-controller"];

/// Controllers of a lockstep run: taints, evictions and removals happen in virtual time there, by the replay itself. The
/// controller manager wants to run at least one; this one touches nothing that a trace may bring.
const LOCKSTEP_CONTROLLERS: &[&str] = &["clusterrole-aggregation-controller"];

/// In lockstep a new node must not be born with a taint that a controller lifts a moment later: waiting pods would be
/// woken twice, and the second time in the middle of the first.
const LOCKSTEP_ADMISSION: &str = "--disable-admission-plugins=TaintNodesByCondition";

/// `-v` at which kube-scheduler tells how each attempt ended, and what each plugin gave each node.
const LOG_ATTEMPTS: u8 = 2;
const LOG_SCORES: u8 = 10;

/// One scheduler to compare.
#[derive(Debug, Clone)]
pub struct Contender {
    /// Its version.
    pub version: Version,
    /// Its `KubeSchedulerConfiguration`, the default one where absent.
    pub config: Option<Value>,
}

/// A comparison to make.
#[derive(Debug, Clone)]
pub struct CompareSpec {
    /// What is in use.
    pub baseline: Contender,
    /// What may replace it.
    pub candidate: Contender,
    /// Version of everything but the scheduler, the same for both sides.
    pub control_plane: Version,
    /// Runs a side.
    pub runs: usize,
    /// How to pace.
    pub mode: Mode,
    /// Folder for the runs' reels.
    pub keep: PathBuf,
    /// How long an open run waits after the trace.
    pub drain: Duration,
    /// Record what each plugin gave each node: the scheduler then logs a line for each.
    pub scores: bool,
    /// The command line, for the headers.
    pub command: Vec<String>,
    /// Where the trace comes from, for the headers.
    pub source: RunInfo,
    /// Where programs and clusters are kept.
    pub dirs: Dirs,
}

/// The reel of one run.
#[derive(Debug, Clone)]
pub struct RunReel {
    /// Whose run.
    pub side: Side,
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub facts: Facts,
}

/// Why a comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A local cluster failed.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It could not be reached.
    #[error(transparent)]
    K8s(#[from] K8sError),
    /// A run could not be made.
    #[error("{side} run {run}", side = side.as_str(), run = run + 1)]
    Replay {
        /// Whose run.
        side: Side,
        /// Which, from 0.
        run: usize,
        /// What happened.
        source: ReplayError,
    },
    /// A run's reel could not be read back.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The folder for the reels cannot be made.
    #[error("{path}: cannot be made", path = path.display())]
    Keep {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody asked for the end.
    #[error("stopped after {done} of {all} runs; their reels are in {keep}", keep = keep.display())]
    Stopped {
        /// Runs that are complete.
        done: usize,
        /// Runs wanted.
        all: usize,
        /// Where the reels are.
        keep: PathBuf,
    },
}

/// Makes all runs, one after the other, each on a control plane of its own. Reels of finished runs stay, whatever
/// happens to later ones.
///
/// # Errors
/// [`CompareError`] of the first run that could not be made.
pub async fn compare(spec: &CompareSpec, plan: &Plan, stop: &Stop) -> Result<Vec<RunReel>, CompareError> {
    let keep = |source| CompareError::Keep { path: spec.keep.clone(), source };
    std::fs::create_dir_all(&spec.keep).map_err(keep)?;
    let order = order(spec.runs);
    let mut reels: Vec<RunReel> = Vec::new();
    for (n, (side, run)) in order.iter().copied().enumerate() {
        if stop.is_stopped() {
            return Err(CompareError::Stopped { done: n, all: order.len(), keep: spec.keep.clone() });
        }
        let contender = spec.contender(side);
        tracing::info!("run {} of {}: {} {}", n + 1, order.len(), side.as_str(), contender.version);
        let path = spec.keep.join(format!("{}-{}.reel", side.as_str(), run + 1));
        one_run(spec, side, run, plan.clone(), &path, stop).await?;
        let facts = diff::load(&path)?;
        reels.push(RunReel { side, path, facts });
    }
    if stop.is_stopped() {
        return Err(CompareError::Stopped {
            done: reels.len() - 1,
            all: order.len(),
            keep: spec.keep.clone(),
        });
    }
    Ok(reels)
}

async fn one_run(
    spec: &CompareSpec,
    side: Side,
    run: usize,
    plan: Plan,
    path: &Path,
    stop: &Stop,
) -> Result<(), CompareError> {
    let cluster_spec = spec.cluster(side, run);
    let cluster = cluster::up(&cluster_spec).await?;
    let played = play(spec, side, run, &cluster, &cluster_spec, plan, path, stop).await;
    cluster.down().await?;
    played
}

#[expect(clippy::too_many_arguments, reason = "the parts of one run, each from another owner")]
async fn play(
    spec: &CompareSpec,
    side: Side,
    run: usize,
    cluster: &Cluster,
    cluster_spec: &ClusterSpec,
    plan: Plan,
    path: &Path,
    stop: &Stop,
) -> Result<(), CompareError> {
    let options = ConnectOptions { kubeconfig: Some(cluster.kubeconfig()), context: None };
    let target = connect(&options).await?;
    let config = cluster_spec.scheduler.config.as_ref().map(Value::to_string).unwrap_or_default();
    let run_options = RunOptions {
        mode: spec.mode,
        out: path.to_owned(),
        overwrite: true,
        scheduler_url: cluster.scheduler_url(),
        scheduler_log: Some(cluster.log(Component::Scheduler)),
        allow_existing: false,
        drain: spec.drain,
        retry: RETRY,
        on_error: OnError::default(),
        components: cluster.metrics_urls(),
        metrics_every: METRICS_EVERY,
        status: RunStatus::default(),
        shard: None,
        run_id: None,
        start_at_wall_ns: None,
        command: spec.command.clone(),
        source: RunInfo { scheduler_config: config, ..spec.source.clone() },
        scheduler_version: cluster_spec.scheduler.version.to_string(),
    };
    let summary = replay::run(&target, &options, plan, &run_options, stop)
        .await
        .map_err(|source| CompareError::Replay { side, run, source })?;
    tracing::debug!("{}: {} records", path.display(), summary.reel.records);
    Ok(())
}

impl CompareSpec {
    fn contender(&self, side: Side) -> &Contender {
        match side {
            Side::Baseline => &self.baseline,
            Side::Candidate => &self.candidate,
        }
    }

    /// The cluster of one run: everything but the scheduler is the same for both sides.
    fn cluster(&self, side: Side, run: usize) -> ClusterSpec {
        let contender = self.contender(side);
        let unique = format!("compare-{}-{}-{}", std::process::id(), side.as_str(), run + 1);
        let mut spec = ClusterSpec::new(unique, self.control_plane.clone(), self.dirs.clone());
        let config = match self.mode {
            Mode::Lockstep => Some(deterministic(contender.config.as_ref())),
            Mode::Open { .. } | Mode::Flood => contender.config.clone(),
        };
        let verbosity = if self.scores { LOG_SCORES } else { LOG_ATTEMPTS };
        let stock = SchedulerSpec::new(contender.version.clone());
        spec.scheduler = SchedulerSpec { config, verbosity, json_log: true, ..stock };
        let controllers = match self.mode {
            Mode::Open { .. } | Mode::Flood => OPEN_CONTROLLERS,
            Mode::Lockstep => {
                let arg = vec![LOCKSTEP_ADMISSION.to_owned()];
                spec.settings.extra_args.insert(Component::ApiServer, arg);
                LOCKSTEP_CONTROLLERS
            }
        };
        spec.settings.controllers = controllers.iter().map(|c| (*c).to_owned()).collect();
        spec
    }
}
