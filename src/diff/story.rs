use super::{AttemptResult, Milestone, Outcome, Pod};

/// What happened to a pod, in lines of time and words, in order: created, why not, attempts, bound, running, over.
pub fn story(pod: Pod<'_>) -> Vec<String> {
    let mut lines: Vec<(crate::model::TraceTime, String)> = Vec::new();
    for milestone in Milestone::ALL {
        let Some(at) = pod.reached(milestone) else { continue };
        let node = pod.node_name().unwrap_or("an unknown node");
        let mut text = match milestone {
            Milestone::Added => format!("created, {} of priority {}", pod.workload(), pod.shape().priority),
            Milestone::Unscheduled => match pod.reason() {
                Some(reason) => format!("no node fits; at last: {reason}"),
                None => "no node fits".to_owned(),
            },
            Milestone::Nominated => {
                format!("room is made for it on {}", pod.nominated_node().unwrap_or("an unknown node"))
            }
            Milestone::Scheduled => format!("bound to {node}"),
            Milestone::Running => "running".to_owned(),
            Milestone::Ready => "ready".to_owned(),
            Milestone::Deleting => match pod.disruption() {
                Some(reason) => format!("its deletion is asked for: {reason}"),
                None => "its deletion is asked for".to_owned(),
            },
            Milestone::Ended => match pod.end() {
                Some(end) => format!("over: {end:?}"),
                None => "over".to_owned(),
            },
            Milestone::Gone => "gone".to_owned(),
        };
        if pod.at(milestone).is_none() {
            text.push_str(" (not seen when it happened)");
        }
        lines.push((at, text));
    }
    for attempt in pod.facts.attempts_of(pod) {
        let feasible = attempt.feasible.map(|n| format!(", {n} nodes fit")).unwrap_or_default();
        let text = match (attempt.result, &attempt.node) {
            (AttemptResult::Bound, Some(node)) => format!("attempt: {node} chosen{feasible}"),
            (AttemptResult::Bound, None) => format!("attempt: bound{feasible}"),
            (AttemptResult::Unschedulable, _) => format!("attempt: {}", attempt.message),
            (AttemptResult::Error, _) => format!("attempt failed: {}", attempt.message),
        };
        lines.push((attempt.at, text));
        let scores = attempt.scores.iter().take(3);
        lines.extend(scores.map(|score| {
            let plugins: Vec<String> =
                score.plugins.iter().map(|(plugin, points)| format!("{plugin} {points}")).collect();
            (attempt.at, format!("  {} scores {}: {}", score.node, score.total, plugins.join(", ")))
        }));
    }
    lines.sort_by_key(|(at, _)| *at);
    let mut story: Vec<String> = lines.into_iter().map(|(at, text)| format!("{at}  {text}")).collect();
    if pod.outcome() == Outcome::NeverBound {
        story.push(format!("{}  still waiting when the reel ends", pod.facts.span.end));
    }
    story
}

#[cfg(test)]
mod tests {
    use super::story;
    use crate::diff::testing::Run;
    use serde_json::json;

    #[test]
    fn a_story_tells_a_life_in_order() {
        let mut run = Run::lockstep("r");
        run.node("n1", "4", "a");
        let why = json!([{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu."}]);
        run.pod("p")
            .added(1)
            .with("status", "conditions", why)
            .changed(2)
            .bound(5, "n1")
            .running(7)
            .deleted(9);
        run.pod("q").added(10);
        let facts = run.facts();
        let told = story(facts.counted_pod("p").unwrap());
        assert_eq!(told[0], "+0.001s  created, web of priority 0");
        assert_eq!(told[1], "+0.002s  no node fits; at last: Insufficient cpu");
        assert_eq!(
            told[2..5],
            ["+0.005s  bound to n1", "+0.007s  running", "+0.009s  its deletion is asked for"]
        );
        assert_eq!(story(facts.counted_pod("q").unwrap())[1], "+0.010s  still waiting when the reel ends");
    }
}
