//! The life of a pod: what happens to it, and what its node does about that. Pure: input and time in, effects out.

use std::time::Duration;

use super::admission::Rejection;
use super::container::{Container, ContainerState, Exit, Probed};
use super::shape::PodShape;
use super::step::Step;
use crate::hollow::behaviour::PodBehaviour;
use crate::model::{Phase, TraceTime};

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
    /// Takes the time that probes and hooks of the spec take; in what was recorded it is contained.
    pub probes_and_hooks: bool,
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
    /// A container's probes have come so far, of the one after so many restarts.
    Probe { container: u16, restarts: u32, probed: Probed },
    /// A container is started again, the one after so many restarts.
    Restart { container: u16, restarts: u32 },
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
    /// Containers are not up yet, or all down to be started again.
    Starting,
    /// Its sandbox is up and being reported; containers come next.
    Sandboxed,
    /// An init container runs, or waits to be restarted.
    Initializing,
    /// Containers are up.
    Running,
    /// Succeeded or Failed, still in the API.
    Ended,
    /// A deletion was asked for, with this grace period; the containers are down at that instant.
    Terminating { at: TraceTime, grace: Duration },
    /// Its containers are down, which is being reported; cleaning up comes next.
    Down,
    /// The removal was sent.
    Removed,
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
        Step { life: self, now, how, shape, habits, effects: Vec::new() }.of(input)
    }
}
