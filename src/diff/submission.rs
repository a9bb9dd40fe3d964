use super::Pod;
use super::texts::Sym;
use crate::model::TraceTime;

/// A pod's creation as the replayer saw it; strings are symbols of its [`Facts`](super::Facts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Submission {
    pub(super) namespace: Sym,
    pub(super) name: Sym,
    /// When the request left.
    pub(super) sent: TraceTime,
    /// When its answer was there.
    pub(super) answered: TraceTime,
}

impl Submission {
    /// By pod, and then in order of time.
    pub(super) fn order(&self) -> (Sym, Sym, TraceTime) {
        (self.namespace, self.name, self.sent)
    }

    /// That of a pod first seen at `added`: the last of its name until then, since nobody sees a pod that was not asked
    /// for.
    pub(super) fn of(pod: Pod<'_>, added: TraceTime) -> Option<&Submission> {
        let (all, own) = (&pod.facts.submissions, pod.own());
        let after = all.partition_point(|one| one.order() <= (own.namespace, own.name, added));
        let last = all[..after].last()?;
        ((last.namespace, last.name) == (own.namespace, own.name)).then_some(last)
    }
}
