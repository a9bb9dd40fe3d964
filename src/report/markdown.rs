use std::fmt::Write;

use super::divergences::{first_sentence, sheet, states};
use super::plain::{duration, percent, printable};
use super::terminal::{headline, word};
use super::{ChangeEntry, Renderer, Report, ReportError};

/// Pods listed of each kind.
const SHOWN: usize = 20;

/// A comment for a pull request: verdict, tables, and the pods that were decided otherwise folded away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Markdown;

impl Renderer for Markdown {
    fn render(&self, report: &Report) -> Result<String, ReportError> {
        let (verdict, _, rest) = headline(report);
        let mut text = format!("### kubereel: {verdict}\n\n{}\n\n", cell(&rest));
        for problem in &report.problems {
            let _ = writeln!(text, "- **{}**: {}", problem.code, cell(&problem.text));
        }
        for v in report.violations.iter().filter(|violation| !violation.shared) {
            let pod = format!("{}/{}", v.pod.namespace, v.pod.name);
            let (letter, node, detail) = (v.side.letter(), cell(&v.node), cell(&v.detail));
            let _ =
                writeln!(text, "- **{letter} breaks {}**: `{}` on `{node}`: {detail}", v.rule, cell(&pod));
        }
        text.push_str("\n| agreement | A/B | | |\n| --- | ---: | ---: | --- |\n");
        for rung in &report.decisions.ladder {
            let share = rung.between.share.map_or_else(|| "-".to_owned(), percent);
            let (agree, pairs) = (rung.between.agree, rung.between.pairs);
            let result = rung.result.map_or("", |result| word(result).0);
            let _ = writeln!(text, "| {} | {agree} of {pairs} | {share} | {result} |", rung.rung);
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
        explored(report, &mut text);
        first(report, &mut text);
        groups(report, &mut text);
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

/// Numbers without a verdict, folded away.
fn explored(report: &Report, text: &mut String) {
    let count = report.explored.len();
    let _ = writeln!(text, "\n<details><summary>other numbers, not judged: {count}</summary>\n");
    text.push_str("| number | A median | B median | unit | p |\n| --- | ---: | ---: | --- | ---: |\n");
    for number in &report.explored {
        let [a, b] =
            number.medians().map(|median| median.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}")));
        let p = number.p.map_or_else(|| "-".to_owned(), |p| format!("{p:.3}"));
        let _ = writeln!(text, "| {} | {a} | {b} | {} | {p} |", number.metric, number.unit);
    }
    text.push_str("\n</details>\n");
    if !report.incomparable.is_empty() {
        let names: Vec<&str> = report.incomparable.iter().map(|found| found.metric).collect();
        let _ = writeln!(
            text,
            "\nNot comparable between these scheduler versions: {}",
            names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        );
    }
}

/// The first divergence, with the clusters just before and the score tables of both sides.
fn first(report: &Report, text: &mut String) {
    let Some(change) = report.first() else { return };
    let _ = writeln!(text, "\n{}", cell(&first_sentence(change)));
    let Some(context) = change.context.as_deref() else { return };
    text.push('\n');
    for line in states(context) {
        let _ = writeln!(text, "- {}", cell(&line));
    }
    let sheet = sheet(change);
    let titles: Vec<String> = sheet.titles.iter().map(|title| cell(title)).collect();
    let _ = writeln!(text, "\n| | {} |\n| --- |{}", titles.join(" | "), " ---: |".repeat(titles.len()));
    for (name, values) in &sheet.rows {
        let _ = writeln!(text, "| {} | {} |", cell(name), values.join(" | "));
    }
}

/// Divergences by workload, reason and plugin.
fn groups(report: &Report, text: &mut String) {
    if report.groups.is_empty() {
        return;
    }
    text.push_str("\n| workload | pods | roots | why | plugin or reason | first |\n| --- | ---: | ---: | --- | --- | --- |\n");
    for group in report.groups.iter().take(SHOWN) {
        let what = group.plugin.as_deref().or(group.reason.as_deref()).unwrap_or("");
        let (workload, first) = (cell(&group.workload), cell(&group.first));
        let (pods, roots, why) = (group.pods, group.roots, group.why.as_str());
        let _ = writeln!(text, "| {workload} | {pods} | {roots} | {why} | {} | {first} |", cell(what));
    }
    if report.groups.len() > SHOWN {
        let _ = writeln!(text, "\n… and {} more groups", report.groups.len() - SHOWN);
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
