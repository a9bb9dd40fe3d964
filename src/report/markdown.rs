use std::fmt::Write;

use super::plain::{duration, percent, printable};
use super::terminal::headline;
use super::{ChangeEntry, Renderer, Report, ReportError};

/// Pods listed of each kind.
const SHOWN: usize = 20;

/// A comment for a pull request: verdict, tables, and the pods that were decided otherwise folded away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Markdown;

impl Renderer for Markdown {
    fn render(&self, report: &Report) -> Result<String, ReportError> {
        let (word, _, rest) = headline(report);
        let mut text = format!("### kubereel: {word}\n\n{}\n\n", cell(&rest));
        for problem in &report.problems {
            let _ = writeln!(text, "- **{}**: {}", problem.code, cell(&problem.text));
        }
        for v in report.violations.iter().filter(|violation| !violation.shared) {
            let pod = format!("{}/{}", v.pod.namespace, v.pod.name);
            let (letter, node, detail) = (v.side.letter(), cell(&v.node), cell(&v.detail));
            let _ =
                writeln!(text, "- **{letter} breaks {}**: `{}` on `{node}`: {detail}", v.rule, cell(&pod));
        }
        text.push_str("\n| agreement | A/B | |\n| --- | ---: | ---: |\n");
        for rung in &report.decisions.ladder {
            let share = rung.between.share.map_or_else(|| "-".to_owned(), percent);
            let (agree, pairs) = (rung.between.agree, rung.between.pairs);
            let _ = writeln!(text, "| {} | {agree} of {pairs} | {share} |", rung.rung);
        }
        metrics(report, &mut text);
        text.push_str("\n| latency | side | pods | p50 | p99 | never bound |\n| --- | --- | ---: | ---: | ---: | ---: |\n");
        let time = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), duration);
        for latency in &report.latency {
            for (letter, side) in [("A", &latency.baseline), ("B", &latency.candidate)] {
                let (p50, p99) = (time(side.p50_seconds), time(side.p99_seconds));
                let name = latency.metric.as_str();
                let _ = writeln!(
                    text,
                    "| {name} | {letter} | {} | {p50} | {p99} | {} |",
                    side.n, side.never_bound
                );
            }
        }
        folded("changed outcome", &report.outcome_changed, &mut text);
        folded("moved", &report.moved, &mut text);
        Ok(text)
    }
}

fn metrics(report: &Report, text: &mut String) {
    if report.metrics.is_empty() {
        return;
    }
    text.push_str("\n| over runs | ratio | 95 % interval | verdict |\n| --- | ---: | ---: | --- |\n");
    for metric in &report.metrics {
        let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |n| format!("{n:.3}"));
        let (ratio, low, high) = (number(metric.ratio), number(metric.ratio_low), number(metric.ratio_high));
        let _ =
            writeln!(text, "| {} | {ratio} | {low} to {high} | {} |", metric.metric, metric.change.as_str());
    }
}

fn folded(title: &str, changes: &[ChangeEntry], text: &mut String) {
    if changes.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n<details><summary>{title}: {}</summary>\n", changes.len());
    text.push_str("| pod | workload | A | B | |\n| --- | --- | --- | --- | --- |\n");
    for change in changes.iter().take(SHOWN) {
        let place = |decision: &super::DecisionEntry| match &decision.node {
            Some(node) => format!("{} ({})", cell(node), decision.outcome),
            None => decision.outcome.to_string(),
        };
        let pod = cell(&format!("{}/{}", change.pod.namespace, change.pod.name));
        let (workload, a, b) =
            (cell(&change.pod.workload), place(&change.baseline), place(&change.candidate));
        let first = if change.is_first { "first" } else { "" };
        let _ = writeln!(text, "| {pod} | {workload} | {a} | {b} | {first} |");
    }
    if changes.len() > SHOWN {
        let _ = writeln!(text, "\n… and {} more", changes.len() - SHOWN);
    }
    text.push_str("\n</details>\n");
}

/// Text from a reel as plain text of a table cell.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in printable(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}
