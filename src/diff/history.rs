use super::steps::Change;
use super::texts::hash_of;
use super::{Facts, Outcome, Pod};

/// The state of the cluster around every decision of a run, as hashes that are the same for states that differ only
/// in the names of nodes and of pods that are alike: the nodes' classes with the pods on each, and the pods waiting.
#[derive(Debug)]
pub(super) struct History {
    /// Of each pod, the state when it arrived.
    pub(super) at_arrival: Vec<u64>,
    /// Of each pod, the state just before it was bound.
    pub(super) before_bind: Vec<u64>,
    /// Of each pod, what was on its node just before it was bound.
    pub(super) content: Vec<u64>,
    /// Of each pod, the step that bound it, and that ended it: [`NEVER`] where there was none.
    bound: Vec<u32>,
    over: Vec<u32>,
}

/// The step of what did not happen.
pub(super) const NEVER: u32 = u32::MAX;

impl History {
    /// Goes through a run once: time follows the number of its steps.
    pub(super) fn of(facts: &Facts) -> History {
        let pods = facts.pods.len();
        let mut history = History {
            at_arrival: vec![0; pods],
            before_bind: vec![0; pods],
            content: vec![0; pods],
            bound: vec![NEVER; pods],
            over: vec![NEVER; pods],
        };
        let classes: Vec<u64> =
            facts.nodes.iter().map(|node| node.last().map_or(0, |facts| hash_of(&*facts.class))).collect();
        let mut state = State { on: vec![0; classes.len()], classes, nodes: 0, waiting: 0 };
        for (number, step) in facts.steps.iter().enumerate() {
            let (pod, number) = (step.pod as usize, number as u32);
            // Sums of hashes are the same in every order, so they stand for multisets.
            let alike = hash_of(&facts.shapes()[facts.pods[pod].shape as usize].alike);
            match step.change() {
                Change::Arrive => {
                    history.at_arrival[pod] = state.hash();
                    state.waiting = state.waiting.wrapping_add(alike);
                }
                Change::Bind(node) => {
                    history.before_bind[pod] = state.hash();
                    history.content[pod] = state.on[node as usize];
                    history.bound[pod] = number;
                    state.waiting = state.waiting.wrapping_sub(alike);
                    state.put(node, alike);
                }
                Change::Terminate(_) => history.over[pod] = number,
                Change::Free(node) => {
                    state.put(node, alike.wrapping_neg());
                    history.over[pod] = history.over[pod].min(number);
                }
                Change::Leave => {
                    state.waiting = state.waiting.wrapping_sub(alike);
                    history.over[pod] = number;
                }
                Change::Resize(_) => {}
            }
        }
        history
    }

    /// The step at which it showed what becomes of a pod, [`NEVER`] while it waits.
    pub(super) fn decided(&self, pod: Pod<'_>) -> u32 {
        let number = pod.index as usize;
        match pod.outcome() {
            Outcome::Bound => self.bound[number],
            Outcome::Preempted | Outcome::DeletedWhilePending => self.over[number],
            Outcome::NeverBound => NEVER,
        }
    }

    /// The step that bound a pod.
    pub(super) fn bound(&self, pod: Pod<'_>) -> u32 {
        self.bound[pod.index as usize]
    }
}

/// The cluster in a few numbers.
struct State {
    /// Of each node, the sum over its pods.
    on: Vec<u64>,
    classes: Vec<u64>,
    /// The sum over the nodes with pods.
    nodes: u64,
    /// The sum over the waiting pods.
    waiting: u64,
}

impl State {
    fn put(&mut self, node: u32, by: u64) {
        let node = node as usize;
        let of = |on: u64, class: u64| if on == 0 { 0 } else { hash_of(&(class, on)) };
        let (before, class) = (self.on[node], self.classes[node]);
        self.on[node] = before.wrapping_add(by);
        self.nodes = self.nodes.wrapping_sub(of(before, class)).wrapping_add(of(self.on[node], class));
    }

    fn hash(&self) -> u64 {
        hash_of(&(self.nodes, self.waiting))
    }
}
