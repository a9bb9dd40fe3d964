use std::collections::BTreeMap;

use super::Charts;
use crate::diff::{Change, Facts, Milestone, Pod, series, story};
use crate::stats::quantile;

/// Instants of the charts over time.
const POINTS: usize = 120;

/// Stories told, so that a report of very many divergences stays small.
const STORIES: usize = 1000;

/// What is drawn of two runs.
pub(super) fn charts<'c, 'f: 'c>(
    a: &'f Facts,
    b: &'f Facts,
    changes: impl IntoIterator<Item = &'c Change<'f>>,
) -> Charts {
    let told = |change: &Change<'_>| (change.a.id().into(), [story(change.a), story(change.b)]);
    Charts {
        series: vec![series(a, POINTS), series(b, POINTS)],
        waits: vec![waits(a), waits(b)],
        flow: flow(a, b),
        stories: changes.into_iter().take(STORIES).map(told).collect(),
    }
}

fn waits(facts: &Facts) -> Vec<f64> {
    let wait = |pod: Pod<'_>| pod.between(Milestone::Added, Milestone::Scheduled);
    let mut waits: Vec<f64> = facts.counted().filter_map(wait).map(|wait| wait.as_secs_f64()).collect();
    waits.sort_by(f64::total_cmp);
    (0..=100).filter_map(|percent| quantile(&waits, f64::from(percent) / 100.0)).collect()
}

fn flow(a: &Facts, b: &Facts) -> Vec<(String, String, u64)> {
    let place = |pod: Pod<'_>| match pod.node().and_then(|node| node.last()) {
        Some(node) if !node.zone().is_empty() => node.zone().to_owned(),
        Some(_) => "no zone".to_owned(),
        None => pod.outcome().to_string(),
    };
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for pod in a.counted() {
        if let Some(other) = b.counted_pod(pod.id()) {
            *counts.entry((place(pod), place(other))).or_default() += 1;
        }
    }
    counts.into_iter().map(|((from, to), count)| (from, to, count)).collect()
}
