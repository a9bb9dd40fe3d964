use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::model::{RunPhase, TraceTime};

type Look = Box<dyn Fn() -> RunSnapshot + Send + Sync>;

/// Tells others how a run is going. Clones tell of the same run.
#[derive(Clone, Default)]
pub struct RunStatus(Arc<OnceLock<Look>>);

/// How a run is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSnapshot {
    /// Where it is.
    pub phase: RunPhase,
    /// How much of the trace has played.
    pub played: Duration,
    /// How much trace there is.
    pub span: Duration,
    /// Inputs that were handed over.
    pub handed_over: u64,
    /// Inputs of the plan.
    pub inputs: u64,
    /// Pods that wait for a scheduler.
    pub pending: usize,
    /// Pods on a node that have not ended.
    pub bound: usize,
    /// Requests without an answer.
    pub open: usize,
    /// How late the latest of the actions was that were answered since the last look.
    pub late: Duration,
}

impl std::fmt::Debug for RunStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RunStatus").field(&self.0.get().map(|look| look())).finish()
    }
}

impl RunStatus {
    /// How it is going; `None` before it has begun.
    pub fn snapshot(&self) -> Option<RunSnapshot> {
        self.0.get().map(|look| look())
    }

    /// Says where to look. A run that follows on the same status is not seen.
    pub(super) fn begin(&self, look: impl Fn() -> RunSnapshot + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(look));
    }
}

/// What a run counts for its [`RunSnapshot`].
#[derive(Debug)]
pub(super) struct Tally {
    phase: Mutex<RunPhase>,
    handed_over: AtomicU64,
    unanswered: AtomicU64,
    late: AtomicU64,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            phase: Mutex::new(RunPhase::WarmUp),
            handed_over: AtomicU64::default(),
            unanswered: AtomicU64::default(),
            late: AtomicU64::default(),
        }
    }
}

impl Tally {
    /// A phase begins; what was handed over in the warm-up is no input.
    pub(super) fn enter(&self, phase: RunPhase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        if phase == RunPhase::Play {
            self.handed_over.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn phase(&self) -> RunPhase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hand_over(&self) {
        self.handed_over.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn handed_over(&self) -> u64 {
        self.handed_over.load(Ordering::Relaxed)
    }

    /// A request of the plan is on its way.
    pub(super) fn begin(&self) {
        self.unanswered.fetch_add(1, Ordering::SeqCst);
    }

    /// A request of the plan has been answered, and what follows is done.
    pub(super) fn end(&self) {
        self.unanswered.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::SeqCst)
    }

    pub(super) fn answered(&self, due: TraceTime, sent: TraceTime) {
        self.late.fetch_max(sent.since(due).as_nanos() as u64, Ordering::Relaxed);
    }

    pub(super) fn take_late(&self) -> Duration {
        Duration::from_nanos(self.late.swap(0, Ordering::Relaxed))
    }
}
