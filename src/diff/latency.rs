use serde::Serialize;

use super::{Facts, Milestone};
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
}

impl Metric {
    /// All latencies of a report.
    pub const ALL: [Metric; 3] =
        [Metric::CreateToSchedule, Metric::ScheduleToRunning, Metric::CreateToRunning];

    /// The name in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::CreateToSchedule => "create_to_schedule",
            Metric::ScheduleToRunning => "schedule_to_running",
            Metric::CreateToRunning => "create_to_running",
        }
    }

    /// Where it begins and ends.
    fn milestones(self) -> (Milestone, Milestone) {
        match self {
            Metric::CreateToSchedule => (Milestone::Added, Milestone::Scheduled),
            Metric::ScheduleToRunning => (Milestone::Scheduled, Milestone::Running),
            Metric::CreateToRunning => (Milestone::Added, Milestone::Running),
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
        let (from, to) = metric.milestones();
        Summary::of(pods.filter_map(|pod| pod.between(from, to)))
    };
    Metric::ALL.map(|metric| Latency { metric, a: of(a, metric), b: of(b, metric) }).to_vec()
}
