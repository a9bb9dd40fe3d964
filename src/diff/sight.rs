//! What one event says of its pod, as far as facts are made of it.

use std::collections::HashMap;

use super::parts::Parts;
use super::shape::hash_spec;
use super::texts::{Sym, Texts};
use super::{NodeHistory, reasons};
use crate::model::{DisruptionReason, Json, Phase, PodView, Requests};

/// Of `spec`.
#[derive(Debug, Clone)]
pub(super) struct SpecSight {
    /// Where it is bound.
    pub(super) node: Option<u32>,
    /// What it asks for.
    pub(super) requests: Requests,
    /// A hash of all that the scheduler reads.
    pub(super) hash: u64,
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
    pub(super) by_name: HashMap<String, u32>,
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
        let read_spec = |nodes: &mut Nodes| SpecSight {
            node: view.node_name().map(|name| nodes.number(name)),
            requests: Requests::of(object),
            hash: hash_spec(&object["spec"]),
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
