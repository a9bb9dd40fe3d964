use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use super::terminal::headline;
use super::{ChangeEntry, Charts, Renderer, Report, ReportError};
use crate::diff::Series;

const PAGE: &str = include_str!("page.html");

/// Nodes in the heat map; of larger clusters those whose use differs most.
const NODES: usize = 100;

/// Entries of each list.
const LISTED: usize = 700;

/// Bytes for stories of pods and score tables, the first divergences first: with the lists, a page of 10,000 pods stays
/// under a megabyte.
const TOLD: usize = 400_000;

/// One file that needs no network: charts, and a list of divergences that filters and opens a pod's story.
#[derive(Debug, Clone, Copy, Default)]
pub struct Html;

impl Renderer for Html {
    fn render(&self, report: &Report) -> Result<String, ReportError> {
        let mut value = serde_json::to_value(report)?;
        for list in ["moved", "outcome_changed", "unstable", "only_baseline", "only_candidate", "violations"]
        {
            if let Some(entries) = value[list].as_array_mut() {
                entries.truncate(LISTED);
            }
        }
        let told = told(report)?;
        for list in ["moved", "outcome_changed"] {
            for entry in value[list].as_array_mut().into_iter().flatten() {
                if !entry["id"].as_str().is_some_and(|id| told.contains(id)) {
                    entry["context"] = Value::Null;
                }
            }
        }
        let (word, _, rest) = headline(report);
        value["headline"] = json!([word, rest]);
        value["medians"] =
            json!(report.explored.iter().map(super::ExploredEntry::medians).collect::<Vec<_>>());
        value["totals"] =
            json!({"moved": report.moved.len(), "outcome_changed": report.outcome_changed.len()});
        value["charts"] = charts(&report.charts, &told);
        // In a script element only `<` can end it, and JSON may write it as an escape.
        let data = serde_json::to_string(&value)?.replace('<', "\\u003c");
        Ok(PAGE.replace("/*DATA*/", &data))
    }
}

/// The pods whose story and score tables are in the page.
fn told(report: &Report) -> Result<HashSet<&str>, ReportError> {
    let (mut told, mut left) = (HashSet::new(), TOLD);
    let mut changes: Vec<&ChangeEntry> = report.moved.iter().chain(&report.outcome_changed).collect();
    changes.sort_by_key(|change| (!change.is_first, !change.is_root()));
    for change in changes {
        let size = serde_json::to_string(&change.context)?.len()
            + serde_json::to_string(&report.charts.stories.get(&change.pod.id))?.len();
        let Some(rest) = left.checked_sub(size) else { break };
        left = rest;
        told.insert(&*change.pod.id);
    }
    Ok(told)
}

fn charts(charts: &Charts, told: &HashSet<&str>) -> Value {
    let short = |values: &[f64]| -> Vec<f64> { values.iter().map(|v| (v * 1e4).round() / 1e4).collect() };
    let series = |series: &Series| {
        json!({"seconds": short(&series.seconds), "pending": series.pending, "cpu": short(&series.cpu),
               "memory": short(&series.memory), "imbalance": short(&series.imbalance),
               "fragmentation": short(&series.fragmentation), "spread": short(&series.spread)})
    };
    let heat = match &charts.series[..] {
        [a, b] => heat(a, b),
        _ => Vec::new(),
    };
    let waits: Vec<Vec<f64>> = charts
        .waits
        .iter()
        .map(|waits| waits.iter().map(|wait| (wait * 1e6).round() / 1e6).collect())
        .collect();
    let stories: BTreeMap<_, _> = charts.stories.iter().filter(|(id, _)| told.contains(&***id)).collect();
    json!({"series": charts.series.iter().map(series).collect::<Vec<_>>(), "waits": waits, "heat": heat,
           "flow": charts.flow, "stories": stories})
}

/// Of each node, its mean share of CPU asked for on both sides; those that differ most first where there are many.
fn heat(a: &Series, b: &Series) -> Vec<Value> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let others: std::collections::HashMap<&str, f64> =
        b.nodes.iter().map(|(name, shares)| (name.as_str(), mean(shares))).collect();
    let mut nodes: Vec<(&str, f64, f64)> = a
        .nodes
        .iter()
        .map(|(name, shares)| {
            (name.as_str(), mean(shares), others.get(name.as_str()).copied().unwrap_or(0.0))
        })
        .collect();
    if nodes.len() > NODES {
        nodes.sort_by(|x, y| (y.1 - y.2).abs().total_cmp(&(x.1 - x.2).abs()));
        nodes.truncate(NODES);
    }
    nodes.sort_by(|x, y| x.0.cmp(y.0));
    let short = |share: f64| (share * 1e3).round() / 1e3;
    nodes.into_iter().map(|(name, a, b)| json!([name, short(a), short(b)])).collect()
}
