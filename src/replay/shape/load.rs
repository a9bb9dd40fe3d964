use std::collections::{BTreeMap, HashMap};

use super::{Shape, copies, copy_name, fleet};
use crate::model::{ID_ANNOTATION, Json, PodView};
use crate::replay::plan::{Action, Plan, Submission, TimedAction};

/// Leaves pods out, or submits several for each, with all that happens to them.
pub(super) fn scale(plan: &mut Plan, shape: &Shape) {
    let mut numbers = Numbers { shape, by_id: HashMap::new() };
    // A copy of a bound pod looks for a place of its own.
    let (mut placed, mut looking) = (Vec::new(), Vec::new());
    for submission in std::mem::take(&mut plan.placed) {
        let n = numbers.assign(&submission);
        looking.extend((2..=n).map(|copy| unbound(copy_of(&submission, copy))));
        placed.extend((n > 0).then_some(submission));
    }
    plan.placed = placed;
    let mut actions = at_start(plan, looking);
    for TimedAction { at, action } in std::mem::take(&mut plan.actions) {
        let copies = match &action {
            Action::CreatePod(submission) => numbers.assign(submission),
            Action::UpdatePod { id, .. } | Action::DeletePod { id, .. } => numbers.of(id),
            _ => 1,
        };
        actions.extend((1..=copies).map(|copy| TimedAction { at, action: action_of(&action, copy) }));
    }
    actions.sort_by_key(|timed| timed.at);
    plan.actions = actions;
    plan.behaviours = numbers.copied(std::mem::take(&mut plan.behaviours));
    plan.refills = numbers.copied(std::mem::take(&mut plan.refills));
    let left_out = numbers.by_id.values().filter(|n| **n == 0).count();
    plan.left.count_many("pods left out by the filter or the scale", left_out);
}

/// How many there are of each pod, by the id of the recorded one.
struct Numbers<'a> {
    shape: &'a Shape,
    by_id: HashMap<String, u32>,
}

impl Numbers<'_> {
    fn assign(&mut self, submission: &Submission) -> u32 {
        let wanted = self.shape.filter.takes(PodView(&submission.object));
        let all = || copies(self.shape.scale_pods, self.shape.seed, "pod", &submission.id);
        let n = if wanted { all() } else { 0 };
        self.by_id.insert(submission.id.clone(), n);
        n
    }

    /// What is known of each pod, for its copies too.
    fn copied<T: Clone>(&self, known: BTreeMap<String, T>) -> BTreeMap<String, T> {
        let copies = |(id, value): (String, T)| {
            let n = self.of(&id);
            (1..=n).map(move |copy| (copy_id(&id, copy), value.clone()))
        };
        known.into_iter().flat_map(copies).collect()
    }

    /// A pod that the plan does not submit is as it was.
    fn of(&self, id: &str) -> u32 {
        self.by_id.get(id).copied().unwrap_or(1)
    }
}

/// The same action about the n-th copy of its pod.
fn action_of(action: &Action, copy: u32) -> Action {
    let mut action = action.clone();
    match &mut action {
        Action::CreatePod(submission) => *submission = copy_of(submission, copy),
        Action::UpdatePod { id, key, .. } | Action::DeletePod { id, key, .. } => {
            *id = copy_id(id, copy);
            key.name = copy_name(&key.name, copy).as_str().into();
        }
        _ => {}
    }
    action
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

/// The pod without a node.
pub(in crate::replay) fn unbound(mut submission: Submission) -> Submission {
    let mut spec = submission.object["spec"].as_object().cloned().unwrap_or_default();
    spec.remove("nodeName");
    submission.object.set(&["spec"], Json::Object(spec));
    submission
}
