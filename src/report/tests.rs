//! The reports of planted changes, as people and machines see them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::diff::testing::Run;
use crate::diff::{Facts, Policy, compare, judge};

fn run(reel: &str, nodes: &[Option<&str>]) -> Facts {
    let mut run = Run::lockstep(reel);
    run.node("n1", "4", "a").node("n2", "4", "a").node("n3", "4", "b");
    for (i, node) in nodes.iter().enumerate() {
        let at = 10 * i as u64;
        let id = format!("web-{i}");
        let pod = run.pod(&id).added(at);
        if let Some(node) = node {
            pod.bound(at + 5, node).running(at + 25);
        }
    }
    run.action(10, 2, 201).action(20, 1, 409);
    run.facts()
}

fn plain() -> Terminal {
    Terminal { width: 100, color: false }
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).collect()
}

#[test]
fn two_reels_on_one_screen() {
    let a = run("a.reel", &[Some("n1"), Some("n2"), Some("n1"), Some("n3")]);
    let b = run("b.reel", &[Some("n1"), Some("n1"), Some("n2"), None]);
    let report = Report::of_diff(&a, &b, &compare(&a, &b));
    let text = plain().render(&report).unwrap();
    let expected = "\
DIFFERENT  of 4 matched pods 2 moved, 1 changed outcome
  all reels sealed and without gaps; actions that failed: 2

agreement      A/B
outcome     3 of 4  75.00 %
zone        3 of 4  75.00 %
node class  3 of 4  75.00 %
content     1 of 4  25.00 %
exact node  1 of 4  25.00 %

latency                pods      p50      p90      p99       never bound
create_to_schedule  A     4   5.0 ms   5.0 ms   5.0 ms  few            0
                    B     3   5.0 ms   5.0 ms   5.0 ms  few            1
create_to_running   A     4  25.0 ms  25.0 ms  25.0 ms  few            0
                    B     3  25.0 ms  25.0 ms  25.0 ms  few            1
  lockstep waits between steps: these times are the run's, not the scheduler's

first divergence: prod/web-1 at +0.015s: n2 in A, n1 in B
  just before: 0 waiting, 1 bound
                  A: n2   A: n1   B: n2   B: n1
  pods                0       1       0       1
  CPU asked for  0 of 4  0 of 4  0 of 4  0 of 4

divergences by workload  pods  roots  why      first
  web                       3      2  unknown  prod/web-1

moved: 2, of them roots: 1, 2 of them in exchange with a pod like them
  workload  pod         A   B   agree on      bound
  web       prod/web-1  n2  n1  node class  +0.015s  first
            prod/web-2  n1  n2  node class  +0.025s
bound in A, never bound in B: 1: prod/web-3

A  v1.37.2  lockstep  4 pods on 3 nodes  1 run: a.reel
B  v1.37.2  lockstep  4 pods on 3 nodes  1 run: b.reel
trace sha256:1
";
    assert_eq!(lines(&text), lines(expected), "\n{text}");
}

/// Three pods on nodes that only `node` tells apart, with what the scheduler said of the second: 90 points for its own
/// node from Fit, and 40 for the other.
fn scored(reel: &str, node: &str) -> Facts {
    let mut run = Run::lockstep(reel);
    run.node("n1", "4", "a").node("n2", "8", "a");
    for (id, at, node) in [("web-0", 0, "n1"), ("web-1", 10, node), ("db-0", 20, "n2")] {
        run.pod(id).added(at).bound(at + 5, node);
    }
    let points = |own: &str| json!({"Fit": if own == node { 90 } else { 40 }, "Spread": 7});
    let scores = ["n1", "n2"].map(|node| json!({"node": node, "plugins": points(node)}));
    let attempt =
        json!({"result": "Bound", "node": node, "evaluatedNodes": 2, "feasibleNodes": 2, "scores": scores});
    run.attempt(16, "web-1", attempt);
    run.facts()
}

#[test]
fn the_first_divergence_is_told_with_its_score_tables() {
    let (a, b) = (scored("a.reel", "n1"), scored("b.reel", "n2"));
    let report = Report::of_diff(&a, &b, &compare(&a, &b));
    let text = plain().render(&report).unwrap();
    let expected = "\
first divergence: prod/web-1 at +0.015s: n1 in A, n2 in B; turned by Fit, margin 50 in A, 50 in B
  just before: 0 waiting, 1 bound; 2 of 2 nodes fit
                  A: n1   A: n2   B: n1   B: n2
  pods                1       0       1       0
  CPU asked for  0 of 4  0 of 8  0 of 4  0 of 8
  Fit                90      40      40      90

divergences by workload  pods  roots  why         first
  web                       1      1  score: Fit  prod/web-1
";
    let found = lines(&text);
    let from = found.iter().position(|line| line.starts_with("first")).unwrap();
    assert_eq!(found[from..from + 9], lines(expected), "\n{text}");
    let value: Value = serde_json::from_str(&Json.render(&report).unwrap()).unwrap();
    let change = &value["moved"][0];
    assert_eq!((&change["why"], &change["plugin"]), (&"score".into(), &"Fit".into()));
    let candidate = &change["context"]["candidate"];
    assert_eq!((&candidate["margin"], &candidate["feasible_nodes"]), (&50.into(), &2.into()));
    assert_eq!(
        candidate["scores"][1],
        json!({"node": "n2", "total": 97, "plugins": {"Fit": 90, "Spread": 7}})
    );
    let markdown = Markdown.render(&report).unwrap();
    assert!(markdown.contains("| Fit | 90 | 40 | 40 | 90 |"), "{markdown}");
    assert!(markdown.contains("| web | 1 | 1 | score | Fit | prod/web-1 |"), "{markdown}");
}

#[test]
fn runs_of_two_schedulers_on_one_screen() {
    let nodes = vec![Some("n1"); 20];
    let mut other = nodes.clone();
    other[0] = Some("n3");
    let a = [run("a1.reel", &nodes), run("a2.reel", &nodes)];
    let b = [run("b1.reel", &other), run("b2.reel", &other)];
    let report = Report::of_groups(&a, &b, &judge(&a, &b, &Policy::default()));
    let text = plain().render(&report).unwrap();
    let expected = "\
CHANGED  1 of 20 pods decided otherwise; judged on exact node
  all reels sealed and without gaps; actions that failed: 4

agreement        A/B                 A/A       B/B
outcome     80 of 80  100.00 %  100.00 %  100.00 %  EQUIVALENT
zone        76 of 80   95.00 %  100.00 %  100.00 %  CHANGED
node class  76 of 80   95.00 %  100.00 %  100.00 %  CHANGED
content     76 of 80   95.00 %  100.00 %  100.00 %  CHANGED
exact node  76 of 80   95.00 %  100.00 %  100.00 %  CHANGED
";
    assert_eq!(lines(&text)[..8], lines(expected)[..8], "\n{text}");
    let colored = Terminal { width: 100, color: true }.render(&report).unwrap();
    assert_eq!(colored.replace("\u{1b}[1;31m", "").replace("\u{1b}[0m", ""), text);
}

#[test]
fn lateness_is_shown_for_paced_runs() {
    let mut a = run("a.reel", &[Some("n1")]);
    a.run.mode = Some("open".to_owned());
    let text = plain().render(&Report::of_diff(&a, &a, &compare(&a, &a))).unwrap();
    let second = "  all reels sealed and without gaps; lateness p99 at most 2.0 ms; actions that failed: 2";
    assert_eq!(
        lines(&text)[..2],
        ["SAME  all 1 matched pods have the same outcome on the same node", second]
    );
}

/// Many changes of every kind, and names that try to break out of their line.
fn busy() -> Report {
    let mut names = vec![Some("n1"); 400];
    let a = [run("a\u{1b}[2J.reel", &names), run("a2.reel", &names)];
    names[..200].fill(Some("n2"));
    names[200..300].fill(None);
    let mut b = [run("b1.reel", &names), run("b2.reel", &names)];
    names[350] = Some("n3");
    b[1] = run(&"long-name-".repeat(30), &names);
    b[1].run.sealed = false;
    b[0].run.speed = Some(2.0);
    Report::of_groups(&a, &b, &judge(&a, &b, &Policy::default()))
}

#[test]
fn a_busy_report_still_fits_one_screen_and_stays_plain() {
    let text = plain().render(&busy()).unwrap();
    assert!(text.lines().count() <= 40, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    assert!(
        text.starts_with("INVALID  the runs are not fit to be judged; judged on exact node\n  ! "),
        "{text}"
    );
    assert!(text.contains("  … and 197 more; --format json has all"), "{text}");
    assert!(text.contains("bound in A, never bound in B: 100, first divergence: prod/web-200, "), "{text}");
    assert!(text.contains("racy, other decisions in runs of one side: 1: prod/web-350"), "{text}");
}

fn busy_open(reel: &str) -> Facts {
    let mut facts = run(reel, &[Some("n1"); 30]);
    facts.run.mode = Some("open".to_owned());
    facts
}

#[test]
fn every_form_holds_hostile_names_back() {
    let report = busy();
    let hostile = |renderer: &dyn Renderer| {
        let text = renderer.render(&report).unwrap();
        assert!(text.ends_with('\n') && !text.contains('\u{1b}'), "{text}");
        text
    };
    assert!(hostile(&Markdown).starts_with("### kubereel: INVALID"));
    let junit = hostile(&Junit);
    assert!(
        junit.contains("name=\"decisions\"><error message=") && junit.contains("tests=\"10\""),
        "{junit}"
    );
    let perf: Value = serde_json::from_str(&hostile(&PerfData)).unwrap();
    assert_eq!((&perf["version"], &perf["dataItems"][0]["unit"]), (&"1.0".into(), &"ms".into()));
    let page = hostile(&Html);
    assert!(page.len() < 1_000_000 && !page.contains("/*DATA*/"), "{}", page.len());
    assert!(!page.contains("http://") || page.matches("http://").count() == 1, "only the name space of SVG");
}

/// 10,000 pods with names of some length, each of them a root with score tables of twenty nodes and seven plugins.
#[test]
fn a_page_of_ten_thousand_pods_is_smaller_than_a_megabyte() {
    let plugins = [
        "NodeResourcesFit",
        "NodeResourcesBalancedAllocation",
        "ImageLocality",
        "InterPodAffinity",
        "NodeAffinity",
        "PodTopologySpread",
        "TaintToleration",
    ];
    let node = |n: u64| format!("ip-10-0-0-{n}.eu-central-1.compute.internal");
    let side = |reel: &str, shift: u64| {
        let mut run = Run::lockstep(reel);
        for n in 0..20 {
            run.node(&node(n), &(n + 4).to_string(), ["a", "b", "c"][n as usize % 3]);
        }
        for pod in 0..10_000 {
            let (id, at) = (format!("recommendation-service-7d4b9c6f5-{pod:05}"), pod * 10);
            let chosen = node((pod + shift) % 20);
            let scores = (0..20).map(|n| {
                let points =
                    plugins.iter().map(|plugin| ((*plugin).to_owned(), json!((n * 7 + shift) % 100)));
                json!({"node": node(n), "plugins": points.collect::<serde_json::Map<_, _>>()})
            });
            let scores: Vec<Value> = if pod < 500 { scores.collect() } else { Vec::new() };
            run.pod(&id).added(at).bound(at + 5, &chosen).running(at + 7).succeeded(at + 9);
            run.attempt(
                at + 5,
                &id,
                json!({"result": "Bound", "node": chosen, "evaluatedNodes": 20,
                "feasibleNodes": 20, "scores": scores}),
            );
        }
        run.facts()
    };
    let (a, b) = (side("a.reel", 0), side("b.reel", 1));
    let report = Report::of_diff(&a, &b, &compare(&a, &b));
    assert_eq!(report.moved.len(), 10_000);
    let page = Html.render(&report).unwrap();
    assert!((300_000..1_000_000).contains(&page.len()), "{} bytes", page.len());
    assert!(page.contains("recommendation-service-7d4b9c6f5-00000"));
}

#[test]
fn benchstat_gets_a_line_a_run_and_number() {
    let runs = [busy_open("a1"), busy_open("a2")];
    let report = Report::of_groups(&runs, &runs, &judge(&runs, &runs, &Policy::default()));
    let text = Benchstat.render(&report).unwrap();
    let lines =
        text.lines().filter(|line| line.starts_with("BenchmarkKubereel/create_to_schedule_p50 1 0.005 s"));
    assert_eq!(lines.count(), 4, "{text}");
}

/// Paths of all keys; entries of maps whose keys are data count as one.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                found.insert(key.clone());
                if !matches!(key.as_str(), "gaps" | "failed_actions" | "plugins") {
                    keys(value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

#[test]
fn every_key_of_the_json_is_in_the_document_and_every_field_of_the_document_is_a_key() {
    let document = include_str!("../../docs/report.md");
    let mut found = BTreeSet::new();
    let mut a = run("a.reel", &[Some("n1"), Some("n1")]);
    let mut b = Run::lockstep("b.reel");
    b.node("n1", "4", "a").node("n2", "4", "a");
    b.pod("web-0").added(0).bound(5, "n2");
    b.pod("web-1").added(10);
    b.pod("web-2").added(20).bound(25, "n1").bound(26, "n2");
    let b = b.facts();
    a.gaps.insert("Pod".to_owned(), 1);
    let diff = Report::of_diff(&a, &b, &compare(&a, &b));
    let mut open = [busy_open("a1"), busy_open("a2")];
    open[1].run.reel = "a2.reel".to_owned();
    let groups = Report::of_groups(&open, &open, &judge(&open, &open, &Policy::default()));
    let (a, b) = (scored("a.reel", "n1"), scored("b.reel", "n2"));
    let scored = Report::of_diff(&a, &b, &compare(&a, &b));
    for report in [&busy(), &diff, &groups, &scored] {
        let text = Json.render(report).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["schema"], SCHEMA);
        keys(&value, &mut found);
    }
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<String> = rows.map(|(field, _)| field.to_owned()).collect();
    assert_eq!(found, documented);
}
