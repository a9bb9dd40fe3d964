use super::Report;

/// Why a report could not be written out.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The value does not fit the format.
    #[error("cannot write the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Writes a report out in one format.
pub trait Renderer {
    /// The whole text, with a newline at its end.
    fn render(&self, report: &Report) -> Result<String, ReportError>;
}
