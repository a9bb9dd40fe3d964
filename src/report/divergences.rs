//! The first divergence with its context, and divergences by what they have in common, in lines for people.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt::Write;

use super::NodeEntry;
use super::context::{Context, SideContext};
use super::terminal::{table, table_lines};
use super::value::{ChangeEntry, Report};
use crate::diff::Why;

/// Groups, and rows of a sheet, on a screen.
const GROUPS_SHOWN: usize = 4;
const ROWS_SHOWN: usize = 6;

/// The nodes in question side by side, first in the baseline and then in the candidate.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    /// `A: node`, `B: node`.
    pub(super) titles: Vec<String>,
    /// A name, and a value for each title: how full the nodes were, and the points of plugins that rate them
    /// otherwise, the largest turn first.
    pub(super) rows: Vec<(String, Vec<String>)>,
}

/// The nodes in question of a root; nothing where there is no context.
pub(super) fn sheet(change: &ChangeEntry) -> Sheet {
    let Some(context) = change.context.as_deref() else { return Sheet::default() };
    let sides = [('A', &context.baseline), ('B', &context.candidate)];
    let nodes = || sides.iter().flat_map(|(_, side)| &side.nodes);
    let titles = sides
        .iter()
        .flat_map(|(letter, side)| side.nodes.iter().map(move |node| format!("{letter}: {}", node.node)));
    let of = |value: fn(&NodeEntry) -> String| nodes().map(value).collect();
    let mut rows = vec![
        ("pods".to_owned(), of(|node| node.pods.to_string())),
        ("CPU asked for".to_owned(), of(|node| format!("{} of {}", node.cpu, node.allocatable_cpu))),
    ];
    for (plugin, points) in points(change) {
        rows.push((plugin.to_owned(), points.map(|points| points.to_string()).to_vec()));
    }
    Sheet { titles: titles.collect(), rows }
}

/// What each plugin gave the baseline's node and the candidate's, in the baseline and in the candidate; of plugins that
/// rate them otherwise, the largest turn first. Empty where a side did not rate both nodes.
fn points(change: &ChangeEntry) -> Vec<(&str, [i64; 4])> {
    let Some(context) = change.context.as_deref() else { return Vec::new() };
    let (Some(x), Some(y)) = (change.baseline.node.as_deref(), change.candidate.node.as_deref()) else {
        return Vec::new();
    };
    let score = |side: &'_ SideContext, node: &str| {
        side.scores.iter().find(|score| score.node == node).map(|score| score.plugins.clone())
    };
    let (a, b) = (&context.baseline, &context.candidate);
    let rated = [score(a, x), score(a, y), score(b, x), score(b, y)];
    let [Some(ax), Some(ay), Some(bx), Some(by)] = rated else { return Vec::new() };
    let names: BTreeSet<&str> = [a, b]
        .iter()
        .flat_map(|side| &side.scores)
        .flat_map(|score| score.plugins.keys())
        .map(String::as_str)
        .collect();
    let row = |name| (name, [&ax, &ay, &bx, &by].map(|plugins| plugins.get(name).copied().unwrap_or(0)));
    let mut rows: Vec<(&str, [i64; 4])> = names.into_iter().map(row).collect();
    rows.retain(|(_, [ax, ay, bx, by])| ax != ay || bx != by);
    rows.sort_by_key(|(_, [ax, ay, bx, by])| Reverse((by - bx) - (ay - ax)));
    rows
}

/// Where and why the first divergence is, in one sentence.
pub(super) fn first_sentence(change: &ChangeEntry) -> String {
    let place = |side: &super::DecisionEntry| match &side.node {
        Some(node) if change.agrees.is_some() => node.to_string(),
        Some(node) => format!("{} on {node}", side.outcome),
        None => side.outcome.to_string(),
    };
    let at = change.decided_seconds.or(change.created_seconds);
    let at = at.map(|at| format!(" at +{at:.3}s")).unwrap_or_default();
    let pod = &change.pod;
    let mut text = format!(
        "first divergence: {}/{}{at}: {} in A, {} in B",
        pod.namespace,
        pod.name,
        place(&change.baseline),
        place(&change.candidate)
    );
    let why = match (change.why, &change.plugin, &change.reason) {
        (Why::Score, Some(plugin), _) => format!("; turned by {plugin}"),
        (Why::NoFit, _, Some(reason)) => format!("; no node fits: {reason}"),
        (Why::Unknown, ..) => String::new(),
        (why, ..) => format!("; {}", why.as_str()),
    };
    text.push_str(&why);
    let margin = |side: fn(&Context) -> &SideContext| side(change.context.as_deref()?).margin;
    if let (Some(a), Some(b)) = (margin(|context| &context.baseline), margin(|context| &context.candidate)) {
        let _ = write!(text, ", margin {a} in A, {b} in B");
    }
    text
}

/// The first divergence: where, the clusters just before, and the score tables of both sides.
pub(super) fn first(report: &Report) -> Vec<String> {
    let Some(change) = report.first() else { return Vec::new() };
    let mut lines = vec![first_sentence(change)];
    let Some(context) = change.context.as_deref() else { return lines };
    lines.extend(states(context).into_iter().map(|line| format!("  {line}")));
    let sheet = sheet(change);
    let titles: Vec<&str> = std::iter::once("  ").chain(sheet.titles.iter().map(String::as_str)).collect();
    let mut rows = table(&titles, 1..titles.len());
    for (name, values) in sheet.rows.into_iter().take(ROWS_SHOWN) {
        rows.add_row(std::iter::once(format!("  {name}")).chain(values));
    }
    lines.extend(table_lines(&rows));
    lines
}

/// The clusters just before a decision; in one line where they read the same.
pub(super) fn states(context: &Context) -> Vec<String> {
    let (a, b) = (state(&context.baseline), state(&context.candidate));
    if a == b {
        return vec![format!("just before: {a}")];
    }
    vec![format!("A just before: {a}"), format!("B just before: {b}")]
}

/// A cluster in one line.
fn state(side: &SideContext) -> String {
    let mut parts = vec![format!("{} waiting, {} bound", side.waiting, side.bound)];
    if let Some(feasible) = side.feasible_nodes {
        let of = side.evaluated_nodes.map(|all| format!(" of {all}")).unwrap_or_default();
        parts.push(format!("{feasible}{of} nodes fit"));
    }
    parts.join("; ")
}

/// Divergences by workload, reason and plugin.
pub(super) fn groups(report: &Report) -> Vec<String> {
    if report.groups.is_empty() {
        return Vec::new();
    }
    let mut rows = table(&["divergences by workload", "pods", "roots", "why", "first"], 1..3);
    for group in report.groups.iter().take(GROUPS_SHOWN) {
        let why = match (group.why, &group.plugin, &group.reason) {
            (_, Some(plugin), _) => format!("{}: {plugin}", group.why.as_str()),
            (_, _, Some(reason)) => format!("{}: {reason}", group.why.as_str()),
            (why, ..) => why.as_str().to_owned(),
        };
        rows.add_row([
            format!("  {}", group.workload),
            group.pods.to_string(),
            group.roots.to_string(),
            why,
            group.first.clone(),
        ]);
    }
    let mut lines = table_lines(&rows);
    if report.groups.len() > GROUPS_SHOWN {
        lines.push(format!(
            "  … and {} more groups; --format json has all",
            report.groups.len() - GROUPS_SHOWN
        ));
    }
    lines
}
