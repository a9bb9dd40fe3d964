use super::{Renderer, Report, ReportError};

/// The whole report as one JSON object, indented; `docs/report.md` describes every field.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl Renderer for Json {
    fn render(&self, report: &Report) -> Result<String, ReportError> {
        let mut text = serde_json::to_string_pretty(report)?;
        text.push('\n');
        Ok(text)
    }
}
