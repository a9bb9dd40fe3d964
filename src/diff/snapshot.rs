use std::collections::BTreeMap;
use std::sync::Arc;

use super::Facts;
use super::steps::Change;
use super::usage::Usage;

/// A cluster just before a pod was bound; of a pod that never was, when it arrived.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Other pods that waited for a node.
    pub waiting: u64,
    /// Pods that had one.
    pub bound: u64,
    /// The nodes asked for.
    pub nodes: Vec<NodeUse>,
}

/// How full a node was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeUse {
    /// Its name.
    pub node: Arc<str>,
    /// Pods on it.
    pub pods: u64,
    /// CPU that they ask for, thousandths of a core.
    pub cpu_milli: u64,
    /// CPU that pods may ask for, thousandths of a core.
    pub allocatable_cpu_milli: u64,
    /// Memory that they ask for, bytes.
    pub memory_bytes: u64,
    /// Memory that pods may ask for, bytes.
    pub allocatable_memory_bytes: u64,
}

/// The cluster of a run just before some of its pods were decided, with the nodes named for each: one pass over the
/// run, whatever their number.
pub fn snapshots(facts: &Facts, wanted: &BTreeMap<u32, Vec<&str>>) -> BTreeMap<u32, Snapshot> {
    let mut taken = BTreeMap::new();
    let mut usage = Usage::of(facts);
    for step in &facts.steps {
        if let Some(names) = wanted.get(&step.pod)
            && matches!(step.change(), Change::Arrive | Change::Bind(_))
        {
            let of_node = |name: &&str| {
                let (number, node) = facts.node(name)?;
                let (load, then) = (usage.on[number as usize], node.at(step.at).or_else(|| node.last())?);
                Some(NodeUse {
                    node: node.name.clone(),
                    pods: load.pods,
                    cpu_milli: load.cpu_milli,
                    allocatable_cpu_milli: then.allocatable("cpu"),
                    memory_bytes: load.memory_bytes,
                    allocatable_memory_bytes: then.allocatable("memory") / 1000,
                })
            };
            // The pod itself waits when it is bound.
            let own = u64::from(matches!(step.change(), Change::Bind(_)));
            let snapshot = Snapshot {
                waiting: usage.waiting.saturating_sub(own),
                bound: usage.on.iter().map(|load| load.pods).sum(),
                nodes: names.iter().filter_map(of_node).collect(),
            };
            taken.insert(step.pod, snapshot);
        }
        usage.step(step);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::testing::Run;
    use serde_json::json;

    #[test]
    fn a_snapshot_is_of_the_moment_before_the_decision() {
        let mut run = Run::lockstep("r");
        run.node("n1", "4", "a").node("n2", "8", "a");
        let containers = || json!([{"resources": {"requests": {"cpu": "1", "memory": "1Ki"}}}]);
        run.pod("first").with("spec", "containers", containers()).added(0).bound(1, "n1");
        run.pod("waits").added(2);
        run.pod("it").with("spec", "containers", containers()).added(3).bound(4, "n1");
        run.pod("later").added(5).bound(6, "n2");
        let facts = run.facts();
        let it = facts.counted_pod("it").unwrap().index;
        let waits = facts.counted_pod("waits").unwrap().index;
        let found = snapshots(&facts, &BTreeMap::from([(it, vec!["n1", "n2"]), (waits, Vec::new())]));
        let of_it = &found[&it];
        assert_eq!((of_it.waiting, of_it.bound, of_it.nodes.len()), (1, 1, 2));
        let n1 = &of_it.nodes[0];
        assert_eq!((n1.pods, n1.cpu_milli, n1.allocatable_cpu_milli, n1.memory_bytes), (1, 1000, 4000, 1024));
        assert_eq!((of_it.nodes[1].pods, of_it.nodes[1].allocatable_cpu_milli), (0, 8000));
        assert_eq!((found[&waits].waiting, found[&waits].bound), (0, 1));
    }
}
