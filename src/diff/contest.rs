//! Why two schedulers decided otherwise, from what each of them said of its attempt.

use serde::Serialize;

use super::{Attempt, AttemptResult, Outcome, Pod};

/// Why two schedulers decided otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The plugins rate the two nodes otherwise.
    Score,
    /// Both rate the two nodes alike: the tie was broken otherwise.
    Tie,
    /// A node that one side chose did not pass the filters of the other.
    Filter,
    /// No node fitted on one side.
    NoFit,
    /// One side removed the pod for another.
    Preemption,
    /// The reels do not tell. Score tables are in runs of `compare --scores`.
    Unknown,
}

impl Why {
    /// The reason as written in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Score => "score",
            Why::Tie => "tie",
            Why::Filter => "filter",
            Why::NoFit => "no-fit",
            Why::Preemption => "preemption",
            Why::Unknown => "unknown",
        }
    }
}

/// Two attempts on one pod that came to different decisions.
#[derive(Debug, Clone, Copy)]
pub struct Contest<'f> {
    /// Why they differ.
    pub why: Why,
    /// The score plugin that turned the choice: of all plugins the one whose preference for B's node over A's rose most
    /// from A to B.
    pub plugin: Option<&'f str>,
    /// The attempt of A that decided, or the last one.
    pub a: Option<&'f Attempt>,
    /// The attempt of B that decided, or the last one.
    pub b: Option<&'f Attempt>,
    /// By how many points, weighted, A rated its own node above B's; `None` where it did not rate both.
    pub margin_a: Option<i64>,
    /// By how many points, weighted, B rated its own node above A's; `None` where it did not rate both.
    pub margin_b: Option<i64>,
}

impl<'f> Contest<'f> {
    /// What decided, of a pod on both sides.
    pub(super) fn of(pod: Pod<'f>, other: Pod<'f>) -> Contest<'f> {
        let (a, b) = (deciding(pod), deciding(other));
        let mut contest = Contest { why: Why::Unknown, plugin: None, a, b, margin_a: None, margin_b: None };
        if let (Some(x), Some(y)) = (pod.node_name(), other.node_name())
            && x != y
        {
            contest.rate(x, y);
        }
        let outcomes = [pod.outcome(), other.outcome()];
        if outcomes[0] != outcomes[1] {
            let waited =
                outcomes.iter().any(|o| matches!(o, Outcome::NeverBound | Outcome::DeletedWhilePending));
            contest.why = if outcomes.contains(&Outcome::Preempted) {
                Why::Preemption
            } else if waited && pod.reason().or(other.reason()).is_some() {
                Why::NoFit
            } else {
                contest.why
            };
        }
        contest
    }

    fn rate(&mut self, x: &str, y: &str) {
        let (Some(a), Some(b)) = (self.a, self.b) else { return };
        let rated = |attempt: &'f Attempt| Some((attempt.score_of(x)?, attempt.score_of(y)?));
        let (of_a, of_b) = (rated(a), rated(b));
        self.margin_a = of_a.map(|(x, y)| x.of_plugins() - y.of_plugins());
        self.margin_b = of_b.map(|(x, y)| y.of_plugins() - x.of_plugins());
        if let (Some((ax, ay)), Some((bx, by))) = (of_a, of_b) {
            if self.margin_a == Some(0) && self.margin_b == Some(0) {
                self.why = Why::Tie;
                return;
            }
            self.why = Why::Score;
            let turn = |plugin: &str| (by.of(plugin) - bx.of(plugin)) - (ay.of(plugin) - ax.of(plugin));
            let plugins = ax.plugins.iter().chain(&bx.plugins).map(|(plugin, _)| plugin.as_str());
            self.plugin = plugins.filter(|plugin| turn(plugin) > 0).max_by_key(|plugin| turn(plugin));
        } else if a.passed(y) == Some(false) || b.passed(x) == Some(false) {
            self.why = Why::Filter;
        }
    }
}

/// The attempt that bound a pod; the last one where none did.
fn deciding(pod: Pod<'_>) -> Option<&Attempt> {
    let attempts = pod.facts.attempts_of(pod);
    let bound = |attempt: &&Attempt| {
        attempt.result == AttemptResult::Bound && attempt.node.as_deref() == pod.node_name()
    };
    attempts.iter().rev().find(bound).or(attempts.last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::testing::Run;
    use crate::diff::{Facts, compare};
    use serde_json::{Value, json};

    /// One pod on `node`, with what the scheduler said.
    fn side(node: &str, attempt: Value) -> Facts {
        let mut run = Run::lockstep("r");
        run.node("n1", "4", "a").node("n2", "4", "a").node("n3", "4", "a");
        run.pod("p").added(1).bound(5, node);
        run.attempt(6, "p", attempt);
        run.facts()
    }

    fn rated(node: &str, feasible: u64, scores: &Value) -> Value {
        json!({"result": "Bound", "node": node, "evaluatedNodes": 3, "feasibleNodes": feasible, "scores": scores})
    }

    fn found(a: Value, b: Value) -> (Why, Option<String>, Option<i64>, Option<i64>) {
        let (a, b) = (side("n1", a), side("n2", b));
        let diff = compare(&a, &b);
        let contest = diff.moved[0].contest;
        (contest.why, contest.plugin.map(str::to_owned), contest.margin_a, contest.margin_b)
    }

    #[test]
    fn the_plugin_that_turns_the_choice_is_named_with_both_margins() {
        // What Spread gives is the same on both sides, though it is the largest number.
        let a = rated(
            "n1",
            2,
            &json!([{"node": "n1", "plugins": {"Fit": 90, "Spread": 100}},
                                      {"node": "n2", "plugins": {"Fit": 40, "Spread": 110}}]),
        );
        let b = rated(
            "n2",
            2,
            &json!([{"node": "n2", "plugins": {"Fit": 60, "Spread": 110}},
                                      {"node": "n1", "plugins": {"Fit": 10, "Spread": 100}}]),
        );
        assert_eq!(found(a, b), (Why::Score, Some("Fit".to_owned()), Some(40), Some(60)));
    }

    #[test]
    fn equal_scores_are_a_tie_whatever_an_extender_adds() {
        let attempt = |node: &str| {
            rated(
                node,
                2,
                &json!([{"node": "n1", "total": 57, "plugins": {"Fit": 50}},
                                  {"node": "n2", "total": 53, "plugins": {"Fit": 50}}]),
            )
        };
        assert_eq!(found(attempt("n1"), attempt("n2")), (Why::Tie, None, Some(0), Some(0)));
    }

    #[test]
    fn a_node_that_the_other_side_filtered_out_is_told_from_one_that_it_did_not_look_at() {
        let only = |node: &str, evaluated: u64| json!({"result": "Bound", "node": node, "evaluatedNodes": evaluated, "feasibleNodes": 1});
        assert_eq!(found(only("n1", 3), only("n2", 3)).0, Why::Filter);
        assert_eq!(
            found(only("n1", 1), only("n2", 1)).0,
            Why::Unknown,
            "a nominated node is evaluated alone"
        );
        let unscored = json!({"result": "Bound", "node": "n1", "evaluatedNodes": 3, "feasibleNodes": 2});
        assert_eq!(found(unscored, only("n2", 1)).0, Why::Unknown);
    }

    #[test]
    fn a_pod_that_fits_nowhere_and_one_that_is_removed_are_told_by_their_outcome() {
        let why = json!([{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: 3 Insufficient cpu."}]);
        let mut other = Run::lockstep("r");
        other.pod("p").added(1).with("status", "conditions", why).changed(3);
        other.pod("q").added(4).bound(5, "n1").preempted(6);
        let mut run = Run::lockstep("r");
        run.pod("p").added(1).bound(3, "n1");
        run.pod("q").added(4).bound(5, "n1");
        let (a, b) = (run.facts(), other.facts());
        let diff = compare(&a, &b);
        let whys: Vec<_> = diff.outcome_changed.iter().map(|change| change.contest.why).collect();
        assert_eq!(whys, [Why::NoFit, Why::Preemption]);
    }
}
