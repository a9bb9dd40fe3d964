use std::collections::BTreeMap;

use serde::Serialize;

use super::output::Origin;
use super::survey::Load;
use super::tally::Tally;

/// A note in a reel that begins with this holds the report of its import.
pub const REPORT_NOTE: &str = "import report ";

/// The schema of the report.
const SCHEMA: &str = "kubereel.dev/import/v1";

/// Under this share of all resources at its peak a load is told to be no load.
const EMPTY: f64 = 0.1;

/// What an import did: printed, and stored in the reel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// `kubereel.dev/import/v1`.
    pub schema: &'static str,
    /// The importer.
    pub format: String,
    /// Names of the inputs.
    pub inputs: Vec<String>,
    /// What was asked for, by name.
    pub options: BTreeMap<String, String>,
    /// Rows read, used and dropped.
    pub rows: Tally,
    /// What the reel asks of its cluster.
    pub load: Load,
    /// What the source knows and the reel does not, or the other way round.
    pub lost: Vec<String>,
    /// What to think of before this reel is replayed.
    pub remarks: Vec<String>,
}

impl Report {
    pub(super) fn new(
        origin: Origin,
        rows: Tally,
        load: Load,
        lost: Vec<String>,
        mut remarks: Vec<String>,
    ) -> Report {
        remarks.extend(remarks_on(&load));
        Report {
            schema: SCHEMA,
            format: origin.format.to_owned(),
            inputs: origin.inputs,
            options: origin.options,
            rows,
            load,
            lost,
            remarks,
        }
    }

    pub(super) fn to_note(&self) -> String {
        // A report is maps of text and numbers: it can be written.
        format!("{REPORT_NOTE}{}", serde_json::to_string(self).unwrap_or_default())
    }
}

/// What the load itself calls for.
fn remarks_on(load: &Load) -> Vec<String> {
    let mut remarks = Vec::new();
    if load.nodes == 0 {
        remarks.push("there are no nodes: no pod can be bound until the reel has some".to_owned());
    }
    let highest = load.resources.iter().filter_map(|(name, load)| Some((name, load.share?)));
    let highest = highest.max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((name, share)) = highest.filter(|(_, share)| *share < EMPTY) {
        remarks.push(format!(
            "this is an empty cluster: at its peak the pods ask for {:.1} % of the nodes' {name} and for less of all \
             else, so that no scheduler has to choose; --fill, --sample-nodes or --time-compress make a load of it",
            share * 100.0
        ));
    }
    if load.misfits.pods > 0 {
        remarks.push(format!("{} pods stay pending whatever the scheduler does", load.misfits.pods));
    }
    if load.pods.bound == 0 && load.pods.submitted > 0 {
        remarks.push(
            "the reel has no decisions of a scheduler: replay it and compare the runs, not a run with it"
                .to_owned(),
        );
    }
    remarks
}
