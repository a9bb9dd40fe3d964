use std::collections::{BTreeMap, HashMap};

use super::pods::PodTrack;
use super::replacements::{Vacancies, controller};
use super::submission::submission;
use super::{Action, Plan, TimedAction, context, nodes};
use crate::model::{DisruptionReason, Json, ObjectEvent, PodView, Record, Text, TraceTime, Verb};

impl Plan {
    /// The plan for a trace: the same records, the same plan.
    ///
    /// # Errors
    /// The first error of the records.
    pub fn build<E>(records: impl Iterator<Item = Result<Record, E>>) -> Result<Plan, E> {
        let mut builder = Builder::default();
        for record in records {
            builder.push(&record?);
        }
        Ok(builder.finish())
    }
}

#[derive(Default)]
struct Builder {
    plan: Plan,
    nodes: BTreeMap<Text, Json>,
    pods: HashMap<Text, PodTrack>,
    vacancies: Vacancies,
    /// Pods without node in the initial state: submitted when the play starts.
    waiting: Vec<Action>,
}

impl Builder {
    fn push(&mut self, record: &Record) {
        self.plan.end = self.plan.end.max(record.at());
        match record {
            Record::Object(event) => match event.key.kind.as_str() {
                "Pod" => self.pod(event),
                "Node" => self.node(event),
                _ => self.context(event),
            },
            Record::Synced(synced) => self.plan.origin = self.plan.origin.max(synced.at),
            _ => {}
        }
    }

    fn act(&mut self, at: TraceTime, action: Action) {
        self.plan.actions.push(TimedAction { at, action });
    }

    fn context(&mut self, event: &ObjectEvent) {
        let Some(action) = context::action(event, &mut self.plan.left) else { return };
        if let Some(versions) = context::converted(event, &action) {
            self.plan.converted.entry(versions).or_default().push(event.key.to_string());
        }
        let timed = TimedAction { at: event.at, action };
        if event.verb == Verb::Initial {
            self.plan.context.push(timed);
        } else {
            self.plan.actions.push(timed);
        }
    }

    fn node(&mut self, event: &ObjectEvent) {
        let name = event.key.name.clone();
        match event.verb {
            Verb::Initial => self.plan.nodes.push(event.object.clone()),
            Verb::Added => self.act(event.at, Action::CreateNode { object: event.object.clone() }),
            Verb::Deleted => {
                self.nodes.remove(&name);
                return self.act(event.at, Action::DeleteNode { name: name.to_string() });
            }
            Verb::Modified => {
                if let Some(before) = self.nodes.get(&name) {
                    let change = nodes::change(before, &event.object);
                    if !change.is_empty() {
                        self.act(event.at, Action::UpdateNode { name: name.to_string(), change });
                    }
                }
            }
        }
        self.nodes.insert(name, event.object.clone());
    }

    fn pod(&mut self, event: &ObjectEvent) {
        match event.verb {
            Verb::Initial => self.initial_pod(event),
            Verb::Added => {
                self.takes_place(event);
                let by_hand = PodView(&event.object).node_name().is_some() && !event.inferred;
                let submission = submission(PodView(&event.object), by_hand);
                self.act(event.at, Action::CreatePod(submission));
                self.pods.insert(event.uid.clone(), PodTrack::new(event, TraceTime::ZERO));
            }
            Verb::Modified => self.pod_changed(event),
            Verb::Deleted => self.pod_gone(event),
        }
    }

    /// Notes who replaces a pod, and whom it replaces.
    fn takes_place(&mut self, event: &ObjectEvent) {
        let pod = PodView(&event.object);
        if controller(pod).is_some() {
            self.plan.controlled.insert(pod.id().to_owned());
        }
        if let Some(replacement) = self.vacancies.filled_by(pod, event.at) {
            self.plan.replacements.insert(pod.id().to_owned(), replacement);
        }
    }

    fn initial_pod(&mut self, event: &ObjectEvent) {
        let pod = PodView(&event.object);
        if pod.phase().is_terminal() {
            return self.plan.left.count("pods that had ended before the trace starts");
        }
        if pod.is_deleting() {
            return self.plan.left.count("pods that were being deleted when the trace starts");
        }
        self.takes_place(event);
        let bound = pod.node_name().is_some();
        let submission = submission(pod, bound);
        if bound {
            self.plan.placed.push(submission);
        } else {
            self.waiting.push(Action::CreatePod(submission));
        }
        self.pods.insert(event.uid.clone(), PodTrack::new(event, self.plan.origin));
    }

    fn pod_changed(&mut self, event: &ObjectEvent) {
        let Some(mut track) = self.pods.remove(&event.uid) else { return };
        track.follow(event);
        if let Some(patch) = track.patch(event) {
            let (id, key) = (track.id.clone(), event.key.clone());
            self.act(event.at, Action::UpdatePod { id, key, patch });
        }
        if PodView(&event.object).is_deleting() && track.deleting_at.is_none() {
            track.deleting_at = Some(event.at);
            self.deletion(event, &track.id);
        }
        self.pods.insert(event.uid.clone(), track);
    }

    fn pod_gone(&mut self, event: &ObjectEvent) {
        let Some(track) = self.pods.remove(&event.uid) else { return };
        // A pod that is not bound, or is deleted by force, goes without a visible deletion timestamp before.
        if track.deleting_at.is_none() {
            self.deletion(event, &track.id);
        }
        let (id, behaviour) = track.behaviour(Some(event.at));
        self.plan.behaviours.insert(id, behaviour);
    }

    /// A deletion that the control plane decided on happens again by itself; all others are inputs.
    fn deletion(&mut self, event: &ObjectEvent, id: &str) {
        let pod = PodView(&event.object);
        if let Some(reason) = pod.disruption().filter(|reason| reason.is_outcome()) {
            if reason == DisruptionReason::PreemptionByScheduler {
                self.vacancies.preempted(pod, event.at);
            }
            return self.plan.left.count(format!("deletions that are outcomes ({reason})"));
        }
        let grace = pod.deletion_grace_seconds();
        self.act(event.at, Action::DeletePod { id: id.to_owned(), key: event.key.clone(), grace });
    }

    fn finish(mut self) -> Plan {
        for (_, track) in self.pods {
            let (id, behaviour) = track.behaviour(None);
            self.plan.behaviours.insert(id, behaviour);
        }
        // Namespaces before what lives in them, classes before what names them; kinds are watched side by side, so
        // the order in the file says nothing.
        self.plan.context.sort_by_key(|timed| context::rank(&timed.action));
        let origin = self.plan.origin;
        let waiting = self.waiting.into_iter().map(|action| TimedAction { at: origin, action });
        self.plan.actions = waiting.chain(self.plan.actions).collect();
        // Events of different kinds come from different watches: their order in the file is near, not exact.
        self.plan.actions.sort_by_key(|timed| timed.at);
        self.plan
    }
}
