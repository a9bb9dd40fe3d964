//! Runs written by hand, in the words of the domain: `run.pod("a").added(1).bound(2, "n1").running(3)`. Times are
//! milliseconds.

use std::convert::Infallible;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Facts, RunFacts, UNSETTLED_FACT};
use crate::model::{
    ActionKind, ActionReport, Gap, GapReason, ID_ANNOTATION, ObjectEvent, ObjectKey, PhaseMark, Record,
    RunPhase, TraceTime, Verb,
};

/// A run in the making.
pub(crate) struct Run {
    pub(crate) run: RunFacts,
    records: Vec<Record>,
}

impl Run {
    pub(crate) fn in_mode(reel: &str, mode: &str) -> Run {
        let run = RunFacts {
            reel: reel.to_owned(),
            trace_digest: Some("sha256:1".to_owned()),
            plan_digest: None,
            scheduler_version: Some("v1.37.2".to_owned()),
            mode: Some(mode.to_owned()),
            speed: None,
            tie_break: None,
            sealed: true,
            tool_version: Some("0.1.0".to_owned()),
            started_wall_ns: 0,
            max_lateness: None,
            client_qps: None,
        };
        Run { run, records: Vec::new() }
    }

    pub(crate) fn lockstep(reel: &str) -> Run {
        Run::in_mode(reel, "lockstep")
    }

    /// A node of a class of its own where `cpu` is.
    pub(crate) fn node(&mut self, name: &str, cpu: &str, zone: &str) -> &mut Run {
        let labels = json!({"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone});
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "status": {"allocatable": {"cpu": cpu}}});
        self.event(0, Verb::Initial, false, object);
        self
    }

    /// Any object that was there.
    pub(crate) fn object(&mut self, at: u64, object: Value) -> &mut Run {
        self.event(at, Verb::Initial, false, object);
        self
    }

    pub(crate) fn phase(&mut self, at: u64, phase: RunPhase) -> &mut Run {
        let facts = std::collections::BTreeMap::new();
        self.records.push(Record::Phase(PhaseMark { at: TraceTime::from_millis(at), phase, facts }));
        self
    }

    pub(crate) fn unsettled(&mut self, at: u64, steps: u64) -> &mut Run {
        self.end_facts(at, &[(UNSETTLED_FACT, steps)])
    }

    /// The end of the run, with these numbers.
    pub(crate) fn end_facts(&mut self, at: u64, facts: &[(&str, u64)]) -> &mut Run {
        let facts = facts.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
        let mark = PhaseMark { at: TraceTime::from_millis(at), phase: RunPhase::End, facts };
        self.records.push(Record::Phase(mark));
        self
    }

    /// A look at a component that was started at a second of the wall clock.
    pub(crate) fn metrics(&mut self, at: u64, component: &str, started: u64) -> &mut Run {
        let object = json!({"apiVersion": "kubereel.dev/v1", "kind": "ComponentMetrics", "metadata": {"name": component},
            "series": {"process_start_time_seconds": started as f64}});
        self.event(at, Verb::Modified, false, object);
        self
    }

    pub(crate) fn gap(&mut self, at: u64) -> &mut Run {
        let at = TraceTime::from_millis(at);
        let (kind, detail) = ("Pod".to_owned(), String::new());
        self.records.push(Record::Gap(Gap { at, from: at, kind, reason: GapReason::Expired, detail }));
        self
    }

    pub(crate) fn action(&mut self, due: u64, late: u64, status: u16) -> &mut Run {
        let due = TraceTime::from_millis(due);
        let sent = due + Duration::from_millis(late);
        let key = ObjectKey { kind: "Pod".into(), namespace: Some("prod".into()), name: "p".into() };
        self.records.push(Record::Action(ActionReport {
            seq: 0,
            action: ActionKind::CreatePod,
            key,
            trace_at: due,
            due,
            sent,
            answered: sent,
            retries: 0,
            status,
            error: String::new(),
        }));
        self
    }

    /// What the scheduler said of an attempt.
    pub(crate) fn attempt(&mut self, at: u64, pod: &str, mut object: Value) -> &mut Run {
        object["apiVersion"] = "kubereel.dev/v1".into();
        object["kind"] = "SchedulingAttempt".into();
        object["metadata"] = json!({"name": pod, "namespace": "prod", "uid": format!("attempt-{at}")});
        self.event(at, Verb::Added, false, object);
        self
    }

    pub(crate) fn pod(&mut self, id: &str) -> Script<'_> {
        let uid = format!("{}-{id}", self.run.reel);
        let object = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": id, "namespace": "prod", "uid": uid, "labels": {"app": "web"},
                "annotations": {ID_ANNOTATION: id}},
            "spec": {}, "status": {"phase": "Pending"}});
        Script { run: self, object, inferred: false }
    }

    /// The facts; records in the order of their times.
    pub(crate) fn facts(&self) -> Facts {
        let mut records = self.records.clone();
        records.sort_by_key(Record::at);
        Facts::collect(self.run.clone(), records.into_iter().map(Ok::<_, Infallible>)).unwrap()
    }

    fn event(&mut self, at: u64, verb: Verb, inferred: bool, object: Value) {
        let event = ObjectEvent::new(TraceTime::from_millis(at), verb, object).unwrap();
        self.records.push(Record::Object(ObjectEvent { inferred, ..event }));
    }
}

/// The life of one pod; each step is one event.
pub(crate) struct Script<'r> {
    run: &'r mut Run,
    object: Value,
    inferred: bool,
}

impl Script<'_> {
    /// Sets a field by its JSON pointer's parts before the next event.
    pub(crate) fn with(mut self, part: &str, field: &str, value: Value) -> Self {
        self.object[part][field] = value;
        self
    }

    /// What follows was found after a gap.
    pub(crate) fn inferred(mut self) -> Self {
        self.inferred = true;
        self
    }

    pub(crate) fn seen(mut self) -> Self {
        self.inferred = false;
        self
    }

    pub(crate) fn initial(self, at: u64) -> Self {
        self.emit(at, Verb::Initial)
    }

    pub(crate) fn added(self, at: u64) -> Self {
        self.emit(at, Verb::Added)
    }

    pub(crate) fn on(self, node: &str) -> Self {
        self.with("spec", "nodeName", json!(node))
    }

    pub(crate) fn unscheduled(self, at: u64) -> Self {
        let conditions = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]);
        self.with("status", "conditions", conditions).emit(at, Verb::Modified)
    }

    pub(crate) fn bound(self, at: u64, node: &str) -> Self {
        self.on(node).emit(at, Verb::Modified)
    }

    pub(crate) fn running(self, at: u64) -> Self {
        self.with("status", "phase", json!("Running")).emit(at, Verb::Modified)
    }

    /// An event in which the pod is as it was made to be.
    pub(crate) fn changed(self, at: u64) -> Self {
        self.emit(at, Verb::Modified)
    }

    pub(crate) fn succeeded(self, at: u64) -> Self {
        self.with("status", "phase", json!("Succeeded")).emit(at, Verb::Modified)
    }

    pub(crate) fn preempted(self, at: u64) -> Self {
        let reason = "PreemptionByScheduler";
        let conditions = json!([{"type": "DisruptionTarget", "status": "True", "reason": reason}]);
        self.with("status", "conditions", conditions).emit(at, Verb::Modified).deleted(at + 1)
    }

    pub(crate) fn deleted(self, at: u64) -> Self {
        self.emit(at, Verb::Deleted)
    }

    /// A list no longer held the pod: of it there is only what names it.
    pub(crate) fn found_gone(self, at: u64) -> Self {
        let mut object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}});
        for field in ["name", "namespace", "uid"] {
            object["metadata"][field] = self.object["metadata"][field].clone();
        }
        self.run.event(at, Verb::Deleted, true, object);
        self
    }

    fn emit(self, at: u64, verb: Verb) -> Self {
        self.run.event(at, verb, self.inferred, self.object.clone());
        self
    }
}
