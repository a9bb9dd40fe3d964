use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::attempts::AttemptLog;
use super::engine::{Due, Engine};
use super::lockstep::{Lockstep, StepWall};
use super::open::{self, OpenTime};
use super::plan::{Action, Plan, Submission};
use super::preflight::{Finding, Severity, preflight};
use super::refill::{self, Refills, place_of};
use super::scheduler::{Baseline, SchedulerProbe};
use super::tainting::Tainting;
use super::world::{DEFAULT_SCHEDULER, PodNow, World, WorldState};
use tokio::task::JoinHandle;

use crate::hollow::{Driver, Fleet, Leases, SeenPod, TraceNow};
use crate::k8s::{ConnectOptions, K8sError, Submitter, Target};
use crate::model::{Note, ObjectEvent, PhaseMark, Record, RunPhase, TraceTime};
use crate::pace::{Clock, ManualClock, Stop, SystemClock};
use crate::record::{RecordError, RecordOptions, Recorder, Redaction, Tap, default_kinds};
use crate::trace::{ClusterInfo, Header, ReelThread, RunInfo, Sink, Summary, TraceError, WriteOptions};

/// Requests in flight at once.
const LANES: usize = 256;

/// How long a new node may keep its not-ready taint.
const NODE_PATIENCE: Duration = Duration::from_secs(30);

/// How long what was placed before the play may take to run.
const PLACEMENT_PATIENCE: Duration = Duration::from_mins(2);

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
}

impl Mode {
    /// `open` or `lockstep`.
    pub fn name(&self) -> &'static str {
        match self {
            Mode::Open { .. } => "open",
            Mode::Lockstep => "lockstep",
        }
    }

    fn tainting(&self) -> Tainting {
        match self {
            Mode::Open { .. } => Tainting::Controller,
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
    /// The command line, for the header.
    pub command: Vec<String>,
    /// Where the trace comes from, for the header; mode and speed are filled in.
    pub source: RunInfo,
    /// Version of the scheduler under test, where known.
    pub scheduler_version: String,
}

/// How a run went, besides what its reel says.
#[derive(Debug, Clone)]
pub struct RunSummary {
    /// Id of the run: in its reel's header, and on everything that it made.
    pub id: String,
    /// Counts of the run's reel.
    pub reel: Summary,
    /// Whether every action of the plan went out.
    pub complete: bool,
    /// Lockstep steps after which the scheduler did not come to rest.
    pub restless: u64,
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
    let findings = preflight(target, &plan, options.mode, options.allow_existing).await?;
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(ReplayError::Unfit { findings });
    }
    let probe = match (&options.scheduler_url, options.mode) {
        (Some(url), _) => Some(SchedulerProbe::connect(connect, url).await?),
        (None, Mode::Lockstep) => return Err(ReplayError::NoScheduler),
        (None, Mode::Open { .. }) => None,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let header = header(target, options, clock.wall_ns());
    let write = WriteOptions { overwrite: options.overwrite, ..WriteOptions::default() };
    let reel = ReelThread::start(&options.out, &header, write)?;
    for finding in &findings {
        tracing::warn!("{}", finding.text);
        reel.sink().push(Record::Note(Note { at: clock.now(), text: format!("preflight: {finding}") }));
    }
    let id = header.id;
    let log = options.scheduler_log.clone();
    let log = log.and_then(|path| AttemptLog::follow(path, options.score_point, clock.clone(), reel.sink()));
    let stage = Stage::set(target, &plan, id.clone(), clock, reel.sink(), options.mode).await?;
    let played = stage.play(plan, probe, options, stop).await;
    stage.recorder.stop().await;
    if let Some(log) = log {
        log.finish();
    }
    let (complete, restless) = played?;
    Ok(RunSummary { id, reel: reel.seal()?, complete, restless })
}

fn header(target: &Target, options: &RunOptions, wall_ns: i64) -> Header {
    let speed = match options.mode {
        Mode::Open { speed } => speed,
        Mode::Lockstep => 0.0,
    };
    Header {
        id: uuid::Uuid::new_v4().to_string(),
        writer: concat!("kubereel ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: options.command.clone(),
        started_wall_ns: wall_ns,
        cluster: ClusterInfo {
            server_version: target.version.clone(),
            scheduler_version: options.scheduler_version.clone(),
            context: target.context.clone(),
        },
        redaction: Redaction::default().described(),
        run: Some(RunInfo { mode: options.mode.name().to_owned(), speed, ..options.source.clone() }),
        ..Header::default()
    }
}

/// Everything that is up while a run plays.
struct Stage {
    engine: Engine,
    recorder: Recorder,
    virtual_time: Arc<ManualClock>,
    open_time: OpenTime,
    driver: Option<Driver>,
}

impl Stage {
    async fn set(
        target: &Target,
        plan: &Plan,
        run_id: String,
        clock: Arc<dyn Clock>,
        sink: Sink,
        mode: Mode,
    ) -> Result<Stage, ReplayError> {
        let behaviours = plan.behaviours.clone();
        let behaviour = move |pod: &SeenPod| {
            let known = behaviours.get(pod.id()).or_else(|| behaviours.get(place_of(pod.id())));
            known.cloned().unwrap_or_default()
        };
        let fleet = Arc::new(Mutex::new(Fleet::new(behaviour)));
        let (virtual_time, open_time) = (Arc::new(ManualClock::default()), OpenTime::default());
        virtual_time.advance_to(plan.origin);
        let now = trace_now(mode, plan.origin, &clock, &virtual_time, &open_time);
        let stamp = clock.clone();
        let submitter = Submitter::start(&target.client, LANES, &(Arc::new(move || stamp.now()) as _));
        let engine = Engine {
            run_id,
            submitter,
            clock: clock.clone(),
            sink: sink.clone(),
            world: World::default(),
            tainting: mode.tainting(),
            fleet,
            leases: Arc::new(Leases::start(target.client.clone(), clock.clone())),
            now,
            seq: Arc::new(AtomicU64::new(0)),
            written: Arc::new(AtomicU64::new(0)),
            refills: Arc::new(Mutex::new(Refills::of(plan))),
        };
        engine.mark(RunPhase::WarmUp, BTreeMap::new());
        let driver = matches!(mode, Mode::Open { .. }).then(|| engine.driver(&open_time));
        let options = RecordOptions { tap: Some(engine.tap()), ..RecordOptions::default() };
        let recorder = Recorder::start(target.session(), default_kinds(), options, sink, clock).await?;
        Ok(Stage { engine, recorder, virtual_time, open_time, driver })
    }

    /// Lockstep from here on; what the scheduler counted before does not matter.
    async fn lockstep(&self, probe: SchedulerProbe) -> Result<Lockstep, ReplayError> {
        let view = probe.look().await?;
        let (counts, lag) = {
            let world = self.engine.world.state();
            (world.counts, view.lag(&world))
        };
        Ok(Lockstep {
            engine: self.engine.clone(),
            virtual_time: self.virtual_time.clone(),
            probe,
            scheduler: DEFAULT_SCHEDULER.to_owned(),
            baseline: Baseline::new(view.counts(), counts),
            wall: StepWall::before(self.engine.wall()),
            evictions: RefCell::default(),
            slack: Cell::new(lag),
            floor: lag,
        })
    }

    /// Warm-up, play and drain; says whether all actions went out and how many steps found no rest.
    async fn play(
        &self,
        plan: Plan,
        probe: Option<SchedulerProbe>,
        options: &RunOptions,
        stop: &Stop,
    ) -> Result<(bool, u64), ReplayError> {
        let lockstep = match probe {
            Some(probe) if options.mode == Mode::Lockstep => Some(self.lockstep(probe).await?),
            _ => None,
        };
        self.warm_up(&plan, lockstep.as_ref()).await?;
        let count = plan.actions.len() as u64;
        tracing::info!(
            "play: {count} inputs over {:.0} s of trace",
            plan.end.since(plan.origin).as_secs_f64()
        );
        let refilling = (self.driver.is_some() && self.engine.refills().is_closed_loop())
            .then(|| tokio::spawn(refill::drive(self.engine.clone(), self.open_time.clone())));
        self.engine.mark(RunPhase::Play, BTreeMap::from([("inputs".to_owned(), count)]));
        let (complete, restless, steps) = match (&lockstep, options.mode) {
            (Some(lockstep), _) => {
                let steps = lockstep.play(plan.actions, plan.end, stop).await;
                (steps.complete, steps.restless, steps.taken)
            }
            (None, Mode::Open { speed }) => {
                let all =
                    open::play(&self.engine, &self.open_time, plan.origin, speed, plan.actions, stop).await;
                (all, 0, count)
            }
            (None, Mode::Lockstep) => return Err(ReplayError::NoScheduler),
        };
        let facts = |pairs: &[(&str, u64)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
        self.engine
            .mark(RunPhase::Drain, facts(&[("steps", steps), (crate::diff::UNSETTLED_FACT, restless)]));
        if complete && self.driver.is_some() {
            self.drain(plan.end, options.drain, stop).await;
        }
        refilling.inspect(JoinHandle::abort);
        let counts = [
            ("left-out", plan.left.0.values().sum()),
            ("complete", u64::from(complete)),
            ("replacements", plan.replacements.len() as u64),
            ("refills", self.engine.refills().made()),
        ];
        self.engine.mark(RunPhase::End, facts(&counts));
        Ok((complete, restless))
    }

    /// Makes what was there when the trace starts: context, nodes one at a time, then the pods on them.
    async fn warm_up(&self, plan: &Plan, lockstep: Option<&Lockstep>) -> Result<(), ReplayError> {
        let (nodes, placed) = (plan.nodes.len(), plan.placed.len());
        tracing::info!(
            "warm-up: {} context objects, {nodes} nodes, {placed} placed pods",
            plan.context.len()
        );
        for timed in &plan.context {
            self.make(&timed.action).await?;
        }
        for object in &plan.nodes {
            let action = Action::CreateNode { object: object.clone() };
            self.make(&action).await?;
            let name = action.key().name;
            let ready = |w: &WorldState| w.nodes.contains_key(&name) && w.nodes_are_settled();
            if !self.engine.world.until(NODE_PATIENCE, ready).await {
                return Err(ReplayError::NodeNotReady { node: name.to_string(), patience: NODE_PATIENCE });
            }
        }
        for submission in &plan.placed {
            self.make(&Action::CreatePod(submission.clone())).await?;
        }
        self.placed_pods_run(&plan.placed, lockstep).await;
        if let Some(lockstep) = lockstep
            && let Err(reason) = lockstep.rest().await
        {
            tracing::warn!("after the warm-up: {reason}");
        }
        Ok(())
    }

    async fn placed_pods_run(&self, placed: &[Submission], lockstep: Option<&Lockstep>) {
        let seen = |w: &WorldState| placed.iter().all(|p| w.uid_of(&p.id).is_some());
        self.engine.world.until(PLACEMENT_PATIENCE, seen).await;
        if let Some(lockstep) = lockstep {
            lockstep.settle_debts().await;
        }
        let running = |w: &WorldState| {
            let pod = |p: &Submission| w.uid_of(&p.id).and_then(|uid| w.pods.get(uid));
            placed.iter().all(|p| pod(p).is_none_or(PodNow::has_started))
        };
        if !self.engine.world.until(PLACEMENT_PATIENCE, running).await {
            tracing::warn!("not all placed pods are running after {PLACEMENT_PATIENCE:?}");
        }
    }

    /// One request of the warm-up; an object that is already there is as good as made.
    async fn make(&self, action: &Action) -> Result<(), ReplayError> {
        let (kind, key) = (action.kind(), action.key());
        let due = Due { trace: (self.engine.now)(), run: self.engine.clock.now() };
        self.engine.prepare(action);
        for request in self.engine.requests(action) {
            let Some(answer) = self.engine.submitter.call(&key, request).await else { continue };
            self.engine.report(kind, &key, due, &answer);
            match answer.result {
                Err(error) if error.status() != Some(409) => {
                    return Err(ReplayError::WarmUp { what: key.to_string(), source: error });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits for the end of the trace's time line and until no pod is on its way and no hollow node owes one anything
    /// (pods that were bound late end late), at most `limit` longer.
    async fn drain(&self, end: TraceTime, limit: Duration, stop: &Stop) {
        let rest = self.open_time.due(end).since(self.engine.clock.now());
        let settled = |w: &WorldState| {
            // In this order: what is no longer owed has been submitted by then.
            let owed = self.engine.refills().owes() || self.engine.fleet().owes();
            let on_its_way = |p: &PodNow| p.deleting || !(p.has_started() || (p.node.is_none() && p.marked));
            stop.is_stopped() || !(owed || !self.engine.is_caught_up(w) || w.pods.values().any(on_its_way))
        };
        let over = |_: &WorldState| stop.is_stopped();
        self.engine.world.until(rest, over).await;
        if !self.engine.world.until(limit, settled).await {
            tracing::warn!("some pods are still on their way after {limit:?}");
        }
    }
}

/// How the run tells trace time: virtual in lockstep, from the clock in open mode.
fn trace_now(
    mode: Mode,
    origin: TraceTime,
    clock: &Arc<dyn Clock>,
    virtual_time: &Arc<ManualClock>,
    open_time: &OpenTime,
) -> TraceNow {
    let (clock, virtual_time, open_time) = (clock.clone(), virtual_time.clone(), open_time.clone());
    match mode {
        Mode::Lockstep => Arc::new(move || virtual_time.now()),
        Mode::Open { .. } => Arc::new(move || open_time.trace_time(clock.now(), origin)),
    }
}

impl Engine {
    fn mark(&self, phase: RunPhase, facts: BTreeMap<String, u64>) {
        self.sink.push(Record::Phase(PhaseMark { at: self.clock.now(), phase, facts }));
    }

    /// Lets world and fleet see every event that the recorder sees.
    fn tap(&self) -> Tap {
        let (world, fleet, now) = (self.world.clone(), self.fleet.clone(), self.now.clone());
        Arc::new(move |event: &ObjectEvent| {
            // The fleet first: whoever waits for the world finds the fleet informed.
            if event.key.kind == "Pod" {
                fleet.lock().unwrap_or_else(std::sync::PoisonError::into_inner).observe(event, now());
            }
            world.observe(event);
        })
    }

    /// Runs the fleet by the clock.
    fn driver(&self, open_time: &OpenTime) -> Driver {
        let (engine, time) = (self.clone(), open_time.clone());
        Driver::start(
            self.fleet.clone(),
            self.submitter.clone(),
            self.clock.clone(),
            self.now.clone(),
            Arc::new(move |request, answer| engine.report_hollow(request, time.due(request.due), answer)),
        )
    }
}
