use std::collections::BTreeSet;
use std::fmt;

use crate::model::{Kind, NODE, ObjectKey, POD};
use crate::replay::plan::{Action, Plan};

/// Leases of nodes.
const LEASE: Kind = Kind::of("coordination.k8s.io", "v1", "Lease", "leases", true);

/// A request that a run makes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need {
    pub(super) kind: Kind,
    /// Empty for the object itself.
    pub(super) subresource: &'static str,
    pub(super) verb: &'static str,
}

impl fmt::Display for Need {
    /// `patch pods/status`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.kind)?;
        if self.subresource.is_empty() { Ok(()) } else { write!(f, "/{}", self.subresource) }
    }
}

/// The objects other than nodes and pods that a plan makes.
pub(super) fn made(plan: &Plan) -> impl Iterator<Item = (&Kind, ObjectKey)> {
    plan.context.iter().chain(&plan.actions).filter_map(|timed| match &timed.action {
        Action::CreateContext { kind, .. } => Some((kind, timed.action.key())),
        _ => None,
    })
}

/// Every kind of request that a plan leads to, those of hollow nodes too.
pub(super) fn of(plan: &Plan) -> BTreeSet<Need> {
    let mut needs = BTreeSet::new();
    let mut need = |kind: &Kind, subresource: &'static str, verb: &'static str| {
        needs.insert(Need { kind: kind.clone(), subresource, verb });
    };
    for kind in [&NODE, &POD] {
        need(kind, "", "list");
        need(kind, "", "watch");
    }
    if !plan.nodes.is_empty() {
        hosts(&mut need);
    }
    if !plan.placed.is_empty() {
        need(&POD, "", "create");
    }
    for timed in plan.context.iter().chain(&plan.actions) {
        match &timed.action {
            Action::CreateContext { kind, status, .. } => {
                need(kind, "", "create");
                if status.is_some() {
                    need(kind, "status", "patch");
                }
            }
            Action::UpdateContext { kind, patch, status, .. } => {
                for (subresource, part) in [("", patch), ("status", status)] {
                    if part.is_some() {
                        need(kind, subresource, "patch");
                    }
                }
            }
            Action::DeleteContext { kind, .. } => need(kind, "", "delete"),
            Action::CreateNode { .. } => hosts(&mut need),
            Action::UpdateNode { .. } => {
                need(&NODE, "", "patch");
                need(&NODE, "status", "patch");
            }
            Action::DeleteNode { .. } => need(&NODE, "", "delete"),
            Action::CreatePod(_) => need(&POD, "", "create"),
            Action::UpdatePod { .. } => need(&POD, "", "patch"),
            Action::DeletePod { .. } => need(&POD, "", "delete"),
        }
    }
    needs
}

/// What a hollow node does: it registers, keeps its lease, reports about its pods and takes them down.
fn hosts(need: &mut impl FnMut(&Kind, &'static str, &'static str)) {
    need(&NODE, "", "create");
    need(&LEASE, "", "create");
    need(&LEASE, "", "update");
    need(&POD, "status", "patch");
    need(&POD, "", "delete");
}
