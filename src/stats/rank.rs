//! Rank tests of two samples.

/// Samples up to this size are tested exactly if no two values are equal.
const EXACT_UP_TO: usize = 50;

/// Two-sided p-value of the Mann-Whitney U test that two samples come from one distribution; 1 where a sample is
/// empty.
///
/// Exact where no two values are equal and both samples have at most 50 values; otherwise the normal approximation
/// with correction for ties and continuity. Mann & Whitney, "On a Test of Whether one of Two Random Variables is
/// Stochastically Larger than the Other", Annals of Mathematical Statistics 18 (1947) 50-60; the choices are those of
/// `scipy.stats.mannwhitneyu`.
#[expect(clippy::many_single_char_names, reason = "the letters of the paper")]
pub fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    let (n, m) = (a.len(), b.len());
    if n == 0 || m == 0 {
        return 1.0;
    }
    let (u, ties) = u_statistic(a, b);
    if ties == 0.0 && n.max(m) <= EXACT_UP_TO {
        // U is whole without ties, and symmetric: the smaller tail counts twice.
        let tail = u.min((n * m) as f64 - u) as usize;
        return (2.0 * tail_shares(n, m)[tail]).min(1.0);
    }
    let (n, m) = (n as f64, m as f64);
    let all = n + m;
    let variance = n * m / 12.0 * ((all + 1.0) - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = ((u - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    libm::erfc(z / std::f64::consts::SQRT_2).min(1.0)
}

/// Cliff's delta: the probability that a value of `b` is larger than one of `a`, less that it is smaller; -1 to 1, 0
/// where a sample is empty. Cliff, "Dominance statistics", Psychological Bulletin 114 (1993) 494-509.
pub fn cliffs_delta(a: &[f64], b: &[f64]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let pairs = (a.len() * b.len()) as f64;
    2.0 * u_statistic(b, a).0 / pairs - 1.0
}

/// U of the first sample, ties counted half, and Σ (t³ - t) over groups of equal values.
fn u_statistic(a: &[f64], b: &[f64]) -> (f64, f64) {
    let mut all: Vec<(f64, bool)> =
        a.iter().map(|v| (*v, true)).chain(b.iter().map(|v| (*v, false))).collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut rank_sum, mut ties, mut below) = (0.0, 0.0, 0);
    for group in all.chunk_by(|x, y| x.0.total_cmp(&y.0).is_eq()) {
        let t = group.len() as f64;
        let rank = below as f64 + f64::midpoint(t, 1.0);
        rank_sum += rank * group.iter().filter(|(_, is_a)| *is_a).count() as f64;
        ties += t * t * t - t;
        below += group.len();
    }
    let n = a.len() as f64;
    (rank_sum - n * (n + 1.0) / 2.0, ties)
}

/// P(U <= u) for u from 0 to `n` `m`, where all orders of `n` and `m` distinct values are equally likely.
pub(super) fn tail_shares(n: usize, m: usize) -> Vec<f64> {
    // Orders with U = u: choose which side holds the largest value (Mann & Whitney 1947, recurrence of section 3).
    // Row i of `counts` is the distribution for i values of a and j of b, for the j at hand.
    let most = n * m;
    let mut counts = vec![vec![0.0_f64; most + 1]; n + 1];
    for row in &mut counts {
        row[0] = 1.0;
    }
    for j in 1..=m {
        for i in 1..=n {
            let (before, here) = counts.split_at_mut(i);
            let (fewer, row) = (&before[i - 1], &mut here[0]);
            // counts[i][j](u) = counts[i-1][j](u - j) + counts[i][j-1](u)
            for u in (j..=most).rev() {
                row[u] += fewer[u - j];
            }
        }
    }
    let total: f64 = counts[n].iter().sum();
    let add = |sum: &mut f64, count: &f64| {
        *sum += count;
        Some(*sum / total)
    };
    counts[n].iter().scan(0.0, add).collect()
}
