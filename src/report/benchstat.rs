use std::fmt::Write;

use super::{Renderer, Report, ReportError};

/// Lines in the format of Go's benchmarks, one a run and number, for `benchstat -col side`: whoever wants can check a
/// verdict with it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Benchstat;

impl Renderer for Benchstat {
    fn render(&self, report: &Report) -> Result<String, ReportError> {
        let mut text = String::new();
        for (side, is_baseline) in [("baseline", true), ("candidate", false)] {
            let _ = writeln!(text, "side: {side}");
            for metric in &report.metrics {
                for value in if is_baseline { &metric.baseline } else { &metric.candidate } {
                    let _ = writeln!(text, "BenchmarkKubereel/{} 1 {value} s", metric.metric);
                }
            }
        }
        Ok(text)
    }
}
