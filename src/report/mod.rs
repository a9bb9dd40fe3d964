//! One report value, written for terminals and machines: what was found is in [`Report`], how it looks is in one
//! [`Renderer`] per file.

mod benchstat;
mod build;
mod charts;
mod context;
mod divergences;
mod html;
mod json;
mod junit;
mod markdown;
mod perfdata;
mod plain;
mod renderer;
mod terminal;
#[cfg(test)]
mod tests;
mod value;

pub use benchstat::Benchstat;
pub use context::{Context, NodeEntry, ScoreEntry, SideContext};
pub use html::Html;
pub use json::Json;
pub use junit::Junit;
pub use markdown::Markdown;
pub use perfdata::PerfData;
pub use renderer::{Renderer, ReportError};
pub use terminal::Terminal;
pub use value::{
    ChangeEntry, Charts, Comparison, DecisionEntry, Decisions, ExploredEntry, GroupEntry, LatencyEntry,
    LatencySide, LatenessEntry, MetricEntry, PlacementEntry, PodEntry, ProblemEntry, Report, RunEntry,
    RungEntry, SCHEMA, Share, UnstableEntry, VerdictEntry, ViolationEntry,
};
