//! The closed loop: when the run's scheduler preempts a pod, its controller would make another. Places are known by the
//! id of the pod that has them first; the pods that refill them have ids and names of their own.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::engine::{Due, Engine};
use super::open::{OpenTime, hand_over};
use super::plan::{Action, Plan, Submission};
use super::shape::{suffixed, unbound};
use crate::model::{ID_ANNOTATION, ObjectKey, PodView, TraceTime};

/// How often an open run looks for what is due, where nothing happens.
const NAP: Duration = Duration::from_millis(20);

/// Places and what they are owed. Without places, the loop is open.
#[derive(Debug, Default)]
pub(super) struct Refills {
    places: HashMap<String, Place>,
    armed: BTreeSet<(TraceTime, String)>,
    made: u64,
}

#[derive(Debug)]
struct Place {
    pod: Submission,
    after: Duration,
    /// Pods that have had it after the first.
    refills: u32,
    /// Its pod's deletion was asked for.
    is_closed: bool,
}

impl Refills {
    pub(super) fn of(plan: &Plan) -> Refills {
        let place = |pod: &Submission| {
            let after = *plan.refills.get(&pod.id)?;
            let place = Place { pod: pod.clone(), after, refills: 0, is_closed: false };
            Some((pod.id.clone(), place))
        };
        let places = plan.submissions().filter_map(|(_, pod)| place(pod)).collect();
        Refills { places, ..Refills::default() }
    }

    /// Whether the loop is closed.
    pub(super) fn is_closed_loop(&self) -> bool {
        !self.places.is_empty()
    }

    /// How many pods were made.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// Whether a place is to be refilled.
    pub(super) fn owes(&self) -> bool {
        !self.armed.is_empty()
    }

    /// These pods were preempted. They come in no order: goroutines delete them.
    pub(super) fn preempted(&mut self, ids: impl IntoIterator<Item = String>, at: TraceTime) {
        for id in ids {
            let id = if self.places.contains_key(&id) { id.as_str() } else { place_of(&id) };
            if let Some(place) = self.places.get(id).filter(|place| !place.is_closed) {
                self.armed.insert((at + place.after, id.to_owned()));
            }
        }
    }

    /// The deletion of the pod that has this place was asked for: nobody refills it any more.
    pub(super) fn close(&mut self, id: &str) {
        if let Some(place) = self.places.get_mut(id) {
            place.is_closed = true;
            self.armed.retain(|(_, armed)| armed != id);
        }
    }

    /// When the next place is to be refilled.
    pub(super) fn next_due(&self) -> Option<TraceTime> {
        self.armed.first().map(|(at, _)| *at)
    }

    /// The next pod to make that is due at or before `now`.
    pub(super) fn pop_due(&mut self, now: TraceTime) -> Option<(TraceTime, Submission)> {
        self.next_due().filter(|at| *at <= now)?;
        let (at, id) = self.armed.pop_first()?;
        let place = self.places.get_mut(&id)?;
        (place.refills, self.made) = (place.refills + 1, self.made + 1);
        let suffix = format!("r{}", place.refills);
        // A place is refilled wherever the scheduler likes.
        let mut pod = unbound(place.pod.clone());
        let name = suffixed(PodView(&pod.object).name(), &suffix);
        pod.id = format!("{id}~{suffix}");
        pod.object.set(&["metadata", "name"], name.as_str().into());
        pod.object.set(&["metadata", "annotations", ID_ANNOTATION], pod.id.as_str().into());
        Some((at, pod))
    }

    /// The same action about the pod that has the place now; `None` where that is the first.
    pub(super) fn redirected(&self, action: &Action) -> Option<Action> {
        let mut action = action.clone();
        let (Action::UpdatePod { id, key, .. } | Action::DeletePod { id, key, .. }) = &mut action else {
            return None;
        };
        let refills = self.places.get(id.as_str()).map(|place| place.refills).filter(|n| *n > 0)?;
        let suffix = format!("r{refills}");
        *key = ObjectKey { name: suffixed(&key.name, &suffix).as_str().into(), ..key.clone() };
        *id = format!("{id}~{suffix}");
        Some(action)
    }
}

/// The place of a pod that refills one.
pub(super) fn place_of(id: &str) -> &str {
    match id.rsplit_once("~r") {
        Some((place, n)) if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => place,
        _ => id,
    }
}

/// Refills places of an open run as trace time passes, until it is dropped.
pub(super) async fn drive(engine: Engine, time: OpenTime) {
    loop {
        engine.world.change(NAP).await;
        engine.note_preempted();
        while let Some((at, pod)) = engine.next_refill((engine.now)()) {
            hand_over(&engine, Due { trace: at, run: time.due(at) }, &Action::CreatePod(pod));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refills() -> Refills {
        let object = json!({"metadata": {"name": "web", "namespace": "n", "annotations": {}},
            "spec": {"nodeName": "n1", "containers": []}});
        let pod = Submission { id: "u".to_owned(), object: object.into() };
        let plan = Plan {
            placed: vec![pod],
            refills: [("u".to_owned(), Duration::from_millis(300))].into(),
            ..Plan::default()
        };
        Refills::of(&plan)
    }

    fn at(millis: u64) -> TraceTime {
        TraceTime::from_millis(millis)
    }

    fn action(id: &str, name: &str) -> Action {
        let key = ObjectKey { kind: "Pod".into(), namespace: Some("n".into()), name: name.into() };
        Action::DeletePod { id: id.to_owned(), key, grace: None }
    }

    #[test]
    fn a_place_is_refilled_after_its_reaction_time_again_and_again() {
        let mut refills = refills();
        assert_eq!(refills.redirected(&action("u", "web")), None);
        refills.preempted(["u".to_owned(), "stranger".to_owned()], at(1_000));
        assert_eq!((refills.next_due(), refills.pop_due(at(1_299))), (Some(at(1_300)), None));
        let (due, pod) = refills.pop_due(at(1_300)).unwrap();
        assert_eq!((due, pod.id.as_str(), PodView(&pod.object).name()), (at(1_300), "u~r1", "web-r1"));
        assert_eq!(PodView(&pod.object).id(), "u~r1");
        assert_eq!(PodView(&pod.object).node_name(), None);
        assert_eq!(refills.redirected(&action("u", "web")), Some(action("u~r1", "web-r1")));
        refills.preempted(["u~r1".to_owned()], at(2_000));
        assert_eq!(refills.pop_due(at(9_000)).unwrap().1.id, "u~r2");
        assert_eq!((refills.made(), refills.owes()), (2, false));
    }

    #[test]
    fn a_place_that_was_given_up_is_not_refilled() {
        let mut refills = refills();
        refills.preempted(["u".to_owned()], at(1_000));
        refills.close("u");
        assert!(!refills.owes());
        refills.preempted(["u".to_owned()], at(2_000));
        assert!(!refills.owes());
    }
}
