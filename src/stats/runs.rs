/// Quantiles of the normal distribution at 0.975 and 0.8: a two-sided test at 5 % that finds a difference in four of
/// five cases.
const TEST_AND_POWER: f64 = 1.959_964 + 0.841_621;

/// Fewer runs a side cannot reach 5 % in an exact test: 2 / C(8, 4) = 0.029.
const LEAST: f64 = 4.0;

/// About how many runs a side would settle on which side of `margin` the difference of two groups lies, if it is
/// `estimate` and runs keep scattering as they do; all in one unit. `None` where a group has fewer than two runs, or
/// where the estimate lies on the margin itself.
///
/// n = 2 s² (z₀.₉₇₅ + z₀.₈)² / d², with the pooled variance s² and the distance d to the margin: Cohen, "Statistical
/// Power Analysis for the Behavioral Sciences", 2nd ed. (1988), section 2.4.
pub fn runs_needed(a: &[f64], b: &[f64], estimate: f64, margin: f64) -> Option<u64> {
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    let squares = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|v| (v - mean).powi(2)).sum::<f64>()
    };
    let variance = (squares(a) + squares(b)) / (a.len() + b.len() - 2) as f64;
    let distance = (estimate.abs() - margin).abs();
    let runs = 2.0 * variance * TEST_AND_POWER.powi(2) / distance.powi(2);
    (runs.is_finite() && runs < 1e6).then(|| runs.ceil().max(LEAST) as u64)
}
