use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::model::ObjectKey;
use crate::replay::plan::{Action, Plan};

/// Closes the loop: the pods that took the place of preempted ones in the recording are left out, and each place (the
/// pods that followed each other in it) is refilled whenever its pod is preempted in the run. What happened to a
/// replacement happens to whichever pod has its place then.
pub(super) fn close(plan: &mut Plan) {
    let keys: HashMap<String, ObjectKey> =
        plan.submissions().map(|(_, pod)| (pod.id.clone(), Action::CreatePod(pod.clone()).key())).collect();
    let first = |id: &str| first_of(plan, id).filter(|first| keys.contains_key(first));
    let places: HashMap<String, String> =
        plan.replacements.keys().filter_map(|id| Some((id.clone(), first(id)?))).collect();
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    let mut actions = Vec::with_capacity(plan.actions.len());
    for mut timed in std::mem::take(&mut plan.actions) {
        match &mut timed.action {
            Action::CreatePod(pod) => {
                if let Some((id, first)) = places.get_key_value(&pod.id) {
                    last.insert(first, id);
                    continue;
                }
            }
            Action::UpdatePod { id, key, .. } | Action::DeletePod { id, key, .. } => {
                if let Some(first) = places.get(id) {
                    (*id, *key) = (first.clone(), keys[first].clone());
                }
            }
            _ => {}
        }
        actions.push(timed);
    }
    plan.actions = actions;
    // The last pod of a place ran to the end that the trace knows.
    for (first, last) in last {
        let end = plan.behaviours.get(last).map(|pod| (pod.run.clone(), pod.exit));
        if let (Some(place), Some((run, exit))) = (plan.behaviours.get_mut(first), end) {
            (place.run, place.exit) = (run, exit);
        }
    }
    let typical = typical(plan);
    let own: HashMap<&str, Duration> =
        plan.replacements.values().map(|replaced| (replaced.of.as_str(), replaced.after)).collect();
    let refills = plan.controlled.iter().filter(|id| !places.contains_key(*id) && keys.contains_key(*id));
    plan.refills = refills.map(|id| (id.clone(), own.get(id.as_str()).copied().unwrap_or(typical))).collect();
    plan.behaviours.retain(|id, _| !places.contains_key(id));
    plan.left.count_many("replacements of preempted pods: refilled as needed", places.len());
}

/// The pod that had a place first.
fn first_of(plan: &Plan, id: &str) -> Option<String> {
    let mut first = &plan.replacements.get(id)?.of;
    while let Some(before) = plan.replacements.get(first) {
        first = &before.of;
    }
    Some(first.clone())
}

/// The median of how long controllers took; none, where none had to.
fn typical(plan: &Plan) -> Duration {
    let mut all: Vec<Duration> = plan.replacements.values().map(|replaced| replaced.after).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use serde_json::{Value, json};

    use super::*;
    use crate::model::{ActionKind, ObjectEvent, Record, Synced, TraceTime, Verb};
    use crate::replay::Shape;

    fn event(millis: u64, verb: Verb, object: Value) -> Record {
        Record::Object(ObjectEvent::new(TraceTime::from_millis(millis), verb, object).unwrap())
    }

    fn pod(name: &str, owner: &str, phase: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": "n1", "containers": []}, "status": {"phase": phase},
            "metadata": {"name": name, "namespace": "n", "uid": name, "labels": {},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "rs", "uid": owner, "controller": true}]}})
    }

    fn pending(name: &str, owner: &str) -> Value {
        let mut pod = pod(name, owner, "Pending");
        pod["spec"].as_object_mut().unwrap().remove("nodeName");
        pod
    }

    fn going(name: &str, owner: &str, reason: Option<&str>) -> Value {
        let mut pod = pod(name, owner, "Running");
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        if let Some(reason) = reason {
            pod["status"]["conditions"] =
                json!([{"type": "DisruptionTarget", "status": "True", "reason": reason}]);
        }
        pod
    }

    /// `a` is preempted and replaced by `b` after 400 ms, `b` is preempted and replaced by `c` after 100 ms, which is
    /// labelled, ends, and is deleted. `d` of another controller is deleted by somebody and replaced by `e`.
    fn plan() -> Plan {
        let preempted = Some("PreemptionByScheduler");
        let mut labelled = pod("c", "rs", "Running");
        labelled["metadata"]["labels"] = json!({"x": "y"});
        let mut ended = labelled.clone();
        ended["status"]["phase"] = "Succeeded".into();
        let mut removed = ended.clone();
        removed["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let records = vec![
            event(0, Verb::Initial, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})),
            event(0, Verb::Initial, pod("a", "rs", "Running")),
            Record::Synced(Synced { at: TraceTime::from_millis(10), kind: "Pod".into(), rv: "1".into() }),
            event(500, Verb::Added, pending("d", "other")),
            event(1_000, Verb::Modified, going("a", "rs", preempted)),
            event(1_400, Verb::Added, pending("b", "rs")),
            event(2_000, Verb::Modified, going("d", "other", None)),
            event(2_100, Verb::Added, pending("e", "other")),
            event(3_000, Verb::Modified, going("b", "rs", preempted)),
            event(3_100, Verb::Added, pending("c", "rs")),
            event(3_200, Verb::Modified, pod("c", "rs", "Running")),
            event(3_500, Verb::Modified, labelled),
            event(8_200, Verb::Modified, ended),
            event(9_000, Verb::Modified, removed),
        ];
        let Ok(plan) = Plan::build(records.into_iter().map(Ok::<_, Infallible>));
        plan
    }

    /// What the plan does to which pod.
    fn actions(plan: &Plan) -> Vec<(ActionKind, String)> {
        let action = |action: &Action| match action {
            Action::UpdatePod { id, key, .. } | Action::DeletePod { id, key, .. } => {
                assert_eq!(key.name, id.as_str(), "the key goes with the id");
                id.clone()
            }
            other => other.key().name.to_string(),
        };
        plan.actions.iter().map(|timed| (timed.action.kind(), action(&timed.action))).collect()
    }

    fn owned(expected: &[(ActionKind, &str)]) -> Vec<(ActionKind, String)> {
        expected.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect()
    }

    #[test]
    fn an_open_loop_replays_replacements_and_counts_them() {
        let plan = plan();
        let created: Vec<_> =
            actions(&plan).into_iter().filter(|(kind, _)| *kind == ActionKind::CreatePod).collect();
        let names: Vec<&str> = created.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["d", "b", "e", "c"]);
        assert!(plan.refills.is_empty());
        let told: Vec<_> = plan
            .replacements
            .iter()
            .map(|(id, replaced)| (id.as_str(), replaced.of.as_str(), replaced.after.as_millis()))
            .collect();
        assert_eq!(told, [("b", "a", 400), ("c", "b", 100)]);
    }

    #[test]
    fn a_closed_loop_leaves_them_out_and_keeps_what_happens_to_their_place() {
        let plan = plan().shaped(&Shape { closed_loop: true, ..Shape::default() });
        let expected = [
            (ActionKind::CreatePod, "d"),
            (ActionKind::DeletePod, "d"),
            (ActionKind::CreatePod, "e"),
            (ActionKind::UpdatePod, "a"),
            (ActionKind::DeletePod, "a"),
        ];
        assert_eq!(actions(&plan), owned(&expected));
        let refills: Vec<_> =
            plan.refills.iter().map(|(id, after)| (id.as_str(), after.as_millis())).collect();
        // The median of 100 and 400 ms for those that were never preempted.
        assert_eq!(refills, [("a", 400), ("d", 400), ("e", 400)]);
        let run = plan.behaviours["a"].run.as_ref().unwrap();
        assert_eq!(run.after, Duration::from_secs(5), "the place runs as long as its last pod did");
        assert_eq!(plan.behaviours.keys().collect::<Vec<_>>(), ["a", "d", "e"]);
        assert_eq!(plan.left.0["replacements of preempted pods: refilled as needed"], 2);
    }

    #[test]
    fn copies_of_a_pod_have_places_of_their_own() {
        let shape = Shape { closed_loop: true, scale_pods: 2.0, ..Shape::default() };
        let plan = plan().shaped(&shape);
        assert_eq!(plan.refills.keys().collect::<Vec<_>>(), ["a", "a~2", "d", "d~2", "e", "e~2"]);
    }
}
