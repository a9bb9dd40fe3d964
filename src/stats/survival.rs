//! Waiting times of which some are only known to be longer than what was seen.

/// One waiting time, in any unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// How long was waited.
    pub time: f64,
    /// Whether the wait ended then; otherwise it went on unseen (right-censored).
    pub ended: bool,
}

/// The Kaplan-Meier estimate of the share that is still waiting: Kaplan & Meier, "Nonparametric Estimation from
/// Incomplete Observations", Journal of the American Statistical Association 53 (1958) 457-481.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curve {
    /// Times at which waits ended, ascending, each with the share that still waits after it.
    pub steps: Vec<(f64, f64)>,
}

impl Curve {
    /// The curve of observations in any order.
    pub fn of(observations: &[Observation]) -> Curve {
        let mut sorted = observations.to_vec();
        sorted.sort_by(|x, y| x.time.total_cmp(&y.time));
        let (mut at_risk, mut share, mut steps) = (sorted.len(), 1.0, Vec::new());
        for group in sorted.chunk_by(|x, y| x.time.total_cmp(&y.time).is_eq()) {
            let ended = group.iter().filter(|o| o.ended).count();
            if ended > 0 {
                share *= 1.0 - ended as f64 / at_risk as f64;
                steps.push((group[0].time, share));
            }
            at_risk -= group.len();
        }
        Curve { steps }
    }

    /// The time after which at most `1 - q` still wait; `None` where that was not reached.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.steps.iter().find(|(_, share)| *share <= 1.0 - q + 1e-12).map(|(time, _)| *time)
    }

    /// The mean of the waits, none counted for longer than `horizon`: the area under the curve up to there.
    /// Royston & Parmar, "Restricted mean survival time", BMC Medical Research Methodology 13 (2013) 152.
    pub fn restricted_mean(&self, horizon: f64) -> f64 {
        let (mut area, mut from, mut share) = (0.0, 0.0, 1.0);
        for (time, after) in self.steps.iter().take_while(|(time, _)| *time < horizon) {
            area += share * (time - from);
            (from, share) = (*time, *after);
        }
        area + share * (horizon - from)
    }
}

/// p-value of the log-rank test that two groups wait alike; 1 where nothing can be compared. Mantel, "Evaluation of
/// survival data and two new rank order statistics arising in its consideration", Cancer Chemotherapy Reports 50
/// (1966) 163-170.
pub fn log_rank(a: &[Observation], b: &[Observation]) -> f64 {
    let mut all: Vec<(Observation, bool)> =
        a.iter().map(|o| (*o, true)).chain(b.iter().map(|o| (*o, false))).collect();
    all.sort_by(|x, y| x.0.time.total_cmp(&y.0.time));
    let (mut risk, mut risk_a) = (all.len() as f64, a.len() as f64);
    let (mut excess, mut variance) = (0.0, 0.0);
    for group in all.chunk_by(|x, y| x.0.time.total_cmp(&y.0.time).is_eq()) {
        let ended = group.iter().filter(|(o, _)| o.ended).count() as f64;
        let ended_a = group.iter().filter(|(o, is_a)| o.ended && *is_a).count() as f64;
        excess += ended_a - ended * risk_a / risk;
        if risk > 1.0 {
            let share = risk_a / risk;
            variance += ended * share * (1.0 - share) * (risk - ended) / (risk - 1.0);
        }
        risk -= group.len() as f64;
        risk_a -= group.iter().filter(|(_, is_a)| *is_a).count() as f64;
    }
    if variance <= 0.0 {
        return 1.0;
    }
    // Chi-squared with one degree of freedom: the square of a normal variable.
    libm::erfc((excess * excess / variance / 2.0).sqrt())
}
