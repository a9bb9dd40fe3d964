use std::collections::BTreeMap;

use super::world::{Counts, WorldState};
use crate::k8s::{ConnectOptions, K8sError, component_client};

/// What the scheduler's `/metrics` say about its queues and about the events it has handled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SchedulerView {
    /// `scheduler_pending_pods` by queue.
    queues: BTreeMap<String, i64>,
    /// `scheduler_event_handling_duration_seconds_count` by event.
    events: BTreeMap<String, u64>,
}

impl SchedulerView {
    /// Reads the Prometheus text format; lines about anything else are passed over.
    pub(super) fn parse(text: &str) -> SchedulerView {
        let mut view = SchedulerView::default();
        for line in text.lines() {
            if let Some(queue) = sample(line, "scheduler_pending_pods", "queue") {
                view.queues.insert(queue.0, queue.1 as i64);
            } else if let Some(event) =
                sample(line, "scheduler_event_handling_duration_seconds_count", "event")
            {
                view.events.insert(event.0, event.1 as u64);
            }
        }
        view
    }

    fn queue(&self, name: &str) -> i64 {
        self.queues.get(name).copied().unwrap_or(0)
    }

    fn event(&self, name: &str) -> u64 {
        self.events.get(name).copied().unwrap_or(0)
    }

    /// The same things that the observer counts, as the scheduler counts them (labels of
    /// `pkg/scheduler/framework/events.go`, v1.37.2).
    pub(super) fn counts(&self) -> Counts {
        Counts {
            pods_assigned: self.event("AssignedPodAdd"),
            assigned_pods_gone: self.event("AssignedPodDelete"),
            nodes_added: self.event("NodeAdd"),
            nodes_gone: self.event("NodeDelete"),
        }
    }

    /// Why the scheduler is not at rest, `None` where it is: it has handled all that the observer saw since
    /// `baseline`, its active and back-off queues are empty, and every pending pod lies in one of the others
    /// (a pod that is just being scheduled lies in none).
    pub(super) fn restless(
        &self,
        world: &WorldState,
        scheduler: &str,
        baseline: &Baseline,
    ) -> Option<&'static str> {
        let (seen, handled) = (world.counts, baseline.since(self.counts()));
        if handled.nodes_added < seen.nodes_added || handled.nodes_gone < seen.nodes_gone {
            return Some("the scheduler has not seen every change of nodes");
        }
        if handled.pods_assigned < seen.pods_assigned || handled.assigned_pods_gone < seen.assigned_pods_gone
        {
            return Some("the scheduler has not seen every bound or ended pod");
        }
        if self.queue("active") != 0 || self.queue("backoff") != 0 {
            return Some("pods wait in the scheduler's active or back-off queue");
        }
        let (pending, unmarked) = world
            .pending(scheduler)
            .fold((0, 0), |(all, unmarked), pod| (all + 1, unmarked + i64::from(!pod.marked)));
        if unmarked > 0 {
            return Some("a pod is neither bound nor marked unschedulable");
        }
        if self.queue("unschedulable") + self.queue("gated") != pending {
            return Some("a pod is being scheduled");
        }
        None
    }
}

/// What the scheduler had counted before the run, less what was there to see: a cluster may be older than the run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Baseline {
    before: Counts,
}

impl Baseline {
    /// From the scheduler's counts and the observer's at the same moment of rest.
    pub(super) fn new(scheduler: Counts, seen: Counts) -> Baseline {
        Baseline {
            before: Counts {
                pods_assigned: scheduler.pods_assigned.saturating_sub(seen.pods_assigned),
                assigned_pods_gone: scheduler.assigned_pods_gone.saturating_sub(seen.assigned_pods_gone),
                nodes_added: scheduler.nodes_added.saturating_sub(seen.nodes_added),
                nodes_gone: scheduler.nodes_gone.saturating_sub(seen.nodes_gone),
            },
        }
    }

    fn since(&self, now: Counts) -> Counts {
        Counts {
            pods_assigned: now.pods_assigned.saturating_sub(self.before.pods_assigned),
            assigned_pods_gone: now.assigned_pods_gone.saturating_sub(self.before.assigned_pods_gone),
            nodes_added: now.nodes_added.saturating_sub(self.before.nodes_added),
            nodes_gone: now.nodes_gone.saturating_sub(self.before.nodes_gone),
        }
    }
}

/// `name{label="VALUE"} NUMBER`, where the line is such a sample.
fn sample(line: &str, name: &str, label: &str) -> Option<(String, f64)> {
    let labels = line.strip_prefix(name)?.strip_prefix('{')?;
    let (labels, value) = labels.split_once('}')?;
    let wanted = format!("{label}=\"");
    let at = labels.find(&wanted)? + wanted.len();
    let text = labels[at..].split('"').next()?;
    Some((text.to_owned(), value.trim().parse().ok()?))
}

/// Asks a scheduler for its metrics.
#[derive(Clone)]
pub struct SchedulerProbe {
    client: kube::Client,
    url: String,
}

impl std::fmt::Debug for SchedulerProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SchedulerProbe").field("url", &self.url).finish_non_exhaustive()
    }
}

impl SchedulerProbe {
    /// A probe of the scheduler at `url`, with the credentials and the CA of the kubeconfig.
    ///
    /// # Errors
    /// [`K8sError`] where the metrics cannot be read.
    pub async fn connect(options: &ConnectOptions, url: &str) -> Result<SchedulerProbe, K8sError> {
        let probe = SchedulerProbe { client: component_client(options, url).await?, url: url.to_owned() };
        probe.look().await?;
        Ok(probe)
    }

    /// One scrape.
    pub(super) async fn look(&self) -> Result<SchedulerView, K8sError> {
        let broken = |what: String| K8sError::Transport { doing: format!("GET {}/metrics", self.url), what };
        let request = http::Request::get("/metrics").body(Vec::new()).map_err(|e| broken(e.to_string()))?;
        let text = self.client.request_text(request).await.map_err(|e| broken(e.to_string()))?;
        Ok(SchedulerView::parse(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"
# HELP scheduler_pending_pods [STABLE] Number of pending pods
scheduler_pending_pods{queue="active"} 0
scheduler_pending_pods{queue="backoff"} 2
scheduler_pending_pods{queue="unschedulable"} 3
scheduler_event_handling_duration_seconds_bucket{event="NodeAdd",le="0.0001"} 7
scheduler_event_handling_duration_seconds_count{event="NodeAdd"} 9
scheduler_event_handling_duration_seconds_count{event="AssignedPodAdd"} 1.2e+01
"#;

    #[test]
    fn metrics_are_read() {
        let view = SchedulerView::parse(METRICS);
        assert_eq!((view.queue("backoff"), view.queue("unschedulable"), view.queue("gated")), (2, 3, 0));
        assert_eq!((view.counts().nodes_added, view.counts().pods_assigned), (9, 12));
    }

    #[test]
    fn rest_needs_every_event_handled_and_every_pod_in_its_queue() {
        let mut view = SchedulerView::parse(METRICS);
        let mut world = WorldState::default();
        let baseline = Baseline::new(view.counts(), world.counts);
        assert_eq!(
            view.restless(&world, "s", &baseline),
            Some("pods wait in the scheduler's active or back-off queue")
        );
        view.queues.insert("backoff".into(), 0);
        assert_eq!(view.restless(&world, "s", &baseline), Some("a pod is being scheduled"));
        view.queues.insert("unschedulable".into(), 0);
        assert_eq!(view.restless(&world, "s", &baseline), None);
        world.counts.nodes_added = 1;
        assert!(view.restless(&world, "s", &baseline).is_some());
        view.events.insert("NodeAdd".into(), 10);
        assert_eq!(view.restless(&world, "s", &baseline), None);
    }
}
