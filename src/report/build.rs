use std::collections::HashMap;

use super::charts::charts;
use super::context::{Context, contexts};
use super::value::{
    ChangeEntry, Charts, Comparison, DecisionEntry, Decisions, ExploredEntry, GroupEntry, LatencyEntry,
    LatencySide, LatenessEntry, MetricEntry, PlacementEntry, PodEntry, ProblemEntry, Report, RunEntry,
    RungEntry, SCHEMA, Share, UnstableEntry, VerdictEntry, ViolationEntry,
};
use crate::diff::{
    Agreement, Broken, Change, Decision, Diff, Explored, Facts, Fault, Groups, Incomparable, Kind, Latency,
    MetricVerdict, Milestone, Pod, RunVerdict, Rung, RungVerdict, explored, incomparable, kinds,
};
use crate::stats::{Energy, Estimate, Summary};

impl Report {
    /// The report on two reels: `diff` is [`compare`](crate::diff::compare) of `a` and `b`.
    pub fn of_diff(a: &Facts, b: &Facts, diff: &Diff<'_>) -> Report {
        let problem = |note: &crate::diff::Note| ProblemEntry { code: note.code(), text: note.to_string() };
        let changes = || diff.moved.iter().chain(&diff.outcome_changed);
        let mut contexts = contexts(a, b, changes());
        let (a, b) = (std::slice::from_ref(a), std::slice::from_ref(b));
        Report {
            schema: SCHEMA,
            comparison: Comparison::Diff,
            verdict: None,
            problems: diff.notes.iter().map(problem).collect(),
            decisions: Decisions {
                compared: diff.agreement.pairs,
                stable: None,
                exchanged: diff.exchanged,
                roots: roots(changes()),
                convergences: Some(diff.convergences),
                ladder: ladder(&diff.agreement, None, None, &[]),
            },
            groups: kinds(diff.in_order()).into_iter().map(group).collect(),
            moved: diff.moved.iter().map(|c| change(c, &mut contexts)).collect(),
            outcome_changed: diff.outcome_changed.iter().map(|c| change(c, &mut contexts)).collect(),
            unstable: Vec::new(),
            only_baseline: diff.only_a.iter().copied().map(pod).collect(),
            only_candidate: diff.only_b.iter().copied().map(pod).collect(),
            metrics: Vec::new(),
            explored: numbers(a, b),
            incomparable: versions(a, b),
            placement: None,
            violations: diff.broken.iter().map(violation).collect(),
            latency: latency(&diff.latency, a, b),
            baseline: a.iter().map(run).collect(),
            candidate: b.iter().map(run).collect(),
            charts: charts(&a[0], &b[0], changes()),
        }
    }

    /// The report on runs of two schedulers: `groups` is [`judge`](crate::diff::judge) of `a` and `b`.
    pub fn of_groups(a: &[Facts], b: &[Facts], groups: &Groups<'_>) -> Report {
        let problem =
            |found: &crate::diff::Problem| ProblemEntry { code: found.code(), text: found.to_string() };
        let racy = a.iter().chain(b).all(|facts| facts.run.is_lockstep());
        let mut contexts = match (a.first(), b.first()) {
            (Some(a), Some(b)) => contexts(a, b, &groups.divergences),
            _ => HashMap::new(),
        };
        let judged = groups.rungs.iter().find(|found| found.rung == groups.rung);
        let (outcome_changed, moved): (Vec<_>, Vec<_>) = groups
            .divergences
            .iter()
            .map(|c| change(c, &mut contexts))
            .partition(|change| change.agrees.is_none());
        Report {
            schema: SCHEMA,
            comparison: Comparison::Compare,
            verdict: Some(VerdictEntry {
                result: groups.verdict,
                exit_code: groups.verdict.exit_code(),
                rung: groups.rung,
                reason: groups.reason.to_string(),
            }),
            problems: groups.problems.iter().map(problem).collect(),
            decisions: Decisions {
                compared: groups.compared,
                stable: Some(groups.stable),
                exchanged: groups.exchanged,
                roots: roots(&groups.divergences),
                convergences: None,
                ladder: ladder(
                    &groups.between,
                    Some(&groups.within_a),
                    Some(&groups.within_b),
                    &groups.rungs,
                ),
            },
            groups: kinds(&groups.divergences).into_iter().map(group).collect(),
            moved,
            outcome_changed,
            unstable: groups
                .unstable
                .iter()
                .map(|unstable| UnstableEntry {
                    pod: pod(unstable.pod),
                    baseline: unstable.a.iter().map(decision).collect(),
                    candidate: unstable.b.iter().map(decision).collect(),
                    racy,
                })
                .collect(),
            only_baseline: Vec::new(),
            only_candidate: Vec::new(),
            metrics: groups.metrics.iter().map(metric).collect(),
            explored: numbers(a, b),
            incomparable: versions(a, b),
            placement: judged.and_then(|found| found.energy).map(placement),
            violations: groups.broken.iter().map(violation).collect(),
            latency: latency(&groups.latency, a, b),
            baseline: a.iter().map(run).collect(),
            candidate: b.iter().map(run).collect(),
            charts: match (a.first(), b.first()) {
                (Some(a), Some(b)) => charts(a, b, &groups.divergences),
                _ => Charts::default(),
            },
        }
    }
}

fn roots<'c, 'f: 'c>(changes: impl IntoIterator<Item = &'c Change<'f>>) -> u64 {
    changes.into_iter().filter(|change| change.is_root()).count() as u64
}

fn ladder(
    between: &Agreement,
    a: Option<&Agreement>,
    b: Option<&Agreement>,
    judged: &[RungVerdict],
) -> Vec<RungEntry> {
    let share = |agreement: &Agreement, rung| Share {
        agree: agreement.count(rung),
        pairs: agreement.pairs,
        share: agreement.share(rung),
    };
    let within = |agreement: Option<&Agreement>, rung| {
        agreement.filter(|agreement| agreement.pairs > 0).map(|agreement| share(agreement, rung))
    };
    let entry = |rung| RungEntry {
        rung,
        between: share(between, rung),
        within_baseline: within(a, rung),
        within_candidate: within(b, rung),
        result: judged.iter().find(|found| found.rung == rung).map(|found| found.verdict),
    };
    Rung::ALL.map(entry).to_vec()
}

fn pod(pod: Pod<'_>) -> PodEntry {
    PodEntry {
        id: pod.id().into(),
        namespace: pod.namespace().into(),
        name: pod.name().into(),
        workload: pod.workload().into(),
    }
}

fn decision(decision: &Decision) -> DecisionEntry {
    DecisionEntry { outcome: decision.outcome, node: decision.node.clone() }
}

fn group(kind: Kind<'_>) -> GroupEntry {
    GroupEntry {
        workload: kind.workload.to_owned(),
        why: kind.why,
        reason: kind.reason.map(str::to_owned),
        plugin: kind.plugin.map(str::to_owned),
        pods: kind.pods,
        roots: kind.roots,
        first: kind.first.a.to_string(),
    }
}

fn change(change: &Change<'_>, contexts: &mut HashMap<u32, Context>) -> ChangeEntry {
    let seconds = |milestone| change.a.at(milestone).map(crate::model::TraceTime::as_secs_f64);
    ChangeEntry {
        pod: pod(change.a),
        created_seconds: seconds(Milestone::Added),
        decided_seconds: seconds(Milestone::Scheduled),
        is_first: change.is_first,
        cause: change.cause,
        renamed: change.renamed,
        agrees: change.agrees,
        why: change.contest.why,
        plugin: change.contest.plugin.map(str::to_owned),
        reason: change.reason().map(str::to_owned),
        baseline: decision(&Decision::of(change.a)),
        candidate: decision(&Decision::of(change.b)),
        context: contexts.remove(&change.a.index).map(Box::new),
    }
}

fn metric(verdict: &MetricVerdict) -> MetricEntry {
    let ratio = verdict.judged.ratio;
    // Without an interval its ends are 0 and infinity, which JSON does not have.
    let end = |end: fn(Estimate) -> f64| ratio.filter(|ratio| ratio.high.is_finite()).map(end);
    MetricEntry {
        metric: verdict.metric.as_str(),
        baseline: verdict.a.clone(),
        candidate: verdict.b.clone(),
        ratio: ratio.map(|ratio| ratio.value),
        ratio_low: end(|ratio| ratio.low),
        ratio_high: end(|ratio| ratio.high),
        margin: verdict.margin,
        p: verdict.judged.p,
        change: verdict.judged.change,
        runs_needed: verdict.judged.runs_needed,
        at_client_limit: verdict.at_client_limit,
    }
}

fn numbers(a: &[Facts], b: &[Facts]) -> Vec<ExploredEntry> {
    let (a, b): (Vec<&Facts>, Vec<&Facts>) = (a.iter().collect(), b.iter().collect());
    let entry = |found: Explored| ExploredEntry {
        metric: found.metric,
        unit: found.unit,
        baseline: found.a,
        candidate: found.b,
        p: found.p,
    };
    explored(&a, &b).into_iter().map(entry).collect()
}

/// What does not mean the same in the schedulers of the first run of each side.
fn versions(a: &[Facts], b: &[Facts]) -> Vec<Incomparable> {
    let version = |runs: &[Facts]| runs.first().and_then(|run| run.run.scheduler_version.clone());
    version(a).zip(version(b)).map(|(a, b)| incomparable(&a, &b)).unwrap_or_default()
}

fn placement(energy: Energy) -> PlacementEntry {
    PlacementEntry {
        between: energy.between,
        within_baseline: energy.within_a,
        within_candidate: energy.within_b,
        energy: energy.statistic,
        p: energy.p,
    }
}

fn violation(broken: &Broken<'_>) -> ViolationEntry {
    ViolationEntry {
        side: broken.side,
        reel: broken.reel.to_owned(),
        rule: broken.violation.rule,
        pod: pod(broken.pod),
        at_seconds: broken.violation.at.as_secs_f64(),
        node: broken.violation.node.clone(),
        detail: broken.violation.detail.clone(),
        shared: broken.shared,
    }
}

fn latency(latencies: &[Latency], a: &[Facts], b: &[Facts]) -> Vec<LatencyEntry> {
    let never_bound = |runs: &[Facts]| runs.iter().map(|facts| facts.counts.never_bound).sum();
    let (never_a, never_b) = (never_bound(a), never_bound(b));
    let entry = |latency: &Latency| LatencyEntry {
        metric: latency.metric,
        baseline: side(latency.a, never_a),
        candidate: side(latency.b, never_b),
    };
    // A recording holds no requests.
    let is_of_this = |l: &&Latency| !l.metric.is_of_requests() || l.a.is_some() || l.b.is_some();
    latencies.iter().filter(is_of_this).map(entry).collect()
}

fn side(summary: Option<Summary>, never_bound: u64) -> LatencySide {
    LatencySide {
        n: summary.map_or(0, |s| s.n),
        never_bound,
        p50_seconds: summary.map(|s| s.p50.as_secs_f64()),
        p90_seconds: summary.map(|s| s.p90.as_secs_f64()),
        p99_seconds: summary.map(|s| s.p99.as_secs_f64()),
        p99_is_weak: summary.is_none_or(|s| s.is_p99_weak()),
        max_seconds: summary.map(|s| s.max.as_secs_f64()),
        mean_seconds: summary.map(|s| s.mean.as_secs_f64()),
    }
}

fn fault(fault: &Fault) -> ProblemEntry {
    ProblemEntry { code: fault.code(), text: fault.to_string() }
}

fn run(facts: &Facts) -> RunEntry {
    let header = facts.run.clone();
    RunEntry {
        reel: header.reel,
        trace_digest: header.trace_digest,
        scheduler_version: header.scheduler_version,
        mode: header.mode,
        speed: header.speed,
        sealed: header.sealed,
        tool_version: header.tool_version,
        span_seconds: facts.span.duration().as_secs_f64(),
        nodes: facts.nodes.len(),
        counts: facts.counts,
        gaps: facts.gaps.clone(),
        unsettled: facts.unsettled,
        lateness: facts.lateness.late.map(|late| LatenessEntry {
            actions: late.n,
            p50_seconds: late.p50.as_secs_f64(),
            p99_seconds: late.p99.as_secs_f64(),
            max_seconds: late.max.as_secs_f64(),
        }),
        failed_actions: facts.lateness.failed.clone(),
        retries: facts.lateness.retries,
        faults: RunVerdict::of(facts).faults.iter().map(fault).collect(),
    }
}
