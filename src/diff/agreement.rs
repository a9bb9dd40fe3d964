use super::{NodeFacts, Outcome, Pod, Rung};

/// One decision with what is known of its node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'f> {
    outcome: Outcome,
    name: Option<&'f str>,
    node: Option<&'f NodeFacts>,
    content: u64,
}

impl<'f> Place<'f> {
    /// Where a pod came to be; `content` stands for what was on its node before.
    pub(super) fn of(pod: Pod<'f>, content: u64) -> Place<'f> {
        let node = pod.node_when_bound();
        Place { outcome: pod.outcome(), name: pod.node_name(), node, content }
    }

    /// The finest rung on which two decisions agree, `None` where not even the outcome is the same. Nodes of equal
    /// name agree whatever their labels; of a node that the reel does not hold, only the name can agree.
    pub(super) fn agrees(&self, other: &Place<'_>) -> Option<Rung> {
        if self.outcome != other.outcome {
            return None;
        }
        if self.name == other.name {
            return Some(Rung::ExactNode);
        }
        Some(match (self.node, other.node) {
            (Some(a), Some(b)) if a.class == b.class && self.content == other.content => Rung::Content,
            (Some(a), Some(b)) if a.class == b.class => Rung::NodeClass,
            (Some(a), Some(b)) if a.zone() == b.zone() => Rung::Zone,
            _ => Rung::Outcome,
        })
    }

    /// Whether two decisions count as the same on a rung.
    pub(super) fn is_same(&self, other: &Place<'_>, rung: Rung) -> bool {
        self.agrees(other).is_some_and(|finest| finest >= rung)
    }
}
/// How many decisions agree on each rung. Over several pairs of runs the counts add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agreement {
    /// Pairs of decisions on the same pod.
    pub pairs: u64,
    agree: [u64; Rung::ALL.len()],
}

impl Agreement {
    /// Adds a pair that agrees on `finest` and all coarser rungs; `None` where it agrees on none.
    pub(super) fn add(&mut self, finest: Option<Rung>) {
        self.pairs += 1;
        for rung in Rung::ALL {
            self.agree[rung as usize] += u64::from(finest.is_some_and(|finest| rung <= finest));
        }
    }

    /// How many pairs agree on a rung.
    pub fn count(&self, rung: Rung) -> u64 {
        self.agree[rung as usize]
    }

    /// Which share of the pairs, 0 to 1, agrees on a rung; `None` without pairs.
    pub fn share(&self, rung: Rung) -> Option<f64> {
        (self.pairs > 0).then(|| self.count(rung) as f64 / self.pairs as f64)
    }

    /// How many pairs do not agree on a rung.
    pub fn differing(&self, rung: Rung) -> u64 {
        self.pairs - self.count(rung)
    }
}
