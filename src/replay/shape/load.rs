use super::{Shape, copies, copy_name, fleet};
use crate::model::{ID_ANNOTATION, Json, PodView};
use crate::replay::plan::{Action, Plan, Submission, TimedAction};

/// Leaves pods out, or submits several for each, with all that happens to them.
pub(super) fn scale(plan: &mut Plan, shape: &Shape) {
    let (mut dropped, mut kept) = (std::collections::HashMap::new(), 0usize);
    let mut number = |submission: &Submission| -> u32 {
        let wanted = shape.filter.takes(PodView(&submission.object));
        let n = if wanted { copies(shape.scale_pods, shape.seed, "pod", &submission.id) } else { 0 };
        kept += usize::from(n > 0);
        dropped.insert(submission.id.clone(), n);
        n
    };
    // A copy of a bound pod looks for a place of its own.
    let (mut placed, mut looking) = (Vec::new(), Vec::new());
    for submission in std::mem::take(&mut plan.placed) {
        let n = number(&submission);
        looking.extend((2..=n).map(|copy| unbound(copy_of(&submission, copy))));
        placed.extend((n > 0).then_some(submission));
    }
    plan.placed = placed;
    let mut actions: Vec<TimedAction> = at_start(plan, looking);
    for TimedAction { at, action } in std::mem::take(&mut plan.actions) {
        let all: Vec<Action> = match action {
            Action::CreatePod(submission) => {
                let n = number(&submission);
                (1..=n).map(|copy| Action::CreatePod(copy_of(&submission, copy))).collect()
            }
            action => vec![action],
        };
        actions.extend(all.into_iter().map(|action| TimedAction { at, action }));
    }
    let count = |id: &str| dropped.get(id).copied().unwrap_or(1);
    plan.actions = actions
        .into_iter()
        .flat_map(|TimedAction { at, action }| -> Vec<TimedAction> {
            let all = match action {
                Action::UpdatePod { id, key, patch } => (1..=count(&id))
                    .map(|copy| {
                        let mut key = key.clone();
                        key.name = copy_name(&key.name, copy).as_str().into();
                        Action::UpdatePod { id: copy_id(&id, copy), key, patch: patch.clone() }
                    })
                    .collect(),
                Action::DeletePod { id, key, grace } => (1..=count(&id))
                    .map(|copy| {
                        let mut key = key.clone();
                        key.name = copy_name(&key.name, copy).as_str().into();
                        Action::DeletePod { id: copy_id(&id, copy), key, grace }
                    })
                    .collect(),
                action => vec![action],
            };
            all.into_iter().map(|action| TimedAction { at, action }).collect()
        })
        .collect();
    plan.actions.sort_by_key(|timed| timed.at);
    let behaviours = std::mem::take(&mut plan.behaviours);
    for (id, behaviour) in behaviours {
        for copy in 1..=count(&id) {
            plan.behaviours.insert(copy_id(&id, copy), behaviour.clone());
        }
    }
    plan.left.count_many("pods left out by the filter or the scale", dropped.len() - kept);
}

/// Submits at the start what was bound to a node that is not there.
pub(super) fn rehome(plan: &mut Plan) {
    let there = fleet::names_at_start(plan);
    let has_home = |submission: &Submission| {
        PodView(&submission.object).node_name().is_none_or(|node| there.contains(node))
    };
    let (placed, homeless): (Vec<_>, Vec<_>) =
        std::mem::take(&mut plan.placed).into_iter().partition(has_home);
    plan.placed = placed;
    let mut actions = at_start(plan, homeless.into_iter().map(unbound).collect());
    actions.append(&mut plan.actions);
    actions.sort_by_key(|timed| timed.at);
    plan.actions = actions;
}

fn at_start(plan: &Plan, pods: Vec<Submission>) -> Vec<TimedAction> {
    pods.into_iter().map(|pod| TimedAction { at: plan.origin, action: Action::CreatePod(pod) }).collect()
}

fn copy_of(submission: &Submission, copy: u32) -> Submission {
    if copy <= 1 {
        return submission.clone();
    }
    let (id, mut object) = (copy_id(&submission.id, copy), submission.object.clone());
    let name = copy_name(PodView(&object).name(), copy);
    object.set(&["metadata", "name"], name.as_str().into());
    object.set(&["metadata", "annotations", ID_ANNOTATION], id.as_str().into());
    Submission { id, object }
}

fn copy_id(id: &str, copy: u32) -> String {
    if copy <= 1 { id.to_owned() } else { format!("{id}~{copy}") }
}

fn unbound(mut submission: Submission) -> Submission {
    let mut spec = submission.object["spec"].as_object().cloned().unwrap_or_default();
    spec.remove("nodeName");
    submission.object.set(&["spec"], Json::Object(spec));
    submission
}
