//! Verdicts against a margin: a difference that does not matter is told from one that does, and from not knowing.

use serde::Serialize;

use super::{Estimate, holm, mann_whitney, ratio, runs_needed};

/// Chance of a false alarm over all metrics that are gated together.
const LEVEL: f64 = 0.05;

/// What a group of runs says about one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Worse by more than the margin.
    Regressed,
    /// Better by more than the margin.
    Improved,
    /// Within the margin.
    Equivalent,
    /// These runs cannot tell.
    Inconclusive,
}

impl Change {
    /// The verdict as written in JSON and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::Regressed => "regressed",
            Change::Improved => "improved",
            Change::Equivalent => "equivalent",
            Change::Inconclusive => "inconclusive",
        }
    }
}

/// A metric that is gated: one value a run, above 0, the larger the worse.
#[derive(Debug, Clone, PartialEq)]
pub struct Gated<'a> {
    /// Values of the baseline's runs.
    pub a: &'a [f64],
    /// Values of the candidate's runs.
    pub b: &'a [f64],
    /// Relative difference that does not matter, such as 0.1.
    pub margin: f64,
}

/// The verdict on one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// The verdict.
    pub change: Change,
    /// Candidate over baseline with its 95 % interval; `None` where a side has no values above 0.
    pub ratio: Option<Estimate>,
    /// p-value of the test that the candidate is beyond the margin, adjusted over all metrics (Holm).
    pub p: f64,
    /// About how many runs a side would settle it, where these do not.
    pub runs_needed: Option<u64>,
}

/// Judges metrics together.
///
/// *Regressed* and *improved*: the exact rank test rejects, over all metrics at 5 % (Holm), that the candidate lies
/// within the margin. *Equivalent*: the 95 % interval of the ratio lies within it. Anything else is *inconclusive*: that
/// no difference was found is not that there is none. Schuirmann, "A comparison of the two one-sided tests procedure
/// and the power approach", Journal of Pharmacokinetics and Biopharmaceutics 15 (1987) 657-680.
pub fn gate(metrics: &[Gated<'_>]) -> Vec<Judged> {
    let beyond: Vec<(bool, f64)> = metrics.iter().map(beyond_margin).collect();
    let least = least_runs(metrics.len());
    let adjusted = holm(&beyond.iter().map(|(_, p)| *p).collect::<Vec<_>>());
    let judge = |((metric, (worse, _)), p): ((&Gated<'_>, &(bool, f64)), f64)| {
        let ratio = ratio(metric.a, metric.b, LEVEL);
        let inside = |e: Estimate| e.high <= 1.0 + metric.margin && e.low >= 1.0 / (1.0 + metric.margin);
        let change = match ratio {
            Some(_) if p <= LEVEL => {
                if *worse {
                    Change::Regressed
                } else {
                    Change::Improved
                }
            }
            Some(estimate) if inside(estimate) => Change::Equivalent,
            _ => Change::Inconclusive,
        };
        let runs_needed = ratio.filter(|_| change == Change::Inconclusive).and_then(|estimate| {
            let logs = |values: &[f64]| -> Vec<f64> { values.iter().map(|v| v.ln()).collect() };
            let margin = (1.0 + metric.margin).ln();
            let needed = runs_needed(&logs(metric.a), &logs(metric.b), estimate.value.ln(), margin)?;
            Some(needed.max(least))
        });
        Judged { change, ratio, p, runs_needed }
    };
    metrics.iter().zip(&beyond).zip(adjusted).map(judge).collect()
}

/// Fewest runs a side with which the exact rank test can reject one of so many metrics: its smallest p-value is 2 /
/// C(2n, n), which Holm multiplies by their number.
fn least_runs(metrics: usize) -> u64 {
    let (mut runs, mut splits) = (1_u64, 2.0);
    while 2.0 / splits * metrics as f64 > LEVEL {
        // C(2n + 2, n + 1) = C(2n, n) (2n + 1) (2n + 2) / (n + 1)²
        let n = runs as f64;
        splits *= (2.0 * n + 1.0) * (2.0 * n + 2.0) / (n + 1.0).powi(2);
        runs += 1;
    }
    runs
}

/// Whether the candidate is the worse side, and the p-value of its being beyond the margin on that side.
fn beyond_margin(metric: &Gated<'_>) -> (bool, f64) {
    let Some(estimate) = ratio(metric.a, metric.b, LEVEL) else { return (false, 1.0) };
    let worse = estimate.value > 1.0;
    let factor = if worse { 1.0 + metric.margin } else { 1.0 / (1.0 + metric.margin) };
    let is_beyond = if worse { estimate.value > factor } else { estimate.value < factor };
    let moved: Vec<f64> = metric.b.iter().map(|v| v / factor).collect();
    (worse, if is_beyond { mann_whitney(metric.a, &moved) } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::least_runs;

    #[test]
    fn more_metrics_take_more_runs() {
        // 2 / C(2n, n) is 0.1, 0.029, 0.0079 and 0.0022 for n from 3 to 6.
        assert_eq!([1, 5, 6, 7, 22].map(least_runs), [4, 5, 5, 6, 6]);
    }
}
