use super::{Rule, SLACK, Violation};
use crate::diff::{Facts, Milestone, Pod};

/// Pods that were removed for others: against the priority of those for which room was made on their node, and
/// against disruption budgets.
pub(super) fn violations(facts: &Facts) -> Vec<Violation> {
    let victims = facts.counted().filter(|pod| pod.own().is_preempted());
    let mut found = Vec::new();
    for victim in victims {
        let (Some(at), Some(node)) = (victim.reached(Milestone::Deleting), victim.node_name()) else {
            continue;
        };
        let broken = |rule, detail| Violation { rule, at, pod: victim.index, node: node.to_owned(), detail };
        if let Some(best) = preemptor(facts, victim)
            && best.shape().priority <= victim.shape().priority
        {
            let (own, its) = (victim.shape().priority, best.shape().priority);
            let detail = format!("priority {own}, removed for {best} of priority {its}");
            found.push(broken(Rule::VictimPriority, detail));
        }
        found.extend(over_budget(facts, victim).map(|detail| broken(Rule::DisruptionBudget, detail)));
    }
    found
}

/// The pod of highest priority that waited for room on the victim's node when the victim was removed; `None` where none
/// is known.
fn preemptor<'f>(facts: &'f Facts, victim: Pod<'_>) -> Option<Pod<'f>> {
    let at = victim.reached(Milestone::Deleting)?;
    let waited = |pod: &Pod<'_>| {
        let added = pod.reached(Milestone::Added).is_some_and(|added| added <= at);
        let still = pod.reached(Milestone::Scheduled).is_none_or(|bound| bound + SLACK >= at);
        let there = pod.nominated_node() == victim.node_name() || pod.node_name() == victim.node_name();
        pod.index != victim.index && added && still && there
    };
    facts.counted().filter(waited).max_by_key(|pod| pod.shape().priority)
}

/// Whether fewer pods of a budget are up after the victim's removal than must be.
fn over_budget(facts: &Facts, victim: Pod<'_>) -> Option<String> {
    let at = victim.reached(Milestone::Deleting)?;
    for budget in &facts.budgets {
        let matches = |pod: &Pod<'_>| {
            pod.namespace() == budget.namespace && budget.selector.matches(&pod.shape().labels)
        };
        if !matches(&victim) {
            continue;
        }
        let reached = |pod: &Pod<'_>, milestone| pod.reached(milestone).is_some_and(|reached| reached <= at);
        let there = |pod: &Pod<'_>| {
            reached(pod, Milestone::Added)
                && !reached(pod, Milestone::Ended)
                && !reached(pod, Milestone::Gone)
        };
        let pods: Vec<Pod<'_>> = facts.pods().filter(|pod| matches(pod) && there(pod)).collect();
        let up = |pod: &&Pod<'_>| reached(pod, Milestone::Running) && !reached(pod, Milestone::Deleting);
        let (expected, up) = (pods.len() as u64, pods.iter().filter(up).count() as u64);
        let must = budget.must_be_up(expected);
        if up < must {
            return Some(format!("budget {}: {up} of {expected} up, {must} must be", budget.name));
        }
    }
    None
}
