//! Each change planted in a run is found, and nothing else.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::testing::Run;
use super::*;
use crate::model::RunPhase;

/// Three classes: `n1` and `n2` alike in zone a, `n3` as large but in zone b, `big` larger and in zone a.
fn cluster(reel: &str) -> Run {
    let mut run = Run::lockstep(reel);
    run.node("n1", "4", "a").node("n2", "4", "a").node("n3", "4", "b").node("big", "8", "a");
    run
}

/// Pods `p0`, `p1`, … bound 5 ms after creation, one every 10 ms, and running 20 ms later.
fn placed(reel: &str, nodes: &[&str]) -> Run {
    let mut run = cluster(reel);
    for (i, node) in nodes.iter().enumerate() {
        let at = 10 * i as u64;
        run.pod(&format!("p{i}")).added(at).bound(at + 5, node).running(at + 25);
    }
    run
}

fn ids<'f>(changes: &[Change<'f>]) -> Vec<&'f str> {
    changes.iter().map(|change| change.a.id()).collect()
}

fn counts(agreement: &Agreement) -> [u64; 5] {
    Rung::ALL.map(|rung| agreement.count(rung))
}

#[test]
fn a_moved_pod_is_found_with_the_rung_it_still_agrees_on() {
    let a = placed("a", &["n1", "n1", "n1", "n1"]).facts();
    let b = placed("b", &["n1", "n2", "n3", "big"]).facts();
    let diff = compare(&a, &b);
    assert_eq!(ids(&diff.moved), ["p1", "p2", "p3"]);
    let agrees: Vec<_> = diff.moved.iter().map(|change| change.agrees).collect();
    assert_eq!(agrees, [Some(Rung::NodeClass), Some(Rung::Outcome), Some(Rung::Zone)]);
    assert_eq!(diff.moved.iter().map(|change| change.is_first).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(counts(&diff.agreement), [4, 3, 2, 1, 1]);
    assert!(diff.outcome_changed.is_empty() && diff.notes.is_empty() && diff.exchanged == 0);
    assert!(diff.only_a.is_empty() && diff.only_b.is_empty());
}

#[test]
fn a_delayed_pod_changes_latency_and_no_decision() {
    let a = placed("a", &["n1", "n2"]).facts();
    let mut b = cluster("b");
    b.pod("p0").added(0).bound(5, "n1").running(25);
    b.pod("p1").added(10).unscheduled(11).bound(75, "n2").running(95);
    let b = b.facts();
    let diff = compare(&a, &b);
    assert_eq!(diff.differing(Rung::ExactNode), 0);
    let schedule = diff.latency[0];
    assert_eq!(schedule.metric, Metric::CreateToSchedule);
    assert_eq!(schedule.a.unwrap().max, Duration::from_millis(5));
    assert_eq!(schedule.b.unwrap().max, Duration::from_millis(65));
    assert_eq!(diff.latency[2].b.unwrap().max, Duration::from_millis(85));
}

#[test]
fn what_waits_for_a_pod_waits_for_the_api_server_too() {
    let mut run = cluster("a");
    // A creation that is refused, and one of a successor.
    run.action(0, 1, 409).action(0, 2, 200).action(60, 0, 200);
    run.pod("p").added(5).bound(9, "n1").deleted(50);
    run.pod("q").added(5).bound(9, "n1");
    let facts = run.facts();
    let latency = |wanted: Metric| {
        let found = compare(&facts, &facts).latency.into_iter().find(|latency| latency.metric == wanted);
        let found = found.and_then(|latency| latency.a).unwrap();
        (found.n, found.max)
    };
    assert_eq!(latency(Metric::SubmitToBound), (1, Duration::from_millis(7)));
    assert_eq!(latency(Metric::SubmitToAnswer), (1, Duration::ZERO));
}

#[test]
fn a_stranded_pod_is_another_outcome_and_no_latency() {
    let a = placed("a", &["n1", "n2"]).facts();
    let mut b = cluster("b");
    b.pod("p0").added(0).bound(5, "n1").running(25);
    b.pod("p1").added(10).unscheduled(11);
    let b = b.facts();
    let diff = compare(&a, &b);
    assert_eq!(ids(&diff.outcome_changed), ["p1"]);
    assert_eq!(diff.outcome_changed[0].b.outcome(), Outcome::NeverBound);
    assert!(diff.outcome_changed[0].is_first && diff.moved.is_empty());
    assert_eq!((b.counts.bound, b.counts.never_bound), (1, 1));
    assert_eq!(diff.latency[0].b.unwrap().n, 1);
}

#[test]
fn a_preempted_pod_is_another_outcome_even_on_its_node() {
    let a = placed("a", &["n1"]).facts();
    let mut b = cluster("b");
    b.pod("p0").added(0).bound(5, "n1").running(25).preempted(40);
    let b = b.facts();
    let diff = compare(&a, &b);
    assert_eq!(diff.outcome_changed[0].b.outcome(), Outcome::Preempted);
    assert_eq!((b.counts.preempted, b.counts.bound, b.counts.deleted), (1, 0, 1));
}

#[test]
fn pods_of_one_side_only_are_listed_apart() {
    let a = placed("a", &["n1", "n2"]).facts();
    let mut b = placed("b", &["n1"]);
    b.pod("new").added(50).deleted(60);
    let b = b.facts();
    let diff = compare(&a, &b);
    assert_eq!((diff.only_a[0].id(), diff.only_a.len()), ("p1", 1));
    assert_eq!((diff.only_b[0].id(), diff.only_b.len()), ("new", 1));
    assert_eq!(diff.agreement.pairs, 1);
    assert_eq!(b.counts.deleted_while_pending, 1);
}

#[test]
fn swapped_pods_that_are_alike_count_as_exchanged() {
    let a = placed("a", &["n1", "n2", "n3"]).facts();
    let b = placed("b", &["n2", "n1", "big"]).facts();
    let diff = compare(&a, &b);
    assert_eq!((diff.moved.len(), diff.exchanged), (3, 2));
    let mut heavier = cluster("b");
    heavier.pod("p0").added(0).bound(5, "n2");
    heavier.pod("p1").with("metadata", "labels", json!({"app": "db"})).added(10).bound(15, "n1");
    heavier.pod("p2").added(20).bound(25, "n3");
    let mut other = placed("a", &["n1"]);
    other.pod("p1").with("metadata", "labels", json!({"app": "db"})).added(10).bound(15, "n2");
    let (other, heavier) = (other.facts(), heavier.facts());
    assert_eq!(compare(&other, &heavier).exchanged, 0);
}

#[test]
fn warm_up_pods_and_pods_placed_by_hand_are_counted_and_not_compared() {
    let run = |reel: &str, node: &str| {
        let mut run = cluster(reel);
        run.phase(1, RunPhase::WarmUp).phase(100, RunPhase::Play).phase(200, RunPhase::Drain);
        run.pod("was-there").on(node).initial(0);
        run.pod("warm").added(10).bound(20, node);
        run.pod("daemon").on(node).added(110);
        run.pod("played").added(120).bound(130, "n1");
        run.facts()
    };
    let (a, b) = (run("a", "n1"), run("b", "n3"));
    assert_eq!((a.counts.pods, a.counts.warm_up, a.counts.by_hand), (1, 2, 1));
    assert_eq!(a.span.duration(), Duration::from_millis(100));
    let diff = compare(&a, &b);
    assert_eq!((diff.agreement.pairs, diff.differing(Rung::ExactNode)), (1, 0));
    assert_eq!(diff.latency[0].a.unwrap().n, 1);
}

#[test]
fn what_was_not_seen_to_happen_gives_a_decision_and_no_latency() {
    let mut run = cluster("a");
    run.gap(20);
    run.pod("bound-unseen").added(1).inferred().bound(20, "n1").seen().running(30);
    run.pod("made-unseen").inferred().on("n2").added(20).seen().running(30);
    run.pod("pending-before").initial(0).bound(5, "n1").running(9);
    let facts = run.facts();
    let pod = |id| facts.counted_pod(id).unwrap();
    assert_eq!(pod("bound-unseen").node_name(), Some("n1"));
    assert_eq!(pod("bound-unseen").between(Milestone::Added, Milestone::Scheduled), None);
    assert!(pod("bound-unseen").reached(Milestone::Scheduled).is_some());
    assert_eq!(
        pod("bound-unseen").between(Milestone::Added, Milestone::Running),
        Some(Duration::from_millis(29))
    );
    assert_eq!(pod("made-unseen").outcome(), Outcome::Bound);
    assert_eq!(pod("made-unseen").between(Milestone::Added, Milestone::Running), None);
    assert_eq!(pod("pending-before").between(Milestone::Added, Milestone::Scheduled), None);
    assert_eq!(facts.gaps["Pod"], 1);
}

#[test]
fn a_deletion_that_a_list_showed_ends_the_pod_of_that_uid() {
    let mut run = cluster("a");
    run.pod("p").added(1).bound(5, "n1").found_gone(9);
    let facts = run.facts();
    assert_eq!(facts.counts.pods, 1, "the uid of the deletion was taken for another pod");
    let pod = facts.counted_pod("p").unwrap();
    assert!(pod.reached(Milestone::Gone).is_some());
    assert_eq!(pod.node_name(), Some("n1"));
}

#[test]
fn the_last_object_of_an_id_counts() {
    let mut run = cluster("a");
    run.pod("p").added(1).bound(5, "n1").deleted(9);
    run.pod("p").with("metadata", "uid", json!("again")).added(10).bound(12, "n2").succeeded(20);
    let facts = run.facts();
    let pod = facts.counted_pod("p").unwrap();
    assert_eq!((pod.incarnations(), pod.node_name()), (2, Some("n2")));
    assert_eq!(pod.between(Milestone::Added, Milestone::Scheduled), Some(Duration::from_millis(2)));
    assert_eq!((facts.counts.recreated, facts.counts.succeeded, facts.counts.deleted), (1, 1, 0));
    assert_eq!(pod.at(Milestone::Running), None);
}

#[test]
fn lateness_counts_actions_of_the_play_phase() {
    let mut run = Run::in_mode("a", "open");
    run.phase(1, RunPhase::WarmUp).phase(100, RunPhase::Play).phase(200, RunPhase::Drain);
    run.action(50, 30, 201).action(110, 2, 201).action(120, 4, 409).action(210, 50, 0);
    let lateness = run.facts().lateness;
    assert_eq!(lateness.late.unwrap().n, 2);
    assert_eq!(lateness.late.unwrap().max, Duration::from_millis(4));
    assert_eq!(lateness.failed, [(409, 1)].into());
}

#[test]
fn notes_say_what_two_reels_do_not_share() {
    let a = placed("a", &["n1"]).facts();
    let mut other = placed("b", &["n1"]);
    other.run.trace_digest = Some("sha256:2".to_owned());
    other.run.mode = None;
    other.run.speed = Some(10.0);
    other.run.sealed = false;
    other.gap(3).node("n4", "4", "a").node("n1", "16", "a");
    let found = notes(&a, &other.facts());
    let codes: Vec<_> = found.iter().map(Note::code).collect();
    assert_eq!(codes, ["trace", "mode", "speed", "nodes", "gaps", "unsealed"]);
    assert_eq!(found[3], Note::Nodes { only_a: 0, only_b: 1, class_differs: 1 });
    assert_eq!(found.iter().filter(|note| note.is_fault()).count(), 2);
}

#[test]
fn a_server_that_is_older_than_the_run_has_not_restarted() {
    let mut run = placed("a", &["n1"]);
    run.run.started_wall_ns = 1_000_000_000_000;
    // Two servers behind one address, both there before the run.
    run.metrics(1, "kube-apiserver", 700).metrics(2, "kube-apiserver", 900).metrics(3, "kube-apiserver", 700);
    assert!(RunVerdict::of(&run.facts()).is_valid());
    run.metrics(4, "kube-apiserver", 1005);
    let found = RunVerdict::of(&run.facts());
    assert_eq!(found.faults, [Fault::Restarted { component: "kube-apiserver".to_owned() }]);
    assert_eq!(found.faults[0].to_string(), "saw kube-apiserver restart");
}

#[test]
fn what_the_run_decided_otherwise_is_no_failure() {
    let mut run = placed("a", &["n1"]);
    run.action(1, 0, 404).action(2, 0, 409).action(3, 0, 201);
    assert!(RunVerdict::of(&run.facts()).is_valid());
    run.action(4, 0, 422).action(5, 0, 403).action(6, 0, 429);
    let text = RunVerdict::of(&run.facts()).faults[0].to_string();
    assert_eq!(text, "had actions that failed: 1 throttled, 2 refused");
}

#[test]
fn runs_of_another_tool_are_told_and_recordings_are_not() {
    let made = |mode: Option<&str>, tool: &str| {
        let mut reel = placed("a", &["n1"]);
        (reel.run.mode, reel.run.tool_version) = (mode.map(str::to_owned), Some(tool.to_owned()));
        reel.facts()
    };
    let found = notes(&made(Some("open"), "kubereel 0.1.0"), &made(Some("open"), "kubereel 0.2.0"));
    assert_eq!(found.iter().map(Note::code).collect::<Vec<_>>(), ["tool"]);
    assert_eq!(notes(&made(None, "kubereel 0.1.0"), &made(None, "kubereel 0.2.0")), []);
}

#[test]
fn a_load_that_was_shaped_is_another_plan() {
    let with = |digest: &str| {
        let mut reel = placed("a", &["n1"]);
        reel.run.plan_digest = Some(digest.to_owned());
        reel.facts()
    };
    assert_eq!(notes(&with("1"), &with("2")), [Note::Plan]);
    // An older reel does not tell.
    assert_eq!(notes(&with("1"), &placed("b", &["n1"]).facts()), []);
}

/// Leaks the facts, so that what is found in them can be returned.
fn judged(mode: &str, a: &[&[&str]], b: &[&[&str]]) -> Groups<'static> {
    let side = |name: &str, runs: &[&[&str]]| -> &'static [Facts] {
        let runs = runs.iter().enumerate();
        runs.map(|(i, nodes)| {
            let mut run = placed(&format!("{name}{i}"), nodes);
            run.run.mode = Some(mode.to_owned());
            run.facts()
        })
        .collect::<Vec<_>>()
        .leak()
    };
    judge(side("a", a), side("b", b), &Policy::default())
}

#[test]
fn in_lockstep_one_run_a_side_decides() {
    let same = judged("lockstep", &[&["n1", "n2"]], &[&["n1", "n2"]]);
    assert_eq!((same.verdict, same.reason), (Verdict::Equivalent, Reason::Alike { stable: 2, of: 2 }));
    let moved = judged("lockstep", &[&["n1", "n2"]], &[&["n1", "n1"]]);
    assert_eq!((moved.verdict, ids(&moved.divergences)), (Verdict::Changed, vec!["p1"]));
    assert_eq!((moved.within_a.pairs, moved.between.pairs), (0, 2));
}

#[test]
fn a_pod_that_races_within_a_side_is_no_divergence() {
    let nodes = |first| -> Vec<&str> { std::iter::once(first).chain(["n1"; 19]).collect() };
    let (on_1, on_2, on_3) = (nodes("n1"), nodes("n2"), nodes("n3"));
    let groups = judged("lockstep", &[&on_1, &on_2], &[&on_3, &on_3]);
    assert_eq!((groups.verdict, groups.stable), (Verdict::Equivalent, 19));
    assert_eq!(groups.unstable.len(), 1);
    assert_eq!(groups.unstable[0].a.len(), 2);
    assert_eq!(groups.within_a.share(Rung::ExactNode), Some(19.0 / 20.0));
    assert_eq!(groups.within_b.share(Rung::ExactNode), Some(1.0));
    assert_eq!(groups.between.count(Rung::Outcome), 80);
}

#[test]
fn noise_on_most_pods_is_never_equivalence() {
    let groups = judged("lockstep", &[&["n1", "n2"], &["n2", "n1"]], &[&["n1", "n2"], &["n2", "n1"]]);
    assert_eq!(
        (groups.verdict, groups.reason),
        (Verdict::Inconclusive, Reason::Unstable { stable: 0, of: 2 })
    );
}

/// Four runs a side of 40 pods on two nodes that are alike: A draws between them by chance, B always takes the first.
#[test]
fn draws_by_chance_that_are_no_more_change_the_exact_node_and_not_its_class() {
    let mut rng = fastrand::Rng::with_seed(7);
    let drawn: Vec<Vec<&str>> =
        (0..4).map(|_| (0..40).map(|_| if rng.bool() { "n1" } else { "n2" }).collect()).collect();
    let a: Vec<&[&str]> = drawn.iter().map(Vec::as_slice).collect();
    let first = ["n1"; 40];
    let found = |a: &[&[&str]], b: &[&[&str]]| -> Vec<(Rung, Verdict)> {
        judged("lockstep", a, b).rungs.iter().map(|on| (on.rung, on.verdict)).collect()
    };
    let changed = found(&a, &[&first[..]; 4]);
    assert_eq!(changed[2], (Rung::NodeClass, Verdict::Equivalent));
    assert_eq!(changed[4], (Rung::ExactNode, Verdict::Changed));
    let whole = judged("lockstep", &a, &[&first[..]; 4]);
    assert_eq!(whole.verdict, Verdict::Changed);
    assert!(matches!(whole.reason, Reason::Apart { p } if p < 0.03), "{:?}", whole.reason);
    let more: Vec<Vec<&str>> =
        (0..4).map(|_| (0..40).map(|_| if rng.bool() { "n1" } else { "n2" }).collect()).collect();
    let b: Vec<&[&str]> = more.iter().map(Vec::as_slice).collect();
    assert_eq!(found(&a, &b)[4], (Rung::ExactNode, Verdict::Inconclusive), "one set of dice and another");
}

#[test]
fn open_runs_are_judged_on_node_class_and_need_company() {
    let one = judged("open", &[&["n1"]], &[&["big"]]);
    assert_eq!((one.verdict, one.reason), (Verdict::Inconclusive, Reason::TooFewRuns { have: 1, need: 3 }));
    let same_class = judged("open", &[&["n1"], &["n2"]], &[&["n2"], &["n2"]]);
    assert_eq!((same_class.rung, same_class.rungs[2].verdict), (Rung::NodeClass, Verdict::Equivalent));
    let unclear = Reason::Unclear { metric: RunMetric::ScheduleP50, count: 3, need: Some(5) };
    assert_eq!((same_class.verdict, same_class.reason), (Verdict::Inconclusive, unclear), "of times");
    let two = judged("open", &[&["n1"], &["n2"]], &[&["big"], &["big"]]);
    assert_eq!(two.verdict, Verdict::Inconclusive);
    let three = judged("open", &[&["n1"], &["n2"], &["n1"]], &[&["big"], &["big"], &["big"]]);
    assert_eq!((three.verdict, three.reason), (Verdict::Changed, Reason::Differ { count: 1, of: 1 }));
}

#[test]
fn runs_that_cannot_be_judged_say_why() {
    let good = || placed("good", &["n1", "n2"]);
    let codes = |bad: &Run| {
        let (good, bad) = ([good().facts()], [bad.facts()]);
        let groups = judge(&good, &bad, &Policy::default());
        assert_eq!((groups.verdict, groups.verdict.exit_code()), (Verdict::Invalid, 3));
        groups.problems.iter().map(Problem::code).collect::<Vec<_>>()
    };
    let mut gap = good();
    gap.gap(7);
    assert_eq!(codes(&gap), ["gaps"]);
    let mut unsettled = good();
    unsettled.unsettled(90, 1);
    assert_eq!(codes(&unsettled), ["unsettled"]);
    let mut cut = good();
    cut.end_facts(90, &[(COMPLETE_FACT, 0)]);
    assert_eq!(codes(&cut), ["cut-short"]);
    let mut failed = good();
    failed.action(10, 0, 409).action(11, 0, 503).action(12, 0, 0);
    assert_eq!(codes(&failed), ["failed"]);
    let mut restarted = good();
    restarted.run.started_wall_ns = 1_000_000_000_000;
    restarted.metrics(1, "kube-apiserver", 900).metrics(2, "kube-apiserver", 1010).metrics(3, "etcd", 1010);
    assert_eq!(codes(&restarted), ["restarted"]);
    assert_eq!(codes(&placed("short", &["n1"])), ["missing-pods"]);
    let mut late = good();
    late.run.mode = Some("open".to_owned());
    late.action(10, 500, 201);
    assert_eq!(codes(&late), ["mode", "late"]);
    late.run.max_lateness = Some(Duration::from_secs(1));
    assert_eq!(codes(&late), ["mode"]);
    late.end_facts(90, &[(LONGEST_WAIT_FACT, 2_000_000_000)]);
    assert_eq!(codes(&late), ["mode", "saturated"]);
    let (a, b) = ([cluster("a").facts()], [cluster("b").facts()]);
    let empty = judge(&a, &b, &Policy::default());
    assert_eq!(empty.problems, [Problem::NoPods]);
    assert_eq!(judge(&[], &[], &Policy::default()).problems.len(), 2);
}

#[test]
fn names_on_the_command_line_are_those_in_json() {
    for rung in Rung::ALL {
        assert_eq!(json!(rung), rung.as_str());
    }
    for metric in Metric::ALL {
        assert_eq!(json!(metric), metric.as_str());
    }
    let codes = [Verdict::Equivalent, Verdict::Invalid, Verdict::Changed, Verdict::Inconclusive];
    assert_eq!(codes.map(Verdict::exit_code), [0, 3, 4, 5]);
}

/// What may become of a pod in a generated run: never bound, or bound to one of the nodes, after so many ms.
fn fates() -> impl Strategy<Value = Vec<Option<(usize, u64)>>> {
    prop::collection::vec(prop::option::weighted(0.9, (0..4usize, 1..100u64)), 1..30)
}

fn run_of(reel: &str, fates: &[Option<(usize, u64)>]) -> Facts {
    let mut run = cluster(reel);
    for (i, fate) in fates.iter().enumerate() {
        let at = 10 * i as u64;
        let id = format!("p{i}");
        let script = run.pod(&id).added(at);
        if let Some((node, wait)) = fate {
            script.bound(at + wait, ["n1", "n2", "n3", "big"][*node]);
        }
    }
    run.facts()
}

proptest! {
    #[test]
    fn a_run_is_equivalent_to_itself(fates in fates()) {
        let facts = run_of("a", &fates);
        let diff = compare(&facts, &facts);
        prop_assert_eq!(counts(&diff.agreement), [fates.len() as u64; 5]);
        prop_assert!(diff.moved.is_empty() && diff.outcome_changed.is_empty() && diff.notes.is_empty());
        let groups = judge(std::slice::from_ref(&facts), std::slice::from_ref(&facts), &Policy::default());
        prop_assert_eq!(groups.verdict, Verdict::Equivalent);
    }

    #[test]
    fn comparing_the_other_way_round_mirrors(a in fates(), b in fates()) {
        let (a, b) = (run_of("a", &a), run_of("b", &b));
        let (there, back) = (compare(&a, &b), compare(&b, &a));
        prop_assert_eq!(&there.agreement, &back.agreement);
        let of = |pods: &[Pod<'_>]| pods.iter().map(ToString::to_string).collect::<Vec<_>>();
        prop_assert_eq!((of(&there.only_a), of(&there.only_b)), (of(&back.only_b), of(&back.only_a)));
        prop_assert_eq!(there.exchanged, back.exchanged);
        for (one, other) in [(&there.moved, &back.moved), (&there.outcome_changed, &back.outcome_changed)] {
            prop_assert_eq!(one.len(), other.len());
            for change in one {
                let mirrored = other.iter().find(|other| other.a.id() == change.a.id()).unwrap();
                prop_assert_eq!(change.a.node_name(), mirrored.b.node_name());
                prop_assert_eq!((change.agrees, change.a.outcome()), (mirrored.agrees, mirrored.b.outcome()));
            }
        }
        prop_assert!(counts(&there.agreement).is_sorted_by(|coarse, fine| coarse >= fine));
        prop_assert_eq!(there.latency[0].a, back.latency[0].b);
        prop_assert_eq!(there.agreement.pairs, there.agreement.count(Rung::ExactNode)
            + there.moved.len() as u64 + there.outcome_changed.len() as u64);
    }
}
