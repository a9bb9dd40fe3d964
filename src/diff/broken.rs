use std::collections::HashSet;

use super::join::join;
use super::{Facts, Pod, Rule, Side, Violation, violations};

/// A rule that a run of a comparison breaks.
#[derive(Debug, Clone)]
pub struct Broken<'f> {
    /// Of which side the run is.
    pub side: Side,
    /// The run's name.
    pub reel: &'f str,
    /// The pod.
    pub pod: Pod<'f>,
    /// What is broken.
    pub violation: Violation,
    /// Whether a run of the other side breaks it for the same pod, so that the candidate is not the worse.
    pub shared: bool,
}

impl Broken<'_> {
    /// Whether the candidate fails for it, whatever else was found.
    pub fn is_failure(&self) -> bool {
        self.side == Side::Candidate && !self.shared
    }
}

/// The rules that the runs of two sides break.
pub fn broken<'f>(a: &[&'f Facts], b: &[&'f Facts]) -> Vec<Broken<'f>> {
    let of = |side: Side, runs: &[&'f Facts]| -> Vec<Broken<'f>> {
        let of_run = |run: &&'f Facts| {
            let run: &'f Facts = run;
            violations(run).into_iter().map(move |violation| Broken {
                side,
                reel: &run.run.reel,
                pod: run.pod(violation.pod),
                violation,
                shared: false,
            })
        };
        runs.iter().flat_map(of_run).collect()
    };
    let (mut first, mut second) = join(|| of(Side::Baseline, a), || of(Side::Candidate, b));
    let keys = |found: &[Broken<'f>]| -> HashSet<(Rule, &'f str)> {
        found.iter().map(|broken| (broken.violation.rule, broken.pod.id())).collect()
    };
    let (keys_a, keys_b) = (keys(&first), keys(&second));
    for (found, others) in [(&mut first, &keys_b), (&mut second, &keys_a)] {
        for broken in found.iter_mut() {
            broken.shared = others.contains(&(broken.violation.rule, broken.pod.id()));
        }
    }
    first.append(&mut second);
    first
}
