//! Runs of a hundred pods with one change planted: it is found and named, and nothing else.

use serde_json::json;

use super::testing::Run;
use super::*;

const PODS: u64 = 100;

/// Two classes of nodes in two zones; pod `web-N` is bound 5 ms after its creation. `plant` may take a pod's life over.
fn run(reel: &str, plant: impl Fn(&mut Run, &str, u64) -> bool) -> Facts {
    let mut run = Run::lockstep(reel);
    for n in 0..10 {
        run.node(&format!("n{n}"), if n < 5 { "4" } else { "8" }, if n % 2 == 0 { "a" } else { "b" });
    }
    for n in 0..PODS {
        let (id, at) = (format!("web-{n}"), 10 + 100 * n);
        if !plant(&mut run, &id, at) {
            pod(&mut run, &id)
                .added(at)
                .bound(at + 5, &format!("n{}", n % 10))
                .running(at + 25)
                .succeeded(at + 95);
        }
    }
    run.facts()
}

fn pod<'r>(run: &'r mut Run, id: &str) -> testing::Script<'r> {
    let containers = json!([{"resources": {"requests": {"cpu": "1", "memory": "0"}}}]);
    run.pod(id).with("spec", "containers", containers)
}

fn plain(reel: &str) -> Facts {
    run(reel, |_, _, _| false)
}

#[test]
fn nothing_is_found_where_nothing_was_planted() {
    let (a, b) = (plain("a"), plain("b"));
    let diff = compare(&a, &b);
    assert!(diff.moved.is_empty() && diff.outcome_changed.is_empty() && diff.broken.is_empty());
    assert_eq!((diff.differing(Rung::ExactNode), diff.latency[0].a), (0, diff.latency[0].b));
}

#[test]
fn a_moved_pod_is_a_root_and_the_clusters_converge_once_it_is_gone() {
    let (a, b) = (
        plain("a"),
        run("b", |run, id, at| {
            let planted = id == "web-42";
            if planted {
                pod(run, id).added(at).bound(at + 5, "n7").running(at + 25).succeeded(at + 395);
            }
            planted
        }),
    );
    let diff = compare(&a, &b);
    assert_eq!((diff.moved.len(), diff.outcome_changed.len(), diff.broken.len()), (1, 0, 0));
    let change = diff.moved[0];
    assert_eq!(
        (change.a.id(), change.a.node_name(), change.b.node_name()),
        ("web-42", Some("n2"), Some("n7"))
    );
    assert_eq!((change.cause, change.is_first, change.agrees), (Cause::Root, true, Some(Rung::Outcome)));
    assert_eq!(diff.convergences, 1);
}

#[test]
fn a_delayed_pod_changes_its_latency_alone() {
    let (a, b) = (
        plain("a"),
        run("b", |run, id, at| {
            let planted = id == "web-42";
            if planted {
                pod(run, id).added(at).bound(at + 105, "n2").running(at + 125).succeeded(at + 195);
            }
            planted
        }),
    );
    let diff = compare(&a, &b);
    assert!(diff.moved.is_empty() && diff.outcome_changed.is_empty() && diff.broken.is_empty());
    let [a, b] = [diff.latency[0].a.unwrap(), diff.latency[0].b.unwrap()];
    assert_eq!((a.max + std::time::Duration::from_millis(100)), b.max);
    assert_eq!((a.p50, a.p90, a.n), (b.p50, b.p90, b.n));
}

#[test]
fn a_stranded_pod_is_named_with_its_reason() {
    let (a, b) = (
        plain("a"),
        run("b", |run, id, at| {
            let planted = id == "web-42";
            if planted {
                let why = json!([{"type": "PodScheduled", "status": "False", "message": "0/10 nodes are available: 10 Insufficient cpu."}]);
                pod(run, id).added(at).with("status", "conditions", why).changed(at + 5);
            }
            planted
        }),
    );
    let diff = compare(&a, &b);
    assert_eq!((diff.moved.len(), diff.outcome_changed.len(), diff.broken.len()), (0, 1, 0));
    let change = diff.outcome_changed[0];
    assert_eq!(
        (change.b.id(), change.b.outcome(), change.b.reason()),
        ("web-42", Outcome::NeverBound, Some("Insufficient cpu"))
    );
    assert_eq!((change.cause, change.is_first), (Cause::Root, true));
}

#[test]
fn a_pod_preempted_for_one_of_its_own_priority_breaks_a_rule() {
    let (a, b) = (
        plain("a"),
        run("b", |run, id, at| {
            match id {
                "web-42" => pod(run, id).added(at).bound(at + 5, "n2").running(at + 25).preempted(at + 140),
                "web-43" => pod(run, id)
                    .added(at)
                    .with("status", "nominatedNodeName", json!("n2"))
                    .changed(at + 1)
                    .bound(at + 45, "n3")
                    .running(at + 50)
                    .succeeded(at + 95),
                _ => return false,
            };
            true
        }),
    );
    let diff = compare(&a, &b);
    assert_eq!((diff.moved.len(), diff.outcome_changed.len()), (0, 1));
    assert_eq!(
        (diff.outcome_changed[0].b.id(), diff.outcome_changed[0].b.outcome()),
        ("web-42", Outcome::Preempted)
    );
    let [broken] = &diff.broken[..] else { panic!("{:?}", diff.broken) };
    assert_eq!(
        (broken.violation.rule, broken.pod.id(), broken.is_failure()),
        (Rule::VictimPriority, "web-42", true)
    );
}

#[test]
fn an_overcommitted_node_breaks_a_rule_on_the_side_that_does_it() {
    let plant = |run: &mut Run, id: &str, at: u64| {
        let planted = id == "web-42";
        if planted {
            let containers = json!([{"resources": {"requests": {"cpu": "5"}}}]);
            run.pod(id)
                .with("spec", "containers", containers)
                .added(at)
                .bound(at + 5, "n2")
                .succeeded(at + 95);
        }
        planted
    };
    let (a, b) = (plain("a"), run("b", plant));
    let diff = compare(&a, &b);
    assert!(diff.moved.is_empty() && diff.outcome_changed.is_empty());
    let [broken] = &diff.broken[..] else { panic!("{:?}", diff.broken) };
    assert_eq!(
        (broken.violation.rule, broken.pod.id(), &*broken.violation.node),
        (Rule::OverCommit, "web-42", "n2")
    );
    assert_eq!(broken.violation.detail, "cpu: 5 asked of 4");
    let (baseline, candidate) = ([a], [b]);
    let groups = judge(&baseline, &candidate, &Policy::default());
    assert_eq!((groups.verdict, groups.reason), (Verdict::Changed, Reason::Broken { count: 1 }));
    let both = judge(&candidate, &candidate, &Policy::default());
    assert_eq!(both.verdict, Verdict::Equivalent, "what both do is no change");
}

#[test]
fn nodes_that_change_names_only_are_told_from_a_change() {
    // n0 and n2 are alike and empty: which one is taken is a name, and later pods follow it.
    let side = |first: &str, second: &str| {
        let mut run = Run::lockstep("r");
        run.node("n0", "4", "a").node("n2", "4", "a");
        pod(&mut run, "p").added(1).bound(2, first);
        pod(&mut run, "q").added(3).bound(4, first);
        pod(&mut run, "r").added(5).bound(6, second);
        run.facts()
    };
    let (a, b) = (side("n0", "n2"), side("n2", "n0"));
    let diff = compare(&a, &b);
    assert_eq!((diff.differing(Rung::ExactNode), diff.differing(Rung::Content)), (3, 0));
    assert!(diff.moved.iter().all(|change| change.renamed));
}
