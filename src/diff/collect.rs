use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;

use super::budget::Budget;
use super::components::{METRICS_KIND, Starts};
use super::lateness::LatenessAccount;
use super::node::classify;
use super::pod::{Milestones, PodFacts};
use super::shape::Shapes;
use super::sight::{Nodes, Sights, SpecSight, StatusSight};
use super::steps::{Change, Step};
use super::submission::Submission;
use super::texts::{Numbers, Texts, hash_of};
use super::workload::workload;
use super::{ATTEMPT_KIND, Attempt, Counts, Facts, Milestone, NodeFacts, Origin, RunFacts, Span};
use crate::model::{
    ActionKind, ActionReport, Failure, NodeView, ObjectEvent, Phase, PhaseMark, PodView, Record, RunPhase,
    TraceTime, Verb,
};

/// The number in a [`PhaseMark`]'s facts that counts steps of a lockstep run whose decision did not show in time.
pub const UNSETTLED_FACT: &str = "unsettled";

/// The number in a [`PhaseMark`]'s facts that is 1 if every action of the plan went out, else 0.
pub const COMPLETE_FACT: &str = "complete";

/// The number in a [`PhaseMark`]'s facts that says how long a request waited for a free submitter at most, ns.
pub const LONGEST_WAIT_FACT: &str = "longest-wait-ns";

/// Builds [`Facts`] record by record.
#[derive(Debug, Default)]
pub(super) struct Collector {
    texts: Texts,
    shapes: Shapes,
    nodes: Nodes,
    sights: Sights,
    pods: Vec<PodFacts>,
    by_id: Numbers,
    /// Pods whose object is there, by the hash of its UID: few of all that ever were.
    present: HashMap<u64, u32, FixedState>,
    steps: Vec<Step>,
    double_binds: Vec<(TraceTime, u32, u32)>,
    resizes: Vec<u32>,
    attempts: Vec<Attempt>,
    submissions: Vec<Submission>,
    budgets: BTreeMap<(String, String), Budget>,
    phases: Vec<(TraceTime, RunPhase)>,
    lateness: LatenessAccount,
    unsettled: u64,
    is_cut_short: bool,
    starts: Starts,
    gaps: BTreeMap<String, u64>,
    first: Option<TraceTime>,
    last: TraceTime,
}

impl Collector {
    pub(super) fn add(&mut self, record: &Record) {
        self.first.get_or_insert(record.at());
        self.last = self.last.max(record.at());
        match record {
            Record::Object(event) => self.object(event),
            Record::Action(action) => self.action(action),
            Record::Phase(mark) => self.phase(mark),
            Record::Gap(gap) => {
                *self.gaps.entry(gap.kind.clone()).or_default() += 1;
            }
            Record::Clock(_) | Record::Synced(_) | Record::Note(_) => {}
        }
    }

    pub(super) fn finish(mut self, run: RunFacts) -> Facts {
        classify(&mut self.nodes.list);
        let play = self.phases.iter().find(|(_, phase)| *phase == RunPhase::Play);
        let start = play.map(|(at, _)| *at).or(self.first).unwrap_or_default();
        self.attempts.sort_by_key(Attempt::order);
        self.submissions.sort_by_key(Submission::order);
        let restarted = self.starts.during(run.started_wall_ns);
        Facts {
            run,
            counts: Counts::of(self.pods.iter()),
            nodes: self.nodes.list,
            span: Span { start, end: self.last },
            lateness: self.lateness.sum_up(),
            unsettled: self.unsettled,
            is_cut_short: self.is_cut_short,
            restarted,
            gaps: self.gaps,
            attempts: self.attempts,
            submissions: self.submissions,
            budgets: self.budgets.into_values().collect(),
            texts: self.texts,
            shapes: self.shapes,
            pods: self.pods,
            by_id: self.by_id,
            by_name: self.nodes.by_name,
            steps: self.steps,
            double_binds: self.double_binds,
            resizes: self.resizes,
        }
    }

    fn object(&mut self, event: &ObjectEvent) {
        match event.key.kind.as_str() {
            "Pod" => self.pod(event),
            "Node" => self.node(event),
            ATTEMPT_KIND => {
                let namespace = self.texts.intern(event.key.namespace.as_deref().unwrap_or_default());
                let name = self.texts.intern(&event.key.name);
                self.attempts.push(Attempt::read(event.at, &event.object, namespace, name));
            }
            METRICS_KIND => self.starts.add(event),
            "PodDisruptionBudget.policy" => {
                let budget = Budget::read(&event.object);
                self.budgets.insert((budget.namespace.clone(), budget.name.clone()), budget);
            }
            _ => {}
        }
    }

    fn action(&mut self, action: &ActionReport) {
        // An action that was due in the play and left after it was late.
        if self.phase_at(action.due) == RunPhase::Play {
            self.lateness.add(action);
        }
        if action.action == ActionKind::CreatePod && Failure::of_status(action.status).is_none() {
            self.submissions.push(Submission {
                namespace: self.texts.intern(action.key.namespace.as_deref().unwrap_or_default()),
                name: self.texts.intern(&action.key.name),
                sent: action.sent,
                answered: action.answered,
            });
        }
    }

    fn phase(&mut self, mark: &PhaseMark) {
        self.phases.push((mark.at, mark.phase));
        self.unsettled += mark.facts.get(UNSETTLED_FACT).copied().unwrap_or(0);
        self.is_cut_short |= mark.facts.get(COMPLETE_FACT) == Some(&0);
        self.lateness.waited(mark.facts.get(LONGEST_WAIT_FACT).copied().unwrap_or(0));
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

    fn node(&mut self, event: &ObjectEvent) {
        let number = self.nodes.number(&event.key.name);
        let facts = (event.verb != Verb::Deleted).then(|| NodeFacts::of(NodeView(&event.object)));
        self.nodes.list[number as usize].push(event.at, facts);
    }

    fn pod(&mut self, event: &ObjectEvent) {
        // Pods that somebody made up may have no UID.
        let uid = hash_of(if event.uid.is_empty() { PodView(&event.object).id() } else { &event.uid });
        let (spec, status) = self.sights.of(&event.object, &mut self.nodes, &mut self.texts);
        let present = self.present.get(&uid).copied();
        let Some(number) = present.or_else(|| self.turned_up(event, uid, &spec)) else { return };
        if event.verb == Verb::Deleted {
            self.present.remove(&uid);
        } else if present.is_none() {
            self.present.insert(uid, number);
        }
        self.update(number, event, &spec, status);
    }

    /// The number of a pod whose object was not there before; `None` where the event tells nothing new of any.
    fn turned_up(&mut self, event: &ObjectEvent, uid: u64, spec: &SpecSight) -> Option<u32> {
        let id = PodView(&event.object).id();
        if id.is_empty() {
            return None;
        }
        match self.texts.find(id).and_then(|id| self.by_id.get(id)) {
            Some(number) if self.pods[number as usize].uid == uid => Some(number),
            Some(number) if matches!(event.verb, Verb::Added | Verb::Initial) => {
                self.leave(number, event.at);
                let known = &self.pods[number as usize];
                self.present.remove(&known.uid);
                let incarnations = known.incarnations.saturating_add(1);
                let pod = self.first_sight(event, uid, spec);
                self.pods[number as usize] = PodFacts { incarnations, ..pod };
                Some(number)
            }
            // The last words of an object that another has replaced.
            Some(_) => None,
            // A deletion that a list showed, of an object that was never there before.
            None if event.inferred && event.verb == Verb::Deleted => None,
            None => {
                let pod = self.first_sight(event, uid, spec);
                let number = self.pods.len() as u32;
                self.by_id.set(pod.id, number);
                self.pods.push(pod);
                Some(number)
            }
        }
    }

    fn first_sight(&mut self, event: &ObjectEvent, uid: u64, spec: &SpecSight) -> PodFacts {
        let view = PodView(&event.object);
        PodFacts {
            id: self.texts.intern(view.id()),
            namespace: self.texts.intern(event.key.namespace.as_deref().unwrap_or_default()),
            name: self.texts.intern(&event.key.name),
            workload: self.texts.intern(&workload(view)),
            reason: self.texts.intern(""),
            shape: self.shapes.intern(&event.object, spec),
            node: None,
            nominated: None,
            uid,
            origin: self.origin(event, spec.node.is_some()),
            end: None,
            disruption: None,
            incarnations: 1,
            milestones: Milestones::default(),
        }
    }

    /// A bound pod that turns up after a gap was decided unseen, not placed by hand.
    fn origin(&self, event: &ObjectEvent, bound: bool) -> Origin {
        let bound = bound && !event.inferred;
        match event.verb {
            _ if self.phase_at(event.at) == RunPhase::WarmUp => Origin::WarmUp,
            Verb::Initial if bound => Origin::WarmUp,
            Verb::Added if bound => Origin::ByHand,
            _ => Origin::Played,
        }
    }

    /// An object of the pod is gone without its deletion having been seen.
    fn leave(&mut self, number: u32, at: TraceTime) {
        let pod = &self.pods[number as usize];
        if pod.milestones.has(Milestone::Ended) || pod.milestones.has(Milestone::Gone) {
            return;
        }
        let change = pod.node.map_or(Change::Leave, Change::Free);
        self.steps.push(Step::new(at, number, change));
    }

    fn update(&mut self, number: u32, event: &ObjectEvent, spec: &SpecSight, status: StatusSight) {
        let pod = &mut self.pods[number as usize];
        let (first, milestones) = (pod.node, pod.milestones.reached());
        let is_over = pod.milestones.has(Milestone::Ended);
        // A bound pod that asks for something else than when it was bound was resized in place.
        let resized = first.is_some()
            && event.verb == Verb::Modified
            && !is_over
            && spec.wish.requests != self.shapes.list()[pod.shape as usize].requests;
        reach(pod, event, spec.node.is_some(), status);
        pod.node = first.or(spec.node);
        pod.nominated = status.nominated.or(pod.nominated);
        pod.reason = status.reason.unwrap_or(pod.reason);
        pod.end = Some(status.phase).filter(|phase| phase.is_terminal()).or(pod.end);
        pod.disruption = status.disruption.or(pod.disruption);
        let (node, now) = (pod.node, pod.milestones.reached().since(milestones));
        if let (Some(first), Some(second)) = (first, spec.node)
            && first != second
        {
            self.double_binds.push((event.at, number, second));
        }
        let mut push = |change| self.steps.push(Step::new(event.at, number, change));
        if now.has(Milestone::Added) {
            push(Change::Arrive);
        }
        if let Some(node) = node.filter(|_| first.is_none()) {
            push(Change::Bind(node));
        }
        if let Some(node) = node.filter(|_| now.has(Milestone::Deleting)) {
            push(Change::Terminate(node));
        }
        let was_over = is_over || milestones.has(Milestone::Gone);
        if !was_over && (now.has(Milestone::Ended) || now.has(Milestone::Gone)) {
            push(node.map_or(Change::Leave, Change::Free));
        }
        if let Some(node) = node.filter(|_| resized) {
            push(Change::Resize(node));
            self.resizes.push(self.shapes.intern(&event.object, spec));
        }
    }
}

fn reach(pod: &mut PodFacts, event: &ObjectEvent, bound: bool, status: StatusSight) {
    let phase = status.phase;
    let is_deleting = event.verb == Verb::Deleted
        || pod.milestones.has(Milestone::Deleting)
        || PodView(&event.object).is_deleting();
    let mut reach = |milestone, reached: bool, seen: bool| {
        if reached {
            pod.milestones.reach(milestone, event.at, seen && !event.inferred);
        }
    };
    reach(Milestone::Added, true, event.verb == Verb::Added);
    reach(Milestone::Unscheduled, status.unscheduled, true);
    reach(Milestone::Nominated, status.nominated.is_some(), true);
    // What was there when the recording began happened at some time before.
    let happened_now = event.verb != Verb::Initial;
    reach(Milestone::Scheduled, bound, happened_now);
    // A pod that is over has run, but when that began was not seen.
    reach(
        Milestone::Running,
        phase == Phase::Running || phase.is_terminal(),
        happened_now && !phase.is_terminal(),
    );
    reach(Milestone::Ready, status.ready, happened_now);
    reach(Milestone::Deleting, is_deleting, happened_now);
    reach(Milestone::Ended, phase.is_terminal(), happened_now);
    reach(Milestone::Gone, event.verb == Verb::Deleted, true);
}
