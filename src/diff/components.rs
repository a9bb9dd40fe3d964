//! What the control plane's components said of themselves in a run: objects of the kind [`METRICS_KIND`], one record a look
//! at one component's `/metrics`. `docs/report.md`, "Metrics of components", describes the fields.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::ObjectEvent;

/// Kind of the objects that hold metrics, as in [`ObjectKey::kind`](crate::model::ObjectKey::kind).
pub const METRICS_KIND: &str = "ComponentMetrics.kubereel.dev";

/// When a process was started, seconds since the Unix epoch, as Prometheus client libraries tell it.
const STARTED: &str = "process_start_time_seconds";

/// Start times are known to about a second (`/proc` counts from the machine's boot, which is known in whole seconds).
const SAME_START: f64 = 2.0;

/// Finds components that were started during a run.
#[derive(Debug, Default)]
pub(super) struct Starts {
    first: BTreeMap<String, f64>,
    later: BTreeMap<String, f64>,
}

impl Starts {
    pub(super) fn add(&mut self, event: &ObjectEvent) {
        let Some(started) = event.object["series"][STARTED].as_f64() else { return };
        let component = event.key.name.to_string();
        let first = *self.first.entry(component.clone()).or_insert(started);
        if started > first + SAME_START {
            let latest = self.later.entry(component).or_insert(started);
            *latest = latest.max(started);
        }
    }

    /// Components that run since a moment of the run. One of several servers behind an address may be younger than the
    /// first that answered: that is no restart unless it is younger than the run.
    pub(super) fn during(self, run_started_wall_ns: i64) -> BTreeSet<String> {
        let run_started = run_started_wall_ns as f64 / 1e9;
        self.later.into_iter().filter(|(_, at)| *at > run_started).map(|(component, _)| component).collect()
    }
}
