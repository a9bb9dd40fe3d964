//! The file: one MessagePack document with text keys, or the same in JSON (`sk-core/src/trace` of `acrlabs/simkube`).

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::import::{ImportError, Input};
use crate::model::Json;

/// The version that is read.
const VERSION: u64 = 2;

/// A larger file is refused: `SimKube` holds a trace in memory, and so does this.
const FILE_BYTES: u64 = 1 << 30;

/// Nesting of values.
const DEPTH: usize = 128;

/// A whole trace.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Trace {
    /// What was recorded.
    pub config: Config,
    /// What happened, by time.
    pub events: Vec<Event>,
    /// When pods ran: by kind and `namespace/name` of their owner, by a hash of their template, in the order of their starts.
    pub pod_lifecycles: Lifecycles,
}

/// See [`Trace::pod_lifecycles`].
pub type Lifecycles = BTreeMap<(String, String), BTreeMap<u64, Vec<Lifecycle>>>;

/// What was recorded.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// By `group/version.Kind`.
    pub tracked_objects: BTreeMap<String, Tracked>,
}

/// A kind that was recorded.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tracked {
    /// JSON pointers to pod templates.
    pub pod_spec_template_paths: Option<Vec<String>>,
}

/// What happened in a second: all that was applied, then all that was deleted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Seconds since the Unix epoch.
    pub ts: i64,
    /// Objects, whole.
    pub applied_objs: Vec<Json>,
    /// Objects, at least what names them.
    pub deleted_objs: Vec<Json>,
}

/// When a pod ran, seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Lifecycle {
    /// It never started.
    Empty,
    /// It started and did not end.
    Running(i64),
    /// It started and ended.
    Finished(i64, i64),
}

#[derive(Debug, Deserialize)]
struct Version {
    version: u64,
}

/// Reads a trace.
///
/// # Errors
/// [`ImportError::Format`] where it is none, or one of another version.
pub fn read(input: Input) -> Result<Trace, ImportError> {
    let mut bytes = Vec::new();
    let refuse = |what: String| ImportError::Format { input: input.name.clone(), what };
    let read = input.reader.take(FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|source| ImportError::Io { input: input.name.clone(), doing: "read", source })?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(refuse("is over 1 GiB".to_owned()));
    }
    // Version 1 was a tuple without a version.
    if bytes.first() == Some(&0x94) {
        return Err(refuse(format!("is a SimKube trace of version 1; kubereel reads version {VERSION}")));
    }
    let version = decode::<Version>(&bytes).map_err(|_| {
        refuse("is no SimKube trace: those are MessagePack or JSON maps with a `version` (`skctl export` makes them)".to_owned())
    })?;
    if version.version != VERSION {
        let found = version.version;
        return Err(refuse(format!(
            "is a SimKube trace of version {found}; kubereel reads version {VERSION}"
        )));
    }
    decode(&bytes).map_err(|why| refuse(format!("is a SimKube trace that cannot be read: {why}")))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    if text.trim_ascii_start().first() == Some(&b'{') {
        return serde_json::from_slice(text).map_err(|error| error.to_string());
    }
    let mut document = rmp_serde::Deserializer::from_read_ref(bytes);
    document.set_max_depth(DEPTH);
    T::deserialize(&mut document).map_err(|error| error.to_string())
}
