use std::collections::HashSet;

use super::{Shape, copies, copy_name};
use crate::model::{Json, NodeView, parse_quantity_milli};
use crate::replay::plan::{Action, Plan, TimedAction};

/// Puts another fleet in the place of the recorded one.
pub(super) fn replace(plan: &mut Plan, fleet: Option<&[Json]>) {
    let Some(fleet) = fleet else { return };
    plan.nodes = fleet.to_vec();
    let before = plan.actions.len();
    plan.actions.retain(|timed| {
        !matches!(
            timed.action,
            Action::CreateNode { .. } | Action::UpdateNode { .. } | Action::DeleteNode { .. }
        )
    });
    plan.left
        .count_many("arrivals, changes and losses of nodes of another fleet", before - plan.actions.len());
}

/// Leaves nodes out, or makes several of each.
pub(super) fn scale(plan: &mut Plan, shape: &Shape) {
    let factor = shape.scale_nodes;
    let names = |name: &str| -> Vec<String> {
        (1..=copies(factor, shape.seed, "node", name)).map(|copy| copy_name(name, copy)).collect()
    };
    let named = |node: &Json| -> Vec<Json> {
        let own = NodeView(node).name();
        names(own).iter().map(|name| if name == own { node.clone() } else { renamed(node, name) }).collect()
    };
    let before = plan.nodes.len();
    let nodes: Vec<Json> = plan.nodes.iter().flat_map(named).collect();
    plan.left.count_many("nodes left out by the scale", before.saturating_sub(nodes.len()));
    plan.nodes = nodes;
    let actions = std::mem::take(&mut plan.actions);
    plan.actions = actions
        .into_iter()
        .flat_map(|timed| -> Vec<TimedAction> {
            let at = timed.at;
            let all =
                |actions: Vec<Action>| actions.into_iter().map(|action| TimedAction { at, action }).collect();
            match timed.action {
                Action::CreateNode { object } => {
                    all(named(&object).into_iter().map(|object| Action::CreateNode { object }).collect())
                }
                Action::UpdateNode { name, change } => all(names(&name)
                    .into_iter()
                    .map(|name| Action::UpdateNode { name, change: change.clone() })
                    .collect()),
                Action::DeleteNode { name } => {
                    all(names(&name).into_iter().map(|name| Action::DeleteNode { name }).collect())
                }
                action => vec![TimedAction { at, action }],
            }
        })
        .collect();
}

fn renamed(node: &Json, name: &str) -> Json {
    let mut node = node.clone();
    node.set(&["metadata", "name"], name.into());
    node.set(&["metadata", "labels", "kubernetes.io/hostname"], name.into());
    node
}

/// Gives each node this much of what it had.
pub(super) fn resize(plan: &mut Plan, factor: f64) {
    if factor.to_bits() == 1f64.to_bits() {
        return;
    }
    let resize_node = |node: &mut Json| {
        for field in ["capacity", "allocatable"] {
            let resized = resized(&node["status"][field], factor);
            node.set(&["status", field], resized);
        }
    };
    plan.nodes.iter_mut().for_each(resize_node);
    for timed in &mut plan.actions {
        match &mut timed.action {
            Action::CreateNode { object } => resize_node(object),
            Action::UpdateNode { change, .. } => {
                if let Some((capacity, allocatable)) = &mut change.resources {
                    *capacity = resized(capacity, factor);
                    *allocatable = resized(allocatable, factor);
                }
            }
            _ => {}
        }
    }
}

/// Quantities, each multiplied and rounded down: CPU to thousandths, all else to whole units.
fn resized(resources: &Json, factor: f64) -> Json {
    let Some(entries) = resources.as_object() else { return resources.clone() };
    let mut all = entries.clone();
    for (name, quantity) in entries.iter() {
        let Some(milli) = quantity.as_str().and_then(parse_quantity_milli) else { continue };
        let milli = (milli as f64 * factor) as i128;
        let text = if *name == "cpu" { format!("{milli}m") } else { (milli / 1000).to_string() };
        all.insert(name.clone(), text.as_str().into());
    }
    Json::Object(all)
}

/// The names of all nodes that are there when the play starts.
pub(super) fn names_at_start(plan: &Plan) -> HashSet<String> {
    plan.nodes.iter().map(|node| NodeView(node).name().to_owned()).collect()
}
