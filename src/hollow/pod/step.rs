//! What each input does to a pod.

use std::time::Duration;

use super::admission::Rejection;
use super::container::{Container, ContainerState, Exit, Probed};
use super::life::{Habits, Obligation, PodEffect, PodInput, PodLife, Stage, Told};
use super::restart::AfterExit;
use super::shape::PodShape;
use super::stop::{KILLED, Stop, longest, stops};
use crate::hollow::behaviour::PodBehaviour;
use crate::model::{Phase, TraceTime};

/// How soon a kubelet sees that containers are down which it starts again (`pkg/kubelet/kubelet.go`, v1.37.2,
/// `genericPlegRelistPeriod`).
const RELIST: Duration = Duration::from_secs(1);

/// One step in the making.
pub(super) struct Step<'a> {
    pub(super) life: &'a mut PodLife,
    pub(super) now: TraceTime,
    pub(super) how: &'a PodBehaviour,
    pub(super) shape: &'a PodShape,
    pub(super) habits: Habits,
    pub(super) effects: Vec<PodEffect>,
}

impl Step<'_> {
    /// What follows from an input.
    pub(super) fn of(mut self, input: PodInput) -> Vec<PodEffect> {
        self.take(input);
        self.effects
    }

    fn take(&mut self, input: PodInput) {
        match (self.life.stage, input) {
            (Stage::Starting, PodInput::Bound) => {
                self.arm(Obligation::Admit, Duration::ZERO);
                self.arm(Obligation::Start, self.how.start_latency);
            }
            (Stage::Starting, PodInput::Rejected(rejection)) => {
                self.life.reason = Some(Box::new(rejection));
                self.end(Phase::Failed);
            }
            (Stage::Starting, PodInput::Resumed(phase)) => self.resumed(phase),
            (Stage::Starting, PodInput::Due(Obligation::Admit, wall)) => self.admit(wall),
            (Stage::Starting, PodInput::Due(Obligation::Start, wall)) => {
                self.life.has_sandbox = true;
                self.life.start_time.get_or_insert(wall);
                if self.habits.reports_steps {
                    self.life.stage = Stage::Sandboxed;
                    self.effects.push(PodEffect::Report);
                } else {
                    self.start_containers(wall);
                }
            }
            (Stage::Sandboxed, PodInput::Due(Obligation::Reported, wall)) => self.start_containers(wall),
            (Stage::Down, PodInput::Due(Obligation::Reported, _)) => {
                self.life.stage = Stage::Removed;
                self.effects.extend([PodEffect::Report, PodEffect::Remove]);
            }
            (_, PodInput::Gates(open)) if open != self.life.gates => {
                self.life.gates = open;
                if self.life.stage == Stage::Running {
                    self.effects.push(PodEffect::Report);
                }
            }
            (
                Stage::Initializing | Stage::Running,
                PodInput::Due(Obligation::Exit { container, restarts }, wall),
            ) => self.exit(container, restarts, wall),
            (
                Stage::Initializing | Stage::Running,
                PodInput::Due(Obligation::Probe { container, restarts, probed }, wall),
            ) => self.probe(container, restarts, probed, wall),
            (
                Stage::Initializing | Stage::Running,
                PodInput::Due(Obligation::Restart { container, restarts }, wall),
            ) => {
                let waits = |c: &mut Container| c.state == ContainerState::BackingOff;
                if self.run_of(container, restarts).is_some_and(waits) {
                    self.restart(usize::from(container), wall);
                }
            }
            (
                Stage::Starting | Stage::Sandboxed | Stage::Initializing | Stage::Running,
                PodInput::Due(Obligation::Deadline, wall),
            ) => {
                self.stop_all(KILLED, wall);
                self.life.reason = Some(Box::new(Rejection {
                    reason: "DeadlineExceeded".to_owned(),
                    message: "Pod was active on the node longer than the specified deadline".to_owned(),
                }));
                self.end(Phase::Failed);
            }
            (Stage::Running, PodInput::Due(Obligation::Finish, wall)) => self.finish(wall),
            (Stage::Down | Stage::Removed, _) => {}
            (_, PodInput::DeletionAsked(grace)) => self.terminate_within(grace),
            (Stage::Terminating { grace, .. }, PodInput::Due(Obligation::Terminate, wall)) => {
                self.remove(grace, wall);
            }
            _ => {}
        }
    }

    /// A container, if it was started again so many times: what was armed before another start is void.
    fn run_of(&mut self, container: u16, restarts: u32) -> Option<&mut Container> {
        let container = self.life.containers.get_mut(usize::from(container));
        container.filter(|container| container.restarts == restarts)
    }

    fn arm(&mut self, obligation: Obligation, after: Duration) {
        self.effects.push(PodEffect::Arm(obligation, self.now + after));
    }

    fn tell(&mut self, told: Told, container: usize) {
        if self.habits.posts_events {
            self.effects.push(PodEffect::Tell(told, container as u16));
        }
    }

    fn resumed(&mut self, phase: Phase) {
        self.life.phase = phase;
        if phase.is_terminal() {
            self.life.stage = Stage::Ended;
            return;
        }
        self.life.stage = Stage::Running;
        self.arm_ends();
        for n in self.shape.inits..self.shape.containers.len() {
            self.arm_exit(n);
        }
    }

    fn admit(&mut self, wall: i64) {
        self.life.start_time = Some(wall);
        if self.habits.reports_admission || !self.how.start_latency.is_zero() {
            self.effects.push(PodEffect::Report);
        }
        if let Some(seconds) = self.shape.deadline {
            self.arm(Obligation::Deadline, Duration::from_secs(seconds));
        }
    }

    fn start_containers(&mut self, wall: i64) {
        if self.life.containers.is_empty() {
            self.life.containers = vec![Container::NEW; self.shape.containers.len()].into();
        }
        self.initialize(0, wall);
    }

    /// Runs the init containers from the `first` on, in their order, up to one that takes time; then starts the rest.
    fn initialize(&mut self, first: usize, wall: i64) {
        for n in first..self.shape.inits {
            self.start(n, wall);
            let is_sidecar = self.shape.containers[n].is_sidecar;
            let is_through =
                if is_sidecar { self.life.containers[n].is_started() } else { !self.how.init.takes_time() };
            if !is_through {
                self.life.stage = Stage::Initializing;
                self.effects.push(PodEffect::Report);
                return;
            }
            if !is_sidecar {
                self.life.containers[n].stop(0, wall);
            }
        }
        for n in self.shape.inits..self.shape.containers.len() {
            self.start(n, wall);
        }
        self.life.stage = Stage::Running;
        self.life.phase = Phase::Running;
        self.effects.push(PodEffect::Report);
        self.arm_ends();
    }

    fn arm_ends(&mut self) {
        if let Some(run) = &self.how.run {
            self.arm(Obligation::Finish, run.after);
        }
    }

    fn start(&mut self, n: usize, wall: i64) {
        self.life.containers[n].state = ContainerState::Running(wall);
        for told in [Told::Pulled, Told::Created, Told::Started] {
            self.tell(told, n);
        }
        self.arm_exit(n);
        self.arm_probes(n);
    }

    fn arm_probes(&mut self, n: usize) {
        let shape = &self.shape.containers[n];
        let restarts = self.life.containers[n].restarts;
        let probes = [(Probed::Started, shape.started_after), (Probed::Ready, shape.ready_after)];
        // One that comes at once with the next is seen with it.
        let seen = usize::from(shape.started_after == shape.ready_after);
        self.life.containers[n].probed = Probed::Nothing;
        for (probed, after) in probes.into_iter().skip(seen) {
            if after.is_zero() || !self.habits.probes_and_hooks {
                self.life.containers[n].probed = probed;
            } else {
                self.arm(Obligation::Probe { container: n as u16, restarts, probed }, after);
            }
        }
    }

    fn probe(&mut self, n: u16, restarts: u32, probed: Probed, wall: i64) {
        let Some(container) = self.run_of(n, restarts) else { return };
        if !container.is_running() || container.probed >= probed {
            return;
        }
        let was_started = container.is_started();
        container.probed = probed;
        if self.life.stage == Stage::Initializing && !was_started {
            self.initialize(usize::from(n) + 1, wall);
        } else {
            self.effects.push(PodEffect::Report);
        }
    }

    fn arm_exit(&mut self, n: usize) {
        let is_init = n < self.shape.inits;
        let run = if self.shape.containers[n].is_sidecar {
            None
        } else if is_init {
            Some(self.how.init).filter(|run| run.takes_time())
        } else {
            self.how.exit
        };
        if let Some(run) = run {
            let restarts = self.life.containers[n].restarts;
            self.arm(Obligation::Exit { container: n as u16, restarts }, run.after);
        }
    }

    fn exit(&mut self, container: u16, restarts: u32, wall: i64) {
        let n = usize::from(container);
        let is_init = n < self.shape.inits;
        let run = if is_init { self.how.init } else { self.how.exit.unwrap_or_default() };
        let code = run.code(restarts);
        let Some(container) = self.run_of(container, restarts) else { return };
        let ContainerState::Running(from) = container.state else { return };
        container.stop(code, wall);
        match self.shape.containers[n].restarts.after(code) {
            AfterExit::RestartsAll => self.restart_all(wall),
            AfterExit::Restarts => self.crash(n, from, code, wall),
            AfterExit::Stays if is_init && code == 0 => self.initialize(n + 1, wall),
            AfterExit::Stays => self.settle(wall),
        }
    }

    /// A container exited and will be started again, now or after a while.
    fn crash(&mut self, n: usize, from: i64, code: i32, wall: i64) {
        let container = &mut self.life.containers[n];
        let wait = container.backoff(wall - from);
        if wait.is_zero() {
            return self.restart(n, wall);
        }
        container.last = Some(Exit { code, from, until: wall });
        container.state = ContainerState::BackingOff;
        let restarts = container.restarts;
        self.effects.push(PodEffect::Report);
        self.tell(Told::BackOff, n);
        self.arm(Obligation::Restart { container: n as u16, restarts }, wait);
    }

    fn restart(&mut self, n: usize, wall: i64) {
        self.life.containers[n].reset();
        self.effects.push(PodEffect::Report);
        self.start(n, wall);
    }

    /// Stops all containers without grace; what follows is as at the start.
    fn restart_all(&mut self, wall: i64) {
        self.tell_killing();
        self.stop_all(KILLED, wall);
        self.life.containers.iter_mut().for_each(Container::reset);
        self.life.stage = Stage::Starting;
        self.effects.push(PodEffect::Report);
        self.arm(Obligation::Start, RELIST);
    }

    /// Looks whether anything is left to run.
    fn settle(&mut self, wall: i64) {
        let inits = self.shape.inits;
        let failed_init = self.life.stage == Stage::Initializing;
        let main = &self.life.containers[inits..];
        if !failed_init && main.iter().any(|container| container.exit_code().is_none()) {
            self.effects.push(PodEffect::Report);
            return;
        }
        let failed = failed_init || main.iter().any(|container| container.exit_code() != Some(0));
        // Sidecars go last, and are asked to.
        self.stop_all(0, wall);
        self.end(if failed { Phase::Failed } else { Phase::Succeeded });
    }

    fn stop_all(&mut self, code: i32, wall: i64) {
        for container in &mut self.life.containers {
            container.stop(code, wall);
        }
    }

    fn end(&mut self, phase: Phase) {
        self.life.phase = phase;
        self.life.stage = Stage::Ended;
        self.effects.push(PodEffect::ReportEnd);
    }

    /// The recorded end: containers as they were recorded, or as the phase has it.
    fn finish(&mut self, wall: i64) {
        let Some(run) = &self.how.run else { return };
        let default = i32::from(run.phase == Phase::Failed);
        for (container, shape) in self.life.containers.iter_mut().zip(&self.shape.containers) {
            let recorded = run.containers.iter().find(|c| shape.name == c.name);
            container.stop(recorded.map_or(default, |c| c.exit_code as i32), wall);
            container.restarts = recorded.map_or(container.restarts, |c| c.restarts as u32);
        }
        self.end(run.phase);
    }

    fn tell_killing(&mut self) {
        for n in 0..self.life.containers.len() {
            if self.life.containers[n].is_running() {
                self.tell(Told::Killing, n);
            }
        }
    }

    fn stops(&self, grace: Duration) -> Vec<Option<Stop>> {
        stops(&self.life.containers, self.shape, self.how.termination, grace)
    }

    fn terminate_within(&mut self, grace: Duration) {
        let after = match self.life.stage {
            Stage::Ended | Stage::Down | Stage::Removed => Duration::ZERO,
            _ if self.habits.probes_and_hooks => longest(&self.stops(grace)),
            _ => self.how.termination.min(grace),
        };
        let at = self.now + after;
        match self.life.stage {
            // A later request may shorten the grace period, never extend it.
            Stage::Terminating { at: before, .. } if before <= at => return,
            Stage::Terminating { .. } => {}
            _ => {
                self.tell_killing();
                if self.habits.reports_steps {
                    self.effects.push(PodEffect::Report);
                }
            }
        }
        self.life.stage = Stage::Terminating { at, grace };
        self.effects.push(PodEffect::Arm(Obligation::Terminate, at));
    }

    fn remove(&mut self, grace: Duration, wall: i64) {
        self.life.stage = Stage::Removed;
        if self.habits.reports_termination && self.life.is_active() {
            for (n, stop) in self.stops(grace).into_iter().enumerate() {
                if let Some(stop) = stop {
                    self.life.containers[n].stop(stop.code, wall);
                }
            }
            // A container that was never started counts as failed (`pkg/kubelet/kubelet_pods.go`, v1.37.2,
            // `convertStatusToAPIStatus`: `ContainerStatusUnknown`).
            let main = self.life.containers.get(self.shape.inits..).unwrap_or_default();
            let all = !main.is_empty() && main.iter().all(|container| container.exit_code() == Some(0));
            self.life.phase = if all { Phase::Succeeded } else { Phase::Failed };
            self.effects.push(PodEffect::Report);
            if self.habits.reports_steps {
                self.life.stage = Stage::Down;
                return;
            }
        }
        self.effects.push(PodEffect::Remove);
    }
}
