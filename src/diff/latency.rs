use std::time::Duration;

use serde::Serialize;

use super::submission::Submission;
use super::{Facts, Milestone, Pod};
use crate::stats::Summary;

/// A latency of pods, on one observer's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// From the first sight of a pod to the first sight of its node name.
    CreateToSchedule,
    /// From the first sight of a pod's node name to the first sight of its phase `Running`.
    ScheduleToRunning,
    /// From the first sight of a pod to the first sight of its phase `Running`.
    CreateToRunning,
    /// From the request that creates a pod to its answer, as the replayer sees it.
    SubmitToAnswer,
    /// From the request that creates a pod to the first sight of its node name: what its owner waits for, the API server
    /// included.
    SubmitToBound,
}

impl Metric {
    /// All latencies of a report.
    pub const ALL: [Metric; 5] = [
        Metric::CreateToSchedule,
        Metric::ScheduleToRunning,
        Metric::CreateToRunning,
        Metric::SubmitToAnswer,
        Metric::SubmitToBound,
    ];

    /// The name in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::CreateToSchedule => "create_to_schedule",
            Metric::ScheduleToRunning => "schedule_to_running",
            Metric::CreateToRunning => "create_to_running",
            Metric::SubmitToAnswer => "submit_to_answer",
            Metric::SubmitToBound => "submit_to_bound",
        }
    }

    /// Whether it begins with a request, which a recording does not hold.
    pub fn is_of_requests(self) -> bool {
        matches!(self, Metric::SubmitToAnswer | Metric::SubmitToBound)
    }

    /// That of a pod; `None` where an end of it was not seen.
    fn of(self, pod: Pod<'_>) -> Option<Duration> {
        let submission = || Submission::of(pod, pod.at(Milestone::Added)?);
        match self {
            Metric::CreateToSchedule => pod.between(Milestone::Added, Milestone::Scheduled),
            Metric::ScheduleToRunning => pod.between(Milestone::Scheduled, Milestone::Running),
            Metric::CreateToRunning => pod.between(Milestone::Added, Milestone::Running),
            Metric::SubmitToAnswer => submission().map(|own| own.answered.since(own.sent)),
            Metric::SubmitToBound => Some(pod.at(Milestone::Scheduled)?.since(submission()?.sent)),
        }
    }
}

/// One latency on both sides. Pods that never got there are not in it: read it beside
/// [`Counts::never_bound`](super::Counts::never_bound), as a side that strands its slowest pods looks fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Which.
    pub metric: Metric,
    /// Of A, over all its runs; `None` where no pod got there in sight.
    pub a: Option<Summary>,
    /// Of B, over all its runs; `None` where no pod got there in sight.
    pub b: Option<Summary>,
}

/// All latencies, each pooled over the runs of a side: a description, from which no verdict follows, as pods of one
/// run are not independent of each other.
pub(super) fn latencies(a: &[&Facts], b: &[&Facts]) -> Vec<Latency> {
    let of = |runs: &[&Facts], metric: Metric| {
        let pods = runs.iter().flat_map(|facts| facts.counted());
        Summary::of(pods.filter_map(|pod| metric.of(pod)))
    };
    Metric::ALL.map(|metric| Latency { metric, a: of(a, metric), b: of(b, metric) }).to_vec()
}
