use serde_json::{Value, json};

use super::{Renderer, Report, ReportError};
use crate::diff::Metric;

/// `PerfData` 1.0 of the candidate's latencies, with the names of `ClusterLoader2`, for perfdash and what else reads
/// it (`kubernetes/perf-tests`, `clusterloader2/pkg/measurement/util/perftype.go`, 4b34154).
#[derive(Debug, Clone, Copy, Default)]
pub struct PerfData;

impl Renderer for PerfData {
    fn render(&self, report: &Report) -> Result<String, ReportError> {
        let item = |latency: &super::LatencyEntry| -> Option<Value> {
            let side = &latency.candidate;
            let name = match latency.metric {
                Metric::CreateToSchedule => "create_to_schedule",
                Metric::ScheduleToRunning => "schedule_to_run",
                // Until the phase Running is seen: what ClusterLoader2 calls the start of a pod.
                Metric::CreateToRunning => "pod_startup",
                // These it does not have.
                Metric::SubmitToAnswer | Metric::SubmitToBound => latency.metric.as_str(),
            };
            let ms = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1e3);
            let data = json!({"Perc50": ms(side.p50_seconds)?, "Perc90": ms(side.p90_seconds)?, "Perc99": ms(side.p99_seconds)?});
            Some(json!({"data": data, "unit": "ms", "labels": {"Metric": name}}))
        };
        let items: Vec<Value> = report.latency.iter().filter_map(item).collect();
        let mut text = serde_json::to_string_pretty(&json!({"version": "1.0", "dataItems": items}))?;
        text.push('\n');
        Ok(text)
    }
}
