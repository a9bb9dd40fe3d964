use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::args::Format;
use super::{Outcome, output};
use crate::diff::{self, Rung};
use crate::report::{Json, Renderer, Report, Terminal};

/// Compares two reels: which pods were decided otherwise, and how long decisions took.
///
/// Either side may be a recording or the run of a replay. Pods are matched by the identity that a replay carries
/// over from its trace.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel diff run-a.reel run-b.reel
  kubereel diff prod.reel run.reel --fail-on outcome --format json")]
pub(super) struct DiffArgs {
    /// The baseline.
    a: PathBuf,
    /// The candidate.
    b: PathBuf,
    /// The finest difference that counts for the exit code.
    #[arg(long, value_enum, default_value_t = FailOn::ExactNode)]
    fail_on: FailOn,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
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

pub(super) fn run(args: &DiffArgs) -> anyhow::Result<Outcome> {
    let sides = diff::load_all(&[args.a.clone(), args.b.clone()])?;
    let (a, b) = (&sides[0], &sides[1]);
    let found = diff::compare(a, b);
    output::print(&render(&Report::of_diff(a, b, &found), args.format)?)?;
    let breaks = found.broken.iter().any(diff::Broken::is_failure);
    Ok(if breaks || found.differing(args.fail_on.into()) > 0 {
        Outcome::Differs
    } else if found.notes.iter().any(diff::Note::is_loss) {
        Outcome::Loss
    } else {
        Outcome::Done
    })
}

/// A report in the chosen form.
pub(super) fn render(report: &Report, format: Format) -> anyhow::Result<String> {
    let terminal = Terminal { width: output::width(), color: output::stdout_has_color() };
    let renderer: &dyn Renderer = match format {
        Format::Table => &terminal,
        Format::Json => &Json,
    };
    Ok(renderer.render(report)?)
}
