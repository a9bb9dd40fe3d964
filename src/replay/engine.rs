use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::on_error::OnError;
use super::plan::{Action, NodeChange, Submission};
use super::refill::Refills;
use super::status::Tally;
use super::tainting::Tainting;
use super::target::RUN_ANNOTATION;
use super::world::{Whereabouts, World, WorldState};
use crate::hollow::{Fleet, HollowRequest, Leases, TraceNow, registration};
use crate::k8s::{Answer, K8sError, PatchType, Request, Submitter};
use crate::model::{
    ActionKind, ActionReport, Failure, Kind, NODE, NodeView, Note, ObjectKey, POD, ReadyStatus, Record,
    TraceTime,
};
use crate::pace::{Clock, Stop};
use crate::trace::Sink;

/// What both modes of a run share: how actions become requests, and how their answers become records.
#[derive(Clone)]
pub(super) struct Engine {
    pub(super) run_id: String,
    pub(super) submitter: Submitter,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) sink: Sink,
    pub(super) world: World,
    pub(super) tainting: Tainting,
    pub(super) fleet: Arc<Mutex<Fleet>>,
    pub(super) leases: Arc<Leases>,
    pub(super) now: TraceNow,
    pub(super) seq: Arc<AtomicU64>,
    /// The newest resourceVersion of a pod that an answer told of.
    pub(super) written: Arc<AtomicU64>,
    pub(super) tally: Arc<Tally>,
    pub(super) on_error: OnError,
    pub(super) stop: Stop,
    pub(super) refills: Arc<Mutex<Refills>>,
}

/// When an action was due, on both time lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    /// On the trace's.
    pub(super) trace: TraceTime,
    /// On the run's.
    pub(super) run: TraceTime,
}

impl Engine {
    pub(super) fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wall(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.clock.wall_ns())
    }

    pub(super) fn refills(&self) -> MutexGuard<'_, Refills> {
        self.refills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of pods that the scheduler has preempted meanwhile.
    pub(super) fn note_preempted(&self) {
        let ids = std::mem::take(&mut self.world.state().preempted);
        self.refills().preempted(ids, (self.now)());
    }

    /// The next pod of a closed loop that is due at or before `now`.
    pub(super) fn next_refill(&self, now: TraceTime) -> Option<(TraceTime, Submission)> {
        self.refills().pop_due(now)
    }

    /// The requests that carry out an action, in order. An action about a pod that is no longer there has none.
    pub(super) fn requests(&self, action: &Action) -> Vec<Request> {
        let redirected = self.refills().redirected(action);
        match redirected.as_ref().unwrap_or(action) {
            Action::CreateContext { kind, object, status } => {
                let key = action.key();
                let status = status.iter().map(|s| merge(kind, &key, Some("status"), s));
                let mut object = object.clone();
                object.set(&["metadata", "annotations", RUN_ANNOTATION], self.run_id.as_str().into());
                std::iter::once(Request::create(kind, &object)).chain(status).collect()
            }
            Action::UpdateContext { kind, key, patch, status } => {
                let object = patch.iter().map(|p| merge(kind, key, None, p));
                object.chain(status.iter().map(|s| merge(kind, key, Some("status"), s))).collect()
            }
            Action::DeleteContext { kind, key } => vec![Request::delete(kind, key, None, None)],
            Action::CreateNode { object } => {
                let annotations = BTreeMap::from([(RUN_ANNOTATION.to_owned(), self.run_id.clone())]);
                let mut node = registration(object, &annotations, self.wall());
                if self.tainting == Tainting::Replay {
                    let taints = self.tainting.taints_after(NodeView(&node), &NodeChange::default());
                    node.set(&["spec", "taints"], json!(taints).into());
                }
                vec![Request::create(&NODE, &node)]
            }
            Action::UpdateNode { change, .. } => self.node_requests(&action.key(), change),
            Action::DeleteNode { .. } => vec![Request::delete(&NODE, &action.key(), None, None)],
            Action::CreatePod(submission) => {
                let mut object = submission.object.clone();
                object.set(&["metadata", "annotations", RUN_ANNOTATION], self.run_id.as_str().into());
                vec![Request::create(&POD, &object)]
            }
            Action::UpdatePod { id, key, patch } => {
                let with_uid = |uid: Option<String>| {
                    let mut patch = patch.clone();
                    if let Some(uid) = uid {
                        patch["metadata"]["uid"] = uid.into();
                    }
                    merge(&POD, key, None, &patch)
                };
                self.addressee(id).map(with_uid).into_iter().collect()
            }
            Action::DeletePod { id, key, grace } => {
                let delete = |uid: Option<String>| Request::delete(&POD, key, *grace, uid.as_deref());
                self.addressee(id).map(delete).into_iter().collect()
            }
        }
    }

    /// How to address a pod of the trace: by its UID once it has been seen, by name alone while its creation is still
    /// on its way (requests about one object keep their order), not at all once it is gone.
    #[expect(clippy::option_option, reason = "no addressee, one without UID, one with")]
    fn addressee(&self, id: &str) -> Option<Option<String>> {
        match self.world.state().whereabouts(id) {
            Whereabouts::Here(uid) => Some(Some(uid.to_owned())),
            Whereabouts::Unseen => Some(None),
            Whereabouts::Gone => None,
        }
    }

    fn node_requests(&self, key: &ObjectKey, change: &NodeChange) -> Vec<Request> {
        let mut patch = json!({});
        if let Some(labels) = &change.labels {
            patch["metadata"]["labels"] = labels.clone();
        }
        if let Some(unschedulable) = change.unschedulable {
            patch["spec"]["unschedulable"] = unschedulable.into();
        }
        if self.tainting.concerns(change) {
            let current = self.world.state().nodes.get(&key.name).cloned().unwrap_or_default();
            patch["spec"]["taints"] = json!(self.tainting.taints_after(NodeView(&current), change));
        }
        let mut requests = Vec::new();
        if patch != json!({}) {
            requests.push(Request::patch(&NODE, key, None, PatchType::Merge, &patch));
        }
        let mut status = json!({});
        if let Some((capacity, allocatable)) = &change.resources {
            status["status"] = json!({"capacity": capacity, "allocatable": allocatable});
        }
        if let Some(ready) = change.ready {
            status["status"]["conditions"] = json!([ready_condition(ready, self.wall())]);
        }
        if status != json!({}) {
            requests.push(Request::patch(&NODE, key, Some("status"), PatchType::Strategic, &status));
        }
        requests
    }

    /// What the hollow side must know before the request is out.
    pub(super) fn prepare(&self, action: &Action) {
        self.tally.hand_over();
        match action {
            // Before it exists, so that no pod can be bound to a node that the fleet does not know.
            Action::CreateNode { object } => self.fleet().add_node(object),
            Action::DeleteNode { name } => {
                self.leases.remove(name);
                self.fleet().remove_node(name);
            }
            Action::DeletePod { id, .. } => self.refills().close(id),
            Action::UpdateNode { name, change: NodeChange { ready: Some(ready), .. } } => {
                let node = self.world.state().nodes.get(name.as_str()).cloned().unwrap_or_default();
                match (ready, node["metadata"]["uid"].as_str()) {
                    (ReadyStatus::True, Some(uid)) => {
                        self.leases.add(name, uid);
                        self.fleet().add_node(&node);
                    }
                    (ReadyStatus::False, _) => {}
                    // Nobody hears of this kubelet any more: neither leases nor pod status.
                    _ => {
                        self.leases.remove(name);
                        self.fleet().remove_node(name);
                    }
                }
            }
            _ => {}
        }
    }

    /// Writes down how an action went.
    pub(super) fn report(&self, kind: ActionKind, key: &ObjectKey, due: Due, answer: &Answer) {
        self.note_written(key, answer);
        let (status, error) = match &answer.result {
            Ok(_) => (200, String::new()),
            Err(error) => (error.status().unwrap_or(0), error.to_string()),
        };
        self.tally.answered(due.run, answer.sent);
        self.react(kind, key, status, &error);
        if kind == ActionKind::CreateNode
            && let Ok(reply) = &answer.result
            && NodeView(&reply.body).ready() != ReadyStatus::Unknown
        {
            self.leases.add(&key.name, reply.body["metadata"]["uid"].as_str().unwrap_or_default());
        }
        self.push_report(ActionReport {
            seq: self.seq.fetch_add(1, Ordering::Relaxed),
            action: kind,
            key: key.clone(),
            trace_at: due.trace,
            due: due.run,
            sent: answer.sent,
            answered: answer.answered,
            status,
            error,
            retries: answer.retries,
        });
    }

    /// Ends the run after a failure of a kind that is to end it.
    fn react(&self, kind: ActionKind, key: &ObjectKey, status: u16, error: &str) {
        let ends = Failure::of_status(status).is_some_and(|failure| self.on_error.stops_on(failure));
        if ends && !self.stop.is_stopped() {
            let text = format!("stopped, as --on-error says: {kind} {key} failed: {error}");
            tracing::error!("{text}");
            self.sink.push(Record::Note(Note { at: self.clock.now(), text }));
            self.stop.stop();
        }
    }

    /// Writes down an action whose object is not there any more: nothing was sent.
    pub(super) fn report_moot(&self, kind: ActionKind, key: &ObjectKey, due: Due) {
        let now = self.clock.now();
        let result = Err(K8sError::Api {
            doing: "skipped".to_owned(),
            status: 404,
            reason: "Gone".to_owned(),
            message: "the pod is not there any more in this run".to_owned(),
        });
        self.report(kind, key, due, &Answer { sent: now, answered: now, retries: 0, result });
    }

    /// Writes down what a hollow node did to a pod.
    pub(super) fn report_hollow(&self, request: &HollowRequest, due: TraceTime, answer: &Answer) {
        self.note_written(&request.key, answer);
        match (request.action, &answer.result) {
            (Some(kind), _) => {
                self.report(kind, &request.key, Due { trace: request.due, run: due }, answer);
            }
            // A pod that went away meanwhile: its next status is of no use to anybody.
            (None, Err(error)) if !matches!(error.status(), Some(404 | 409)) => {
                tracing::warn!("status of {}: {error}", request.key);
            }
            (None, _) => {}
        }
    }

    fn note_written(&self, key: &ObjectKey, answer: &Answer) {
        let Ok(reply) = &answer.result else { return };
        if let Some(rv) = reply.resource_version().filter(|_| key.kind == "Pod") {
            self.written.fetch_max(rv, Ordering::SeqCst);
        }
    }

    /// Whether every request has been answered and the observer has seen what came of it.
    pub(super) fn is_caught_up(&self, world: &WorldState) -> bool {
        self.submitter.open_requests() == 0 && world.has_seen_pod(self.written.load(Ordering::SeqCst))
    }

    fn push_report(&self, report: ActionReport) {
        self.sink.push(Record::Action(report));
    }
}

fn merge(kind: &Kind, key: &ObjectKey, subresource: Option<&str>, patch: &Value) -> Request {
    Request::patch(kind, key, subresource, PatchType::Merge, patch)
}

fn ready_condition(ready: ReadyStatus, now: DateTime<Utc>) -> Value {
    let (status, reason) = match ready {
        ReadyStatus::True => ("True", "KubeletReady"),
        ReadyStatus::False => ("False", "KubeletNotReady"),
        ReadyStatus::Unknown => ("Unknown", "NodeStatusUnknown"),
    };
    let time = now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    json!({"type": "Ready", "status": status, "reason": reason, "lastHeartbeatTime": time, "lastTransitionTime": time})
}
