//! How often runs of one scheduler are called changed, by all rules together: chance of draws, of races and of times.

use fastrand::Rng;

use super::testing::Run;
use super::{Facts, Policy, Verdict, judge};

/// Splits at random of the runs of one scheduler in two.
const SPLITS: usize = 200;

/// Runs to split.
const RUNS: usize = 12;

const PODS: usize = 40;

/// Runs whose pods wait as long as their machine lets them, on nodes drawn by `draw`.
fn runs(mode: &str, rng: &mut Rng, mut draw: impl FnMut(&mut Rng, usize) -> &'static str) -> Vec<Facts> {
    let run = |n: usize| {
        let mut run = Run::in_mode(&format!("run-{n}"), mode);
        run.node("small-1", "4", "a").node("small-2", "4", "a").node("big-1", "64", "b");
        // A machine is slow for all pods of a run, and now and then very slow.
        let slow = 20.0 * (rng.f64() * 6.0).exp().ln_1p();
        for pod in 0..PODS {
            let (added, wait) = (100 * pod as u64, (slow + 10.0 * rng.f64()) as u64);
            let node = draw(rng, pod);
            run.pod(&format!("p{pod}")).added(added).bound(added + wait, node);
        }
        run.facts()
    };
    (0..RUNS).map(run).collect()
}

/// How many of the splits are called changed, and how many equivalent.
fn alarms(rng: &mut Rng, mut runs: Vec<Facts>) -> (usize, usize) {
    let policy = Policy { margin: Some(0.0), ..Policy::default() };
    let (mut changed, mut equivalent) = (0, 0);
    for _ in 0..SPLITS {
        rng.shuffle(&mut runs);
        match judge(&runs[..RUNS / 2], &runs[RUNS / 2..], &policy).verdict {
            Verdict::Changed => changed += 1,
            Verdict::Equivalent => equivalent += 1,
            Verdict::Inconclusive => {}
            Verdict::Invalid => panic!("made-up runs are fit to be judged"),
        }
    }
    (changed, equivalent)
}

#[test]
fn open_runs_of_one_scheduler_are_called_changed_in_at_most_a_twentieth_of_all_splits() {
    let mut rng = Rng::with_seed(11);
    // A pod in twenty takes whichever node class comes first.
    let found = runs("open", &mut rng, |rng, pod| match (pod % 20, rng.bool()) {
        (0, true) => "big-1",
        (_, true) => "small-1",
        (_, false) => "small-2",
    });
    let (changed, _) = alarms(&mut rng, found);
    assert!(changed <= SPLITS / 20, "{changed} of {SPLITS} splits were called changed");
}

#[test]
fn lockstep_runs_of_one_scheduler_that_draws_are_called_changed_in_at_most_a_twentieth_of_all_splits() {
    let mut rng = Rng::with_seed(12);
    let found = runs("lockstep", &mut rng, |rng, _| if rng.bool() { "small-1" } else { "small-2" });
    let (changed, _) = alarms(&mut rng, found);
    assert!(changed <= SPLITS / 20, "{changed} of {SPLITS} splits were called changed");
}

#[test]
fn lockstep_runs_that_repeat_are_called_equivalent_in_all_splits() {
    let mut rng = Rng::with_seed(13);
    let found = runs("lockstep", &mut rng, |_, pod| if pod % 2 == 0 { "small-1" } else { "big-1" });
    assert_eq!(alarms(&mut rng, found), (0, SPLITS));
}
