use std::collections::HashMap;

use super::spread::Spread;
use super::usage::Usage;
use super::{Facts, Shape};
use crate::model::TraceTime;

/// Pods that stand for the workload: the most frequent shapes.
const TYPICAL: usize = 20;

/// A cluster over time, at equal distances from the start to the end of what statistics cover.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Seconds since the start.
    pub seconds: Vec<f64>,
    /// Pods waiting for a node.
    pub pending: Vec<u64>,
    /// CPU asked for by bound pods over allocatable, 0 to 1.
    pub cpu: Vec<f64>,
    /// Memory asked for by bound pods over allocatable, 0 to 1.
    pub memory: Vec<f64>,
    /// Mean over the nodes of the difference between both, 0 to 1.
    pub imbalance: Vec<f64>,
    /// Share of the idle CPU that typical pods cannot use, 0 to 1: fragmentation as of FGD (Weng et al., "Beware of
    /// Fragmentation", USENIX ATC 2023), with CPU as the scarce resource.
    pub fragmentation: Vec<f64>,
    /// Of each workload, the pods in its fullest zone less those in its emptiest, mean over the workloads; empty where
    /// there are fewer than two zones.
    pub spread: Vec<f64>,
    /// Of each node with its name: its share of CPU asked for at each time.
    pub nodes: Vec<(String, Vec<f64>)>,
}

/// The cluster of a run at `points` instants.
pub fn series(facts: &Facts, points: usize) -> Series {
    let mut series = Series {
        nodes: facts.nodes.iter().map(|node| (node.name.to_string(), Vec::new())).collect(),
        ..Series::default()
    };
    let typical = typical(facts);
    let mut usage = Usage::of(facts);
    let mut spread = Spread::of(facts);
    let mut steps = facts.steps.iter().peekable();
    let length = facts.span.duration();
    for point in 0..points {
        let share = point as f64 / (points - 1).max(1) as f64;
        let at = facts.span.start + length.mul_f64(share);
        while let Some(step) = steps.next_if(|step| step.at <= at) {
            usage.step(step);
            if let Some(spread) = &mut spread {
                spread.step(step);
            }
        }
        series.spread.extend(spread.as_ref().map(Spread::now));
        series.seconds.push(length.mul_f64(share).as_secs_f64());
        measure(&usage, facts, at, &typical, &mut series);
    }
    series
}

/// The most frequent shapes of the pods that count, with their shares.
fn typical(facts: &Facts) -> Vec<(f64, &Shape)> {
    let mut counts: HashMap<u32, u64> = HashMap::new();
    for pod in facts.counted() {
        *counts.entry(pod.own().shape).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(shape, count)| (std::cmp::Reverse(*count), *shape));
    counts.truncate(TYPICAL);
    let all: u64 = counts.iter().map(|(_, count)| count).sum();
    let share = |(shape, count)| (count as f64 / all as f64, &facts.shapes()[shape as usize]);
    counts.into_iter().map(share).collect()
}

fn measure(usage: &Usage<'_>, facts: &Facts, at: TraceTime, typical: &[(f64, &Shape)], into: &mut Series) {
    let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
    let (mut all, mut used, mut nodes, mut apart) = ((0, 0), (0, 0), 0_u64, 0.0);
    let (mut idle_cpu, mut unusable) = (0.0, 0.0);
    for (number, node) in facts.nodes.iter().enumerate() {
        let (cpu, memory) = (usage.on[number].cpu_milli, usage.on[number].memory_bytes);
        let Some(facts) = node.at(at) else {
            into.nodes[number].1.push(0.0);
            continue;
        };
        let (all_cpu, all_memory) = (facts.allocatable("cpu"), facts.allocatable("memory") / 1000);
        let (cpu_share, memory_share) = (share(cpu, all_cpu), share(memory, all_memory));
        into.nodes[number].1.push(cpu_share);
        nodes += 1;
        apart += (cpu_share - memory_share).abs();
        all = (all.0 + all_cpu, all.1 + all_memory);
        used = (used.0 + cpu, used.1 + memory);
        let (idle, free) = (all_cpu.saturating_sub(cpu), all_memory.saturating_sub(memory));
        idle_cpu += idle as f64;
        let fits = |shape: &Shape| shape.requests.cpu_milli <= idle && shape.requests.memory_bytes <= free;
        let lost: f64 = typical.iter().filter(|(_, shape)| !fits(shape)).map(|(share, _)| share).sum();
        unusable += lost * idle as f64;
    }
    into.pending.push(usage.waiting);
    into.cpu.push(share(used.0, all.0));
    into.memory.push(share(used.1, all.1));
    into.imbalance.push(if nodes == 0 { 0.0 } else { apart / nodes as f64 });
    into.fragmentation.push(if idle_cpu > 0.0 { unusable / idle_cpu } else { 0.0 });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::testing::Run;
    use serde_json::json;

    #[test]
    fn a_cluster_over_time_by_hand() {
        let mut run = Run::lockstep("r");
        run.node("n1", "4", "a").node("n2", "4", "b");
        for (id, at, node) in [("p", 0, "n1"), ("q", 10, "n2")] {
            let containers = json!([{"resources": {"requests": {"cpu": "3"}}}]);
            let pod = run.pod(id).with("metadata", "labels", json!({"app": id}));
            pod.with("spec", "containers", containers).added(at).bound(at + 20, node);
        }
        run.pod("late").added(100);
        let found = series(&run.facts(), 3);
        assert_eq!(found.pending, [1, 0, 1]);
        assert_eq!(found.cpu, [0.0, 0.75, 0.75]);
        // Two pods of three need 3 CPUs, and each node has one left.
        assert!((found.fragmentation[1] - 2.0 / 3.0).abs() < 1e-9, "{:?}", found.fragmentation);
        assert_eq!(found.spread, [0.0, 1.0, 1.0], "each workload has one pod");
        assert_eq!(found.nodes[0], ("n1".to_owned(), vec![0.0, 0.75, 0.75]));
    }
}
