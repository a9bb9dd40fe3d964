use serde::{Deserialize, Serialize};

/// A side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// What is in use.
    Baseline,
    /// What may replace it.
    Candidate,
}

impl Side {
    /// `baseline` or `candidate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Baseline => "baseline",
            Side::Candidate => "candidate",
        }
    }
}

/// The order of `runs` runs a side: ABBA, ABBA, …, so that a machine that slowly warms up or fills up favours
/// neither side.
pub fn order(runs: usize) -> Vec<(Side, usize)> {
    let pair = |n: usize| {
        let (first, second) = if n.is_multiple_of(2) {
            (Side::Baseline, Side::Candidate)
        } else {
            (Side::Candidate, Side::Baseline)
        };
        [(first, n), (second, n)]
    };
    (0..runs).flat_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_alternate_and_are_balanced() {
        let sides: String =
            order(4).iter().map(|(side, _)| if *side == Side::Baseline { 'A' } else { 'B' }).collect();
        assert_eq!(sides, "ABBAABBA");
        let runs: Vec<_> =
            order(3).into_iter().filter(|(s, _)| *s == Side::Candidate).map(|(_, n)| n).collect();
        assert_eq!(runs, [0, 1, 2]);
    }
}
