//! Numbers of whole runs, and verdicts on them. A run is one observation, however many pods it has: pods of one run
//! share queue, machine and moment.

use super::windows::Queue;
use super::{Facts, Milestone, Pod};
use crate::stats::{Change, Curve, Gated, Judged, Observation, gate, quantile, shift};

/// A shift of a latency below this many seconds does not matter, however sure it is.
const LEAST_SECONDS: f64 = 0.005;

/// Pods that a run needs for its 99th percentile to be judged.
const ENOUGH_FOR_P99: usize = 1000;

/// Seconds with pods waiting throughout that a run needs for its saturated throughput to be judged.
const ENOUGH_SATURATED: usize = 10;

/// How near the limit of the scheduler's client a throughput may come before it is the limit's and not the scheduler's.
const NEAR_LIMIT: f64 = 0.05;

/// A number of a run: the larger, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunMetric {
    /// Median of create to scheduled, seconds.
    ScheduleP50,
    /// 99th percentile of create to scheduled, seconds; of runs with at least 1,000 pods.
    ScheduleP99,
    /// Mean wait for a node up to the longest that any run saw, pods that never got one included, seconds
    /// (Kaplan-Meier, restricted mean).
    MeanWait,
    /// Seconds from the first creation to the last binding, by pod bound: throughput upside down.
    SecondsPerPod,
    /// The same over only those seconds in which a pod waited all the time, so that the scheduler and not the arrivals
    /// decide; of runs with at least ten such seconds.
    SecondsPerPodSaturated,
}

impl RunMetric {
    /// All that are judged together.
    pub const ALL: [RunMetric; 5] = [
        RunMetric::ScheduleP50,
        RunMetric::ScheduleP99,
        RunMetric::MeanWait,
        RunMetric::SecondsPerPod,
        RunMetric::SecondsPerPodSaturated,
    ];

    /// The name in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            RunMetric::ScheduleP50 => "create_to_schedule_p50",
            RunMetric::ScheduleP99 => "create_to_schedule_p99",
            RunMetric::MeanWait => "mean_wait",
            RunMetric::SecondsPerPod => "seconds_per_pod",
            RunMetric::SecondsPerPodSaturated => "seconds_per_pod_saturated",
        }
    }

    /// The relative difference that does not matter where none is given.
    pub fn margin(self) -> f64 {
        match self {
            RunMetric::ScheduleP50 | RunMetric::MeanWait => 0.10,
            RunMetric::ScheduleP99 | RunMetric::SecondsPerPod | RunMetric::SecondsPerPodSaturated => 0.15,
        }
    }

    fn is_throughput(self) -> bool {
        matches!(self, RunMetric::SecondsPerPod | RunMetric::SecondsPerPodSaturated)
    }

    /// The number of a run; `None` where it has too few pods for it.
    fn of(self, facts: &Facts, horizon: f64) -> Option<f64> {
        match self {
            RunMetric::ScheduleP50 => quantile(&waits(facts), 0.5),
            RunMetric::ScheduleP99 => {
                quantile(&waits(facts), 0.99).filter(|_| waits(facts).len() >= ENOUGH_FOR_P99)
            }
            RunMetric::MeanWait => {
                let observed = observations(facts);
                (!observed.is_empty()).then(|| Curve::of(&observed).restricted_mean(horizon))
            }
            RunMetric::SecondsPerPod => {
                let first = facts.counted().filter_map(|pod| pod.at(Milestone::Added)).min()?;
                let bound: Vec<_> = facts.counted().filter_map(|pod| pod.at(Milestone::Scheduled)).collect();
                let last = bound.iter().max()?;
                Some(last.since(first).as_secs_f64() / bound.len() as f64)
            }
            RunMetric::SecondsPerPodSaturated => {
                let rate = Queue::of(facts).saturated_rate(ENOUGH_SATURATED);
                rate.filter(|rate| *rate > 0.0).map(f64::recip)
            }
        }
    }
}

/// Seconds from creation to binding, ascending.
fn waits(facts: &Facts) -> Vec<f64> {
    let wait = |pod: Pod<'_>| pod.between(Milestone::Added, Milestone::Scheduled);
    let mut waits: Vec<f64> = facts.counted().filter_map(wait).map(|wait| wait.as_secs_f64()).collect();
    waits.sort_by(f64::total_cmp);
    waits
}

/// How long each pod waited for a node; pods that got none are known to have waited until they left or the reel
/// ended.
pub fn observations(facts: &Facts) -> Vec<Observation> {
    let wait = |pod: Pod<'_>| {
        let added = pod.at(Milestone::Added)?;
        let bound = pod.at(Milestone::Scheduled);
        let left = pod.reached(Milestone::Deleting).or(pod.reached(Milestone::Gone));
        let until = bound.or(left).unwrap_or(facts.span.end);
        Some(Observation { time: until.since(added).as_secs_f64(), ended: bound.is_some() })
    };
    facts.counted().filter_map(wait).collect()
}

/// The verdict on one number.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricVerdict {
    /// Which number.
    pub metric: RunMetric,
    /// Of each run of A.
    pub a: Vec<f64>,
    /// Of each run of B.
    pub b: Vec<f64>,
    /// The relative difference that does not matter.
    pub margin: f64,
    /// What the runs say.
    pub judged: Judged,
    /// Whether a run's saturated throughput lies within 5 % of what its scheduler's client may send
    /// ([`RunFacts::client_qps`](super::RunFacts::client_qps)): then it is the limit that is measured.
    pub at_client_limit: bool,
}

/// Judges the numbers of runs whose times are the scheduler's: none of a run in lockstep.
pub(super) fn judge_metrics(a: &[&Facts], b: &[&Facts], margin: Option<f64>) -> Vec<MetricVerdict> {
    if a.iter().chain(b).any(|facts| facts.run.is_lockstep()) || a.is_empty() || b.is_empty() {
        return Vec::new();
    }
    let runs: Vec<_> = a.iter().chain(b).map(|facts| observations(facts)).collect();
    let horizon = horizon(&runs);
    let values = |runs: &[&Facts], metric: RunMetric| -> Option<Vec<f64>> {
        runs.iter().map(|facts| metric.of(facts, horizon)).collect()
    };
    let found: Vec<_> = RunMetric::ALL
        .into_iter()
        .filter_map(|metric| Some((metric, values(a, metric)?, values(b, metric)?)))
        .collect();
    let margin_of = |metric: RunMetric| margin.unwrap_or_else(|| metric.margin());
    let gated: Vec<_> =
        found.iter().map(|(metric, a, b)| Gated { a, b, margin: margin_of(*metric) }).collect();
    let judged = gate(&gated);
    let at_limit = a.iter().chain(b).any(|facts| is_at_client_limit(facts));
    let verdict = |((metric, a, b), mut judged): ((RunMetric, Vec<f64>, Vec<f64>), Judged)| {
        if !metric.is_throughput() && matters_little(&a, &b, judged.change) {
            judged = Judged { change: Change::Equivalent, runs_needed: None, ..judged };
        }
        let at_client_limit = metric == RunMetric::SecondsPerPodSaturated && at_limit;
        MetricVerdict { metric, margin: margin_of(metric), a, b, judged, at_client_limit }
    };
    found.into_iter().zip(judged).map(verdict).collect()
}

/// Whether a latency that is worse moved by less than what matters, or one that is unclear moved by less for sure.
fn matters_little(a: &[f64], b: &[f64], change: Change) -> bool {
    let Some(shift) = shift(a, b, 0.05) else { return false };
    match change {
        Change::Regressed => shift.value.abs() < LEAST_SECONDS,
        Change::Inconclusive => shift.low > -LEAST_SECONDS && shift.high < LEAST_SECONDS,
        Change::Improved | Change::Equivalent => false,
    }
}

fn is_at_client_limit(facts: &Facts) -> bool {
    let rate = Queue::of(facts).saturated_rate(ENOUGH_SATURATED);
    rate.zip(facts.run.client_qps).is_some_and(|(rate, limit)| rate >= limit * (1.0 - NEAR_LIMIT))
}

/// The longest wait up to which every run knows how many still wait: where the longest wait of a run ended, none does
/// after it.
fn horizon(runs: &[Vec<Observation>]) -> f64 {
    let longest = |run: &Vec<Observation>| run.iter().copied().max_by(|x, y| x.time.total_cmp(&y.time));
    let longest: Vec<Observation> = runs.iter().filter_map(longest).collect();
    let known = longest.iter().filter(|wait| !wait.ended).map(|wait| wait.time);
    let most = longest.iter().map(|wait| wait.time).fold(0.0, f64::max);
    known.fold(most, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::testing::Run;
    use crate::diff::{Policy, Reason, Verdict, judge};

    /// Twenty pods that wait `wait` ms each, and `run` more.
    fn side(wait: u64, runs: u64) -> Vec<Facts> {
        let run = |n: u64| {
            let mut run = Run::in_mode(&format!("{wait}-{n}"), "open");
            run.node("n1", "64", "a");
            for pod in 0..20 {
                run.pod(&format!("p{pod}")).added(100 * pod).bound(100 * pod + wait + n, "n1");
            }
            run.facts()
        };
        (0..runs).map(run).collect()
    }

    #[test]
    fn a_slower_scheduler_is_called_regressed_with_six_runs_a_side_and_not_with_one() {
        let (fast, slow) = (side(40, 6), side(80, 6));
        let groups = judge(&fast, &slow, &Policy::default());
        assert_eq!(groups.verdict, Verdict::Changed);
        assert_eq!(groups.reason, Reason::Regressed { metric: RunMetric::ScheduleP50, count: 2 });
        let again = judge(&fast, &fast, &Policy::default());
        assert_eq!(again.verdict, Verdict::Equivalent);
        let one = judge(&fast[..1], &slow[..1], &Policy::default());
        assert_eq!(one.verdict, Verdict::Inconclusive);
        assert!(one.metrics.iter().all(|metric| metric.judged.change == Change::Inconclusive));
    }

    /// 1,200 pods at once, of which `rate` a second are bound.
    fn burst(rate: u64, runs: u64) -> Vec<Facts> {
        let run = |n: u64| {
            let mut run = Run::in_mode(&format!("{rate}-{n}"), "open");
            run.run.client_qps = Some(50.0);
            run.node("n1", "64", "a");
            for pod in 0..1_200 {
                run.pod(&format!("p{pod}")).added(0).bound((pod + 1) * 1000 / rate + n, "n1");
            }
            run.facts()
        };
        (0..runs).map(run).collect()
    }

    #[test]
    fn a_tenth_less_throughput_is_found_within_a_margin_of_a_twentieth_and_its_limit_is_named() {
        let (fast, slow) = (burst(50, 6), burst(45, 6));
        let policy = Policy { margin: Some(0.05), ..Policy::default() };
        let groups = judge(&fast, &slow, &policy);
        assert_eq!(groups.verdict, Verdict::Changed);
        let saturated =
            groups.metrics.iter().find(|m| m.metric == RunMetric::SecondsPerPodSaturated).unwrap();
        assert_eq!(saturated.judged.change, Change::Regressed);
        let ratio = saturated.judged.ratio.unwrap().value;
        assert!((ratio - 50.0 / 45.0).abs() < 0.01, "{ratio}");
        assert!(saturated.at_client_limit);
        let (fast, slow) = (burst(50, 3), burst(45, 3));
        let few = judge(&fast, &slow, &policy);
        let saturated = few.metrics.iter().find(|m| m.metric == RunMetric::SecondsPerPodSaturated).unwrap();
        assert_eq!((saturated.judged.change, saturated.judged.runs_needed), (Change::Inconclusive, Some(5)));
    }

    #[test]
    fn what_waits_to_the_end_counts_and_lockstep_has_no_latency() {
        let mut run = Run::in_mode("r", "open");
        run.pod("p").added(0).bound(10, "n1");
        run.pod("q").added(0);
        run.pod("r").added(100).deleted(110);
        let waits = observations(&run.facts());
        let ended: Vec<_> = waits.iter().map(|wait| (wait.time, wait.ended)).collect();
        assert_eq!(ended, [(0.010, true), (0.110, false), (0.010, false)]);
        let lockstep = [Run::lockstep("l").facts()];
        assert!(judge(&lockstep, &lockstep, &Policy::default()).metrics.is_empty());
    }
}
