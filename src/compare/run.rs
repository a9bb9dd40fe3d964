use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::plan::{Side, order};
use super::profile::deterministic;
use super::tie_break::{self, Extender, TieBreak, WeightError};
use crate::cluster::{self, Cluster, ClusterError, ClusterSpec, Component, Dirs, SchedulerSpec, Version};
use crate::diff::{self, Facts};
use crate::k8s::{ConnectOptions, connect};
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

/// Off with fixed ties, since v1.35 where there is such a feature. It gives a pod like the last one the next best node of
/// the last one's list, scored anew without the scores of extenders (`pkg/scheduler/framework/runtime/batch.go`, v1.37.2,
/// `rescoreHintedNode`), as long as that list is less than half a second old: by chance.
const NO_BATCHING: &str = "OpportunisticBatching=false";
const BATCHES_SINCE: Version = Version::new(1, 35, 0);

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
    /// Which of the nodes that score alike is taken.
    pub tie_break: TieBreak,
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
    /// A scheduler's weights do not go with fixed ties.
    #[error("the {side}'s configuration", side = side.as_str())]
    Weight {
        /// Whose configuration.
        side: Side,
        /// Which weight.
        source: WeightError,
    },
    /// The tie-break extender cannot listen.
    #[error("cannot listen on loopback for the tie-break extender")]
    Extender(#[source] std::io::Error),
    /// Ties that should have been fixed were not.
    #[error(
        "{side} run {run}: kube-scheduler {version} sent the tie-break extender {count} requests that it cannot read; \
         --tie-break stock compares without it",
        side = side.as_str(), run = run + 1
    )]
    TiesNotFixed {
        /// Whose run.
        side: Side,
        /// Which, from 0.
        run: usize,
        /// Which scheduler.
        version: Version,
        /// How many requests.
        count: u64,
    },
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
    let lab = Lab::set_up(spec).await?;
    let order = order(spec.runs);
    let stopped = |done| CompareError::Stopped { done, all: order.len(), keep: spec.keep.clone() };
    let mut reels: Vec<RunReel> = Vec::new();
    for (n, (side, run)) in order.iter().copied().enumerate() {
        if stop.is_stopped() {
            return Err(stopped(n));
        }
        let version = &spec.contender(side).version;
        tracing::info!("run {} of {}: {} {version}", n + 1, order.len(), side.as_str());
        let path = spec.keep.join(format!("{}-{}.reel", side.as_str(), run + 1));
        lab.run(side, run, plan.clone(), &path, stop).await?;
        let facts = diff::load(&path)?;
        reels.push(RunReel { side, path, facts });
    }
    if stop.is_stopped() {
        return Err(stopped(reels.len() - 1));
    }
    Ok(reels)
}

/// What all runs share.
struct Lab<'a> {
    spec: &'a CompareSpec,
    extender: Option<Extender>,
    baseline: Option<Value>,
    candidate: Option<Value>,
}

impl Lab<'_> {
    async fn set_up(spec: &CompareSpec) -> Result<Lab<'_>, CompareError> {
        let extender = match spec.tie_break {
            TieBreak::Fixed => Some(Extender::start().await.map_err(CompareError::Extender)?),
            TieBreak::Stock => None,
        };
        let baseline = spec.scheduler_config(Side::Baseline, extender.as_ref()).await?;
        let candidate = spec.scheduler_config(Side::Candidate, extender.as_ref()).await?;
        Ok(Lab { spec, extender, baseline, candidate })
    }

    /// One run on a cluster of its own.
    async fn run(
        &self,
        side: Side,
        run: usize,
        plan: Plan,
        path: &Path,
        stop: &Stop,
    ) -> Result<(), CompareError> {
        let config = match side {
            Side::Baseline => &self.baseline,
            Side::Candidate => &self.candidate,
        };
        let cluster = cluster::up(&self.spec.cluster(side, run, config.clone())).await?;
        let played = self.play(side, &cluster, config.as_ref(), plan, path, stop).await;
        cluster.down().await?;
        played.map_err(|source| CompareError::Replay { side, run, source })?;
        match self.extender.as_ref().map_or(0, Extender::take_refused) {
            0 => Ok(()),
            count => {
                let version = self.spec.contender(side).version.clone();
                Err(CompareError::TiesNotFixed { side, run, version, count })
            }
        }
    }

    async fn play(
        &self,
        side: Side,
        cluster: &Cluster,
        config: Option<&Value>,
        plan: Plan,
        path: &Path,
        stop: &Stop,
    ) -> Result<(), ReplayError> {
        let spec = self.spec;
        let options = ConnectOptions { kubeconfig: Some(cluster.kubeconfig()), context: None };
        let target = connect(&options).await?;
        let source = RunInfo {
            scheduler_config: config.map(Value::to_string).unwrap_or_default(),
            tie_break: spec.tie_break.as_str().to_owned(),
            ..spec.source.clone()
        };
        let run_options = RunOptions {
            mode: spec.mode,
            out: path.to_owned(),
            overwrite: true,
            scheduler_url: cluster.scheduler_url(),
            scheduler_log: Some(cluster.log(Component::Scheduler)),
            score_point: self.extender.as_ref().map_or(1, |_| tie_break::POINT.into()),
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
            source,
            scheduler_version: spec.contender(side).version.to_string(),
        };
        let summary = replay::run(&target, &options, plan, &run_options, stop).await?;
        tracing::debug!("{}: {} records", path.display(), summary.reel.records);
        Ok(())
    }
}

impl CompareSpec {
    fn contender(&self, side: Side) -> &Contender {
        match side {
            Side::Baseline => &self.baseline,
            Side::Candidate => &self.candidate,
        }
    }

    /// The configuration of a side's scheduler, the default one where absent.
    async fn scheduler_config(
        &self,
        side: Side,
        extender: Option<&Extender>,
    ) -> Result<Option<Value>, CompareError> {
        let contender = self.contender(side);
        let config = if self.mode == Mode::Lockstep {
            Some(deterministic(contender.config.as_ref()))
        } else {
            contender.config.clone()
        };
        let Some(extender) = extender else { return Ok(config) };
        let whole = cluster::complete_config(&contender.version, config.as_ref(), &self.dirs).await?;
        let fixed = tie_break::fixed(whole, &extender.url());
        Ok(Some(fixed.map_err(|source| CompareError::Weight { side, source })?))
    }

    /// The cluster of one run: everything but the scheduler is the same for both sides.
    fn cluster(&self, side: Side, run: usize, config: Option<Value>) -> ClusterSpec {
        let unique = format!("compare-{}-{}-{}", std::process::id(), side.as_str(), run + 1);
        let mut spec = ClusterSpec::new(unique, self.control_plane.clone(), self.dirs.clone());
        let verbosity = if self.scores { LOG_SCORES } else { LOG_ATTEMPTS };
        let stock = SchedulerSpec::new(self.contender(side).version.clone());
        spec.scheduler = SchedulerSpec { config, verbosity, json_log: true, ..stock };
        if self.tie_break == TieBreak::Fixed && spec.scheduler.version >= BATCHES_SINCE {
            spec.scheduler.feature_gates.push(NO_BATCHING.to_owned());
        }
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
