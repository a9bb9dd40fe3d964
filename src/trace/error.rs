use std::io;
use std::path::PathBuf;

/// What can be wrong with a reel or with writing one. Messages start with the path where there is one.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file could not be opened, read or written.
    #[error("{path}: cannot {doing}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file has no byte.
    #[error("{path}: is empty, not a reel; a recording writes its header at once, so this file was never one", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The first bytes are not those of a reel.
    #[error("{path}: is not a reel: it starts with {found:?} instead of the magic {magic:?}; reels are made by `kubereel record` and `kubereel replay --out`", path = path.display(), magic = "\\x89REEL\\r\\n")]
    NotAReel {
        /// The file.
        path: PathBuf,
        /// Its first bytes, printable.
        found: String,
    },
    /// A major version that this reader does not know.
    #[error("{path}: is a reel of format {found}, this kubereel reads format {known}; use a newer kubereel", path = path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Major version of the file.
        found: u8,
        /// Major version of this reader.
        known: u8,
    },
    /// The header asks for features that this reader does not have.
    #[error("{path}: needs a reader with {}; use a newer kubereel", missing.join(", "), path = path.display())]
    Requires {
        /// The file.
        path: PathBuf,
        /// Names of the features.
        missing: Vec<String>,
    },
    /// The file ends inside a chunk.
    #[error("{path}: is cut: it ends {missing} bytes short, inside the chunk at byte {offset}; what comes before can be read, `kubereel trace recover` makes a whole reel of it", path = path.display())]
    Cut {
        /// The file.
        path: PathBuf,
        /// Where the unfinished chunk starts.
        offset: u64,
        /// How many bytes that chunk lacks.
        missing: u64,
    },
    /// A chunk's bytes are not what was written.
    #[error("{path}: is damaged at byte {offset}: {what}; `kubereel trace recover` keeps what is whole", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the chunk starts.
        offset: u64,
        /// What does not fit.
        what: String,
    },
    /// The file exists and must not be overwritten.
    #[error("{path}: exists; give another name or remove it first", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A record could not be encoded.
    #[error("cannot encode a record: {0}")]
    Encode(String),
    /// The writer thread ended before it was asked to.
    #[error("the writer of {path} is gone", path = path.display())]
    WriterGone {
        /// The file.
        path: PathBuf,
    },
}

impl TraceError {
    /// Whether the file is a reel of which a part is lost, as opposed to no reel at all.
    pub fn is_loss(&self) -> bool {
        matches!(self, TraceError::Cut { .. } | TraceError::Damaged { .. })
    }
}
