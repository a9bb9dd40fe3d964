//! Lockstep mode: one action at a time, each only after the scheduler has come to rest from the last one. Trace
//! time is virtual here: it jumps from action to action, and what hollow nodes owe their pods (a finish after the
//! run time, the end of a termination) takes its place in the same order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::engine::{Due, Engine};
use super::plan::{Action, TimedAction};
use super::scheduler::{Baseline, SchedulerProbe};
use super::world::WorldState;
use crate::hollow::Instants;
use crate::k8s::Answer;
use crate::model::{ActionKind, TraceTime};
use crate::pace::{ManualClock, Stop};

/// How long a step may take to come to rest. Pods wait in the back-off queue for up to
/// `podMaxBackoffSeconds`, 10 s by default.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two looks at the scheduler.
const LOOK_AGAIN: Duration = Duration::from_millis(4);

/// How long a pod may be nominated without a victim going down: its node may have become free by itself.
const NOMINATION: Duration = Duration::from_millis(300);

/// A run in lockstep.
pub(super) struct Lockstep {
    pub(super) engine: Engine,
    pub(super) virtual_time: Arc<ManualClock>,
    pub(super) probe: SchedulerProbe,
    pub(super) scheduler: String,
    pub(super) baseline: Baseline,
    /// What hollow nodes show as wall clock.
    pub(super) wall: StepWall,
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
}

impl Lockstep {
    /// Plays all actions and all that hollow nodes owe up to `end`.
    pub(super) async fn play(&self, actions: Vec<TimedAction>, end: TraceTime, stop: &Stop) -> Steps {
        let total = actions.len();
        let mut actions = VecDeque::from(actions);
        let mut steps = Steps::default();
        while let Some(next) = self.next(&mut actions, end) {
            if stop.is_stopped() {
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

    /// What comes first in trace time. What hollow nodes owe goes before an input of the same instant.
    fn next(&self, actions: &mut VecDeque<TimedAction>, end: TraceTime) -> Option<Next> {
        let owed = self.engine.fleet().next_due().filter(|at| *at <= end);
        match (owed, actions.front()) {
            (Some(owed), Some(input)) if owed <= input.at => Some(Next::Hollow(owed)),
            (Some(owed), None) => Some(Next::Hollow(owed)),
            _ => actions.pop_front().map(|input| Next::Input(Box::new(input))),
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
            let Some(answer) = engine.submitter.call(&key, request).await else { return };
            if n == 0 || answer.result.is_err() {
                engine.report(kind, &key, due, &answer);
            }
            self.seen(&timed.action, &answer).await;
        }
    }

    /// Waits until the observer has seen what the answer says.
    async fn seen(&self, action: &Action, answer: &Answer) {
        let Ok(reply) = &answer.result else { return };
        let rv = reply.body["metadata"]["resourceVersion"].as_str().and_then(|rv| rv.parse().ok());
        let Some(rv) = rv else { return };
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
                world.until(PATIENCE, |w| w.has_seen_node(rv) && w.nodes_are_settled()).await
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
        engine.report_hollow(&request, due, &answer);
        let rv = answer.result.as_ref().ok().and_then(|reply| {
            reply.body["metadata"]["resourceVersion"].as_str().and_then(|rv| rv.parse::<u64>().ok())
        });
        if request.action == Some(ActionKind::TerminatePod) {
            let uid = answer.result.ok().and_then(|r| r.body["metadata"]["uid"].as_str().map(str::to_owned));
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
        let wait = async {
            loop {
                match self.probe.look().await {
                    Ok(view) => {
                        let restless =
                            view.restless(&self.engine.world.state(), &self.scheduler, &self.baseline);
                        match restless {
                            None => break,
                            Some(why) => why.clone_into(&mut reason),
                        }
                    }
                    Err(error) => reason = error.to_string(),
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            self.victims_are_going().await;
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(()) => Ok(()),
            Err(_) => Err(reason),
        }
    }

    /// A preemptor is marked before its victims are deleted, by goroutines of their own since 1.32: waits until
    /// every nominated pod has a victim going down on its node.
    async fn victims_are_going(&self) {
        let none_pending = |w: &WorldState| {
            w.pending(&self.scheduler)
                .filter_map(|pod| pod.nominated.as_deref())
                .all(|node| w.pods.values().any(|pod| pod.deleting && pod.node.as_deref() == Some(node)))
        };
        self.engine.world.until(NOMINATION, none_pending).await;
    }
}
