//! What the tests of importers share: a reel in a folder of its own, and what is in it in words.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{ImportError, Imported, Report, Target};
use crate::model::{PodView, Record};
use crate::trace::{Header, Reader};

/// A reel that was made.
pub struct Made {
    pub report: Report,
    pub header: Header,
    pub records: Vec<Record>,
}

/// Makes a reel.
pub fn made(import: impl FnOnce(&Target) -> Result<Imported, ImportError>) -> Made {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("t.reel");
    let (report, _) = import(&target(&path)).unwrap();
    let reader = Reader::open(&path).unwrap();
    let header = reader.header().clone();
    Made { report, header, records: reader.map(Result::unwrap).collect() }
}

/// Why a reel cannot be made.
pub fn refused(import: impl FnOnce(&Target) -> Result<Imported, ImportError>) -> String {
    let dir = TempDir::new().unwrap();
    import(&target(&dir.path().join("t.reel"))).unwrap_err().to_string()
}

fn target(path: &Path) -> Target {
    Target { rules: Arc::new(()), ..Target::new(path.to_owned()) }
}

impl Made {
    /// The events of a kind: time in seconds, verb, name, and of a pod node, phase, and whether it is going.
    pub fn events(&self, kind: &str) -> Vec<String> {
        let told = |record: &Record| match record {
            Record::Object(event) if event.key.kind == kind => {
                let pod = PodView(&event.object);
                let going = if pod.is_deleting() { " going" } else { "" };
                let node = pod.node_name().unwrap_or("-");
                let state =
                    if kind == "Pod" { format!(" {node} {:?}{going}", pod.phase()) } else { String::new() };
                Some(format!("{} {} {}{state}", event.at.as_secs_f64(), event.verb.as_str(), event.key.name))
            }
            _ => None,
        };
        self.records.iter().filter_map(told).collect()
    }
}
