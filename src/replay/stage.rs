//! What is up while a run plays, from the warm-up to the drain.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::engine::{Due, Engine};
use super::lockstep::{Lockstep, StepWall};
use super::open::{self, LEAD, OpenTime};
use super::plan::{Action, Plan, Submission};
use super::refill::{self, Refills, place_of};
use super::run::{Mode, ReplayError, RunOptions};
use super::scheduler::{Baseline, SchedulerProbe};
use super::status::{RunSnapshot, RunStatus};
use super::world::{DEFAULT_SCHEDULER, PodNow, World, WorldState};
use crate::diff::{COMPLETE_FACT, LONGEST_WAIT_FACT, UNSETTLED_FACT};
use crate::hollow::{Driver, Fleet, Leases, SeenPod, TraceNow};
use crate::k8s::{Patience, Submitter, Target};
use crate::model::{ObjectEvent, PhaseMark, Record, RunPhase, TraceTime};
use crate::pace::{Clock, ManualClock, Stop, Timeline};
use crate::record::{RecordOptions, Recorder, Tap, default_kinds};
use crate::trace::Sink;

/// Requests in flight at once.
const AT_ONCE: usize = 256;

/// How long a new node may keep its not-ready taint.
const NODE_PATIENCE: Duration = Duration::from_secs(30);

/// How long what was placed before the play may take to run.
const PLACEMENT_PATIENCE: Duration = Duration::from_mins(2);

/// Everything that is up while a run plays.
pub(super) struct Stage {
    engine: Engine,
    pub(super) recorder: Recorder,
    virtual_time: Arc<ManualClock>,
    open_time: OpenTime,
    driver: Option<Driver>,
}

impl Stage {
    pub(super) async fn set(
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
    pub(super) async fn play(
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
