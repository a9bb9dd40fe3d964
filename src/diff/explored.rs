//! Numbers of whole runs that are shown beside the gated ones: where to look, not what to fail on.

use super::series::{Series, series};
use super::spread::Spread;
use super::windows::Queue;
use super::{AttemptResult, Facts, Milestone, Outcome, Pod};
use crate::stats::{Curve, Observation, benjamini_hochberg, permutation_test, quantile};

/// Instants over which the cluster's numbers are averaged.
const POINTS: usize = 120;

/// Waits of this many seconds end with the scheduler's flush of unschedulable pods, not with an event:
/// `pkg/scheduler/backend/queue/scheduling_queue.go`, v1.37.2, `DefaultPodMaxInUnschedulablePodsDuration` and the flush
/// every 30 s. Waits that start with the flush's own rhythm end within this range at 1x.
const FLUSH: std::ops::RangeInclusive<f64> = 295.0..=310.0;

/// A number of whole runs, without a verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Explored {
    /// Its name.
    pub metric: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Of each run of A; `None` where the run does not tell.
    pub a: Vec<Option<f64>>,
    /// Of each run of B.
    pub b: Vec<Option<f64>>,
    /// p-value of the permutation test on means, adjusted over all numbers (Benjamini-Hochberg); `None` where a run does
    /// not tell.
    pub p: Option<f64>,
}

/// All numbers of the runs of two sides that a run tells.
pub fn explored(a: &[&Facts], b: &[&Facts]) -> Vec<Explored> {
    let of = |runs: &[&Facts]| -> Vec<_> { runs.iter().map(|facts| numbers(facts)).collect() };
    let (a, b) = (of(a), of(b));
    let Some(first) = a.first().or(b.first()) else { return Vec::new() };
    let column = |runs: &[Vec<Number>], at: usize| runs.iter().map(|run| run[at].2).collect::<Vec<_>>();
    let rows = first.iter().enumerate().map(|(at, (metric, unit, _))| Explored {
        metric,
        unit,
        a: column(&a, at),
        b: column(&b, at),
        p: None,
    });
    let told = |row: &Explored| row.a.iter().chain(&row.b).any(Option::is_some);
    let mut rows: Vec<Explored> = rows.filter(told).collect();
    let tested: Vec<(usize, f64)> =
        rows.iter().enumerate().filter_map(|(at, row)| Some((at, test(row)?))).collect();
    let adjusted = benjamini_hochberg(&tested.iter().map(|(_, p)| *p).collect::<Vec<_>>());
    for ((at, _), p) in tested.into_iter().zip(adjusted) {
        rows[at].p = Some(p);
    }
    rows
}

/// `None` where the labels cannot be shuffled or a run does not tell.
fn test(row: &Explored) -> Option<f64> {
    let all = |side: &[Option<f64>]| side.iter().copied().collect::<Option<Vec<f64>>>();
    let (a, b) = (all(&row.a)?, all(&row.b)?);
    permutation_test(&a, &b).filter(|_| a.len() + b.len() > 2).map(|found| found.p)
}

type Number = (&'static str, &'static str, Option<f64>);

fn numbers(facts: &Facts) -> Vec<Number> {
    let queue = Queue::of(facts);
    let mut rates: Vec<f64> = queue.windows.iter().map(|window| window.bound as f64).collect();
    rates.sort_by(f64::total_cmp);
    let cluster = series(facts, POINTS);
    let mean =
        |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let victims: Vec<Pod<'_>> = facts.counted().filter(|pod| pod.outcome() == Outcome::Preempted).collect();
    let lost =
        |pod: &Pod<'_>| pod.between(Milestone::Scheduled, Milestone::Deleting).map(|t| t.as_secs_f64());
    let waits = unschedulable(facts);
    let (tried, wasted) = attempts(facts);
    vec![
        ("throughput_p5", "pods/s", quantile(&rates, 0.05)),
        ("throughput_p50", "pods/s", quantile(&rates, 0.5)),
        ("throughput_max", "pods/s", rates.last().copied()),
        ("throughput_saturated", "pods/s", queue.saturated_rate(1)),
        ("backlog", "pod*s", Some(queue.backlog)),
        ("waiting_max", "pods", Some(queue.most_waiting as f64)),
        ("never_bound", "pods", Some(facts.counts.never_bound as f64)),
        ("unschedulable_p50", "s", Curve::of(&waits).quantile(0.5).filter(|_| !waits.is_empty())),
        ("flushed_share", "share", flushed(&waits)),
        ("preempted", "pods", Some(victims.len() as f64)),
        ("preempted_run_time", "s", (!victims.is_empty()).then(|| victims.iter().filter_map(lost).sum())),
        ("nominated_to_schedule_p50", "s", nominated(facts)),
        ("attempts_per_pod", "attempts", tried),
        ("wasted_attempts", "share", wasted),
        ("cpu_allocated", "share", mean(&cluster.cpu)),
        ("memory_allocated", "share", mean(&cluster.memory)),
        ("cpu_memory_imbalance", "share", mean(&cluster.imbalance)),
        ("cpu_fragmentation", "share", mean(&cluster.fragmentation)),
        ("nodes_used", "nodes", nodes_used(&cluster)),
        ("zone_skew", "pods", zone_skew(facts)),
    ]
}

/// How long pods waited since the scheduler first found no node for them; those still waiting are censored.
fn unschedulable(facts: &Facts) -> Vec<Observation> {
    let wait = |pod: Pod<'_>| {
        let from = pod.at(Milestone::Unscheduled)?;
        let bound = pod.at(Milestone::Scheduled);
        let until = bound.or(pod.reached(Milestone::Deleting)).unwrap_or(facts.span.end);
        Some(Observation { time: until.since(from).as_secs_f64(), ended: bound.is_some() })
    };
    facts.counted().filter_map(wait).collect()
}

/// Which share of the waits ended with the scheduler's flush.
fn flushed(waits: &[Observation]) -> Option<f64> {
    let ended = waits.iter().filter(|wait| wait.ended);
    let count = ended.clone().count();
    let flushed = ended.filter(|wait| FLUSH.contains(&wait.time)).count();
    (count > 0).then(|| flushed as f64 / count as f64)
}

fn nominated(facts: &Facts) -> Option<f64> {
    let wait = |pod: Pod<'_>| pod.between(Milestone::Nominated, Milestone::Scheduled);
    let mut waits: Vec<f64> = facts.counted().filter_map(wait).map(|wait| wait.as_secs_f64()).collect();
    waits.sort_by(f64::total_cmp);
    quantile(&waits, 0.5)
}

/// Attempts for each pod bound, and attempts that bound none for each that did.
fn attempts(facts: &Facts) -> (Option<f64>, Option<f64>) {
    let bound = facts.attempts.iter().filter(|attempt| attempt.result == AttemptResult::Bound).count() as f64;
    let all = facts.attempts.len() as f64;
    let by = |count: f64| (bound > 0.0).then(|| count / bound);
    (by(all), by(all - bound))
}

/// Nodes with pods that ask for CPU, mean over time.
fn nodes_used(cluster: &Series) -> Option<f64> {
    let used: usize =
        cluster.nodes.iter().map(|(_, shares)| shares.iter().filter(|share| **share > 0.0).count()).sum();
    (!cluster.seconds.is_empty()).then(|| used as f64 / cluster.seconds.len() as f64)
}

/// Of each workload the largest difference between two zones in its number of pods, mean over the workloads; `None`
/// where there are fewer than two zones.
fn zone_skew(facts: &Facts) -> Option<f64> {
    let mut spread = Spread::of(facts)?;
    facts.steps.iter().for_each(|step| spread.step(step));
    spread.worst()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::testing::Run;
    use serde_json::json;

    fn value(rows: &[Explored], metric: &str) -> Option<f64> {
        rows.iter().find(|row| row.metric == metric).and_then(|row| row.a[0])
    }

    #[test]
    fn numbers_of_a_run_by_hand() {
        let mut run = Run::in_mode("r", "open");
        run.node("n1", "4", "a").node("n2", "4", "b");
        run.pod("victim").added(0).bound(10, "n1").running(20).preempted(2_009);
        run.pod("flushed").added(100).unscheduled(200).bound(300_200, "n1");
        run.pod("quick").added(100).unscheduled(200).bound(1_200, "n1");
        run.pod("never").added(100).unscheduled(200);
        let room = json!("n1");
        run.pod("big").added(300).with("status", "nominatedNodeName", room).changed(400).bound(900, "n1");
        run.attempt(5, "victim", json!({"result": "Bound", "node": "n1"}));
        run.attempt(6, "quick", json!({"result": "Unschedulable"}));
        let facts = run.facts();
        let rows = explored(&[&facts], &[&facts]);
        assert_eq!((value(&rows, "preempted"), value(&rows, "preempted_run_time")), (Some(1.0), Some(2.0)));
        assert_eq!((value(&rows, "never_bound"), value(&rows, "flushed_share")), (Some(1.0), Some(0.5)));
        assert_eq!(value(&rows, "unschedulable_p50"), Some(300.0), "one of three still waits");
        assert_eq!(value(&rows, "nominated_to_schedule_p50"), Some(0.5));
        assert_eq!(
            (value(&rows, "attempts_per_pod"), value(&rows, "wasted_attempts")),
            (Some(2.0), Some(1.0))
        );
        assert_eq!(value(&rows, "zone_skew"), Some(3.0), "all of them in one zone of two");
        assert!(rows.iter().all(|row| row.p.is_none()), "two runs cannot be shuffled");
    }

    #[test]
    fn what_differs_in_every_run_has_a_small_p_and_what_no_run_tells_is_left_out() {
        let side = |late: u64| -> Vec<Facts> {
            let run = |n: u64| {
                let mut run = Run::in_mode("r", "open");
                run.node("n1", "4", "a");
                run.pod("p").added(0).bound(late + n, "n1");
                run.facts()
            };
            (0..6).map(run).collect()
        };
        let (a, b) = (side(100), side(900));
        let rows = explored(&a.iter().collect::<Vec<_>>(), &b.iter().collect::<Vec<_>>());
        let p = |metric: &str| rows.iter().find(|row| row.metric == metric).and_then(|row| row.p);
        assert!(p("backlog").is_some_and(|p| p < 0.05), "{rows:?}");
        assert_eq!(p("waiting_max"), Some(1.0));
        assert!(rows.iter().all(|row| row.metric != "attempts_per_pod"));
    }
}
