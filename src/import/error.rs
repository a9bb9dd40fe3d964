use std::io;

use crate::trace::TraceError;

/// Why an import cannot be made. What is wrong with single rows is counted in the report instead.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The input cannot be opened or read at all.
    #[error("{input}: cannot {doing}")]
    Io {
        /// Name of the input.
        input: String,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A table lacks columns.
    #[error("{input}: has no column {missing}; its first line has: {found}", missing = missing.join(", "), found = found.join(", "))]
    Columns {
        /// Name of the input.
        input: String,
        /// Columns that are needed.
        missing: Vec<String>,
        /// Columns that are there.
        found: Vec<String>,
    },
    /// The input is not what it should be.
    #[error("{input}: {what}")]
    Format {
        /// Name of the input.
        input: String,
        /// What it is, and what to try.
        what: String,
    },
    /// What was asked for cannot be done with this input.
    #[error("{0}")]
    Options(String),
    /// There is nothing to import.
    #[error("{input}: nothing in it can be used ({rows} rows read; {dropped})")]
    Nothing {
        /// Name of the input.
        input: String,
        /// Rows read.
        rows: u64,
        /// Why they were dropped.
        dropped: String,
    },
    /// The reel cannot be written.
    #[error(transparent)]
    Trace(#[from] TraceError),
}
