use std::collections::HashSet;

use super::agreement::Place;
use super::comparable::unlike;
use super::compare::{Sides, exchanged};
use super::history::History;
use super::latency::latencies;
use super::metrics::judge_metrics;
use super::{
    Agreement, Broken, Change, Decision, Facts, Latency, MetricVerdict, Pod, Policy, Problem, Reason,
    RunVerdict, Rung, Side, Verdict, broken,
};
use crate::stats::{self, Energy, energy_test};

/// Runs that a side needs before decisions that race can be called alike.
const RUNS_FOR_EQUIVALENT: usize = 2;

/// Runs that a side needs before decisions that race can be called changed. One coin that all pods of a run depend
/// on parts n from n runs of the same scheduler with probability 2^(1 - 2n): 12.5 % for 2 runs, 3.1 % for 3.
const RUNS_FOR_CHANGED: usize = 3;

/// Share of pods that must be stable on both sides before the runs can be called alike. Below it, pods that are
/// stable by chance are too many to tell from those that are.
const STABLE_SHARE: f64 = 0.9;

/// Chance of a false alarm of the energy distance on a rung: 4 runs a side can reach 0.029, and together with the other
/// rules a verdict stays below one false alarm in twenty.
const LEVEL: f64 = 0.03;

/// A pod that runs of one side decided in more than one way.
#[derive(Debug, Clone)]
pub struct Unstable<'f> {
    /// Which pod, in the first run of A.
    pub pod: Pod<'f>,
    /// The decision in each run of A.
    pub a: Vec<Decision>,
    /// The decision in each run of B.
    pub b: Vec<Decision>,
}

/// What the runs say on one rung, whatever the rung that is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct RungVerdict {
    /// The rung.
    pub rung: Rung,
    /// Pods decided alike in all runs of A, and alike in all runs of B.
    pub stable: u64,
    /// Of them, those on which the sides differ.
    pub differ: u64,
    /// Whether placements of the two sides lie further apart than those of runs of one side, by the share of pods that
    /// differ; `None` with one run a side.
    pub energy: Option<Energy>,
    /// By the rules of [`judge`] for decisions; changed too where the energy distance is above 0 with p at most 3 %. That is
    /// for draws by chance: they leave no pod stable, and yet their odds can change.
    pub verdict: Verdict,
}

/// The runs of two schedulers side by side.
#[derive(Debug, Clone)]
pub struct Groups<'f> {
    /// What they say.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Why runs cannot be judged; empty unless the verdict is [`Verdict::Invalid`].
    pub problems: Vec<Problem>,
    /// The rung on which pods are stable or not, differ or not.
    pub rung: Rung,
    /// Pods that are in all runs.
    pub compared: u64,
    /// Of them, decided alike in all runs of A, and alike in all runs of B.
    pub stable: u64,
    /// Agreement over all pairs of runs of A: the noise of the baseline. No pairs where A has one run.
    pub within_a: Agreement,
    /// Agreement over all pairs of runs of B. No pairs where B has one run.
    pub within_b: Agreement,
    /// Agreement over all pairs of a run of A and a run of B.
    pub between: Agreement,
    /// Stable pods that differ between the sides, in the order of the decisions; these
    /// are those of the first run of each side.
    pub divergences: Vec<Change<'f>>,
    /// How many divergences took the place of a pod like them: see [`Diff::exchanged`](super::Diff::exchanged).
    pub exchanged: u64,
    /// Pods that are not stable, in the order in which the first run of A saw them.
    pub unstable: Vec<Unstable<'f>>,
    /// What the runs say on each rung, coarsest first; empty where a side has no run.
    pub rungs: Vec<RungVerdict>,
    /// Numbers of whole runs, with a verdict each; none in lockstep.
    pub metrics: Vec<MetricVerdict>,
    /// Rules that runs break.
    pub broken: Vec<Broken<'f>>,
    /// Latencies, pooled over the runs of each side.
    pub latency: Vec<Latency>,
}

/// Judges whether the runs of a candidate decide as those of a baseline do, and whether they take longer: numbers of
/// whole runs are judged where times are the scheduler's own, and a regression is a change. Latencies of pods are put
/// side by side, and no verdict on them is given.
///
/// A pod is *stable* on a side if all its runs agree on it at the rung judged, and a *divergence* if it is stable on
/// both sides and the two differ.
///
/// Where all runs are in lockstep, little races: the rung is [`Policy::fail_on`], one run a side is enough, and any
/// divergence is a change. Otherwise the rung is node class at the finest, and a change takes three runs a side and
/// more divergences than unstable pods. In both, `Equivalent` takes no divergence, and where fewer than nine in ten
/// pods are stable nothing is said unless the divergences outnumber the unstable pods, or, in lockstep, the sides place
/// further apart than runs of one side do ([`RungVerdict::energy`], four runs a side). A rule that the candidate breaks
/// and the baseline does not ([`broken`]) is a change without any statistics. Runs that cannot tell whether a number is
/// worse are not called alike, however they decide.
pub fn judge<'f>(baseline: &'f [Facts], candidate: &'f [Facts], policy: &Policy) -> Groups<'f> {
    let all: Vec<&'f Facts> = baseline.iter().chain(candidate).collect();
    let (a, b) = all.split_at(baseline.len());
    let is_lockstep = all.iter().all(|facts| facts.run.is_lockstep());
    let rung = if is_lockstep { policy.fail_on } else { policy.fail_on.min(Rung::NodeClass) };
    let mut result = Groups {
        verdict: Verdict::Invalid,
        reason: Reason::Problems,
        problems: problems(a, b),
        rung,
        compared: 0,
        stable: 0,
        within_a: Agreement::default(),
        within_b: Agreement::default(),
        between: Agreement::default(),
        divergences: Vec::new(),
        exchanged: 0,
        unstable: Vec::new(),
        rungs: Vec::new(),
        metrics: judge_metrics(a, b, policy.margin),
        broken: broken(a, b),
        latency: latencies(a, b),
    };
    if let Some(first) = a.first().filter(|_| !b.is_empty()) {
        let runs: Vec<(&Facts, History)> = all.iter().map(|run| (*run, History::of(run))).collect();
        let mut sides = Sides::of(first, b[0]);
        let mut rungs =
            Rung::ALL.map(|_| OnRung { apart: vec![0; all.len() * all.len()], ..OnRung::default() });
        for pod in first.counted() {
            result.add(&runs, a.len(), pod, &sides, &mut rungs);
        }
        sides.explain(&mut result.divergences);
        let fewest = a.len().min(b.len());
        result.rungs = Rung::ALL
            .into_iter()
            .zip(rungs)
            .map(|(rung, on)| on.judge(rung, result.compared, a.len(), all.len(), is_lockstep, fewest))
            .collect();
        result.exchanged = exchanged(&result.divergences);
        if result.compared == 0 {
            result.problems.push(Problem::NoPods);
        }
    }
    if result.problems.is_empty() {
        (result.verdict, result.reason) = result.decide(is_lockstep, a.len().min(b.len()));
    }
    result
}

impl<'f> Groups<'f> {
    fn add(
        &mut self,
        runs: &[(&'f Facts, History)],
        split: usize,
        pod: Pod<'f>,
        sides: &Sides<'f>,
        rungs: &mut [OnRung; Rung::ALL.len()],
    ) {
        let pods: Option<Vec<Pod<'f>>> = runs.iter().map(|(run, _)| run.counted_pod(pod.id())).collect();
        let Some(pods) = pods else { return };
        let place = |(pod, (_, history)): (&Pod<'f>, &(&Facts, History))| {
            Place::of(*pod, history.content[pod.index as usize])
        };
        let places: Vec<_> = pods.iter().zip(runs).map(place).collect();
        self.compared += 1;
        self.count_pairs(&places, split, rungs);
        let (a, b) = places.split_at(split);
        let alike = |rung| move |side: &[Place<'_>]| side.iter().all(|place| place.is_same(&side[0], rung));
        for (rung, on) in Rung::ALL.into_iter().zip(rungs) {
            if alike(rung)(a) && alike(rung)(b) {
                on.stable += 1;
                on.differ += u64::from(!a[0].is_same(&b[0], rung));
            }
        }
        if !alike(self.rung)(a) || !alike(self.rung)(b) {
            let decisions = |side: &[Pod<'_>]| side.iter().map(|pod| Decision::of(*pod)).collect();
            let (a, b) = (decisions(&pods[..split]), decisions(&pods[split..]));
            self.unstable.push(Unstable { pod, a, b });
            return;
        }
        self.stable += 1;
        if !a[0].is_same(&b[0], self.rung) {
            self.divergences.push(sides.change(pods[0], pods[split], a[0].agrees(&b[0])));
        }
    }

    fn count_pairs(&mut self, places: &[Place<'_>], split: usize, rungs: &mut [OnRung; Rung::ALL.len()]) {
        for (i, first) in places.iter().enumerate() {
            for (j, second) in places.iter().enumerate().skip(i + 1) {
                let agreement = match (i < split, j < split) {
                    (true, true) => &mut self.within_a,
                    (false, false) => &mut self.within_b,
                    _ => &mut self.between,
                };
                let agrees = first.agrees(second);
                agreement.add(agrees);
                for (rung, on) in Rung::ALL.into_iter().zip(rungs.iter_mut()) {
                    let apart = agrees.is_none_or(|finest| finest < rung);
                    on.apart[i * places.len() + j] += u64::from(apart);
                }
            }
        }
    }

    fn metrics_that(&self, change: stats::Change) -> Vec<&MetricVerdict> {
        self.metrics.iter().filter(|metric| metric.judged.change == change).collect()
    }

    fn decide(&self, is_lockstep: bool, runs: usize) -> (Verdict, Reason) {
        let failures = self.broken.iter().filter(|broken| broken.is_failure()).count() as u64;
        if failures > 0 {
            return (Verdict::Changed, Reason::Broken { count: failures });
        }
        let regressed = self.metrics_that(stats::Change::Regressed);
        if let Some(first) = regressed.first() {
            let count = regressed.len() as u64;
            return (Verdict::Changed, Reason::Regressed { metric: first.metric, count });
        }
        let judged = decisions(self.compared, self.stable, self.divergences.len() as u64, is_lockstep, runs);
        let apart = self.rungs.iter().find(|on| on.rung == self.rung && on.verdict == Verdict::Changed);
        match (judged.0, apart.and_then(|on| on.energy), self.unclear()) {
            // In lockstep only the schedulers' own draws differ from run to run.
            (Verdict::Inconclusive, Some(energy), _) if is_lockstep => {
                (Verdict::Changed, Reason::Apart { p: energy.p })
            }
            (Verdict::Equivalent, _, Some(unclear)) => (Verdict::Inconclusive, unclear),
            _ => judged,
        }
    }

    fn unclear(&self) -> Option<Reason> {
        let unclear = self.metrics_that(stats::Change::Inconclusive);
        let metric = unclear.first()?.metric;
        let need: Option<Vec<u64>> = unclear.iter().map(|metric| metric.judged.runs_needed).collect();
        let need = need.and_then(|need| need.into_iter().max());
        Some(Reason::Unclear { metric, count: unclear.len() as u64, need })
    }
}

/// What `runs` runs a side say of decisions, by pods compared, pods that are stable, and those of them that differ.
fn decisions(of: u64, stable: u64, differ: u64, is_lockstep: bool, runs: usize) -> (Verdict, Reason) {
    let unstable = of - stable;
    let few = |need| (Verdict::Inconclusive, Reason::TooFewRuns { have: runs, need });
    let is_noisy = (stable as f64) < STABLE_SHARE * of as f64;
    if !is_lockstep && runs < RUNS_FOR_EQUIVALENT {
        few(RUNS_FOR_CHANGED)
    } else if is_noisy && differ <= unstable {
        (Verdict::Inconclusive, Reason::Unstable { stable, of })
    } else if differ > 0 && !is_lockstep && differ <= unstable {
        (Verdict::Inconclusive, Reason::WithinNoise { differ, unstable })
    } else if differ > 0 && !is_lockstep && runs < RUNS_FOR_CHANGED {
        few(RUNS_FOR_CHANGED)
    } else if differ > 0 {
        (Verdict::Changed, Reason::Differ { count: differ, of })
    } else {
        (Verdict::Equivalent, Reason::Alike { stable, of })
    }
}

/// What is counted on one rung.
#[derive(Debug, Clone, Default)]
struct OnRung {
    stable: u64,
    differ: u64,
    /// Of each pair of runs, pods on which the two differ.
    apart: Vec<u64>,
}

impl OnRung {
    fn judge(
        self,
        rung: Rung,
        of: u64,
        split: usize,
        all: usize,
        is_lockstep: bool,
        runs: usize,
    ) -> RungVerdict {
        let pods = of.max(1) as f64;
        let share = |i: usize, j: usize| self.apart[i.min(j) * all + i.max(j)] as f64 / pods;
        let energy = energy_test(split, all, share).filter(|_| all > 2);
        let is_apart = energy.is_some_and(|energy| energy.statistic > 0.0 && energy.p <= LEVEL);
        let verdict = if is_apart {
            Verdict::Changed
        } else {
            decisions(of, self.stable, self.differ, is_lockstep, runs).0
        };
        RungVerdict { rung, stable: self.stable, differ: self.differ, energy, verdict }
    }
}

fn problems(a: &[&Facts], b: &[&Facts]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (side, runs) in [(Side::Baseline, a), (Side::Candidate, b)] {
        if runs.is_empty() {
            problems.push(Problem::NoRuns { side });
        }
    }
    let runs: Vec<&Facts> = a.iter().chain(b).copied().collect();
    let ids: HashSet<&str> = runs.iter().flat_map(|run| run.counted()).map(Pod::id).collect();
    for run in &runs {
        let reel = || run.run.reel.clone();
        problems.extend(
            unlike(runs[0], run).into_iter().map(|note| Problem::Incomparable { reel: reel(), note }),
        );
        let verdict = RunVerdict::of(run);
        problems.extend(verdict.faults.into_iter().map(|fault| Problem::Unfit { reel: reel(), fault }));
        let missing = ids.len() as u64 - run.counts.pods;
        if missing > 0 {
            problems.push(Problem::MissingPods { reel: reel(), count: missing });
        }
    }
    problems
}
