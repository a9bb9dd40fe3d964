use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::model::TraceTime;

/// Tells trace time and wall time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Monotonic time since the clock was started.
    fn now(&self) -> TraceTime;
    /// Wall clock, nanoseconds since the Unix epoch. May step.
    fn wall_ns(&self) -> i64;
}

/// The clocks of the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
    pub fn start() -> SystemClock {
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> TraceTime {
        TraceTime::from_nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
    fn wall_ns(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX),
        }
    }
}

/// A clock that stands until it is moved: virtual time, and time in tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicU64,
}

impl ManualClock {
    /// Moves to `to`; never backwards.
    pub fn advance_to(&self, to: TraceTime) {
        self.now.fetch_max(to.as_nanos(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> TraceTime {
        TraceTime::from_nanos(self.now.load(Ordering::SeqCst))
    }

    fn wall_ns(&self) -> i64 {
        i64::try_from(self.now.load(Ordering::SeqCst)).unwrap_or(i64::MAX)
    }
}
