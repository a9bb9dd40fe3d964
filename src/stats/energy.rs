use super::permutation::tails;

/// How far two groups of things lie apart beyond how far things of one group do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Energy {
    /// Mean distance between things of the first group; 0 with fewer than two.
    pub within_a: f64,
    /// Mean distance between things of the second group; 0 with fewer than two.
    pub within_b: f64,
    /// Mean distance between a thing of each.
    pub between: f64,
    /// 2 `between` - `within_a` - `within_b`: around 0 for groups that are alike.
    pub statistic: f64,
    /// Share of all splits into groups of these sizes whose statistic is at least as large.
    pub p: f64,
}

/// Tests whether two groups are alike from the distances of their members: `distance(i, j)` for the first `n` of
/// `all` things and the rest. Exact over all splits where these are at most a million. `None` where a group is empty.
///
/// Székely & Rizzo, "Testing for Equal Distributions in High Dimension", `InterStat` 5 (2004), with means over pairs of
/// different things, so that noise within the groups cancels: identical distributions give 0 on average.
pub fn energy_test(n: usize, all: usize, distance: impl Fn(usize, usize) -> f64) -> Option<Energy> {
    if n == 0 || all <= n {
        return None;
    }
    let matrix: Vec<f64> = (0..all * all).map(|at| distance(at / all, at % all)).collect();
    let of = |first: &[usize]| means(&matrix, all, first);
    let (statistic, tails) = tails(n, all, |first| of(first).statistic);
    let first: Vec<usize> = (0..n).collect();
    Some(Energy { statistic, p: tails.high, ..of(&first) })
}

fn means(matrix: &[f64], all: usize, first: &[usize]) -> Energy {
    let mut is_first = vec![false; all];
    for i in first {
        is_first[*i] = true;
    }
    // Sum and count of pairs within a, within b and between.
    let mut sums = [(0.0, 0_u32); 3];
    for i in 0..all {
        for j in i + 1..all {
            let kind = match (is_first[i], is_first[j]) {
                (true, true) => 0,
                (false, false) => 1,
                _ => 2,
            };
            sums[kind].0 += matrix[i * all + j];
            sums[kind].1 += 1;
        }
    }
    let [within_a, within_b, between] =
        sums.map(|(sum, count)| if count == 0 { 0.0 } else { sum / f64::from(count) });
    Energy { within_a, within_b, between, statistic: 2.0 * between - within_a - within_b, p: 1.0 }
}
