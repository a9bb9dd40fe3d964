use std::fmt::Write;

use super::{Renderer, Report, ReportError};
use crate::diff::{Rule, Verdict};
use crate::stats::Change;

/// `JUnit` XML, one test case for the decisions, for each rule and for each number of the runs. Names stay the same from
/// run to run, so that rows of a dashboard do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Junit;

const RULES: [Rule; 9] = [
    Rule::OverCommit,
    Rule::Taint,
    Rule::NodeAffinity,
    Rule::PodAffinity,
    Rule::TopologySpread,
    Rule::HostPort,
    Rule::DoubleBind,
    Rule::VictimPriority,
    Rule::DisruptionBudget,
];

/// How a test case ended.
enum Ending {
    Passed,
    Failure(String),
    Skipped(String),
    Error(String),
}

impl Renderer for Junit {
    fn render(&self, report: &Report) -> Result<String, ReportError> {
        let mut cases = vec![("decisions".to_owned(), decisions(report))];
        for rule in RULES {
            let mine = report.violations.iter().filter(|v| v.rule == rule && !v.shared);
            let found: Vec<String> = mine
                .map(|v| {
                    format!("{}: {}/{} on {}: {}", v.reel, v.pod.namespace, v.pod.name, v.node, v.detail)
                })
                .collect();
            let ending = if found.is_empty() { Ending::Passed } else { Ending::Failure(found.join("\n")) };
            cases.push((format!("rule {rule}"), ending));
        }
        for metric in &report.metrics {
            let ratio = metric.ratio.unwrap_or(f64::NAN);
            let ending = match (metric.change, metric.runs_needed) {
                (Change::Regressed, _) => Ending::Failure(format!("ratio {ratio:.3}, p = {:.4}", metric.p)),
                (Change::Inconclusive, Some(runs)) => {
                    Ending::Skipped(format!("inconclusive: ratio {ratio:.3}, needs about {runs} runs a side"))
                }
                (Change::Inconclusive, None) => Ending::Skipped("inconclusive: too few runs".to_owned()),
                (Change::Improved | Change::Equivalent, _) => Ending::Passed,
            };
            cases.push((metric.metric.to_owned(), ending));
        }
        let count = |is: fn(&Ending) -> bool| cases.iter().filter(|(_, ending)| is(ending)).count();
        let failures = count(|ending| matches!(ending, Ending::Failure(_)));
        let skipped = count(|ending| matches!(ending, Ending::Skipped(_)));
        let errors = count(|ending| matches!(ending, Ending::Error(_)));
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let _ = writeln!(
            text,
            "<testsuite name=\"kubereel compare\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\">",
            cases.len()
        );
        for (name, ending) in &cases {
            let inner = match ending {
                Ending::Passed => String::new(),
                Ending::Failure(why) => format!("<failure message=\"{}\"/>", escaped(why)),
                Ending::Skipped(why) => format!("<skipped message=\"{}\"/>", escaped(why)),
                Ending::Error(why) => format!("<error message=\"{}\"/>", escaped(why)),
            };
            let _ = writeln!(
                text,
                "  <testcase classname=\"kubereel\" name=\"{}\">{inner}</testcase>",
                escaped(name)
            );
        }
        text.push_str("</testsuite>\n");
        Ok(text)
    }
}

fn decisions(report: &Report) -> Ending {
    let differ = report.moved.len() + report.outcome_changed.len();
    match &report.verdict {
        Some(verdict) => match verdict.result {
            Verdict::Equivalent => Ending::Passed,
            Verdict::Changed => Ending::Failure(verdict.reason.clone()),
            Verdict::Inconclusive => Ending::Skipped(format!("inconclusive: {}", verdict.reason)),
            Verdict::Invalid => Ending::Error(verdict.reason.clone()),
        },
        None if differ > 0 => Ending::Failure(format!("{differ} pods decided otherwise")),
        None => Ending::Passed,
    }
}

/// As text of an attribute; characters that XML does not have are replaced.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() || c == '\u{fffe}' || c == '\u{ffff}' => out.push('?'),
            c => out.push(c),
        }
    }
    out
}
