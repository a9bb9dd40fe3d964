//! What pods wait for from the API: one request a pod is on its way, and what changes meanwhile goes out afterwards.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Fleet, HollowRequest, Outcome, Timer, Waiting};
use crate::hollow::chance::chance;
use crate::hollow::pod::{Obligation, Resize, patch};
use crate::k8s::{PatchType, Request};
use crate::model::{ActionKind, POD, Text, TraceTime};

/// First and longest wait before a report is sent again that did not get through; a kubelet's status manager looks
/// again every 10 s (`pkg/kubelet/status/status_manager.go`, v1.37.2, `syncPeriod`).
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// What a pod waits for from the API.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Its status has changed: since when that is due, and whether it is the pod's end.
    pub(super) report: Option<(TraceTime, bool)>,
    /// It is to be removed, since then.
    pub(super) remove: Option<TraceTime>,
    /// What is on its way.
    pub(super) flight: Option<Flight>,
    /// It stands in line.
    queued: bool,
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Flight {
    Report(TraceTime, bool),
    Remove(TraceTime),
}

impl Outbox {
    fn due(&self) -> Option<TraceTime> {
        self.report.map(|(due, _)| due).or(self.remove)
    }
}

impl Fleet {
    /// Takes note of how the request went for which a pod waits; nobody waits for others.
    pub fn answered(&mut self, waiting: Option<&Waiting>, outcome: Outcome, now: TraceTime) {
        let Some(Waiting(uid)) = waiting else { return };
        let Some(hosted) = self.pods.get_mut(uid) else { return };
        let outbox = &mut hosted.outbox;
        let Some(flight) = outbox.flight.take() else { return };
        if outcome == Outcome::Failed {
            match flight {
                Flight::Report(due, ends) => {
                    let again = outbox.report.map_or((due, ends), |(_, later)| (due, ends || later));
                    outbox.report = Some(again);
                }
                Flight::Remove(due) => outbox.remove = Some(due),
            }
            let wait = FIRST_RETRY.saturating_mul(1 << outbox.failures.min(10)).min(LAST_RETRY);
            // Between half of it and all, by name: pods that failed together do not come back together.
            let wait = wait.mul_f64(0.5 + chance(uid, "retry") / 2.0);
            outbox.failures += 1;
            let timer = Timer { obligation: Obligation::Retry, key: hosted.key.clone(), uid: uid.clone() };
            self.timers.arm(now + wait, timer);
            return;
        }
        outbox.failures = 0;
        if hosted.resize == Resize::Done {
            hosted.resize = Resize::None;
        }
        if self.habits.reports_steps && outbox.report.is_none() {
            let timer = Timer { obligation: Obligation::Reported, key: hosted.key.clone(), uid: uid.clone() };
            self.timers.arm(now, timer);
        }
        self.enqueue(uid);
    }

    /// Puts a pod in line that has something to send and nothing on its way.
    pub(super) fn enqueue(&mut self, uid: &Text) {
        let Some(hosted) = self.pods.get_mut(uid) else { return };
        let silent = self.nodes.get(&hosted.node).is_none_or(|node| node.is_silent);
        let outbox = &mut hosted.outbox;
        if let Some(due) = outbox.due()
            && !silent
            && !outbox.queued
            && outbox.flight.is_none()
        {
            outbox.queued = true;
            self.ready.push_back((due, uid.clone()));
        }
    }

    pub(super) fn request(&mut self, uid: &Text, wall: DateTime<Utc>) -> Option<HollowRequest> {
        let hosted = self.pods.get_mut(uid)?;
        let node = self.nodes.get(&hosted.node)?;
        hosted.outbox.queued = false;
        if node.is_silent || hosted.outbox.flight.is_some() {
            return None;
        }
        let key = hosted.key.clone();
        if let Some((due, ends)) = hosted.outbox.report.take() {
            hosted.outbox.flight = Some(Flight::Report(due, ends));
            let mut transitions = hosted.transitions;
            let body = patch(&hosted.status(uid, &node.host), &mut transitions, wall.timestamp());
            hosted.transitions = transitions;
            let namespace = key.namespace.as_deref();
            let path = format!("{}/{}/status", POD.path_in(namespace), key.name);
            return Some(HollowRequest {
                due,
                action: ends.then_some(ActionKind::FinishPod),
                read: self.habits.reads_first.then(|| Request::get_object(&POD, &key)),
                request: Request::patch_with(path, PatchType::Strategic, body),
                uid: Some(uid.clone()),
                key,
            });
        }
        let due = hosted.outbox.remove.take()?;
        hosted.outbox.flight = Some(Flight::Remove(due));
        Some(HollowRequest {
            due,
            action: Some(ActionKind::TerminatePod),
            read: None,
            request: Request::delete(&POD, &key, Some(0), Some(uid)),
            uid: Some(uid.clone()),
            key,
        })
    }
}
