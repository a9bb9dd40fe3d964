//! One report value, written for terminals and machines: what was found is in [`Report`], how it looks is in one
//! [`Renderer`] per file.

mod build;
mod json;
mod plain;
mod renderer;
mod terminal;
#[cfg(test)]
mod tests;
mod value;

pub use json::Json;
pub use renderer::{Renderer, ReportError};
pub use terminal::Terminal;
pub use value::{
    ChangeEntry, Comparison, DecisionEntry, Decisions, LatencyEntry, LatencySide, LatenessEntry, PodEntry,
    ProblemEntry, Report, RunEntry, RungEntry, SCHEMA, Share, UnstableEntry, VerdictEntry, ViolationEntry,
};
