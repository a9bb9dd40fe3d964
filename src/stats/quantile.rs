/// The `q`-quantile of ascending values, `None` where there are none. `q` is clamped to [0, 1]; the unit is that of
/// the values.
///
/// Linear interpolation between the order statistics at `(n - 1) q`: definition 7 of Hyndman & Fan, "Sample
/// Quantiles in Statistical Packages", The American Statistician 50 (1996) 361-365, the default of R and `NumPy`, so
/// that a number printed here can be checked there.
pub fn quantile(ascending: &[f64], q: f64) -> Option<f64> {
    let last = ascending.len().checked_sub(1)?;
    let rank = q.clamp(0.0, 1.0) * last as f64;
    let below = rank.floor() as usize;
    let above = (below + 1).min(last);
    let (low, high) = (ascending[below], ascending[above]);
    Some(low + (high - low) * (rank - below as f64))
}

#[cfg(test)]
mod tests {
    use super::quantile;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_numbers_worked_by_hand() {
        // (n - 1) q for 1, 2, 3, 4: 1.5 lies half-way between 2 and 3, 2.7 seven tenths of the way from 3 to 4.
        let values = [1.0, 2.0, 3.0, 4.0];
        for (q, expected) in [(0.0, 1.0), (0.5, 2.5), (0.9, 3.7), (1.0, 4.0), (-1.0, 1.0), (2.0, 4.0)] {
            assert!((quantile(&values, q).unwrap() - expected).abs() < 1e-12, "{q}");
        }
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    proptest! {
        #[test]
        fn quantiles_stay_inside_the_sample_and_grow_with_q(
            mut values in prop::collection::vec(0.0..1e9f64, 1..60),
            p in 0.0..1.0f64,
            q in 0.0..1.0f64,
        ) {
            values.sort_by(f64::total_cmp);
            let (low, high) = (p.min(q), p.max(q));
            let (at_low, at_high) = (quantile(&values, low).unwrap(), quantile(&values, high).unwrap());
            prop_assert!(at_low <= at_high + 1e-6);
            prop_assert!(at_low >= values[0] && at_high <= values[values.len() - 1] + 1e-6);
        }
    }
}
