//! Traces of `SimKube`, version 2 (`skctl export`): owners of pods and bare pods over time, without nodes and without decisions.

mod expand;
mod format;

use std::path::PathBuf;

pub use expand::{Expanded, expand};
pub use format::{Trace, read};

use super::pool::{NodeShape, make_up};
use super::shaping::Shaping;
use super::workload::Workload;
use super::{ImportError, Imported, Input, Origin, Tally, Target, dump, lives};
use crate::trace::digest_of;

/// An import of a trace.
#[derive(Debug, Clone)]
pub struct Simkube {
    /// The trace.
    pub file: PathBuf,
    /// A dump with the nodes; others are made up where it is empty.
    pub nodes: Vec<PathBuf>,
    /// The nodes to make up.
    pub shapes: Vec<NodeShape>,
    /// How the load is changed.
    pub shaping: Shaping,
}

impl Simkube {
    /// Makes the reel.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn run(&self, target: &Target) -> Result<Imported, ImportError> {
        let mut tally = Tally::default();
        let trace = read(Input::open(&self.file)?)?;
        let name = self.file.display().to_string();
        let Expanded { templates, lives: pods, start, owners } = expand(&trace, &name, &mut tally);
        let mut remarks = Vec::new();
        if owners > 0 {
            remarks.push(format!(
                "{owners} owners were turned into pods, as their controllers would have made them"
            ));
        }
        let nodes = if self.nodes.is_empty() {
            let nodes = make_up(&self.shapes, &templates, &pods)?;
            remarks.push(format!("{} nodes are made up: the trace has none", nodes.len()));
            nodes
        } else {
            dump::nodes(&self.nodes, &mut tally)?
        };
        let mut workload = Workload { nodes, templates, pods, ..Workload::default() };
        let arriving = self.shaping.apply(&mut workload)?;
        let mut out = target.start(Origin {
            format: "simkube",
            inputs: std::iter::once(&self.file)
                .chain(&self.nodes)
                .map(|path| path.display().to_string())
                .collect(),
            started_wall_ns: start.saturating_mul(1_000_000_000),
            options: self.shaping.described(),
            digest: Some(digest_of(&self.file)?),
        })?;
        lives::write(&workload, &arriving, &self.shaping, &mut out)?;
        out.finish(tally, lost(), remarks)
    }
}

fn lost() -> Vec<String> {
    [
        "nodes and decisions: the trace has neither",
        "times of pods: the trace has when owners changed and when containers ran, in whole seconds",
        "roll-outs: a changed template replaces all pods at once",
    ]
    .map(str::to_owned)
    .into()
}
