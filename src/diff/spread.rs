//! How evenly the pods of each workload lie over the zones, step by step.

use std::collections::HashMap;

use super::Facts;
use super::steps::{Change, Step};
use super::texts::Sym;

/// The pods of each workload by zone.
#[derive(Debug)]
pub(super) struct Spread<'f> {
    facts: &'f Facts,
    zones: usize,
    /// Of each node, the number of its zone.
    zone_of: Vec<usize>,
    /// By namespace and workload.
    workloads: HashMap<(Sym, Sym), Lot>,
}

/// The bound pods of a workload.
#[derive(Debug)]
struct Lot {
    by_zone: Vec<u64>,
    /// The largest skew that it had.
    worst: u64,
}

impl Lot {
    /// The pods in the fullest zone less those in the emptiest.
    fn skew(&self) -> u64 {
        self.by_zone.iter().max().zip(self.by_zone.iter().min()).map_or(0, |(most, least)| most - least)
    }
}

impl<'f> Spread<'f> {
    /// The cluster before the first step; `None` where its nodes are in fewer than two zones.
    pub(super) fn of(facts: &'f Facts) -> Option<Spread<'f>> {
        let of_node: Vec<&str> =
            facts.nodes.iter().map(|node| node.last().map_or("", |node| node.zone())).collect();
        let mut zones = of_node.clone();
        zones.sort_unstable();
        zones.dedup();
        let number = |zone| zones.binary_search(&zone).unwrap_or_default();
        let zone_of = of_node.into_iter().map(number).collect();
        (zones.len() > 1).then(|| Spread { facts, zones: zones.len(), zone_of, workloads: HashMap::new() })
    }

    /// Takes the next step.
    pub(super) fn step(&mut self, step: &Step) {
        let (node, is_bound) = match step.change() {
            Change::Bind(node) => (node, true),
            Change::Free(node) => (node, false),
            Change::Arrive | Change::Leave | Change::Terminate(_) | Change::Resize(_) => return,
        };
        let pod = &self.facts.pods[step.pod as usize];
        let none = || Lot { by_zone: vec![0; self.zones], worst: 0 };
        let lot = self.workloads.entry((pod.namespace, pod.workload)).or_insert_with(none);
        let count = &mut lot.by_zone[self.zone_of[node as usize]];
        *count = if is_bound { *count + 1 } else { count.saturating_sub(1) };
        lot.worst = lot.worst.max(lot.skew());
    }

    /// The skew now, mean over the workloads that have bound pods.
    pub(super) fn now(&self) -> f64 {
        let there = self.workloads.values().filter(|lot| lot.by_zone.iter().any(|pods| *pods > 0));
        mean(there.map(Lot::skew)).unwrap_or_default()
    }

    /// The largest skew that each workload has had, mean over the workloads.
    pub(super) fn worst(&self) -> Option<f64> {
        mean(self.workloads.values().map(|lot| lot.worst))
    }
}

fn mean(values: impl Iterator<Item = u64>) -> Option<f64> {
    let (sum, count) = values.fold((0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum as f64 / count as f64)
}

#[cfg(test)]
mod tests {
    use super::Spread;
    use crate::diff::testing::Run;
    use serde_json::json;

    #[test]
    fn a_workload_is_skewed_by_what_one_zone_has_more_than_another() {
        let mut run = Run::lockstep("r");
        run.node("n1", "4", "a").node("n2", "4", "b");
        run.pod("web-1").added(0).bound(10, "n1");
        run.pod("web-2").added(0).bound(20, "n1");
        run.pod("web-3").added(0).bound(30, "n2");
        run.pod("db-1").with("metadata", "labels", json!({"app": "db"})).added(0).bound(40, "n2");
        let facts = run.facts();
        let mut spread = Spread::of(&facts).unwrap();
        facts.steps.iter().for_each(|step| spread.step(step));
        assert_eq!((spread.now(), spread.worst()), (1.0, Some(1.5)), "web: 2 then 1; db: 1");
    }

    #[test]
    fn one_zone_has_no_spread() {
        let mut run = Run::lockstep("r");
        run.node("n1", "4", "a").node("n2", "4", "a");
        assert!(Spread::of(&run.facts()).is_none());
    }
}
