//! The life of a pod: what happens to it, and what its node does about that. Pure: input and time in, effects out.

use std::time::Duration;

use super::admission::Rejection;
use super::shape::{PodShape, RestartPolicy};
use crate::hollow::behaviour::PodBehaviour;
use crate::model::{Phase, TraceTime};

/// Back-off of restarts (`pkg/kubelet/kubelet.go`, v1.37.2: `initialCrashLoopBackOff`, `MaxCrashLoopBackOff`); a
/// container that ran for twice the longest starts anew.
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
const LONGEST_BACKOFF: Duration = Duration::from_mins(5);

/// What a container gets when it does not stop in time: 128 + SIGKILL.
const KILLED: i32 = 137;

/// What a hollow node does besides the least that a pod needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each habit is there or not, whatever the others are")]
pub struct Habits {
    /// Gets a pod before it patches its status, as the kubelet's status manager does.
    pub reads_first: bool,
    /// Reports a pod that it took in even if that pod runs a moment later.
    pub reports_admission: bool,
    /// Reports how the containers of a deleted pod ended before it removes the pod.
    pub reports_termination: bool,
    /// Reports each step on its own, as kubelets do: the sandbox before the containers, that a deletion was seen, and
    /// a last time after the containers were cleaned up.
    pub reports_steps: bool,
    /// Posts events.
    pub posts_events: bool,
    /// Rejects pods that do not fit.
    pub admits: bool,
    /// Calls containers ready only when their probes would have succeeded.
    pub probes: bool,
}

/// What a hollow node owes a pod at a later instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::hollow) enum Obligation {
    /// Report that it was taken in: from then on it has a start time.
    Admit,
    /// Start its containers.
    Start,
    /// A container ends its run, the one after so many restarts.
    Exit { container: u16, restarts: u32 },
    /// A container is ready, the one after so many restarts.
    Ready { container: u16, restarts: u32 },
    /// A container is started again.
    Restart { container: u16 },
    /// Its active deadline.
    Deadline,
    /// The recorded end of the pod.
    Finish,
    /// Its containers are down: remove it.
    Terminate,
    /// Try a report again that did not get through.
    Retry,
    /// The API has its status as it is: go on with the next step.
    Reported,
}

/// What happens to a pod.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::hollow) enum PodInput {
    /// It was bound to the node.
    Bound,
    /// It does not fit.
    Rejected(Rejection),
    /// It was there before this process, in this phase.
    Resumed(Phase),
    /// Its deletion was asked for, with this grace period.
    DeletionAsked(Duration),
    /// Some of its readiness gates are open, as bits.
    Gates(u32),
    /// An obligation has come due, at this wall-clock second.
    Due(Obligation, i64),
}

/// What a kubelet tells about a container, as an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hollow) enum Told {
    /// Its image is there.
    Pulled,
    /// It was made.
    Created,
    /// It runs.
    Started,
    /// It is being stopped.
    Killing,
    /// It failed and has to wait.
    BackOff,
}

/// What the node does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hollow) enum PodEffect {
    /// Report the status as it is now.
    Report,
    /// The same, and it is the pod's end.
    ReportEnd,
    /// Post an event about a container.
    Tell(Told, u16),
    /// Delete it from the API, without grace.
    Remove,
    /// Come back at an instant.
    Arm(Obligation, TraceTime),
}

/// Where a pod stands on its hollow node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hollow) enum Stage {
    /// Bound, containers not up yet.
    Starting,
    /// Its sandbox is up and being reported; containers come next.
    Sandboxed,
    /// An init container runs, or waits to be restarted.
    Initializing,
    /// Containers are up.
    Running,
    /// Succeeded or Failed, still in the API.
    Ended,
    /// A deletion was asked for; the containers are down at that instant.
    Terminating(TraceTime),
    /// Its containers are down, which is being reported; cleaning up comes next.
    Down,
    /// The removal was sent.
    Removed,
}

/// How a run of a container ended. Wall-clock seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hollow) struct Exit {
    pub(super) code: i32,
    pub(super) from: i64,
    pub(super) until: i64,
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hollow) enum ContainerState {
    /// It was not started yet.
    Waiting,
    /// It runs since then.
    Running(i64),
    /// It failed and waits to be started again.
    BackingOff,
    /// It is over.
    Exited(Exit),
}

/// A container's state and history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hollow) struct Container {
    pub(super) state: ContainerState,
    pub(super) restarts: u32,
    /// The run before.
    pub(super) last: Option<Exit>,
    /// Restarts since it last ran for long.
    crashes: u32,
    /// Its probes succeed while it runs.
    probed: bool,
}

impl Container {
    const NEW: Container =
        Container { state: ContainerState::Waiting, restarts: 0, last: None, crashes: 0, probed: true };

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running(_))
    }

    pub(super) fn is_ready(&self) -> bool {
        self.is_running() && self.probed
    }

    fn exit_code(&self) -> Option<i32> {
        if let ContainerState::Exited(exit) = self.state { Some(exit.code) } else { None }
    }

    /// Ends a run; whatever does not run stays as it is.
    fn stop(&mut self, code: i32, wall: i64) {
        if let ContainerState::Running(from) = self.state {
            self.state = ContainerState::Exited(Exit { code, from, until: wall });
        }
    }

    /// How long it waits before the next start: not at all after its first crash.
    fn backoff(&mut self, ran: i64) -> Duration {
        if Duration::from_secs(ran.unsigned_abs()) >= 2 * LONGEST_BACKOFF {
            self.crashes = 0;
        }
        let doublings = self.crashes;
        self.crashes += 1;
        let wait = match doublings {
            0 => Duration::ZERO,
            n => FIRST_BACKOFF.saturating_mul(1 << (n - 1).min(10)),
        };
        wait.min(LONGEST_BACKOFF)
    }
}

/// A pod's life so far.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::hollow) struct PodLife {
    pub(in crate::hollow) stage: Stage,
    pub(in crate::hollow) phase: Phase,
    /// In the order of the shape; none before the start.
    pub(super) containers: Box<[Container]>,
    /// Wall-clock second of the admission.
    pub(super) start_time: Option<i64>,
    /// Whether it has a sandbox with addresses.
    pub(super) has_sandbox: bool,
    /// Open readiness gates, as bits.
    pub(super) gates: u32,
    /// Why it failed as a whole.
    pub(super) reason: Option<Box<Rejection>>,
}

impl PodLife {
    /// A pod that was just bound.
    pub(in crate::hollow) fn new() -> PodLife {
        PodLife {
            stage: Stage::Starting,
            phase: Phase::Pending,
            containers: Box::default(),
            start_time: None,
            has_sandbox: false,
            gates: 0,
            reason: None,
        }
    }

    /// A pod that a process before this one brought up. `restarts` are those of its containers.
    pub(in crate::hollow) fn resume(&mut self, shape: &PodShape, start_time: i64, restarts: &[u32]) {
        let container = |n: usize| Container {
            state: if n < shape.inits && !shape.containers[n].is_sidecar {
                ContainerState::Exited(Exit { code: 0, from: start_time, until: start_time })
            } else {
                ContainerState::Running(start_time)
            },
            restarts: n.checked_sub(shape.inits).and_then(|n| restarts.get(n)).copied().unwrap_or(0),
            ..Container::NEW
        };
        self.containers = (0..shape.containers.len()).map(container).collect();
        self.start_time = Some(start_time);
        self.has_sandbox = true;
    }

    /// Whether it uses up resources of its node.
    pub(in crate::hollow) fn is_active(&self) -> bool {
        !self.phase.is_terminal()
    }

    /// One step. Inputs that do not fit the state (a finish after a deletion) change nothing.
    pub(in crate::hollow) fn step(
        &mut self,
        input: PodInput,
        now: TraceTime,
        how: &PodBehaviour,
        shape: &PodShape,
        habits: Habits,
    ) -> Vec<PodEffect> {
        let mut step = Step { life: self, now, how, shape, habits, effects: Vec::new() };
        step.take(input);
        step.effects
    }
}

/// One step in the making.
struct Step<'a> {
    life: &'a mut PodLife,
    now: TraceTime,
    how: &'a PodBehaviour,
    shape: &'a PodShape,
    habits: Habits,
    effects: Vec<PodEffect>,
}

impl Step<'_> {
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
            ) => self.exit(usize::from(container), restarts, wall),
            (
                Stage::Initializing | Stage::Running,
                PodInput::Due(Obligation::Ready { container, restarts }, _),
            ) => self.ready(usize::from(container), restarts),
            (
                Stage::Initializing | Stage::Running,
                PodInput::Due(Obligation::Restart { container }, wall),
            ) => {
                self.restart(usize::from(container), wall);
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
            (Stage::Terminating(_), PodInput::Due(Obligation::Terminate, wall)) => self.remove(wall),
            _ => {}
        }
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
        self.life.containers = vec![Container::NEW; self.shape.containers.len()].into();
        self.initialize(0, wall);
    }

    /// Runs the init containers from the `first` on, in their order, up to one that takes time; then starts the rest.
    fn initialize(&mut self, first: usize, wall: i64) {
        for n in first..self.shape.inits {
            self.start(n, wall);
            if self.shape.containers[n].is_sidecar {
                continue;
            }
            if !self.how.init.after.is_zero() || self.how.init.code(0) != 0 {
                self.life.stage = Stage::Initializing;
                self.effects.push(PodEffect::Report);
                return;
            }
            self.life.containers[n].stop(0, wall);
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
        let after = self.shape.containers[n].ready_after;
        let container = &mut self.life.containers[n];
        container.probed = after.is_zero() || !self.habits.probes;
        if !container.probed {
            let restarts = container.restarts;
            self.arm(Obligation::Ready { container: n as u16, restarts }, after);
        }
    }

    fn ready(&mut self, n: usize, restarts: u32) {
        let Some(container) = self.life.containers.get_mut(n) else { return };
        if container.is_running() && container.restarts == restarts && !container.probed {
            container.probed = true;
            self.effects.push(PodEffect::Report);
        }
    }

    fn arm_exit(&mut self, n: usize) {
        let is_init = n < self.shape.inits;
        let run = if self.shape.containers[n].is_sidecar {
            None
        } else if is_init {
            Some(self.how.init).filter(|run| !run.after.is_zero() || run.code(0) != 0)
        } else {
            self.how.exit
        };
        if let Some(run) = run {
            let restarts = self.life.containers[n].restarts;
            self.arm(Obligation::Exit { container: n as u16, restarts }, run.after);
        }
    }

    fn exit(&mut self, n: usize, restarts: u32, wall: i64) {
        let Some(container) = self.life.containers.get_mut(n) else { return };
        let ContainerState::Running(from) = container.state else { return };
        if container.restarts != restarts {
            return;
        }
        let is_init = n < self.shape.inits;
        let run = if is_init { self.how.init } else { self.how.exit.unwrap_or_default() };
        let code = run.code(restarts);
        container.stop(code, wall);
        // An init container that succeeds is done, whatever the policy.
        let policy = match self.shape.restart {
            RestartPolicy::Always if is_init => RestartPolicy::OnFailure,
            policy => policy,
        };
        if policy.restarts(code) {
            self.crash(n, from, code, wall);
        } else if is_init && code == 0 {
            self.initialize(n + 1, wall);
        } else {
            self.settle(wall);
        }
    }

    /// A container exited and will be started again, now or after a while.
    fn crash(&mut self, n: usize, from: i64, code: i32, wall: i64) {
        let wait = self.life.containers[n].backoff(wall - from);
        if wait.is_zero() {
            return self.restart(n, wall);
        }
        let container = &mut self.life.containers[n];
        container.last = Some(Exit { code, from, until: wall });
        container.state = ContainerState::BackingOff;
        self.effects.push(PodEffect::Report);
        self.tell(Told::BackOff, n);
        self.arm(Obligation::Restart { container: n as u16 }, wait);
    }

    fn restart(&mut self, n: usize, wall: i64) {
        let Some(container) = self.life.containers.get_mut(n) else { return };
        match container.state {
            ContainerState::Exited(exit) => container.last = Some(exit),
            ContainerState::BackingOff => {}
            ContainerState::Waiting | ContainerState::Running(_) => return,
        }
        container.restarts += 1;
        self.effects.push(PodEffect::Report);
        self.start(n, wall);
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

    fn terminate_within(&mut self, grace: Duration) {
        let is_up = matches!(
            self.life.stage,
            Stage::Starting | Stage::Sandboxed | Stage::Initializing | Stage::Running
        );
        let after = if is_up || matches!(self.life.stage, Stage::Terminating(_)) {
            self.how.termination.min(grace)
        } else {
            Duration::ZERO
        };
        let at = self.now + after;
        match self.life.stage {
            // A later request may shorten the grace period, never extend it.
            Stage::Terminating(before) if before <= at => return,
            Stage::Terminating(_) => {}
            _ => {
                let running = |n: &usize| self.life.containers[*n].is_running();
                let running: Vec<usize> = (0..self.life.containers.len()).filter(running).collect();
                for n in running {
                    self.tell(Told::Killing, n);
                }
                if self.habits.reports_steps {
                    self.effects.push(PodEffect::Report);
                }
            }
        }
        self.life.stage = Stage::Terminating(at);
        self.effects.push(PodEffect::Arm(Obligation::Terminate, at));
    }

    fn remove(&mut self, wall: i64) {
        self.life.stage = Stage::Removed;
        if self.habits.reports_termination && self.life.is_active() {
            self.stop_all(0, wall);
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
