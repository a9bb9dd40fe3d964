use std::collections::BTreeMap;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::divergences::{first, groups};
use super::plain::{duration, fit, percent, printable};
use super::value::{ChangeEntry, DecisionEntry, LatencySide, Report, RunEntry, Share, ViolationEntry};
use super::{Renderer, ReportError};
use crate::diff::{Cause, Metric, Outcome, Verdict};
use crate::stats::{Change, quantile};

/// Most lines of each list, so that a report fits one screen.
const PROBLEMS_SHOWN: usize = 3;
const MOVED_SHOWN: usize = 3;
const OUTCOMES_SHOWN: usize = 4;
const BROKEN_SHOWN: usize = 3;

/// Pods named on the line of one change of outcome.
const NAMES_SHOWN: usize = 3;

/// One screen for people: the verdict first, then what stands against it, then the numbers.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Longest line, characters.
    pub width: usize,
    /// Whether the verdict is coloured.
    pub color: bool,
}

impl Renderer for Terminal {
    fn render(&self, report: &Report) -> Result<String, ReportError> {
        let (word, color, rest) = headline(report);
        let headline = fit(&format!("{word}  {}", printable(&rest)), self.width);
        let mut text = if self.color {
            headline.replacen(word, &format!("\u{1b}[1;{color}m{word}\u{1b}[0m"), 1)
        } else {
            headline
        };
        text.push('\n');
        let sections = [
            validity(report),
            ladder(report),
            metrics(report),
            latency(report),
            first(report),
            groups(report),
            self.changes(report),
            manifest(report),
        ];
        for (position, section) in sections.iter().filter(|lines| !lines.is_empty()).enumerate() {
            if position > 0 {
                text.push('\n');
            }
            for line in section {
                text.push_str(fit(&printable(line), self.width).trim_end());
                text.push('\n');
            }
        }
        Ok(text)
    }
}

impl Terminal {
    fn changes(&self, report: &Report) -> Vec<String> {
        let mut lines = broken(report);
        lines.extend(self.moved(report));
        lines.extend(outcome_changes(report));
        for (pods, side) in [(&report.only_baseline, 'A'), (&report.only_candidate, 'B')] {
            if !pods.is_empty() {
                let names = names(pods.iter().map(|pod| (&*pod.namespace, &*pod.name)), pods.len());
                lines.push(format!("only in {side}: {}: {names}", pods.len()));
            }
        }
        if !report.unstable.is_empty() {
            let unstable = &report.unstable;
            let names = names(unstable.iter().map(|u| (&*u.pod.namespace, &*u.pod.name)), unstable.len());
            let what = if unstable.iter().all(|pod| pod.racy) { "racy" } else { "unstable" };
            lines.push(format!("{what}, other decisions in runs of one side: {}: {names}", unstable.len()));
        }
        lines
    }

    fn moved(&self, report: &Report) -> Vec<String> {
        let moved = &report.moved;
        if moved.is_empty() {
            return Vec::new();
        }
        let exchanged = match report.decisions.exchanged {
            0 => String::new(),
            n => format!(", {n} of them in exchange with a pod like them"),
        };
        let roots = moved.iter().filter(|change| change.is_root()).count();
        let mut lines = vec![format!("moved: {}, of them roots: {roots}{exchanged}", moved.len())];
        let mut shown: Vec<&ChangeEntry> = moved.iter().take(MOVED_SHOWN).collect();
        let mut first_seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (position, change) in shown.iter().enumerate() {
            first_seen.entry(&change.pod.workload).or_insert(position);
        }
        shown.sort_by_key(|change| first_seen[&*change.pod.workload]);
        let mut table = table(&["  workload", "pod", "A", "B", "agree on", "bound", ""], 5..6);
        let mut last = None;
        for change in shown {
            let workload = Some(&*change.pod.workload).filter(|name| last.replace(*name) != Some(*name));
            table.add_row(self.moved_row(change, workload.unwrap_or_default()));
        }
        lines.extend(table_lines(&table));
        if moved.len() > MOVED_SHOWN {
            lines.push(format!("  … and {} more; --format json has all", moved.len() - MOVED_SHOWN));
        }
        lines
    }

    fn moved_row(&self, change: &ChangeEntry, workload: &str) -> Vec<String> {
        let cell = |text: &str, share: usize| fit(&printable(text), self.width * share / 100);
        vec![
            format!("  {}", cell(workload, 18)),
            cell(&format!("{}/{}", change.pod.namespace, change.pod.name), 25),
            cell(node(&change.baseline), 14),
            cell(node(&change.candidate), 14),
            change.agrees.map_or_else(|| "-".to_owned(), |rung| rung.to_string()),
            change
                .decided_seconds
                .or(change.created_seconds)
                .map_or_else(|| "-".to_owned(), |at| format!("+{at:.3}s")),
            match (change.is_first, change.renamed, change.cause) {
                (true, ..) => "first",
                (_, true, _) => "renamed",
                (_, _, Cause::Root) => "root",
                (_, _, Cause::Cascade) => "",
            }
            .to_owned(),
        ]
    }
}

/// A verdict as a headline has it, with its colour.
pub(super) fn word(verdict: Verdict) -> (&'static str, u8) {
    match verdict {
        Verdict::Equivalent => ("EQUIVALENT", 32),
        Verdict::Changed => ("CHANGED", 31),
        Verdict::Inconclusive => ("INCONCLUSIVE", 33),
        Verdict::Invalid => ("INVALID", 35),
    }
}

pub(super) fn headline(report: &Report) -> (&'static str, u8, String) {
    if let Some(verdict) = &report.verdict {
        let (word, color) = word(verdict.result);
        return (word, color, format!("{}; judged on {}", verdict.reason, verdict.rung));
    }
    let (moved, outcomes) = (report.moved.len(), report.outcome_changed.len());
    let matched = report.decisions.compared;
    match moved + outcomes {
        0 => ("SAME", 32, format!("all {matched} matched pods have the same outcome on the same node")),
        _ => {
            ("DIFFERENT", 31, format!("of {matched} matched pods {moved} moved, {outcomes} changed outcome"))
        }
    }
}

fn validity(report: &Report) -> Vec<String> {
    let mut lines: Vec<String> =
        report.problems.iter().take(PROBLEMS_SHOWN).map(|problem| format!("  ! {}", problem.text)).collect();
    if report.problems.len() > PROBLEMS_SHOWN {
        lines.push(format!("  ! … and {} more", report.problems.len() - PROBLEMS_SHOWN));
    }
    let mut facts = Vec::new();
    if report.problems.is_empty() {
        facts.push("all reels sealed and without gaps".to_owned());
    }
    let runs = || report.baseline.iter().chain(&report.candidate);
    // Only a paced run means to be on time.
    let paced = runs().filter(|run| run.mode.as_deref() == Some("open"));
    let late = paced.filter_map(|run| run.lateness.as_ref());
    if let Some(worst) = late.map(|late| late.p99_seconds).max_by(f64::total_cmp) {
        facts.push(format!("lateness p99 at most {}", duration(worst)));
    }
    let failed: u64 = runs().flat_map(|run| run.failed_actions.values()).sum();
    if failed > 0 {
        facts.push(format!("actions that failed: {failed}"));
    }
    if !facts.is_empty() {
        lines.push(format!("  {}", facts.join("; ")));
    }
    lines
}

fn ladder(report: &Report) -> Vec<String> {
    let has_groups =
        report.decisions.ladder.iter().any(|r| r.within_baseline.or(r.within_candidate).is_some());
    let titles: &[&str] =
        if has_groups { &["agreement", "A/B", "", "A/A", "B/B", ""] } else { &["agreement", "A/B", "", ""] };
    let mut table = table(titles, 1..titles.len() - 1);
    for rung in &report.decisions.ladder {
        let between = rung.between;
        let mut row = vec![
            rung.rung.to_string(),
            format!("{} of {}", between.agree, between.pairs),
            share(Some(between)),
        ];
        if has_groups {
            row.extend([share(rung.within_baseline), share(rung.within_candidate)]);
        }
        row.push(rung.result.map(|result| word(result).0.to_owned()).unwrap_or_default());
        table.add_row(row);
    }
    table_lines(&table)
}

fn share(share: Option<Share>) -> String {
    share.and_then(|share| share.share).map_or_else(|| "-".to_owned(), percent)
}

fn latency(report: &Report) -> Vec<String> {
    let titles = ["latency", "", "pods", "p50", "p90", "p99", "", "never bound"];
    let mut table = table(&titles, 2..8);
    // What follows the binding is the nodes' part, and requests are the API server's: a screen has no room for them.
    let is_shown = |metric: Metric| metric != Metric::ScheduleToRunning && !metric.is_of_requests();
    let shown = report.latency.iter().filter(|latency| is_shown(latency.metric));
    for latency in shown {
        for (letter, side, name) in
            [("A", &latency.baseline, latency.metric.as_str()), ("B", &latency.candidate, "")]
        {
            table.add_row(latency_row(name, letter, side));
        }
    }
    let mut lines = table_lines(&table);
    let stepped = |run: &RunEntry| run.mode.as_deref() == Some("lockstep");
    if report.baseline.iter().chain(&report.candidate).any(stepped) {
        lines.push(
            "  lockstep waits between steps: these times are the run's, not the scheduler's".to_owned(),
        );
    }
    lines
}

fn metrics(report: &Report) -> Vec<String> {
    if report.metrics.is_empty() {
        return Vec::new();
    }
    let mut table = table(&["over runs", "A median", "B median", "ratio", "95 % interval", "verdict"], 1..5);
    for metric in &report.metrics {
        let median = |values: &[f64]| {
            let mut sorted = values.to_vec();
            sorted.sort_by(f64::total_cmp);
            quantile(&sorted, 0.5).map_or_else(|| "-".to_owned(), duration)
        };
        let interval = match (metric.ratio_low, metric.ratio_high) {
            (Some(low), Some(high)) => format!("{low:.3} to {high:.3}"),
            _ => "-".to_owned(),
        };
        let verdict = match (metric.change, metric.runs_needed) {
            (Change::Inconclusive, Some(runs)) => {
                format!("INCONCLUSIVE, about {runs} runs a side would tell")
            }
            (change, _) => change.as_str().to_uppercase(),
        };
        let limit = if metric.at_client_limit { ", at the limit of the scheduler's client" } else { "" };
        let verdict = format!("{verdict}{limit}");
        table.add_row(vec![
            metric.metric.to_owned(),
            median(&metric.baseline),
            median(&metric.candidate),
            metric.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}")),
            interval,
            verdict,
        ]);
    }
    let mut lines = table_lines(&table);
    if let Some(placement) = report.placement {
        let share = |apart: f64| percent(1.0 - apart);
        lines.push(format!(
            "placements agree A/A {}, B/B {}, A/B {}: p = {:.3}",
            share(placement.within_baseline),
            share(placement.within_candidate),
            share(placement.between),
            placement.p
        ));
    }
    lines
}

/// Rules that the candidate breaks first; what both sides break is counted.
fn broken(report: &Report) -> Vec<String> {
    let (shared, own): (Vec<_>, Vec<_>) = report.violations.iter().partition(|violation| violation.shared);
    let line = |violation: &&ViolationEntry| {
        let (pod, v) = (&violation.pod, violation);
        let letter = v.side.letter();
        format!("{letter} BREAKS {}: {}/{} on {}: {}", v.rule, pod.namespace, pod.name, v.node, v.detail)
    };
    let mut own = own;
    own.sort_by_key(|violation| std::cmp::Reverse(violation.side));
    let mut lines: Vec<String> = own.iter().take(BROKEN_SHOWN).map(line).collect();
    if own.len() > BROKEN_SHOWN {
        lines.push(format!("… and {} more broken rules; --format json has all", own.len() - BROKEN_SHOWN));
    }
    if !shared.is_empty() {
        lines.push(format!("rules that both sides break alike: {}; --format json has all", shared.len()));
    }
    lines
}

fn latency_row(name: &str, letter: &str, side: &LatencySide) -> Vec<String> {
    let time = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), duration);
    let few = if side.p99_is_weak && side.n > 0 { "few" } else { "" };
    vec![
        name.to_owned(),
        letter.to_owned(),
        side.n.to_string(),
        time(side.p50_seconds),
        time(side.p90_seconds),
        time(side.p99_seconds),
        few.to_owned(),
        side.never_bound.to_string(),
    ]
}

/// One line for each way in which outcomes changed, the most frequent first: pods that B strands, preempts, saves.
fn outcome_changes(report: &Report) -> Vec<String> {
    let mut ways: BTreeMap<(Outcome, Outcome), Vec<&ChangeEntry>> = BTreeMap::new();
    for change in &report.outcome_changed {
        ways.entry((change.baseline.outcome, change.candidate.outcome)).or_default().push(change);
    }
    let mut ways: Vec<_> = ways.into_iter().collect();
    ways.sort_by_key(|(_, pods)| std::cmp::Reverse(pods.len()));
    let line = |((a, b), pods): &((Outcome, Outcome), Vec<&ChangeEntry>)| {
        let first = if pods.iter().any(|change| change.is_first) { ", first divergence" } else { "" };
        let names = names(pods.iter().map(|c| (&*c.pod.namespace, &*c.pod.name)), pods.len());
        format!("{a} in A, {b} in B: {}{first}: {names}", pods.len())
    };
    let mut lines: Vec<String> = ways.iter().take(OUTCOMES_SHOWN).map(line).collect();
    let left: usize = ways.iter().skip(OUTCOMES_SHOWN).map(|(_, pods)| pods.len()).sum();
    if left > 0 {
        lines.push(format!("other changes of outcome: {left}; --format json has all"));
    }
    lines
}

fn names<'a>(pods: impl Iterator<Item = (&'a str, &'a str)>, count: usize) -> String {
    let mut names: Vec<String> =
        pods.take(NAMES_SHOWN).map(|(namespace, name)| format!("{namespace}/{name}")).collect();
    if count > NAMES_SHOWN {
        names.push("…".to_owned());
    }
    names.join(", ")
}

fn manifest(report: &Report) -> Vec<String> {
    let side = |letter: char, runs: &[RunEntry]| {
        let Some(first) = runs.first() else { return format!("{letter}  no runs") };
        let reels: Vec<&str> = runs.iter().map(|run| run.reel.as_str()).collect();
        let speed = first.speed.map(|speed| format!(" at {speed}x")).unwrap_or_default();
        format!(
            "{letter}  {}  {}{speed}  {} pods on {} nodes  {} {}: {}",
            first.scheduler_version.as_deref().unwrap_or("unknown scheduler"),
            first.mode.as_deref().unwrap_or("recorded"),
            first.counts.pods,
            first.nodes,
            runs.len(),
            if runs.len() == 1 { "run" } else { "runs" },
            reels.join(", ")
        )
    };
    let mut lines = vec![side('A', &report.baseline), side('B', &report.candidate)];
    if !report.incomparable.is_empty() {
        let count = report.incomparable.len();
        lines.push(format!(
            "numbers of the scheduler's own /metrics that these versions do not share: {count}; --format json has them"
        ));
    }
    if let Some(digest) = report.baseline.first().and_then(|run| run.trace_digest.as_ref()) {
        lines.push(format!("trace {digest}"));
    }
    lines
}

fn node(decision: &DecisionEntry) -> &str {
    decision.node.as_deref().unwrap_or("-")
}

/// A table without lines; the columns of `numbers` are set flush right.
pub(super) fn table(titles: &[&str], numbers: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(titles.to_vec());
    for (position, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&position) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

pub(super) fn table_lines(table: &Table) -> Vec<String> {
    table.lines().collect()
}
