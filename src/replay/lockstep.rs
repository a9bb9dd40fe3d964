//! Lockstep mode: one action at a time, each only after the scheduler has come to rest from the last one. Trace
//! time is virtual here: it jumps from action to action, and what hollow nodes owe their pods (a finish after the
//! run time, the end of a termination) takes its place in the same order.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::engine::{Due, Engine};
use super::eviction::{Eviction, Evictions};
use super::plan::{Action, TimedAction};
use super::scheduler::{Baseline, Restless, SchedulerProbe, Slack};
use super::tainting::readiness_taints;
use super::world::WorldState;
use crate::hollow::{Instants, Outcome};
use crate::k8s::{Answer, PatchType, Reply, Request};
use crate::model::{ActionKind, NodeView, POD, TraceTime};
use crate::pace::{ManualClock, Stop};

/// How long a step may take to come to rest. Pods wait in the back-off queue for up to
/// `podMaxBackoffSeconds`, 10 s by default.
const PATIENCE: Duration = Duration::from_secs(30);

/// An instant that does not come.
const NEVER: TraceTime = TraceTime::from_nanos(u64::MAX);

/// Pause between two looks at the scheduler.
const LOOK_AGAIN: Duration = Duration::from_millis(4);

/// How often a preemption may be found lagging, and nothing else, before the difference is taken to stay.
const LAG_LOOKS: u32 = 100;

/// A run in lockstep.
pub(super) struct Lockstep {
    pub(super) engine: Engine,
    pub(super) virtual_time: Arc<ManualClock>,
    pub(super) probe: SchedulerProbe,
    pub(super) scheduler: String,
    pub(super) baseline: Baseline,
    /// What hollow nodes show as wall clock.
    pub(super) wall: StepWall,
    /// What the control plane will do to pods.
    pub(super) evictions: RefCell<Evictions>,
    /// By how much the scheduler may lag, and by how much it did at the start.
    pub(super) slack: Cell<Slack>,
    pub(super) floor: Slack,
}

/// A wall clock that moves one second a reading. Preemption compares the start times of pods in whole seconds and
/// breaks ties at random (`pkg/scheduler/framework/preemption/preemption.go`, v1.37.2, `pickOneNodeForPreemption`):
/// so in lockstep no two pods start in the same second, and later ones start later, whatever the machine's pace.
#[derive(Debug)]
pub(super) struct StepWall {
    start: DateTime<Utc>,
    readings: AtomicI64,
}

impl StepWall {
    /// Starts far enough before `now` that no start time lies in the future.
    pub(super) fn before(now: DateTime<Utc>) -> StepWall {
        StepWall { start: now - TimeDelta::days(30), readings: AtomicI64::new(0) }
    }

    fn next(&self) -> DateTime<Utc> {
        self.start + TimeDelta::seconds(self.readings.fetch_add(1, Ordering::Relaxed))
    }
}

/// How a lockstep play went.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steps {
    /// Steps taken.
    pub(super) taken: u64,
    /// Steps after which the scheduler did not come to rest in time.
    pub(super) restless: u64,
    /// Whether all actions went out.
    pub(super) complete: bool,
}

enum Next {
    Input(Box<TimedAction>),
    Hollow(TraceTime),
    Eviction(Box<Eviction>),
    Refill(TraceTime),
}

impl Lockstep {
    /// Plays all actions and all that hollow nodes owe up to `end`.
    pub(super) async fn play(&self, actions: Vec<TimedAction>, end: TraceTime, stop: &Stop) -> Steps {
        let total = actions.len();
        let mut actions = VecDeque::from(actions);
        let mut steps = Steps::default();
        while let Some(next) = self.next(&mut actions, end) {
            // A run that is not recorded is worth nothing: no need to play on.
            if stop.is_stopped() || self.engine.sink.has_failed() {
                return steps;
            }
            let matters = match next {
                Next::Input(timed) => {
                    self.virtual_time.advance_to(timed.at);
                    self.input(&timed).await;
                    true
                }
                Next::Hollow(at) => {
                    self.virtual_time.advance_to(at);
                    self.hollow(at).await
                }
                Next::Eviction(eviction) => {
                    self.virtual_time.advance_to(eviction.at);
                    self.evict(&eviction).await;
                    true
                }
                Next::Refill(at) => {
                    self.virtual_time.advance_to(at);
                    self.refill(at).await;
                    true
                }
            };
            steps.taken += 1;
            if matters && let Err(reason) = self.rest().await {
                tracing::warn!("step {}: no rest after {PATIENCE:?}: {reason}", steps.taken);
                steps.restless += 1;
            }
            if steps.taken.is_multiple_of(200) {
                tracing::info!("lockstep: {} of {total} inputs played", total - actions.len());
            }
        }
        steps.complete = true;
        steps
    }

    /// What comes first in trace time. At one instant, what hollow nodes owe goes before what the control plane does,
    /// that before what controllers do, and that before an input.
    fn next(&self, actions: &mut VecDeque<TimedAction>, end: TraceTime) -> Option<Next> {
        self.engine.note_preempted();
        let refilled = self.engine.refills().next_due().unwrap_or(NEVER);
        let owed = self.engine.fleet().next_due().unwrap_or(NEVER);
        let evicted = self.evictions.borrow().next_due().unwrap_or(NEVER);
        let input = actions.front().map_or(NEVER, |input| input.at);
        let first = owed.min(evicted).min(refilled).min(input);
        if first > end {
            None
        } else if owed == first {
            Some(Next::Hollow(owed))
        } else if evicted == first {
            self.evictions.borrow_mut().pop().map(|eviction| Next::Eviction(Box::new(eviction)))
        } else if refilled == first {
            Some(Next::Refill(refilled))
        } else {
            actions.pop_front().map(|input| Next::Input(Box::new(input)))
        }
    }

    /// Makes the pod that its controller would.
    async fn refill(&self, at: TraceTime) {
        let due = self.engine.next_refill(at);
        if let Some((at, pod)) = due {
            self.input(&TimedAction { at, action: Action::CreatePod(pod) }).await;
        }
    }

    async fn input(&self, timed: &TimedAction) {
        let engine = &self.engine;
        let due = Due { trace: timed.at, run: engine.clock.now() };
        let (kind, key) = (timed.action.kind(), timed.action.key());
        engine.prepare(&timed.action);
        let requests = engine.requests(&timed.action);
        if requests.is_empty() {
            engine.report_moot(kind, &key, due);
        }
        for (n, request) in requests.into_iter().enumerate() {
            if n > 0 {
                // Each request may wake pods. That they find no rest shows after the last one too.
                let _ = self.rest().await;
            }
            let Some(answer) = engine.submitter.call(&key, request).await else { return };
            if n == 0 || answer.result.is_err() {
                engine.report(kind, &key, due, &answer);
            }
            if let (Some(id), Err(_)) = (timed.action.submits(), &answer.result) {
                engine.world.state().refused(id);
            }
            self.seen(&timed.action, &answer).await;
        }
        if matches!(kind, ActionKind::CreateNode | ActionKind::UpdateNode)
            && !engine.world.until(PATIENCE, WorldState::nodes_are_settled).await
        {
            tracing::warn!(
                "{key}: its taints do not follow from its conditions {PATIENCE:?} after the change"
            );
        }
        self.arm_evictions(&timed.action, timed.at);
    }

    /// A node that turns unhealthy, is tainted or goes away costs its pods their place, later.
    fn arm_evictions(&self, action: &Action, at: TraceTime) {
        let mut evictions = self.evictions.borrow_mut();
        let world = self.engine.world.state();
        match action {
            Action::UpdateNode { name, change } if change.ready.is_some() || change.taints.is_some() => {
                let node = world.nodes.get(name.as_str()).cloned().unwrap_or_default();
                let mut taints = NodeView(&node).chosen_taints();
                taints.extend(readiness_taints(NodeView(&node).ready()));
                evictions.tainted(name, at, &taints, &world.pods_on(name));
            }
            Action::DeleteNode { name } => evictions.orphaned(name, at, &world.pods_on(name)),
            _ => {}
        }
    }

    /// Does what the taint eviction controller or pod garbage collection would: says why, then deletes.
    async fn evict(&self, eviction: &Eviction) {
        let engine = &self.engine;
        let Eviction { at, key, uid, orphaned, .. } = eviction;
        let due = Due { trace: *at, run: engine.clock.now() };
        if engine
            .world
            .state()
            .pods
            .get(uid.as_str())
            .is_none_or(|pod| pod.deleting || pod.phase.is_terminal())
        {
            return;
        }
        let why = serde_json::json!({"metadata": {"uid": uid}, "status": {"conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": eviction.reason().to_string()}]}});
        let grace = orphaned.then_some(0);
        let requests = [
            Request::patch(&POD, key, Some("status"), PatchType::Strategic, &why),
            Request::delete(&POD, key, grace, Some(uid)),
        ];
        for request in requests {
            let Some(answer) = engine.submitter.call(key, request).await else { return };
            engine.report(ActionKind::EvictPod, key, due, &answer);
        }
        engine.world.until(PATIENCE, |w| w.pods.get(uid.as_str()).is_none_or(|pod| pod.deleting)).await;
    }

    /// Waits until the observer has seen what the answer says.
    async fn seen(&self, action: &Action, answer: &Answer) {
        let Ok(reply) = &answer.result else { return };
        let Some(rv) = reply.resource_version() else { return };
        let world = &self.engine.world;
        let arrived = match action.kind() {
            ActionKind::CreatePod | ActionKind::UpdatePod => {
                world.until(PATIENCE, |w| w.has_seen_pod(rv)).await
            }
            // The answer to a deletion shows the object before it: wait for the mark, or for its absence.
            ActionKind::DeletePod => {
                let uid = reply.body["metadata"]["uid"].as_str().unwrap_or_default();
                world.until(PATIENCE, |w| w.pods.get(uid).is_none_or(|pod| pod.deleting)).await
            }
            ActionKind::CreateNode | ActionKind::UpdateNode => {
                world.until(PATIENCE, |w| w.has_seen_node(rv)).await
            }
            ActionKind::DeleteNode => {
                let name = action.key().name;
                world.until(PATIENCE, |w| !w.nodes.contains_key(&name)).await
            }
            _ => true,
        };
        if !arrived {
            tracing::warn!("{}: not seen {PATIENCE:?} after it was accepted", action.key());
        }
    }

    /// Meets what a hollow node owes; says whether a scheduler could notice.
    async fn hollow(&self, at: TraceTime) -> bool {
        let engine = &self.engine;
        let fired = engine.fleet().fire_next(Instants { trace: at, wall: self.wall.next() });
        let Some(request) = fired else { return false };
        let due = engine.clock.now();
        let Some(answer) = engine.submitter.call(&request.key, request.request.clone()).await else {
            return false;
        };
        let outcome = answer.result.as_ref().map_or_else(|e| Outcome::of(e.status()), |_| Outcome::Done);
        // One try, as for every action of a step: what failed is in the reel.
        let outcome = if outcome == Outcome::Failed { Outcome::Refused } else { outcome };
        engine.fleet().answered(request.waiting().as_ref(), outcome, at);
        engine.report_hollow(&request, due, &answer);
        let rv = answer.result.as_ref().ok().and_then(Reply::resource_version);
        if request.action == Some(ActionKind::TerminatePod) {
            let uid = answer.result.ok().and_then(|r| r.body["metadata"]["uid"].as_text().cloned());
            let gone = |w: &WorldState| uid.as_ref().is_none_or(|uid| !w.pods.contains_key(uid));
            engine.world.until(PATIENCE, gone).await;
        } else if let Some(rv) = rv {
            engine.world.until(PATIENCE, |w| w.has_seen_pod(rv)).await;
        }
        request.action.is_some()
    }

    /// Meets all that hollow nodes owe at this instant of virtual time.
    pub(super) async fn settle_debts(&self) {
        let now = (self.engine.now)();
        while self.engine.fleet().next_due().is_some_and(|due| due <= now) {
            self.hollow(now).await;
        }
    }

    /// Waits until the scheduler is at rest.
    pub(super) async fn rest(&self) -> Result<(), String> {
        let mut reason = String::new();
        match tokio::time::timeout(PATIENCE, self.look_until_rest(&mut reason)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(reason),
        }
    }

    /// The server of the metrics gathers its families one by one: counters of events may be newer than the queues beside
    /// them, so that a pod which an event has just woken shows in neither. Two looks in a row cannot both miss it.
    async fn look_until_rest(&self, reason: &mut String) {
        let (mut lagging, mut calm) = (0, false);
        loop {
            match self.probe.look().await {
                Ok(view) => {
                    let world = self.engine.world.state();
                    let slack = self.slack.get();
                    match view.restless(&world, &self.scheduler, &self.baseline, slack) {
                        None if calm => {
                            self.slack.set(slack.tightened(view.lag(&world), self.floor));
                            return;
                        }
                        None => {
                            calm = true;
                            continue;
                        }
                        Some(Restless::Lagging) if lagging == LAG_LOOKS => {
                            self.slack.set(view.lag(&world));
                        }
                        Some(Restless::Lagging) => lagging += 1,
                        Some(other) => {
                            lagging = 0;
                            *reason = other.to_string();
                        }
                    }
                }
                Err(error) => *reason = error.to_string(),
            }
            calm = false;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
