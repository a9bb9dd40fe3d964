use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::world::{Counts, WorldState};
use crate::k8s::{ConnectOptions, K8sError, component_client, fetch_text};

/// How long a scheduler may take to tell its metrics.
const LOOKS_WITHIN: Duration = Duration::from_secs(30);

/// Labels of the events that [`Counts::node_updates`] counts.
const NODE_UPDATES: &[&str] =
    &["NodeUpdateNodeAllocatable", "NodeUpdateNodeLabel", "NodeUpdateNodeTaint", "NodeUpdateNodeCondition"];

/// Labels of the events that [`Counts::pending_updates`] counts: since v1.37, and before.
const PENDING_UPDATES: &[&str] = &["UnscheduledPodUpdate", "UnschedulablePodUpdate"];

/// Labels of the events that [`Counts::pending_gone`] counts: since v1.37, and before.
const PENDING_GONE: &[&str] = &["UnscheduledPodDelete", "UnschedulablePodDelete"];

/// What the scheduler's `/metrics` say about its queues and about the events it has handled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SchedulerView {
    /// `scheduler_pending_pods` by queue.
    queues: BTreeMap<String, i64>,
    /// `scheduler_event_handling_duration_seconds_count` by event.
    events: BTreeMap<String, u64>,
    /// `scheduler_preemption_victims_count`: preemptions decided.
    preemptions: u64,
    /// `scheduler_preemption_victims_sum`: their victims.
    victims: u64,
    /// `scheduler_preemption_goroutines_execution_total`: preemptions carried out.
    executions: u64,
}

/// Why a scheduler is not at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restless {
    /// Events of nodes are on their way to it.
    Nodes,
    /// Events of bound or ended pods are on their way to it.
    Pods,
    /// Pods lie in its active or back-off queue.
    Queued,
    /// A pod is neither bound nor marked.
    Unmarked,
    /// A pod lies in no queue: it is being scheduled.
    Scheduling,
    /// A preemption is being carried out, a victim has not been seen going down, or a change of a node or of a waiting
    /// pod is on its way to it.
    Lagging,
}

impl fmt::Display for Restless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Restless::Nodes => "the scheduler has not seen every change of nodes",
            Restless::Pods => "the scheduler has not seen every bound or ended pod",
            Restless::Queued => "pods wait in the scheduler's active or back-off queue",
            Restless::Unmarked => "a pod is neither bound nor marked unschedulable",
            Restless::Scheduling => "a pod is being scheduled",
            Restless::Lagging => "a preemption is under way, or a change has not been seen",
        })
    }
}

/// Differences between what the scheduler decided and what came of it that have turned out to stay: it counts
/// victims that were going down already, for which nothing is left to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Slack {
    preemptions: i64,
    victims: i64,
    node_updates: i64,
    pending_updates: i64,
    pending_gone: i64,
}

impl Slack {
    /// Whether this lag is within what is allowed.
    fn is_within(self, allowed: Slack) -> bool {
        self.preemptions <= allowed.preemptions
            && self.victims <= allowed.victims
            && self.node_updates <= allowed.node_updates
            && self.pending_updates <= allowed.pending_updates
            && self.pending_gone <= allowed.pending_gone
    }

    /// What is still to be allowed at this lag: a lag that has gone was none to stay, but a scheduler that is ahead of
    /// the observer for a moment (below the `floor`, the lag at the start) does not count.
    pub(super) fn tightened(self, lag: Slack, floor: Slack) -> Slack {
        Slack {
            preemptions: self.preemptions.min(lag.preemptions).max(floor.preemptions),
            victims: self.victims.min(lag.victims).max(floor.victims),
            node_updates: self.node_updates.min(lag.node_updates).max(floor.node_updates),
            pending_updates: self.pending_updates.min(lag.pending_updates).max(floor.pending_updates),
            pending_gone: self.pending_gone.min(lag.pending_gone).max(floor.pending_gone),
        }
    }
}

impl SchedulerView {
    /// Reads the Prometheus text format; lines about anything else are passed over.
    pub(super) fn parse(text: &str) -> SchedulerView {
        let mut view = SchedulerView::default();
        for line in text.lines().filter(|line| line.starts_with("scheduler_")) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            match name {
                "scheduler_pending_pods" => {
                    view.queues.insert(label(labels, "queue"), value as i64);
                }
                "scheduler_event_handling_duration_seconds_count" => {
                    view.events.insert(label(labels, "event"), value as u64);
                }
                "scheduler_preemption_victims_count" => view.preemptions = value as u64,
                "scheduler_preemption_victims_sum" => view.victims = value as u64,
                "scheduler_preemption_goroutines_execution_total" => view.executions += value as u64,
                _ => {}
            }
        }
        view
    }

    /// How far preemptions and their victims lag behind what was decided.
    pub(super) fn lag(&self, world: &WorldState) -> Slack {
        Slack {
            preemptions: self.preemptions as i64 - self.executions as i64,
            victims: self.victims as i64 - world.counts.victims as i64,
            node_updates: world.counts.node_updates as i64 - self.sum(NODE_UPDATES),
            pending_updates: world.counts.pending_updates as i64 - self.sum(PENDING_UPDATES),
            pending_gone: world.counts.pending_gone as i64 - self.sum(PENDING_GONE),
        }
    }

    fn sum(&self, events: &[&str]) -> i64 {
        events.iter().map(|event| self.event(event) as i64).sum()
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
            victims: 0,
            node_updates: 0,
            pending_updates: 0,
            pending_gone: 0,
        }
    }

    /// Why the scheduler is not at rest, `None` where it is: it has handled all that the observer saw since
    /// `baseline`, its active and back-off queues are empty, every pending pod lies in one of the others (a pod that
    /// is just being scheduled lies in none), and preemptions lag no more than `slack`.
    pub(super) fn restless(
        &self,
        world: &WorldState,
        scheduler: &str,
        baseline: &Baseline,
        slack: Slack,
    ) -> Option<Restless> {
        let (seen, handled) = (world.counts, baseline.since(self.counts()));
        if handled.nodes_added < seen.nodes_added || handled.nodes_gone < seen.nodes_gone {
            return Some(Restless::Nodes);
        }
        if handled.pods_assigned < seen.pods_assigned || handled.assigned_pods_gone < seen.assigned_pods_gone
        {
            return Some(Restless::Pods);
        }
        if self.queue("active") != 0 || self.queue("backoff") != 0 {
            return Some(Restless::Queued);
        }
        let (pending, unmarked) = world
            .pending(scheduler)
            .fold((0, 0), |(all, unmarked), pod| (all + 1, unmarked + i64::from(!pod.marked)));
        if unmarked > 0 {
            return Some(Restless::Unmarked);
        }
        if self.queue("unschedulable") + self.queue("gated") != pending {
            return Some(Restless::Scheduling);
        }
        (!self.lag(world).is_within(slack)).then_some(Restless::Lagging)
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
                victims: 0,
                node_updates: 0,
                pending_updates: 0,
                pending_gone: 0,
            },
        }
    }

    fn since(&self, now: Counts) -> Counts {
        Counts {
            pods_assigned: now.pods_assigned.saturating_sub(self.before.pods_assigned),
            assigned_pods_gone: now.assigned_pods_gone.saturating_sub(self.before.assigned_pods_gone),
            nodes_added: now.nodes_added.saturating_sub(self.before.nodes_added),
            nodes_gone: now.nodes_gone.saturating_sub(self.before.nodes_gone),
            victims: 0,
            node_updates: 0,
            pending_updates: 0,
            pending_gone: 0,
        }
    }
}

/// The value of a label in `a="x",b="y"}`.
fn label(labels: &str, name: &str) -> String {
    let wanted = format!("{name}=\"");
    let value = labels.split_once(&wanted).and_then(|(_, rest)| rest.split('"').next());
    value.unwrap_or_default().to_owned()
}

/// Asks a scheduler for its metrics.
#[derive(Clone)]
pub struct SchedulerProbe {
    client: kube::Client,
    url: String,
}

impl fmt::Debug for SchedulerProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        let text = fetch_text(&self.client, "/metrics", LOOKS_WITHIN).await;
        let broken = |e: K8sError| K8sError::Transport { doing: self.url.clone(), what: e.to_string() };
        Ok(SchedulerView::parse(&text.map_err(broken)?))
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
scheduler_preemption_victims_sum 5
scheduler_preemption_victims_count 2
scheduler_preemption_goroutines_execution_total{result="success"} 1
"#;

    #[test]
    fn metrics_are_read() {
        let view = SchedulerView::parse(METRICS);
        assert_eq!((view.queue("backoff"), view.queue("unschedulable"), view.queue("gated")), (2, 3, 0));
        assert_eq!((view.counts().nodes_added, view.counts().pods_assigned), (9, 12));
        assert_eq!((view.preemptions, view.victims, view.executions), (2, 5, 1));
    }

    #[test]
    fn rest_needs_every_event_handled_and_every_pod_in_its_queue() {
        let mut view = SchedulerView::parse(METRICS);
        let mut world = WorldState::default();
        let baseline = Baseline::new(view.counts(), world.counts);
        let look =
            |view: &SchedulerView, world: &WorldState, slack| view.restless(world, "s", &baseline, slack);
        let none = Slack::default();
        assert_eq!(look(&view, &world, none), Some(Restless::Queued));
        view.queues.insert("backoff".into(), 0);
        assert_eq!(look(&view, &world, none), Some(Restless::Scheduling));
        view.queues.insert("unschedulable".into(), 0);
        assert_eq!(look(&view, &world, none), Some(Restless::Lagging));
        assert_eq!(look(&view, &world, view.lag(&world)), None);
        (view.executions, world.counts.victims) = (2, 5);
        assert_eq!(look(&view, &world, none), None);
        world.counts.nodes_added = 1;
        assert_eq!(look(&view, &world, none), Some(Restless::Nodes));
        view.events.insert("NodeAdd".into(), 10);
        assert_eq!(look(&view, &world, none), None);
    }
}
