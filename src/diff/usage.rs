use super::steps::{Change, Step};
use super::{Facts, Shape};

/// What the pods of a node ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Load {
    pub(super) pods: u64,
    pub(super) cpu_milli: u64,
    pub(super) memory_bytes: u64,
}

/// A run's cluster, step by step: who waits, and what is asked for on each node.
#[derive(Debug)]
pub(super) struct Usage<'f> {
    facts: &'f Facts,
    pub(super) waiting: u64,
    /// Of each node.
    pub(super) on: Vec<Load>,
    /// The shape of each pod, resizes in place included.
    asked: Vec<u32>,
    resizes: std::slice::Iter<'f, u32>,
}

impl<'f> Usage<'f> {
    /// The cluster before the first step.
    pub(super) fn of(facts: &'f Facts) -> Usage<'f> {
        Usage {
            facts,
            waiting: 0,
            on: vec![Load::default(); facts.nodes.len()],
            asked: facts.pods.iter().map(|pod| pod.shape).collect(),
            resizes: facts.resizes.iter(),
        }
    }

    /// Takes the next step.
    pub(super) fn step(&mut self, step: &Step) {
        let pod = step.pod as usize;
        match step.change() {
            Change::Arrive => self.waiting += 1,
            Change::Leave => self.waiting = self.waiting.saturating_sub(1),
            Change::Bind(node) => {
                self.waiting = self.waiting.saturating_sub(1);
                self.put(node, pod);
            }
            Change::Free(node) => self.take(node, pod),
            Change::Resize(node) => {
                self.take(node, pod);
                self.asked[pod] = self.resizes.next().copied().unwrap_or(self.asked[pod]);
                self.put(node, pod);
            }
            Change::Terminate(_) => {}
        }
    }

    /// What a pod asks for now.
    pub(super) fn asked(&self, pod: u32) -> &'f Shape {
        &self.facts.shapes()[self.asked[pod as usize] as usize]
    }

    fn put(&mut self, node: u32, pod: usize) {
        let asked = &self.asked(pod as u32).requests;
        let load = &mut self.on[node as usize];
        load.pods += 1;
        load.cpu_milli += asked.cpu_milli;
        load.memory_bytes += asked.memory_bytes;
    }

    fn take(&mut self, node: u32, pod: usize) {
        let asked = &self.asked(pod as u32).requests;
        let load = &mut self.on[node as usize];
        load.pods = load.pods.saturating_sub(1);
        load.cpu_milli = load.cpu_milli.saturating_sub(asked.cpu_milli);
        load.memory_bytes = load.memory_bytes.saturating_sub(asked.memory_bytes);
    }
}
