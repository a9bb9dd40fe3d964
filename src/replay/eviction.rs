//! What the taint eviction controller and pod garbage collection would do, in virtual time: their own timers run on the
//! wall clock, so in lockstep they would strike between any two actions.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{DisruptionReason, Json, ObjectKey, PodView, Taint, TraceTime};

/// How long a pod stays bound to a node that is gone (`pkg/controller/podgc/gc_controller.go`, v1.37.2,
/// `quarantineTime`).
const QUARANTINE: Duration = Duration::from_secs(40);

/// The end of a pod that the control plane brings about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Eviction {
    pub(super) at: TraceTime,
    pub(super) key: ObjectKey,
    pub(super) uid: String,
    /// The node that it is on.
    node: String,
    /// The node is gone: nobody is there to end the pod gracefully.
    pub(super) orphaned: bool,
}

impl Eviction {
    /// Why, as the `DisruptionTarget` condition says it.
    pub(super) fn reason(&self) -> DisruptionReason {
        if self.orphaned {
            DisruptionReason::DeletionByPodGC
        } else {
            DisruptionReason::DeletionByTaintManager
        }
    }
}

/// Evictions to come, by time and name.
#[derive(Debug, Default)]
pub(super) struct Evictions {
    armed: BTreeSet<Eviction>,
}

impl Evictions {
    /// A node has these `NoExecute` taints now; `pods` are bound to it. Earlier evictions from it are void.
    pub(super) fn tainted(&mut self, node: &str, at: TraceTime, taints: &[Taint], pods: &[Json]) {
        self.armed.retain(|eviction| eviction.node != node || eviction.orphaned);
        for pod in pods {
            if let Some(after) = stays(pod, taints) {
                self.arm(node, at + after, pod, false);
            }
        }
    }

    /// A node is gone; `pods` were bound to it.
    pub(super) fn orphaned(&mut self, node: &str, at: TraceTime, pods: &[Json]) {
        self.armed.retain(|eviction| eviction.node != node);
        for pod in pods {
            self.arm(node, at + QUARANTINE, pod, true);
        }
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<TraceTime> {
        self.armed.first().map(|eviction| eviction.at)
    }

    /// The next one.
    pub(super) fn pop(&mut self) -> Option<Eviction> {
        self.armed.pop_first()
    }

    fn arm(&mut self, node: &str, at: TraceTime, pod: &Json, orphaned: bool) {
        let Some(key) = ObjectKey::of(pod) else { return };
        let uid = PodView(pod).uid().to_owned();
        self.armed.insert(Eviction { at, key, uid, node: node.to_owned(), orphaned });
    }
}

/// How long a pod stays on a node with these taints, `None` for ever: at once where one is not tolerated, else the
/// shortest of the tolerations (`pkg/controller/tainteviction/taint_eviction.go`, v1.37.2, `processPodOnNode` and
/// `getMinTolerationTime`).
fn stays(pod: &Json, taints: &[Taint]) -> Option<Duration> {
    let tolerations = pod["spec"]["tolerations"].items();
    let no_execute = taints.iter().filter(|taint| taint.effect == "NoExecute");
    let mut shortest: Option<Duration> = None;
    for taint in no_execute {
        let Some(toleration) = tolerations.iter().find(|t| tolerates(t, taint)) else {
            return Some(Duration::ZERO);
        };
        if let Some(seconds) = toleration["tolerationSeconds"].as_i64() {
            let time = Duration::from_secs(seconds.max(0).unsigned_abs());
            shortest = Some(shortest.map_or(time, |s| s.min(time)));
        }
    }
    shortest
}

/// `k8s.io/component-helpers/scheduling/corev1/helpers.go` (v0.37.2), `TolerationsTolerateTaint`, for the operators
/// `Equal` (the default) and `Exists`.
fn tolerates(toleration: &Json, taint: &Taint) -> bool {
    let text = |field: &str| toleration[field].as_str().unwrap_or_default();
    let effect = text("effect").is_empty() || text("effect") == taint.effect;
    let key = text("key").is_empty() || text("key") == taint.key;
    let value = text("operator") == "Exists" || text("value") == taint.value;
    effect && key && value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ReadyStatus;
    use crate::model::Text;
    use crate::replay::tainting::readiness_taints;
    use serde_json::json;

    fn pod(name: &str, tolerations: &serde_json::Value) -> Json {
        Json::from(json!({"apiVersion": "v1", "kind": "Pod", "spec": {"tolerations": tolerations},
            "metadata": {"name": name, "namespace": "a", "uid": name}}))
    }

    fn seconds(evictions: &mut Evictions) -> Vec<(Text, f64)> {
        std::iter::from_fn(|| evictions.pop()).map(|e| (e.key.name, e.at.as_secs_f64())).collect()
    }

    #[test]
    fn tolerations_decide_how_long_a_pod_stays() {
        let unreachable =
            json!({"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"});
        let mut for_five = unreachable.clone();
        for_five["tolerationSeconds"] = 5.into();
        let pods =
            [pod("forever", &json!([unreachable])), pod("five", &json!([for_five])), pod("none", &json!([]))];
        let taints = readiness_taints(ReadyStatus::Unknown);
        let mut evictions = Evictions::default();
        evictions.tainted("n", TraceTime::from_millis(1_000), &taints, &pods);
        assert_eq!(evictions.next_due(), Some(TraceTime::from_millis(1_000)));
        assert_eq!(seconds(&mut evictions), [("none".into(), 1.0), ("five".into(), 6.0)]);
    }

    #[test]
    fn a_node_that_recovers_keeps_its_pods_and_one_that_goes_loses_them_all() {
        let mut for_five = json!({"operator": "Exists", "tolerationSeconds": 5});
        let pods = [pod("p", &json!([for_five.take()]))];
        let taints = readiness_taints(ReadyStatus::False);
        let mut evictions = Evictions::default();
        evictions.tainted("n", TraceTime::ZERO, &taints, &pods);
        evictions.tainted("n", TraceTime::from_millis(2_000), &[], &pods);
        assert_eq!(evictions.next_due(), None);
        evictions.tainted("n", TraceTime::ZERO, &taints, &pods);
        evictions.orphaned("n", TraceTime::from_millis(3_000), &pods);
        assert_eq!(seconds(&mut evictions), [("p".into(), 43.0)]);
    }
}
