use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::parser::Block;
use super::{BlockType, TraceError, codec};

/// Features that this reader understands; a header that requires another one is refused.
const KNOWN_FEATURES: &[&str] = &[DELTA];

/// The feature of reels whose object events are changes (record types 8 and 9).
pub(super) const DELTA: &str = "delta";

/// How much of each object a reel keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detail {
    /// Everything that was recorded.
    #[default]
    Lossless,
    /// Life cycle, decisions, requests and scheduling constraints of pods and nodes; other kinds whole.
    Lifecycle,
    /// A level of a later version.
    #[serde(other)]
    Unknown,
}

/// Where a reel comes from. Unknown fields of later versions are ignored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// Identifies this reel.
    pub id: String,
    /// Program and version that wrote it.
    pub writer: String,
    /// Features without which it cannot be read.
    pub requires: Vec<String>,
    /// How much of each object is kept.
    pub detail: Detail,
    /// Peculiarities of the writer that readers may want to know.
    pub quirks: Vec<String>,
    /// The command line.
    pub command: Vec<String>,
    /// Wall clock at the start, nanoseconds since the Unix epoch.
    pub started_wall_ns: i64,
    /// The recorded cluster.
    pub cluster: ClusterInfo,
    /// What was removed or replaced, as a list of rules in words.
    pub redaction: Vec<String>,
    /// Set in the reel of a replay.
    pub run: Option<RunInfo>,
    /// Anything else.
    pub labels: BTreeMap<String, String>,
}

/// The recorded cluster.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterInfo {
    /// `gitVersion` of the API server.
    pub server_version: String,
    /// Version of the scheduler, where known.
    pub scheduler_version: String,
    /// Kubeconfig context or cluster name.
    pub context: String,
}

/// How a replay was run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunInfo {
    /// File name of the trace that was replayed.
    pub source: String,
    /// SHA-256 of that file.
    pub source_sha256: String,
    /// Id of that reel.
    pub source_id: String,
    /// `open`, `lockstep` or `flood`.
    pub mode: String,
    /// Trace seconds per wall second; 0 where the mode has no rate.
    pub speed: f64,
    /// The scheduler configuration in force, where kubereel started the scheduler.
    pub scheduler_config: String,
    /// How ties between nodes were broken, where kubereel set it up: `fixed` or `stock`.
    pub tie_break: String,
    /// SHA-256 of the plan that was played.
    #[serde(default)]
    pub plan_sha256: String,
    /// How the load was shaped: the options that were given, by name.
    #[serde(default)]
    pub shape: BTreeMap<String, String>,
    /// How late actions may be (99th percentile) in a valid run, ns; 0 where nobody said so.
    #[serde(default)]
    pub max_lateness_ns: u64,
}

impl Header {
    pub(super) fn from_block(block: &Block) -> Result<Header, String> {
        match block.header.kind {
            BlockType::Header => codec::from_named(&block.unpack()?),
            _ => Err("the first block is not a header".to_owned()),
        }
    }

    pub(super) fn check_features(&self, path: &Path) -> Result<(), TraceError> {
        let missing: Vec<String> =
            self.requires.iter().filter(|f| !KNOWN_FEATURES.contains(&f.as_str())).cloned().collect();
        if missing.is_empty() { Ok(()) } else { Err(TraceError::Requires { path: path.to_owned(), missing }) }
    }
}

/// SHA-256 of a file, as hexadecimal text: names the exact trace that a run replayed.
///
/// # Errors
/// [`TraceError::Io`] where the file cannot be read.
pub fn digest_of(path: &Path) -> Result<String, TraceError> {
    let io = |doing| move |source| TraceError::Io { path: path.to_owned(), doing, source };
    let mut file = std::fs::File::open(path).map_err(io("open"))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match std::io::Read::read(&mut file, &mut buffer).map_err(io("read"))? {
            0 => return Ok(hex::encode(hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}
