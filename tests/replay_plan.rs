//! Plans of the shipped sample: repeatable, cut anywhere, shaped and shown without a cluster.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashSet;

use kubereel::model::TraceTime;
use kubereel::replay::{Action, Plan, TimedAction};
use kubereel::trace::{Reader, Window};
use support::Sandbox;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/traces/churn.reel");
const END: TraceTime = TraceTime::from_nanos(u64::MAX);

fn plan(from: TraceTime, to: TraceTime) -> Plan {
    let mut reader = Reader::open(SAMPLE.as_ref()).unwrap();
    Plan::build(Window::new(from, to).of(reader.by_ref())).unwrap()
}

/// The pods that a plan places or submits.
fn ids(plan: &Plan) -> impl Iterator<Item = String> {
    let placed = plan.placed.iter().map(|pod| pod.id.clone());
    placed.chain(plan.actions.iter().filter_map(|timed| timed.action.submits().map(str::to_owned)))
}

/// The pod that an action changes or deletes.
fn about(action: &Action) -> Option<&str> {
    match action {
        Action::UpdatePod { id, .. } | Action::DeletePod { id, .. } => Some(id),
        _ => None,
    }
}

#[test]
fn plans_of_slices_join_to_the_whole() {
    let whole = plan(TraceTime::ZERO, END);
    assert!(whole.actions.len() > 1000);
    for seconds in [20, 75, 130, 200] {
        let cut = TraceTime::from_millis(seconds * 1000);
        let (first, second) = (plan(TraceTime::ZERO, cut), plan(cut, END));
        let there: HashSet<String> = ids(&second).collect();
        // Pods that wait at the cut are submitted again at the start of the second part.
        let later = second.actions.into_iter().filter(|timed| timed.at > cut);
        let joined: Vec<TimedAction> = first.actions.into_iter().chain(later).collect();
        // Pods that had ended by then are not there to be deleted.
        let whole: Vec<&TimedAction> = whole
            .actions
            .iter()
            .filter(|timed| timed.at < cut || about(&timed.action).is_none_or(|id| there.contains(id)))
            .collect();
        assert_eq!(joined.len(), whole.len(), "cut at {cut}");
        for (joined, whole) in joined.iter().zip(whole) {
            assert_eq!(
                (joined.at, joined.action.kind(), joined.action.key()),
                (whole.at, whole.action.kind(), whole.action.key())
            );
        }
    }
}

#[test]
fn a_dry_run_shows_the_plan_and_needs_no_cluster() {
    let sandbox = Sandbox::new();
    let dry = |args: &[&str]| {
        sandbox.ok(&[&["replay", SAMPLE, "--dry-run", "--format", "json"], args].concat()).json()
    };
    let (plain, again) = (dry(&[]), dry(&[]));
    assert_eq!(plain, again);
    assert_eq!(plain["plan_sha256"], plan(TraceTime::ZERO, END).digest());
    assert_eq!((&plain["nodes"], &plain["placed"]), (&24.into(), &132.into()));
    let creates = |outlook: &serde_json::Value| outlook["inputs"]["create-pod"].as_u64().unwrap();
    let shaped =
        dry(&["--scale-pods", "2", "--filter", "namespace=batch", "--skip-idle", "1s", "--seed", "3"]);
    assert_ne!(shaped["plan_sha256"], plain["plan_sha256"]);
    assert!(creates(&shaped) > 0 && shaped["span_seconds"].as_f64() < plain["span_seconds"].as_f64());
    let table = sandbox.ok(&["replay", SAMPLE, "--dry-run"]).out;
    assert!(table.contains("resource   cpu: at most") && table.contains("left out"), "{table}");
}

#[test]
fn a_fleet_that_is_none_is_refused() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("pods.yaml"), "kind: List\nitems:\n- kind: Pod\n  metadata: {name: p}\n")
        .unwrap();
    let ran = sandbox.run(&["replay", SAMPLE, "--dry-run", "--nodes", "pods.yaml"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("holds something else than nodes"), "{}", ran.err);
}
