use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::attempts::AttemptLog;
use super::engine::{Due, Engine};
use super::lockstep::{Lockstep, StepWall};
use super::observe::{self, Observer};
use super::on_error::OnError;
use super::open::{self, LEAD, OpenTime};
use super::plan::{Action, Plan, Submission};
use super::preflight::{Existing, Finding, Severity, preflight};
use super::refill::{self, Refills, place_of};
use super::scheduler::{Baseline, SchedulerProbe};
use super::shard;
use super::status::{RunSnapshot, RunStatus};
use super::tainting::Tainting;
use super::world::{DEFAULT_SCHEDULER, PodNow, World, WorldState};
use tokio::task::JoinHandle;

use crate::diff::{COMPLETE_FACT, LONGEST_WAIT_FACT, UNSETTLED_FACT};
use crate::hollow::{Driver, Fleet, Leases, SeenPod, Shard, TraceNow};
use crate::k8s::{ConnectOptions, K8sError, Patience, Submitter, Target};
use crate::model::{Note, ObjectEvent, PhaseMark, Record, RunPhase, TraceTime};
use crate::pace::{Clock, ManualClock, Stop, SystemClock, Timeline};
use crate::record::{RecordError, RecordOptions, Recorder, Redaction, Tap, default_kinds};
use crate::trace::{ClusterInfo, Header, ReelThread, RunInfo, Sink, Summary, TraceError, WriteOptions};

/// Requests in flight at once.
const AT_ONCE: usize = 256;

/// For how long requests are made again where nobody says otherwise: an API server restarts in less.
pub const RETRY: Duration = Duration::from_mins(2);

/// How often metrics are recorded where nobody says otherwise.
pub const METRICS_EVERY: Duration = Duration::from_secs(15);

/// Header label of a part of a run: which part of how many.
pub const SHARD_LABEL: &str = "shard";

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

    fn tainting(&self) -> Tainting {
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
    let components = observe::components(&target.client, connect, &options.components).await?;
    let components = if is_first { components } else { Vec::new() };
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
        options: &RunOptions,
        stop: &Stop,
    ) -> Result<Stage, ReplayError> {
        let mode = options.mode;
        let behaviours = plan.behaviours.clone();
        let behaviour = move |pod: &SeenPod| {
            let known = behaviours.get(pod.id()).or_else(|| behaviours.get(place_of(pod.id())));
            known.cloned().unwrap_or_default()
        };
        let shard = options.shard.unwrap_or_default();
        let fleet = Arc::new(Mutex::new(Fleet::new(behaviour).with_shard(shard.index, shard.count)));
        let (virtual_time, open_time) = (Arc::new(ManualClock::default()), OpenTime::default());
        virtual_time.advance_to(plan.origin);
        let now = trace_now(mode, plan.origin, &clock, &virtual_time, &open_time);
        let stamp = clock.clone();
        let go_on = stop.clone();
        let patience = Patience { within: options.retry, goes_on: Arc::new(move || !go_on.is_stopped()) };
        let submitter = Submitter::start(&target.client, AT_ONCE, &(Arc::new(move || stamp.now()) as _));
        let engine = Engine {
            run_id,
            submitter: submitter.patient(patience),
            clock: clock.clone(),
            sink: sink.clone(),
            world: World::default(),
            tainting: mode.tainting(),
            fleet,
            leases: Arc::new(Leases::start(target.client.clone(), clock.clone())),
            now,
            seq: Arc::new(AtomicU64::new(0)),
            written: Arc::new(AtomicU64::new(0)),
            tally: Arc::default(),
            on_error: options.on_error.clone(),
            stop: stop.clone(),
            refills: Arc::new(Mutex::new(Refills::of(plan))),
        };
        engine.tell(&options.status, plan);
        engine.mark(RunPhase::WarmUp, BTreeMap::new());
        let driver = (mode != Mode::Lockstep).then(|| engine.driver(&open_time));
        let tap_only = shard.index > 0;
        let record = RecordOptions { tap: Some(engine.tap()), tap_only, ..RecordOptions::default() };
        let recorder = Recorder::start(target.session(), default_kinds(), record, sink, clock).await?;
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

    /// Warm-up, play and drain.
    async fn play(
        &self,
        plan: Plan,
        probe: Option<SchedulerProbe>,
        options: &RunOptions,
        stop: &Stop,
    ) -> Result<(), ReplayError> {
        let lockstep = match probe {
            Some(probe) if options.mode == Mode::Lockstep => Some(self.lockstep(probe).await?),
            _ => None,
        };
        self.warm_up(&plan, lockstep.as_ref()).await?;
        let start = self.start(options.start_at_wall_ns, stop).await?;
        let count = plan.actions.len() as u64;
        tracing::info!(
            "play: {count} inputs over {:.0} s of trace",
            plan.end.since(plan.origin).as_secs_f64()
        );
        self.engine.submitter.take_longest_wait();
        let refilling = (self.driver.is_some() && self.engine.refills().is_closed_loop())
            .then(|| tokio::spawn(refill::drive(self.engine.clone(), self.open_time.clone())));
        self.engine.mark(RunPhase::Play, BTreeMap::from([("inputs".to_owned(), count)]));
        let (complete, restless, steps) = match (&lockstep, options.mode) {
            (Some(lockstep), _) => {
                let steps = lockstep.play(plan.actions, plan.end, stop).await;
                (steps.complete, steps.restless, steps.taken)
            }
            (None, Mode::Open { speed }) => {
                let line = Timeline { start, origin: plan.origin, speed };
                let all = open::play(&self.engine, &self.open_time, line, plan.actions, stop).await;
                (all, 0, count)
            }
            (None, Mode::Flood) => {
                let line = Timeline { start, origin: plan.origin, speed: 1.0 };
                let all = open::flood(&self.engine, &self.open_time, line, plan.actions, stop).await;
                (all, 0, count)
            }
            (None, Mode::Lockstep) => return Err(ReplayError::NoScheduler),
        };
        let facts = |pairs: &[(&str, u64)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
        self.engine.mark(RunPhase::Drain, facts(&[("steps", steps), (UNSETTLED_FACT, restless)]));
        if complete && self.driver.is_some() {
            self.drain(plan.end, options, stop).await;
        }
        refilling.inspect(JoinHandle::abort);
        let waited = self.engine.submitter.take_longest_wait().as_nanos() as u64;
        let end = [
            ("left-out", plan.left.0.values().sum()),
            (COMPLETE_FACT, complete.into()),
            (LONGEST_WAIT_FACT, waited),
            ("replacements", plan.replacements.len() as u64),
            ("refills", self.engine.refills().made()),
        ];
        self.engine.mark(RunPhase::End, facts(&end));
        Ok(())
    }

    /// When the play starts, on the run's clock: a moment from now, or at an instant of the wall clock, for which it waits.
    async fn start(&self, at_wall_ns: Option<i64>, stop: &Stop) -> Result<TraceTime, ReplayError> {
        let clock = &self.engine.clock;
        let Some(at) = at_wall_ns else { return Ok(clock.now() + LEAD) };
        let signal = at.saturating_sub(LEAD.as_nanos() as i64).saturating_sub(clock.wall_ns());
        let wait = Duration::from_nanos(signal.unsigned_abs());
        if signal < 0 {
            return Err(ReplayError::StartPassed { late: wait });
        }
        let start = clock.now() + wait + LEAD;
        tracing::info!("the play starts in {:.1} s", wait.as_secs_f64());
        self.engine.world.until(wait, |_| stop.is_stopped()).await;
        Ok(start)
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
    /// (pods that were bound late end late), at most [`RunOptions::drain`] longer. A flood has no time line, and leaves its
    /// pods running.
    async fn drain(&self, end: TraceTime, options: &RunOptions, stop: &Stop) {
        let (limit, is_flood) = (options.drain, options.mode == Mode::Flood);
        let rest = self.open_time.due(end).since(self.engine.clock.now());
        let rest = if is_flood { Duration::ZERO } else { rest };
        let settled = |w: &WorldState| {
            // In this order: what is no longer owed has been submitted by then.
            let owed = self.engine.refills().owes() || !is_flood && self.engine.fleet().owes();
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

/// How the run tells trace time: virtual in lockstep, else from the clock.
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
        Mode::Open { .. } | Mode::Flood => Arc::new(move || open_time.trace_time(clock.now(), origin)),
    }
}

impl Engine {
    /// Lets others see how it is going.
    fn tell(&self, status: &RunStatus, plan: &Plan) {
        let (engine, inputs) = (self.clone(), plan.actions.len() as u64);
        let (origin, span) = (plan.origin, plan.end.since(plan.origin));
        status.begin(move || {
            let world = engine.world.state();
            let waits = |pod: &&PodNow| pod.node.is_none() && !pod.phase.is_terminal();
            let runs = |pod: &&PodNow| pod.node.is_some() && !pod.phase.is_terminal();
            RunSnapshot {
                phase: engine.tally.phase(),
                played: (engine.now)().since(origin).min(span),
                span,
                handed_over: engine.tally.handed_over(),
                inputs,
                pending: world.pods.values().filter(waits).count(),
                bound: world.pods.values().filter(runs).count(),
                open: engine.submitter.open_requests(),
                late: engine.tally.take_late(),
            }
        });
    }

    fn mark(&self, phase: RunPhase, facts: BTreeMap<String, u64>) {
        self.tally.enter(phase);
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
