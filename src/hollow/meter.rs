use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the histogram's buckets, in seconds.
const BOUNDS: [f64; 11] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// How long things took, in buckets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// How many fell into each bucket, by the bounds in seconds; the last is for all beyond.
    buckets: [u64; 12],
    /// Their sum in seconds.
    pub sum: f64,
    /// The longest in seconds.
    pub longest: f64,
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket] += 1;
        self.sum += seconds;
        self.longest = self.longest.max(seconds);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Upper bounds in seconds, each with how many were at or below it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        BOUNDS.iter().zip(&self.buckets).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((*bound, *sum))
        })
    }
}

/// What is counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Readings {
    /// From the instant a lease was due to the sending of its request.
    pub lease_lateness: Histogram,
    /// From the sending of a request to its answer.
    pub latency: Histogram,
    /// Requests by HTTP status, 0 for those without an answer.
    pub requests: BTreeMap<u16, u64>,
}

/// Counts what hollow nodes send, so that a harness at its limit is not taken for a cluster at its limit.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Readings>);

impl Meter {
    pub(super) fn lease(&self, late: Duration) {
        self.with(|readings| readings.lease_lateness.add(late));
    }

    pub(super) fn request(&self, status: Option<u16>, took: Duration) {
        self.with(|readings| {
            readings.latency.add(took);
            *readings.requests.entry(status.unwrap_or(0)).or_insert(0) += 1;
        });
    }

    fn with(&self, change: impl FnOnce(&mut Readings)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The counts so far.
    pub fn read(&self) -> Readings {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let meter = Meter::default();
        for millis in [0, 3, 700, 60_000] {
            meter.lease(Duration::from_millis(millis));
        }
        let late = meter.read().lease_lateness;
        assert_eq!(late.count(), 4);
        assert_eq!(late.cumulative().map(|(_, n)| n).collect::<Vec<_>>(), [1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
        assert!((late.longest - 60.0).abs() < 1e-9);
    }
}
