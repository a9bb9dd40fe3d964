//! Tests that shuffle labels.

/// Splits that are gone through one by one; more are sampled. C(22, 11) is below, C(24, 12) above.
const EXACT_SPLITS: u64 = 1_000_000;

/// Splits that are drawn where there are too many.
const SAMPLED_SPLITS: u32 = 100_000;

/// Of equal inputs equal splits are drawn.
const SEED: u64 = 0x6b75_6265_7265_656c;

/// Statistics that differ by less than this share are the same: sums of floats in another order.
const TOLERANCE: f64 = 1e-12;

/// What a permutation test on means found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanDifference {
    /// Mean of the second sample less mean of the first, in their unit.
    pub difference: f64,
    /// Two-sided p-value.
    pub p: f64,
}

/// Tests whether the labels of two samples are exchangeable by the difference of their means, exactly where there
/// are at most a million splits, else over 100,000 drawn ones. `None` where a sample is empty.
///
/// Twice the smaller tail, as `scipy.stats.permutation_test` does. Good, "Permutation, Parametric and Bootstrap Tests
/// of Hypotheses", 3rd ed. (2005), section 3.2.
pub fn permutation_test(a: &[f64], b: &[f64]) -> Option<MeanDifference> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let sum: f64 = all.iter().sum();
    let (n, m) = (a.len() as f64, b.len() as f64);
    let statistic = |first: &[usize]| {
        let own: f64 = first.iter().map(|i| all[*i]).sum();
        (sum - own) / m - own / n
    };
    let (difference, tails) = tails(a.len(), all.len(), statistic);
    Some(MeanDifference { difference, p: (2.0 * tails.low.min(tails.high)).min(1.0) })
}

/// Which share of all splits has a statistic at most, and at least, that of the split as given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tails {
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The statistic of the first `n` of `all` things against the rest, and where it lies among all splits.
pub(super) fn tails(n: usize, all: usize, statistic: impl Fn(&[usize]) -> f64) -> (f64, Tails) {
    let mut split: Vec<usize> = (0..n).collect();
    let observed = statistic(&split);
    let slack = TOLERANCE * observed.abs().max(f64::MIN_POSITIVE);
    let (mut low, mut high, mut count) = (0_u64, 0_u64, 0_u64);
    let mut add = |found: f64| {
        low += u64::from(found <= observed + slack);
        high += u64::from(found >= observed - slack);
        count += 1;
    };
    if splits(n, all) <= EXACT_SPLITS {
        add(observed);
        while next_split(&mut split, all) {
            add(statistic(&split));
        }
    } else {
        let mut rng = fastrand::Rng::with_seed(SEED);
        let mut order: Vec<usize> = (0..all).collect();
        // The split at hand is one of those that chance could have drawn.
        add(observed);
        for _ in 0..SAMPLED_SPLITS {
            rng.shuffle(&mut order);
            add(statistic(&order[..n]));
        }
    }
    (observed, Tails { low: low as f64 / count as f64, high: high as f64 / count as f64 })
}

/// C(all, n), saturating.
fn splits(n: usize, all: usize) -> u64 {
    let mut count: u64 = 1;
    for i in 0..n.min(all - n) as u64 {
        count = count.saturating_mul(all as u64 - i) / (i + 1);
    }
    count
}

/// The next n of `0..all` in lexical order; false after the last.
fn next_split(split: &mut [usize], all: usize) -> bool {
    let n = split.len();
    let Some(at) = (0..n).rev().find(|i| split[*i] < all - n + i) else { return false };
    split[at] += 1;
    for i in at + 1..n {
        split[i] = split[i - 1] + 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_split_is_met_once() {
        let mut seen = std::collections::HashSet::new();
        let mut split = vec![0, 1, 2];
        seen.insert(split.clone());
        while next_split(&mut split, 7) {
            assert!(seen.insert(split.clone()));
        }
        assert_eq!(seen.len() as u64, splits(3, 7));
        assert_eq!((splits(11, 22), splits(0, 5)), (705_432, 1));
    }

    #[test]
    fn many_splits_are_sampled_and_repeat() {
        let a: Vec<f64> = (0..30).map(f64::from).collect();
        let b: Vec<f64> = (0..30).map(|i| f64::from(i) + 2.5).collect();
        let found = permutation_test(&a, &b).unwrap();
        assert_eq!(permutation_test(&a, &b), Some(found));
        // The normal approximation gives 0.267.
        assert!((found.p - 0.267).abs() < 0.02, "{}", found.p);
    }
}
