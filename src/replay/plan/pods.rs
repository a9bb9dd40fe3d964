use std::time::Duration;

use serde_json::{Value, json};

use super::nodes::merge_patch;
use crate::hollow::{PodBehaviour, RunEnd};
use crate::model::{Json, ObjectEvent, PodView, TraceTime};

/// Binding copies the node's topology labels to the pod (`plugin/pkg/admission/podtopologylabels`, v1.37.2): an
/// outcome, which the target's API server brings about again.
fn without_topology(mut labels: Value) -> Value {
    if let Some(labels) = labels.as_object_mut() {
        labels.retain(|key, _| !key.starts_with("topology.kubernetes.io/"));
    }
    labels
}

/// What the plan remembers of a pod while it reads the trace.
#[derive(Debug, Clone, Default)]
pub(super) struct PodTrack {
    pub(super) id: String,
    labels: Json,
    gates: Json,
    bound_at: Option<TraceTime>,
    running_at: Option<TraceTime>,
    pub(super) deleting_at: Option<TraceTime>,
    behaviour: PodBehaviour,
}

impl PodTrack {
    /// A pod that the trace shows for the first time; `origin` counts for what happened before.
    pub(super) fn new(event: &ObjectEvent, origin: TraceTime) -> PodTrack {
        let pod = PodView(&event.object);
        let bound = pod.node_name().is_some();
        let running = bound && pod.phase() != crate::model::Phase::Pending;
        PodTrack {
            id: pod.id().to_owned(),
            labels: pod.0["metadata"]["labels"].clone(),
            gates: pod.0["spec"]["schedulingGates"].clone(),
            bound_at: bound.then(|| event.at.max(origin)),
            running_at: running.then(|| event.at.max(origin)),
            deleting_at: None,
            behaviour: PodBehaviour::default(),
        }
    }

    /// Takes note of when the pod was bound, started, ended.
    pub(super) fn follow(&mut self, event: &ObjectEvent) {
        use crate::model::Phase;
        let pod = PodView(&event.object);
        if pod.node_name().is_some() {
            self.bound_at.get_or_insert(event.at);
        }
        if pod.phase() == Phase::Running && self.running_at.is_none() {
            self.running_at = Some(event.at);
            self.behaviour.start_latency = event.at.since(self.bound_at.unwrap_or(event.at));
        }
        // A phase that turns terminal while the pod is taken down is part of the termination.
        if pod.phase().is_terminal() && self.behaviour.run.is_none() && !pod.is_deleting() {
            let from = self.running_at.or(self.bound_at).unwrap_or(event.at);
            self.behaviour.run = Some(RunEnd {
                after: event.at.since(from),
                phase: pod.phase(),
                containers: pod.container_ends(),
            });
        }
    }

    /// The merge patch for labels that changed and gates that were lifted, if any.
    pub(super) fn patch(&mut self, event: &ObjectEvent) -> Option<Value> {
        let pod = PodView(&event.object);
        let mut patch = json!({});
        let labels = &pod.0["metadata"]["labels"];
        if *labels != self.labels {
            let changed = without_topology(merge_patch(&self.labels, labels));
            if changed != json!({}) {
                patch["metadata"]["labels"] = changed;
            }
            self.labels = labels.clone();
        }
        let gates = &pod.0["spec"]["schedulingGates"];
        if *gates != self.gates {
            patch["spec"]["schedulingGates"] = gates.to_value();
            self.gates = gates.clone();
        }
        patch.as_object().is_some_and(|p| !p.is_empty()).then_some(patch)
    }

    /// The behaviour, once the pod is gone (or the trace is over).
    pub(super) fn behaviour(mut self, gone_at: Option<TraceTime>) -> (String, PodBehaviour) {
        self.behaviour.termination = match (self.deleting_at, gone_at) {
            (Some(asked), Some(gone)) => gone.since(asked),
            _ => Duration::ZERO,
        };
        (self.id, self.behaviour)
    }
}
