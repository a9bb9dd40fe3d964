//! Numbers of kube-scheduler that do not mean the same in every minor version.
//!
//! Sources: the names in `pkg/scheduler/metrics/metrics.go` of v1.30.14, v1.34.4, v1.36.3 and v1.37.2, and the changelogs of
//! the minors between these; where a meaning changed, the change of Kubernetes that is named.

use serde::Serialize;

/// A number that cannot be set side by side with that of another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Incomparable {
    /// Its name, without the prefix `scheduler_`.
    pub metric: &'static str,
    /// Why not.
    pub why: &'static str,
}

const NEW: &str = "only the newer version has it";
const GONE: &str = "only the older version has it";

/// Each number with the first minor of 1.x that has it anew, no longer, or with another meaning.
const CHANGES: &[(&str, u32, &str)] = &[
    ("evaluated nodes (log)", 31, "nodes are counted otherwise since 1.31 (#124735)"),
    ("inflight_events", 32, NEW),
    ("preemption_goroutines_duration_seconds", 32, NEW),
    ("preemption_goroutines_execution_total", 32, NEW),
    ("scheduler_cache_size", 33, "renamed to cache_size in 1.33"),
    ("pod_scheduling_duration_seconds", 33, GONE),
    ("async_api_call_execution_duration_seconds", 34, NEW),
    ("async_api_call_execution_total", 34, NEW),
    ("pending_async_api_calls", 34, NEW),
    ("batch_attempts_total", 35, NEW),
    ("batch_cache_flushed_total", 35, NEW),
    ("get_node_hint_duration_seconds", 35, NEW),
    ("event_handling_duration_seconds", 36, "before 1.36 it is about 0 for most events (#135749)"),
    ("preemption_victims", 36, "before 1.36 asynchronous preemption counts otherwise (#135955)"),
    ("pod_scheduled_after_flush_total", 36, NEW),
    ("preemption_evaluation_duration_seconds", 37, NEW),
    ("preemption_execution_duration_seconds", 37, NEW),
    ("preemption_pdb_violations_total", 37, NEW),
    ("queue_incoming_entities_total", 37, NEW),
    ("queued_entities", 37, NEW),
    ("resourceclaim_creates_total", 37, GONE),
    ("texts of FailedScheduling", 37, "what is said of preemption has other words since 1.37 (#140180)"),
];

/// Which numbers of two schedulers cannot be set side by side; none where a version is unknown.
pub fn incomparable(a: &str, b: &str) -> Vec<Incomparable> {
    let (Some(a), Some(b)) = (minor(a), minor(b)) else { return Vec::new() };
    let between = a.min(b) + 1..=a.max(b);
    let changed = CHANGES.iter().filter(|(_, since, _)| between.contains(since));
    changed.map(|(metric, _, why)| Incomparable { metric, why }).collect()
}

/// 36 of `v1.36.3`.
fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("v1.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(a: &str, b: &str) -> Vec<&'static str> {
        incomparable(a, b).into_iter().map(|found| found.metric).collect()
    }

    #[test]
    fn what_changed_on_the_way_from_one_minor_to_another_is_named_in_both_directions() {
        let up = names("v1.35.2", "v1.36.3");
        let expected =
            ["event_handling_duration_seconds", "preemption_victims", "pod_scheduled_after_flush_total"];
        assert_eq!(up, expected);
        assert_eq!(names("v1.36.3", "v1.35.2"), up);
    }

    #[test]
    fn patches_of_one_minor_and_unknown_versions_have_nothing_to_be_named() {
        assert_eq!(names("v1.37.0", "v1.37.2"), Vec::<&str>::new());
        assert_eq!(names("my-own-build", "v1.37.2"), Vec::<&str>::new());
    }
}
