//! Agreement with `SciPy` and lifelines on `vectors.json`, which `tools/stats_vectors.py` writes, and properties.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn vectors(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    all[part].as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn near(found: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    let scale = expected.abs().max(1e-6);
    assert!((found - expected).abs() <= 1e-6 * scale, "{what}: {found} against {expected}");
}

#[test]
fn two_samples_agree_with_scipy() {
    for case in vectors("two_samples") {
        let (a, b) = (numbers(&case["a"]), numbers(&case["b"]));
        near(mann_whitney(&a, &b), &case["mann_whitney"], "mann-whitney");
        near(cliffs_delta(&a, &b), &case["cliffs_delta"], "cliff's delta");
        let found = shift(&a, &b, 0.05).unwrap();
        near(found.value, &case["hodges_lehmann"], "hodges-lehmann");
        if !case["permutation"].is_null() {
            near(permutation_test(&a, &b).unwrap().p, &case["permutation"], "permutation");
        }
        if !case["interval"].is_null() {
            for (end, at) in [(found.low, 0), (found.high, 1)] {
                match &case["interval"][at] {
                    Value::Null => assert!(end.is_infinite(), "{end} where there is no end"),
                    expected => near(end, expected, "interval"),
                }
            }
        }
    }
}

#[test]
fn energy_agrees_with_every_split_gone_through() {
    for case in vectors("energy") {
        let points = numbers(&case["points"]);
        let n = case["n"].as_u64().unwrap() as usize;
        let found = energy_test(n, points.len(), |i, j| (points[i] - points[j]).abs()).unwrap();
        near(found.statistic, &case["statistic"], "energy");
        near(found.p, &case["p"], "p of energy");
    }
}

#[test]
fn waits_agree_with_lifelines() {
    let group = |value: &Value| -> Vec<Observation> {
        let one = |o: &Value| Observation { time: o[0].as_f64().unwrap(), ended: o[1].as_bool().unwrap() };
        value.as_array().unwrap().iter().map(one).collect()
    };
    for case in vectors("survival") {
        let (a, b) = (group(&case["a"]), group(&case["b"]));
        near(log_rank(&a, &b), &case["log_rank"], "log-rank");
        let curve = Curve::of(&a);
        let steps = case["steps"].as_array().unwrap();
        assert_eq!(curve.steps.len(), steps.len());
        for ((time, share), step) in curve.steps.iter().zip(steps) {
            near(*time, &step[0], "time of a step");
            near(*share, &step[1], "share after a step");
        }
        match &case["median"] {
            Value::Null => assert_eq!(curve.quantile(0.5), None),
            median => near(curve.quantile(0.5).unwrap(), median, "median"),
        }
        let horizon = case["horizon"].as_f64().unwrap();
        near(curve.restricted_mean(horizon), &case["restricted_mean"], "restricted mean");
    }
}

#[test]
fn adjusted_p_values_agree_with_scipy() {
    for case in vectors("adjusted") {
        let p = numbers(&case["p"]);
        for (found, name) in [(holm(&p), "holm"), (benjamini_hochberg(&p), "benjamini_hochberg")] {
            for (found, expected) in found.into_iter().zip(case[name].as_array().unwrap()) {
                near(found, expected, name);
            }
        }
    }
}

#[test]
fn three_runs_a_side_never_decide() {
    assert!((mann_whitney(&[1.0, 2.0, 3.0], &[7.0, 8.0, 9.0]) - 0.1).abs() < 1e-12);
    assert!(shift(&[1.0, 2.0, 3.0], &[7.0, 8.0, 9.0], 0.05).unwrap().high.is_infinite());
    let judged = gate(&[Gated { a: &[1.0, 1.1, 0.9], b: &[9.0, 9.1, 9.2], margin: 0.1 }]);
    assert_eq!((judged[0].change, judged[0].runs_needed), (Change::Inconclusive, Some(4)));
}

#[test]
fn six_runs_a_side_tell_worse_better_and_the_same_apart() {
    let at = |center: f64| [-2.0, -1.0, -0.5, 0.5, 1.0, 2.0].map(|step| center + step * 0.3);
    let judge = |center: f64| gate(&[Gated { a: &at(100.0), b: &at(center), margin: 0.1 }])[0].change;
    assert_eq!(judge(130.0), Change::Regressed);
    assert_eq!(judge(75.0), Change::Improved);
    assert_eq!(judge(102.0), Change::Equivalent);
    assert_eq!(judge(110.0), Change::Inconclusive);
    assert_eq!(gate(&[Gated { a: &[0.0; 6], b: &at(1.0), margin: 0.1 }])[0].change, Change::Inconclusive);
}

/// 200 splits at random of 12 runs of one scheduler, ten metrics each, without any margin to hide behind.
#[test]
fn runs_of_one_scheduler_are_called_regressed_in_at_most_a_twentieth_of_all_splits() {
    let mut rng = fastrand::Rng::with_seed(7);
    // Runs share what their machine did: heavy tails, and metrics of a run that move together.
    let mut runs: Vec<Vec<f64>> = (0..12)
        .map(|_| {
            let machine = (rng.f64() * 6.0).exp().ln_1p() / 20.0;
            (0..10).map(|_| 10.0 * (machine + rng.f64() * 0.2).exp()).collect()
        })
        .collect();
    let (mut alarms, mut certain) = (0, 0);
    for _ in 0..200 {
        rng.shuffle(&mut runs);
        let column =
            |side: &[Vec<f64>], metric: usize| side.iter().map(|run| run[metric]).collect::<Vec<_>>();
        let sides: Vec<_> = (0..10).map(|m| (column(&runs[..6], m), column(&runs[6..], m))).collect();
        let gated: Vec<_> = sides.iter().map(|(a, b)| Gated { a, b, margin: 0.0 }).collect();
        let judged = gate(&gated);
        alarms += usize::from(judged.iter().any(|j| j.change == Change::Regressed));
        let wide: Vec<_> = sides.iter().map(|(a, b)| Gated { a, b, margin: 0.5 }).collect();
        certain += usize::from(gate(&wide).iter().all(|j| j.change == Change::Equivalent));
    }
    assert!(alarms <= 10, "{alarms} of 200 splits were called regressed");
    assert!(certain >= 190, "only {certain} of 200 splits were called equivalent within 50 %");
}

proptest! {
    #[test]
    fn the_interval_holds_the_estimate_and_moves_with_the_sample(
        a in prop::collection::vec(1.0..1e3f64, 4..9),
        b in prop::collection::vec(1.0..1e3f64, 4..9),
        by in -50.0..50.0f64,
    ) {
        let found = shift(&a, &b, 0.05).unwrap();
        prop_assert!(found.low <= found.value && found.value <= found.high);
        let moved: Vec<f64> = b.iter().map(|v| v + by).collect();
        let other = shift(&a, &moved, 0.05).unwrap();
        prop_assert!((other.value - found.value - by).abs() < 1e-6);
        let back = shift(&b, &a, 0.05).unwrap();
        prop_assert!((back.value + found.value).abs() < 1e-6 && (back.low + found.high).abs() < 1e-6);
        prop_assert!((mann_whitney(&a, &b) - mann_whitney(&b, &a)).abs() < 1e-12);
        prop_assert!((cliffs_delta(&a, &b) + cliffs_delta(&b, &a)).abs() < 1e-12);
    }

    #[test]
    fn a_curve_falls_and_its_mean_grows_with_the_horizon(
        waits in prop::collection::vec((0.0..100.0f64, any::<bool>()), 1..40),
    ) {
        let waits: Vec<_> = waits.into_iter().map(|(time, ended)| Observation { time, ended }).collect();
        let curve = Curve::of(&waits);
        prop_assert!(curve.steps.is_sorted_by(|x, y| x.0 < y.0 && x.1 >= y.1));
        prop_assert!(curve.restricted_mean(10.0) <= curve.restricted_mean(50.0) + 1e-9);
        prop_assert!(curve.restricted_mean(50.0) <= 50.0 + 1e-9);
        prop_assert!((log_rank(&waits, &waits) - 1.0).abs() < 1e-9);
    }
}
