use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// First and longest wait, as client-go's reflector has them (`k8s.io/client-go/tools/cache/reflector.go`, v0.37.2).
const FIRST: Duration = Duration::from_millis(800);
const LAST: Duration = Duration::from_secs(30);

/// However long a server asks us to stay away, we look again after this.
const LONGEST_ASKED: Duration = Duration::from_mins(2);

/// How long to wait before the next try: doubling, jittered, and never less than the server asked for.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { next: FIRST }
    }
}

impl Backoff {
    /// The wait after one more failure. Jitter spreads recorders and kinds that failed together.
    pub(super) fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let wait = jittered(self.next);
        self.next = (self.next * 2).min(LAST);
        asked.map_or(wait, |asked| wait + asked.min(LONGEST_ASKED))
    }

    /// Something went well.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

/// Something between the half of a duration and all of it.
pub(super) fn jittered(all: Duration) -> Duration {
    // A new state hashes nothing to another number each time: chance enough for this, without a crate.
    let part = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
    all.mul_f64(0.5 + part / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_start_anew_after_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..9).map(|_| backoff.wait(None)).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST);
        assert!(waits[8] >= LAST / 2 && waits[8] <= LAST);
        backoff.reset();
        assert!(backoff.wait(None) <= FIRST);
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it() {
        let wait = |asked| Backoff::default().wait(Some(Duration::from_secs(asked)));
        assert!(wait(7) >= Duration::from_secs(7));
        assert!(wait(1 << 40) <= LONGEST_ASKED + FIRST);
    }

    #[test]
    fn jitter_differs_from_time_to_time() {
        let first = jittered(LAST);
        assert!((0..64).any(|_| jittered(LAST) != first));
    }
}
