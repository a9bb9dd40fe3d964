//! One container: what it does, and how its runs ended.

use std::time::Duration;

/// Back-off of restarts (`pkg/kubelet/kubelet.go`, v1.37.2: `initialCrashLoopBackOff`, `MaxCrashLoopBackOff`); a
/// container that ran for twice the longest starts anew.
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
const LONGEST_BACKOFF: Duration = Duration::from_mins(5);

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

/// Which probes have succeeded in the run that a container is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::hollow) enum Probed {
    /// None that it has.
    Nothing,
    /// The startup probe, or it has none.
    Started,
    /// The readiness probe as well.
    Ready,
}

/// A container's state and history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hollow) struct Container {
    pub(super) state: ContainerState,
    pub(super) restarts: u32,
    /// The run before.
    pub(super) last: Option<Exit>,
    /// Counts while it runs.
    pub(super) probed: Probed,
    /// Restarts since it last ran for long.
    pub(super) crashes: u32,
}

impl Container {
    pub(super) const NEW: Container = Container {
        state: ContainerState::Waiting,
        restarts: 0,
        last: None,
        probed: Probed::Ready,
        crashes: 0,
    };

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running(_))
    }

    pub(super) fn is_started(&self) -> bool {
        self.is_running() && self.probed >= Probed::Started
    }

    pub(super) fn is_ready(&self) -> bool {
        self.is_running() && self.probed == Probed::Ready
    }

    pub(super) fn exit_code(&self) -> Option<i32> {
        if let ContainerState::Exited(exit) = self.state { Some(exit.code) } else { None }
    }

    /// Ends a run; whatever does not run stays as it is.
    pub(super) fn stop(&mut self, code: i32, wall: i64) {
        if let ContainerState::Running(from) = self.state {
            self.state = ContainerState::Exited(Exit { code, from, until: wall });
        }
    }

    /// Makes it wait for its next run.
    pub(super) fn reset(&mut self) {
        match self.state {
            ContainerState::Exited(exit) => self.last = Some(exit),
            ContainerState::BackingOff => {}
            ContainerState::Waiting | ContainerState::Running(_) => return,
        }
        self.state = ContainerState::Waiting;
        self.restarts += 1;
    }

    /// How long it waits before the next start: not at all after its first crash.
    pub(super) fn backoff(&mut self, ran: i64) -> Duration {
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
