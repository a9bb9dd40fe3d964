//! What one event says of its pod, as far as facts are made of it.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::parts::Parts;
use super::shape::hash_spec;
use super::texts::{Sym, Texts};
use super::{NodeHistory, reasons};
use crate::model::{DisruptionReason, Json, Map, Phase, PodView, Requests};

/// Of `spec`.
#[derive(Debug, Clone)]
pub(super) struct SpecSight {
    /// Where it is bound.
    pub(super) node: Option<u32>,
    pub(super) wish: Wish,
}

/// What a `spec` says to the scheduler.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// What it asks for.
    pub(super) requests: Requests,
    /// A hash of all else that the scheduler reads.
    pub(super) hash: u64,
}

impl Wish {
    fn of(pod: &Json) -> Wish {
        Wish { requests: Requests::of(pod), hash: hash_spec(&pod["spec"]) }
    }

    /// The same, read once for pods of one template.
    fn known(wishes: &mut Parts<(Map, Wish)>, pod: &Json) -> Wish {
        let spec = &pod["spec"];
        let (Some(own), Some(first)) = (spec.as_object(), spec["containers"][0].as_object()) else {
            return Wish::of(pod);
        };
        let fits = |(known, _): &(Map, Wish)| known.is_like(own, "nodeName");
        wishes.of_like(first, fits, || (own.clone(), Wish::of(pod))).1.clone()
    }
}

/// Of `status`.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatusSight {
    pub(super) phase: Phase,
    pub(super) unscheduled: bool,
    pub(super) ready: bool,
    /// Where room is made for it.
    pub(super) nominated: Option<u32>,
    /// Why no node fits, where the scheduler says so.
    pub(super) reason: Option<Sym>,
    pub(super) disruption: Option<DisruptionReason>,
}

/// Nodes by number.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    pub(super) list: Vec<NodeHistory>,
    pub(super) by_name: HashMap<String, u32, FixedState>,
}

impl Nodes {
    /// The number of a name, a new one where it was not there.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        let number = self.list.len() as u32;
        self.by_name.insert(name.to_owned(), number);
        self.list.push(NodeHistory { name: name.into(), versions: Vec::new() });
        number
    }
}

/// Reads pods, each part that many share once.
#[derive(Debug, Default)]
pub(super) struct Sights {
    specs: Parts<SpecSight>,
    /// By the first container, which pods of one template share before and after they are bound, with the `spec`
    /// around it.
    wishes: Parts<(Map, Wish)>,
    statuses: Parts<StatusSight>,
}

impl Sights {
    /// What the object of a pod says.
    pub(super) fn of(
        &mut self,
        object: &Json,
        nodes: &mut Nodes,
        texts: &mut Texts,
    ) -> (SpecSight, StatusSight) {
        let view = PodView(object);
        let wishes = &mut self.wishes;
        let mut read_spec = |nodes: &mut Nodes| SpecSight {
            node: view.node_name().map(|name| nodes.number(name)),
            wish: Wish::known(wishes, object),
        };
        let spec = match object.get("spec").and_then(Json::as_object) {
            Some(part) => self.specs.of(part, || read_spec(nodes)).clone(),
            None => read_spec(nodes),
        };
        let read_status = |nodes: &mut Nodes, texts: &mut Texts| StatusSight {
            phase: view.phase(),
            unscheduled: view.is_marked_unschedulable(),
            ready: view.is_ready(),
            nominated: view.nominated_node().map(|name| nodes.number(name)),
            reason: view.unschedulable_message().map(|message| texts.intern(&reasons(message))),
            disruption: view.disruption(),
        };
        let status = match object.get("status").and_then(Json::as_object) {
            Some(part) => *self.statuses.of(part, || read_status(nodes, texts)),
            None => read_status(nodes, texts),
        };
        (spec, status)
    }
}
