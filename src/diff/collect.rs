use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::lateness::LatenessAccount;
use super::node::classify;
use super::pod::Milestones;
use super::workload::workload;
use super::{Counts, Facts, Milestone, NodeFacts, Origin, PodFacts, PodRef, Requests, RunFacts, Span};
use crate::model::{
    ActionReport, NodeView, ObjectEvent, Phase, PhaseMark, PodView, Record, RunPhase, TraceTime, Verb,
};

/// The number in a [`PhaseMark`]'s facts that counts steps of a lockstep run whose decision did not show in time.
pub const UNSETTLED_FACT: &str = "unsettled";

/// Builds [`Facts`] record by record.
#[derive(Debug, Default)]
pub(super) struct Collector {
    texts: HashSet<Arc<str>>,
    nodes: BTreeMap<Arc<str>, NodeFacts>,
    pods: Vec<PodFacts>,
    uids: Vec<Arc<str>>,
    by_id: HashMap<Arc<str>, u32>,
    phases: Vec<(TraceTime, RunPhase)>,
    lateness: LatenessAccount,
    unsettled: u64,
    gaps: BTreeMap<String, u64>,
    first: Option<TraceTime>,
    last: TraceTime,
}

impl Collector {
    pub(super) fn add(&mut self, record: &Record) {
        self.first.get_or_insert(record.at());
        self.last = self.last.max(record.at());
        match record {
            Record::Object(event) if event.key.kind == "Pod" => self.pod(event),
            Record::Object(event) if event.key.kind == "Node" => self.node(event),
            Record::Action(action) => self.action(action),
            Record::Phase(mark) => self.phase(mark),
            Record::Gap(gap) => {
                *self.gaps.entry(gap.kind.clone()).or_default() += 1;
            }
            Record::Object(_) | Record::Clock(_) | Record::Synced(_) | Record::Note(_) => {}
        }
    }

    pub(super) fn finish(mut self, run: RunFacts) -> Facts {
        classify(&mut self.nodes);
        let play = self.phases.iter().find(|(_, phase)| *phase == RunPhase::Play);
        let start = play.map(|(at, _)| *at).or(self.first).unwrap_or_default();
        Facts {
            run,
            counts: Counts::of(self.pods.iter()),
            nodes: self.nodes,
            span: Span { start, end: self.last },
            lateness: self.lateness.sum_up(),
            unsettled: self.unsettled,
            gaps: self.gaps,
            pods: self.pods,
            by_id: self.by_id,
        }
    }

    fn action(&mut self, action: &ActionReport) {
        if self.phase_at(action.sent) == RunPhase::Play {
            self.lateness.add(action);
        }
    }

    fn phase(&mut self, mark: &PhaseMark) {
        self.phases.push((mark.at, mark.phase));
        self.unsettled += mark.facts.get(UNSETTLED_FACT).copied().unwrap_or(0);
    }

    /// Goes by the time, not by the order in the reel: an action is written when its answer is there, which can be
    /// after the next phase began. A reel without marks is a recording: all of it plays.
    fn phase_at(&self, at: TraceTime) -> RunPhase {
        let entered = self.phases.iter().rev().find(|(from, _)| *from <= at);
        match entered {
            Some((_, phase)) => *phase,
            None if self.phases.is_empty() => RunPhase::Play,
            None => RunPhase::WarmUp,
        }
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let new: Arc<str> = Arc::from(text);
        self.texts.insert(new.clone());
        new
    }

    fn node(&mut self, event: &ObjectEvent) {
        if event.verb != Verb::Deleted || !self.nodes.contains_key(event.key.name.as_str()) {
            let name = self.text(&event.key.name);
            self.nodes.insert(name, NodeFacts::of(NodeView(&event.object)));
        }
    }

    fn pod(&mut self, event: &ObjectEvent) {
        let view = PodView(&event.object);
        let (id, uid) = (view.id(), view.uid());
        if id.is_empty() {
            return;
        }
        let position = match self.by_id.get(id).map(|at| *at as usize) {
            Some(at) if *self.uids[at] == *uid => at,
            Some(at) if matches!(event.verb, Verb::Added | Verb::Initial) => {
                let incarnations = self.pods[at].incarnations + 1;
                let id = self.pods[at].pod.id.clone();
                self.pods[at] = PodFacts { incarnations, ..self.first_sight(event, id) };
                self.uids[at] = Arc::from(uid);
                at
            }
            // The last words of an object that another has replaced.
            Some(_) => return,
            // A deletion that a list showed has only what names the object, without the annotation of a run.
            None if event.inferred && event.verb == Verb::Deleted => {
                match self.uids.iter().rposition(|known| **known == *uid) {
                    Some(at) => at,
                    None => return,
                }
            }
            None => {
                let id: Arc<str> = Arc::from(id);
                let pod = self.first_sight(event, id.clone());
                self.pods.push(pod);
                self.uids.push(if *id == *uid { id.clone() } else { Arc::from(uid) });
                self.by_id.insert(id, (self.pods.len() - 1) as u32);
                self.pods.len() - 1
            }
        };
        let node = view.node_name().map(|name| self.text(name));
        update(&mut self.pods[position], event, node);
    }

    fn first_sight(&mut self, event: &ObjectEvent, id: Arc<str>) -> PodFacts {
        let view = PodView(&event.object);
        PodFacts {
            pod: PodRef {
                id,
                namespace: self.text(view.namespace()),
                name: Arc::from(view.name()),
                workload: self.text(&workload(view)),
            },
            origin: self.origin(event),
            priority: view.0["spec"]["priority"].as_i64().unwrap_or(0) as i32,
            requests: Requests::of(view.0),
            node: None,
            end: None,
            disruption: None,
            incarnations: 1,
            milestones: Milestones::default(),
        }
    }

    /// A bound pod that turns up after a gap was decided unseen, not placed by hand.
    fn origin(&self, event: &ObjectEvent) -> Origin {
        let bound = PodView(&event.object).node_name().is_some() && !event.inferred;
        match event.verb {
            _ if self.phase_at(event.at) == RunPhase::WarmUp => Origin::WarmUp,
            Verb::Initial if bound => Origin::WarmUp,
            Verb::Added if bound => Origin::ByHand,
            _ => Origin::Played,
        }
    }
}

fn update(pod: &mut PodFacts, event: &ObjectEvent, node: Option<Arc<str>>) {
    let view = PodView(&event.object);
    let phase = view.phase();
    let mut reach = |milestone, reached: bool, seen: bool| {
        if reached {
            pod.milestones.reach(milestone, event.at, seen && !event.inferred);
        }
    };
    reach(Milestone::Added, true, event.verb == Verb::Added);
    reach(Milestone::Unscheduled, view.is_marked_unschedulable(), true);
    let nominated = view.0["status"]["nominatedNodeName"].as_str().is_some_and(|name| !name.is_empty());
    reach(Milestone::Nominated, nominated, true);
    // What was there when the recording began happened at some time before.
    let happened_now = event.verb != Verb::Initial;
    reach(Milestone::Scheduled, node.is_some(), happened_now);
    // A pod that is over has run, but when that began was not seen.
    reach(
        Milestone::Running,
        phase == Phase::Running || phase.is_terminal(),
        happened_now && !phase.is_terminal(),
    );
    reach(Milestone::Ready, view.is_ready(), happened_now);
    reach(Milestone::Deleting, view.is_deleting() || event.verb == Verb::Deleted, happened_now);
    reach(Milestone::Gone, event.verb == Verb::Deleted, true);
    pod.node = node.or(pod.node.take());
    pod.end = Some(phase).filter(|phase| phase.is_terminal()).or(pod.end);
    pod.disruption = view.disruption().or(pod.disruption);
}
