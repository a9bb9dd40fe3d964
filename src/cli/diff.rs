use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::parse_duration;
use super::{Outcome, output};
use crate::diff::{self, Facts, Groups, Policy, Rung, Verdict, judge};
use crate::report::{Benchstat, Html, Json, Junit, Markdown, PerfData, Renderer, Report, Terminal};

/// Compares two reels, or the runs of two schedulers: which pods were decided otherwise, which rules are broken, and
/// how long decisions took.
///
/// Either side may be a recording or the run of a replay. Pods are matched by the identity that a replay carries
/// over from its trace. Two reels are set side by side; groups of runs get a verdict, on latencies too. A run that is not
/// valid (late, gaps, actions that failed, a restart of the target, cut short) is shown, and the exit code is 3.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel diff run-a.reel run-b.reel
  kubereel diff prod.reel run.reel --fail-on outcome --format html > report.html
  kubereel diff --baseline a1.reel a2.reel a3.reel --candidate b1.reel b2.reel b3.reel --margin 0.05")]
pub(super) struct DiffArgs {
    /// The baseline.
    #[arg(required_unless_present = "baseline", requires = "b")]
    a: Option<PathBuf>,
    /// The candidate.
    b: Option<PathBuf>,
    /// Runs of the baseline.
    #[arg(long, num_args = 1.., value_name = "REEL", requires = "candidate", conflicts_with = "a")]
    baseline: Vec<PathBuf>,
    /// Runs of the candidate.
    #[arg(long, num_args = 1.., value_name = "REEL", requires = "baseline")]
    candidate: Vec<PathBuf>,
    /// The finest difference that counts for the exit code.
    #[arg(long, value_enum, default_value_t = FailOn::ExactNode)]
    fail_on: FailOn,
    /// Relative difference of a run's numbers that does not matter; default: 0.1, and 0.15 for tails and throughput.
    #[arg(long, value_parser = parse_margin)]
    margin: Option<f64>,
    /// A paced run whose actions were later than this (99th percentile) is invalid; default: what the run was given.
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    max_lateness: Option<Duration>,
    /// List only pods of which the namespace, workload or name is this.
    #[arg(long, value_name = "NAME")]
    focus: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    format: ReportFormat,
}

/// How to print a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportFormat {
    /// For people, one screen.
    Table,
    /// For programs: docs/report.md.
    Json,
    /// For a comment of a pull request.
    Markdown,
    /// One page with charts and stories of pods, without network.
    Html,
    /// For CI systems.
    Junit,
    /// `PerfData` 1.0, for perfdash.
    Perfdata,
    /// For benchstat.
    Benchstat,
}

/// A rung of the ladder of agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// Bound, never bound, deleted while pending, preempted.
    Outcome,
    /// Zone of the node.
    Zone,
    /// Nodes with equal resources, labels and taints.
    NodeClass,
    /// Nodes of one class with the same pods on them.
    Content,
    /// The very node.
    ExactNode,
}

impl From<FailOn> for Rung {
    fn from(fail_on: FailOn) -> Rung {
        match fail_on {
            FailOn::Outcome => Rung::Outcome,
            FailOn::Zone => Rung::Zone,
            FailOn::NodeClass => Rung::NodeClass,
            FailOn::Content => Rung::Content,
            FailOn::ExactNode => Rung::ExactNode,
        }
    }
}

impl DiffArgs {
    fn load(&self, reels: &[PathBuf]) -> anyhow::Result<Vec<Facts>> {
        let mut all = diff::load_all(reels)?;
        for facts in &mut all {
            facts.run.max_lateness = self.max_lateness.or(facts.run.max_lateness);
        }
        Ok(all)
    }
}

pub(super) fn run(args: &DiffArgs) -> anyhow::Result<Outcome> {
    match (&args.a, &args.b) {
        (Some(a), Some(b)) => two_reels(args, a.clone(), b.clone()),
        _ => groups(args),
    }
}

fn two_reels(args: &DiffArgs, a: PathBuf, b: PathBuf) -> anyhow::Result<Outcome> {
    let sides = args.load(&[a, b])?;
    let (a, b) = (&sides[0], &sides[1]);
    let found = diff::compare(a, b);
    let report = focused(Report::of_diff(a, b, &found), args.focus.as_deref());
    output::print(&render(&report, args.format)?)?;
    let breaks = found.broken.iter().any(diff::Broken::is_failure);
    Ok(if found.notes.iter().any(diff::Note::is_fault) {
        Outcome::Loss
    } else if breaks || found.differing(args.fail_on.into()) > 0 {
        Outcome::Differs
    } else {
        Outcome::Done
    })
}

fn groups(args: &DiffArgs) -> anyhow::Result<Outcome> {
    let all = args.load(&[&args.baseline[..], &args.candidate[..]].concat())?;
    let (a, b): (&[Facts], &[Facts]) = all.split_at(args.baseline.len());
    let policy = Policy { fail_on: args.fail_on.into(), margin: args.margin };
    let found = judge(a, b, &policy);
    let report = focused(Report::of_groups(a, b, &found), args.focus.as_deref());
    output::print(&render(&report, args.format)?)?;
    Ok(outcome(&found))
}

/// How a command ends that judged groups of runs.
pub(super) fn outcome(groups: &Groups<'_>) -> Outcome {
    match groups.verdict {
        Verdict::Equivalent => Outcome::Done,
        Verdict::Changed => Outcome::Differs,
        Verdict::Inconclusive => Outcome::Inconclusive,
        Verdict::Invalid => Outcome::Loss,
    }
}

/// The report with only the pods asked for in its lists; its numbers stay those of all pods.
fn focused(mut report: Report, focus: Option<&str>) -> Report {
    let Some(focus) = focus else { return report };
    let is_meant = |pod: &crate::report::PodEntry| {
        [&pod.namespace, &pod.workload, &pod.name].into_iter().any(|text| &**text == focus)
    };
    report.moved.retain(|change| is_meant(&change.pod));
    report.outcome_changed.retain(|change| is_meant(&change.pod));
    report.unstable.retain(|unstable| is_meant(&unstable.pod));
    report.violations.retain(|violation| is_meant(&violation.pod));
    report
}

/// A report in the chosen form.
pub(super) fn render(report: &Report, format: ReportFormat) -> anyhow::Result<String> {
    let terminal = Terminal { width: output::width(), color: output::stdout_has_color() };
    let renderer: &dyn Renderer = match format {
        ReportFormat::Table => &terminal,
        ReportFormat::Json => &Json,
        ReportFormat::Markdown => &Markdown,
        ReportFormat::Html => &Html,
        ReportFormat::Junit => &Junit,
        ReportFormat::Perfdata => &PerfData,
        ReportFormat::Benchstat => &Benchstat,
    };
    Ok(renderer.render(report)?)
}

/// `0.1`: a share.
pub(super) fn parse_margin(text: &str) -> Result<f64, String> {
    let margin = text.parse::<f64>().ok().filter(|margin| (0.0..10.0).contains(margin));
    margin.ok_or_else(|| "a margin is a share such as 0.1 for 10 %".to_owned())
}
