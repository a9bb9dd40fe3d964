//! What the control plane says of itself while a run plays: the metrics of its components, at the start, at intervals and
//! at the end, as records of the run's reel (`docs/report.md`, "Metrics of components").

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::k8s::{ConnectOptions, K8sError, component_client, fetch_text};
use crate::model::{Note, ObjectEvent, Record, Verb};
use crate::pace::Clock;
use crate::trace::Sink;

/// How long a component may take for its metrics.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// Families that are kept, by how their names begin: what processes use, and what requests, storage and scheduling cost.
const FAMILIES: &[&str] = &[
    "process_",
    "scheduler_",
    "apiserver_request_total",
    "apiserver_request_duration_seconds",
    "apiserver_current_inflight_requests",
    "apiserver_current_inqueue_requests",
    "apiserver_longrunning_requests",
    "apiserver_flowcontrol_rejected_requests_total",
    "apiserver_resource_objects",
    "apiserver_storage_objects",
    "etcd_request_duration_seconds",
    "etcd_disk_wal_fsync_duration_seconds",
    "etcd_disk_backend_commit_duration_seconds",
    "etcd_mvcc_db_total_size_in_bytes",
    "workqueue_depth",
];

/// A component of the control plane that tells its metrics.
#[derive(Clone)]
pub(super) struct Component {
    pub(super) name: String,
    pub(super) client: kube::Client,
}

/// The API server, by the connection of the run, and whatever else is known by name and address.
pub(super) async fn components(
    api_server: &kube::Client,
    connect: &ConnectOptions,
    others: &BTreeMap<String, String>,
) -> Result<Vec<Component>, K8sError> {
    let mut all = vec![Component { name: "kube-apiserver".to_owned(), client: api_server.clone() }];
    for (name, url) in others {
        all.push(Component { name: name.clone(), client: component_client(connect, url).await? });
    }
    Ok(all)
}

/// Looks at components until it is told to stop.
pub(super) struct Observer {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Observer {
    /// Looks once, and then again after each interval.
    pub(super) async fn start(
        components: Vec<Component>,
        every: Duration,
        clock: Arc<dyn Clock>,
        sink: Sink,
    ) -> Observer {
        let (stop, mut stopped) = watch::channel(false);
        let mut looker = Looker { components, clock, sink, looks: 0 };
        looker.first().await;
        let task = tokio::spawn(async move {
            while timeout(every, stopped.wait_for(|stopped| *stopped)).await.is_err() {
                looker.look().await;
            }
            looker.look().await;
        });
        Observer { stop, task }
    }

    /// Looks for the last time.
    pub(super) async fn finish(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::warn!("the last metrics of the control plane are missing: {error}");
        }
    }
}

struct Looker {
    components: Vec<Component>,
    clock: Arc<dyn Clock>,
    sink: Sink,
    looks: u64,
}

impl Looker {
    /// A component that does not let us look at the start is left out, which the reel then says.
    async fn first(&mut self) {
        let silent = self.look().await;
        for (name, error) in &silent {
            let text = format!("metrics of {name} not recorded: {error}");
            tracing::warn!("{text}");
            self.sink.push(Record::Note(Note { at: self.clock.now(), text }));
        }
        self.components.retain(|component| silent.iter().all(|(name, _)| *name != component.name));
    }

    /// Looks at all; returns those that did not answer, and why. One that is away for a while shows by its absence.
    async fn look(&mut self) -> Vec<(String, K8sError)> {
        let looks = self.components.iter().map(|component| async {
            (component.name.clone(), fetch_text(&component.client, "/metrics", ANSWERS_WITHIN).await)
        });
        let (verb, mut silent) = (if self.looks == 0 { Verb::Added } else { Verb::Modified }, Vec::new());
        self.looks += 1;
        for (name, page) in futures::future::join_all(looks).await {
            match page {
                Ok(page) => {
                    let object = object(&name, self.looks, &page);
                    let event = ObjectEvent::new(self.clock.now(), verb, object);
                    if let Some(event) = event {
                        self.sink.push(Record::Object(event));
                    }
                }
                Err(error) => silent.push((name, error)),
            }
        }
        silent
    }
}

/// The object that holds one look at a component.
fn object(name: &str, looks: u64, page: &str) -> Value {
    json!({"apiVersion": "kubereel.dev/v1", "kind": "ComponentMetrics",
        "metadata": {"name": name, "uid": format!("metrics-{name}"), "resourceVersion": looks.to_string()},
        "series": series(page)})
}

/// The series of a page in the Prometheus text format that are kept. Of histograms their sums and counts are, and the
/// buckets of the scheduler's.
fn series(page: &str) -> BTreeMap<&str, f64> {
    let kept = |line: &&str| FAMILIES.iter().any(|family| line.starts_with(family));
    page.lines()
        .filter(kept)
        .filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let name = series.split('{').next().unwrap_or(series);
            let is_kept = !name.ends_with("_bucket") || name.starts_with("scheduler_");
            let value: f64 = value.parse().ok().filter(|value: &f64| value.is_finite())?;
            is_kept.then_some((series, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"
# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.
process_cpu_seconds_total 1.25
process_start_time_seconds 1.79556e+09
go_goroutines 2000
apiserver_request_duration_seconds_bucket{verb="GET",le="0.1"} 7
apiserver_request_duration_seconds_sum{verb="GET"} 0.5
scheduler_pod_scheduling_sli_duration_seconds_bucket{attempts="1",le="0.01"} 3
scheduler_goroutines{operation="binding"} NaN
"#;

    #[test]
    fn what_matters_of_a_page_is_kept() {
        let kept = series(PAGE);
        assert_eq!(
            kept.into_iter().collect::<Vec<_>>(),
            [
                ("apiserver_request_duration_seconds_sum{verb=\"GET\"}", 0.5),
                ("process_cpu_seconds_total", 1.25),
                ("process_start_time_seconds", 1.795_56e9),
                ("scheduler_pod_scheduling_sli_duration_seconds_bucket{attempts=\"1\",le=\"0.01\"}", 3.0),
            ]
        );
    }
}
