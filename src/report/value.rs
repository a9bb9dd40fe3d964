use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::context::Context;
use crate::diff::{Cause, Counts, Incomparable, Metric, Outcome, Rule, Rung, Series, Side, Verdict, Why};
use crate::stats;

/// Version of the report's fields. Fields may be added under it; none changes its meaning.
pub const SCHEMA: &str = "kubereel.dev/report/v1";

/// Everything that a comparison found, in the words and units of `docs/report.md`. Durations are seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// What was compared.
    pub comparison: Comparison,
    /// What it comes to; `None` for two reels, which get no verdict.
    pub verdict: Option<VerdictEntry>,
    /// Why runs cannot be judged, or why two reels differ in more than the scheduler.
    pub problems: Vec<ProblemEntry>,
    /// How far decisions agree.
    pub decisions: Decisions,
    /// Pods decided otherwise, by workload, reason and winning plugin; those with the most roots first.
    pub groups: Vec<GroupEntry>,
    /// Pods with the same outcome on another node, in the baseline's order.
    pub moved: Vec<ChangeEntry>,
    /// Pods with another outcome, in the baseline's order.
    pub outcome_changed: Vec<ChangeEntry>,
    /// Pods on which runs of one side differ.
    pub unstable: Vec<UnstableEntry>,
    /// Pods that only the baseline has.
    pub only_baseline: Vec<PodEntry>,
    /// Pods that only the candidate has.
    pub only_candidate: Vec<PodEntry>,
    /// Rules that runs break.
    pub violations: Vec<ViolationEntry>,
    /// Numbers of whole runs, with a verdict each; none in lockstep and of two reels.
    pub metrics: Vec<MetricEntry>,
    /// Other numbers of whole runs, without a verdict.
    pub explored: Vec<ExploredEntry>,
    /// Numbers of kube-scheduler's own that do not mean the same in the two versions.
    pub incomparable: Vec<Incomparable>,
    /// Whether placements of the sides differ beyond what runs of one side do.
    pub placement: Option<PlacementEntry>,
    /// Latencies side by side.
    pub latency: Vec<LatencyEntry>,
    /// The runs of the baseline.
    pub baseline: Vec<RunEntry>,
    /// The runs of the candidate.
    pub candidate: Vec<RunEntry>,
    /// What is drawn: of the first run of each side. Not in JSON.
    #[serde(skip)]
    pub charts: Charts,
}

impl Report {
    /// The first divergence.
    pub fn first(&self) -> Option<&ChangeEntry> {
        self.moved.iter().chain(&self.outcome_changed).find(|change| change.is_first)
    }
}

/// What the HTML report draws, of the first run of each side.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Charts {
    /// The cluster over time, of each side.
    pub series: Vec<Series>,
    /// Create to scheduled, seconds: 101 quantiles of each side.
    pub waits: Vec<Vec<f64>>,
    /// Pods by where the baseline put them, where the candidate did (zone or class), and how many.
    pub flow: Vec<(String, String, u64)>,
    /// Of each pod decided otherwise: what happened to it on each side, in lines.
    pub stories: BTreeMap<Arc<str>, [Vec<String>; 2]>,
}

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// Two reels.
    Diff,
    /// Runs of two schedulers.
    Compare,
}

/// The verdict on runs of two schedulers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerdictEntry {
    /// The verdict.
    pub result: Verdict,
    /// The exit code that goes with it.
    pub exit_code: u8,
    /// The rung on which pods were judged.
    pub rung: Rung,
    /// Why, in words.
    pub reason: String,
}

/// Something that stands against reading the numbers as the scheduler's doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProblemEntry {
    /// One word for machines.
    pub code: &'static str,
    /// A sentence for people.
    pub text: String,
}

/// How far decisions agree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decisions {
    /// Pods that all runs have.
    pub compared: u64,
    /// Of them, decided alike by all runs of each side; `None` for two reels.
    pub stable: Option<u64>,
    /// Moved pods that took the place of a pod like them.
    pub exchanged: u64,
    /// Pods decided otherwise where the clusters were in the same state just before, but for names.
    pub roots: u64,
    /// How often the clusters came back to the same state; `None` for groups of runs.
    pub convergences: Option<u64>,
    /// One entry a rung, coarsest first.
    pub ladder: Vec<RungEntry>,
}

/// Agreement on one rung.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RungEntry {
    /// Which rung.
    pub rung: Rung,
    /// Over all pairs of a baseline and a candidate run.
    pub between: Share,
    /// Over all pairs of baseline runs; `None` where there is one run.
    pub within_baseline: Option<Share>,
    /// Over all pairs of candidate runs; `None` where there is one run.
    pub within_candidate: Option<Share>,
    /// What the runs say on this rung; `None` for two reels.
    pub result: Option<Verdict>,
}

/// How many decisions agree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// Pairs that agree.
    pub agree: u64,
    /// All pairs.
    pub pairs: u64,
    /// The one over the other, 0 to 1; `None` without pairs.
    pub share: Option<f64>,
}

/// Names a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PodEntry {
    /// `kubereel.dev/id`.
    pub id: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// What it belongs to.
    pub workload: Arc<str>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionEntry {
    /// What became of the pod.
    pub outcome: Outcome,
    /// Where it was bound.
    pub node: Option<Arc<str>>,
}

/// A pod that was decided otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangeEntry {
    /// Which pod.
    #[serde(flatten)]
    pub pod: PodEntry,
    /// When the baseline saw it created, seconds since its reel began.
    pub created_seconds: Option<f64>,
    /// When the baseline bound it, seconds since its reel began.
    pub decided_seconds: Option<f64>,
    /// Whether it is the first divergence.
    pub is_first: bool,
    /// Whether it may only follow from an earlier one.
    pub cause: Cause,
    /// Whether the candidate's node stands for the baseline's: only names differ.
    pub renamed: bool,
    /// The finest rung on which the two still agree.
    pub agrees: Option<Rung>,
    /// Why the schedulers decide otherwise.
    pub why: Why,
    /// The score plugin that turned the choice.
    pub plugin: Option<String>,
    /// Why no node fitted when a scheduler last said so.
    pub reason: Option<String>,
    /// The decision of the baseline.
    pub baseline: DecisionEntry,
    /// The decision of the candidate.
    pub candidate: DecisionEntry,
    /// What was known just before; of roots that do more than rename nodes.
    pub context: Option<Box<Context>>,
}

impl ChangeEntry {
    /// Whether the schedulers decide otherwise in one state of the cluster, in more than the name of a node.
    pub fn is_root(&self) -> bool {
        self.cause == Cause::Root && !self.renamed
    }
}

/// Pods decided otherwise that belong together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupEntry {
    /// Their workload.
    pub workload: String,
    /// Why the schedulers decide otherwise.
    pub why: Why,
    /// Why no node fitted, where that is it.
    pub reason: Option<String>,
    /// The score plugin that turned the choice, where scores did.
    pub plugin: Option<String>,
    /// How many.
    pub pods: u64,
    /// Of them, roots that do more than rename nodes.
    pub roots: u64,
    /// `namespace/name` of the first of them.
    pub first: String,
}

/// A pod on which runs of one side differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnstableEntry {
    /// Which pod.
    #[serde(flatten)]
    pub pod: PodEntry,
    /// The decision in each baseline run.
    pub baseline: Vec<DecisionEntry>,
    /// The decision in each candidate run.
    pub candidate: Vec<DecisionEntry>,
    /// Whether all runs were in lockstep: nothing but a race inside the scheduler is left to differ between runs of a side.
    pub racy: bool,
}

/// A rule that a run breaks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ViolationEntry {
    /// Whose run.
    pub side: Side,
    /// Names the run's reel.
    pub reel: String,
    /// Which rule.
    pub rule: Rule,
    /// The pod.
    #[serde(flatten)]
    pub pod: PodEntry,
    /// When, seconds since the run's reel began.
    pub at_seconds: f64,
    /// The node.
    pub node: String,
    /// With the numbers.
    pub detail: String,
    /// Whether a run of the other side breaks it for the same pod.
    pub shared: bool,
}

/// A number of whole runs: the larger, the worse.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricEntry {
    /// Which.
    pub metric: &'static str,
    /// Of each run of the baseline, seconds.
    pub baseline: Vec<f64>,
    /// Of each run of the candidate, seconds.
    pub candidate: Vec<f64>,
    /// Candidate over baseline.
    pub ratio: Option<f64>,
    /// Lower end of its 95 % interval; `None` where there are too few runs for one.
    pub ratio_low: Option<f64>,
    /// Upper end of its 95 % interval; `None` where there are too few runs for one.
    pub ratio_high: Option<f64>,
    /// Relative difference that does not matter.
    pub margin: f64,
    /// p-value of lying beyond the margin, adjusted over all numbers.
    pub p: f64,
    /// The verdict.
    pub change: stats::Change,
    /// About how many runs a side would settle it.
    pub runs_needed: Option<u64>,
    /// Whether it is the limit of a scheduler's client that is measured.
    pub at_client_limit: bool,
}

/// A number of whole runs that is shown and not judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExploredEntry {
    /// Which.
    pub metric: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Of each run of the baseline; `None` where the run does not tell.
    pub baseline: Vec<Option<f64>>,
    /// Of each run of the candidate; `None` where the run does not tell.
    pub candidate: Vec<Option<f64>>,
    /// p-value, adjusted over all such numbers.
    pub p: Option<f64>,
}

impl ExploredEntry {
    /// The median of each side.
    pub(super) fn medians(&self) -> [Option<f64>; 2] {
        [&self.baseline, &self.candidate].map(|values| {
            let mut values: Vec<f64> = values.iter().copied().flatten().collect();
            values.sort_by(f64::total_cmp);
            stats::quantile(&values, 0.5)
        })
    }
}

/// How far apart placements are, as shares of pods that differ on the rung judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PlacementEntry {
    /// Between a run of each side.
    pub between: f64,
    /// Between runs of the baseline.
    pub within_baseline: f64,
    /// Between runs of the candidate.
    pub within_candidate: f64,
    /// Energy distance.
    pub energy: f64,
    /// Its p-value.
    pub p: f64,
}

/// One latency on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatencyEntry {
    /// Which.
    pub metric: Metric,
    /// Of the baseline.
    pub baseline: LatencySide,
    /// Of the candidate.
    pub candidate: LatencySide,
}

/// One latency on one side, pooled over its runs. Absent numbers mean that no pod got there in sight.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatencySide {
    /// Pods measured.
    pub n: usize,
    /// Pods that were never bound, and so are not in the percentiles.
    pub never_bound: u64,
    /// Median, seconds.
    pub p50_seconds: Option<f64>,
    /// 90th percentile, seconds.
    pub p90_seconds: Option<f64>,
    /// 99th percentile, seconds.
    pub p99_seconds: Option<f64>,
    /// Whether the 99th percentile rests on too few pods to be more than a hint.
    pub p99_is_weak: bool,
    /// Longest, seconds.
    pub max_seconds: Option<f64>,
    /// Mean, seconds.
    pub mean_seconds: Option<f64>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunEntry {
    /// Names the reel.
    pub reel: String,
    /// Digest of the trace replayed.
    pub trace_digest: Option<String>,
    /// Version of the scheduler.
    pub scheduler_version: Option<String>,
    /// Mode of the replay.
    pub mode: Option<String>,
    /// Trace seconds per second.
    pub speed: Option<f64>,
    /// Whether the reel was finished.
    pub sealed: bool,
    /// Version of the kubereel that wrote it.
    pub tool_version: Option<String>,
    /// Length of what statistics cover, seconds.
    pub span_seconds: f64,
    /// Nodes seen.
    pub nodes: usize,
    /// How many pods came to what.
    pub counts: Counts,
    /// Stretches in which events may be missing, by kind.
    pub gaps: BTreeMap<String, u64>,
    /// Lockstep steps whose decision did not show in time.
    pub unsettled: u64,
    /// How well the replay kept its schedule; `None` where it sent nothing.
    pub lateness: Option<LatenessEntry>,
    /// Actions that did not succeed, by HTTP status.
    pub failed_actions: BTreeMap<u16, u64>,
    /// How often requests were made again.
    pub retries: u64,
    /// Why the run by itself is not fit to be judged.
    pub faults: Vec<ProblemEntry>,
}

/// How late the actions of a replay were.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatenessEntry {
    /// Actions sent.
    pub actions: usize,
    /// Median, seconds.
    pub p50_seconds: f64,
    /// 99th percentile, seconds.
    pub p99_seconds: f64,
    /// Largest, seconds.
    pub max_seconds: f64,
}
