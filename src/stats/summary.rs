use std::time::Duration;

use super::quantile;

/// What a sample of durations looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many durations.
    pub n: usize,
    /// Median.
    pub p50: Duration,
    /// 90th percentile.
    pub p90: Duration,
    /// 99th percentile.
    pub p99: Duration,
    /// Longest.
    pub max: Duration,
    /// Arithmetic mean.
    pub mean: Duration,
}

impl Summary {
    /// Below this many values the 99th percentile is little more than the largest value.
    pub const ENOUGH_FOR_P99: usize = 100;

    /// Summarises durations in any order, `None` where there are none. Percentiles are those of [`quantile`],
    /// rounded to nanoseconds.
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Option<Summary> {
        let mut nanos: Vec<f64> = durations.into_iter().map(|d| d.as_nanos() as f64).collect();
        nanos.sort_by(f64::total_cmp);
        let at = |q| quantile(&nanos, q).map(from_nanos);
        Some(Summary {
            n: nanos.len(),
            p50: at(0.50)?,
            p90: at(0.90)?,
            p99: at(0.99)?,
            max: at(1.0)?,
            mean: from_nanos(nanos.iter().sum::<f64>() / nanos.len() as f64),
        })
    }

    /// Whether the 99th percentile rests on too few values to be read as more than a hint.
    pub fn is_p99_weak(&self) -> bool {
        self.n < Summary::ENOUGH_FOR_P99
    }
}

fn from_nanos(nanos: f64) -> Duration {
    Duration::from_nanos(nanos.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::Summary;
    use std::time::Duration;

    #[test]
    fn summarises_numbers_worked_by_hand() {
        let ms = Duration::from_millis;
        let summary = Summary::of([4, 1, 3, 2].map(ms)).unwrap();
        assert_eq!(summary.n, 4);
        assert_eq!(summary.p50, Duration::from_micros(2500));
        assert_eq!(summary.p90, Duration::from_micros(3700));
        assert_eq!(summary.p99, Duration::from_micros(3970));
        assert_eq!((summary.max, summary.mean), (ms(4), Duration::from_micros(2500)));
        assert!(summary.is_p99_weak());
    }

    #[test]
    fn nothing_has_no_summary_and_a_hundred_are_enough_for_p99() {
        assert_eq!(Summary::of([]), None);
        assert!(!Summary::of((0..100).map(Duration::from_secs)).unwrap().is_p99_weak());
    }
}
