use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::admission::Placement;
use super::restart::{RestartPolicy, Restarts};
use crate::hollow::seen::{SeenContainer, SeenPod, SeenResources};
use crate::model::Text;

/// A container as its pod's spec has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::hollow) struct ContainerShape {
    pub(in crate::hollow) name: Text,
    pub(in crate::hollow) image: Text,
    /// An init container that goes on running (KEP-753).
    pub(super) is_sidecar: bool,
    /// What follows when it exits.
    pub(super) restarts: Restarts,
    /// From its start, by its startup probe.
    pub(super) started_after: Duration,
    /// From its start, by all its probes.
    pub(super) ready_after: Duration,
    /// From when its pod is deleted until it is asked to stop, by its hook.
    pub(super) pre_stop: Duration,
    pub(in crate::hollow) resources: SeenResources,
}

/// What pods of one workload have in common; kept once for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::hollow) struct PodShape {
    /// Init containers first, in their order.
    pub(in crate::hollow) containers: Vec<ContainerShape>,
    /// How many of them are init containers.
    pub(in crate::hollow) inits: usize,
    pub(in crate::hollow) host_network: bool,
    /// Types of the conditions that somebody else sets before the pod is ready.
    pub(super) gates: Vec<Text>,
    /// `spec.activeDeadlineSeconds`.
    pub(super) deadline: Option<u64>,
    /// Where it may run, and what it needs there.
    pub(in crate::hollow) placement: Placement,
}

impl PodShape {
    pub(super) fn of(pod: &SeenPod) -> PodShape {
        let spec = &pod.spec;
        let policy = RestartPolicy::named(&spec.restart_policy).unwrap_or(RestartPolicy::Always);
        let container = |(seen, is_init): (&SeenContainer, bool)| ContainerShape {
            name: seen.name.clone(),
            image: seen.image.clone(),
            is_sidecar: is_init && seen.is_sidecar(),
            restarts: Restarts::of(seen, is_init, policy),
            started_after: seen.started_after(),
            ready_after: seen.ready_after(),
            pre_stop: seen.pre_stop(),
            resources: seen.resources.clone(),
        };
        let inits = spec.init_containers.iter().map(|seen| (seen, true));
        PodShape {
            containers: inits
                .chain(spec.containers.iter().map(|seen| (seen, false)))
                .map(container)
                .collect(),
            inits: spec.init_containers.len(),
            host_network: spec.host_network,
            gates: spec.readiness_gates.iter().map(|gate| gate.condition_type.clone()).collect(),
            deadline: spec.active_deadline_seconds,
            placement: Placement::of(pod),
        }
    }

    /// Which readiness gates are open, as bits in the order of the spec.
    pub(in crate::hollow) fn open_gates(&self, pod: &SeenPod) -> u32 {
        let is_open =
            |gate: &Text| pod.status.conditions.iter().any(|c| c.kind == *gate && c.status == "True");
        let bits = self.gates.iter().take(32).enumerate();
        bits.filter(|(_, gate)| is_open(gate)).fold(0, |open, (n, _)| open | 1 << n)
    }

    /// Whether the resources of a container differ, which is all that a running pod's spec can change here.
    pub(in crate::hollow) fn is_resized(&self, other: &PodShape) -> bool {
        let pairs = self.containers.iter().zip(&other.containers);
        pairs.into_iter().any(|(a, b)| a.resources != b.resources)
    }
}

/// All shapes in use, each once.
#[derive(Debug, Default)]
pub(in crate::hollow) struct Shapes {
    known: HashSet<Arc<PodShape>>,
    /// How many there were when unused ones were last dropped.
    kept: usize,
}

impl Shapes {
    /// The shape of a pod.
    pub(in crate::hollow) fn of(&mut self, pod: &SeenPod) -> Arc<PodShape> {
        let shape = PodShape::of(pod);
        if let Some(known) = self.known.get(&shape) {
            return known.clone();
        }
        if self.known.len() >= 2 * self.kept + 64 {
            self.known.retain(|shape| Arc::strong_count(shape) > 1);
            self.kept = self.known.len();
        }
        let shape = Arc::new(shape);
        self.known.insert(shape.clone());
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(image: &str) -> SeenPod {
        serde_json::from_value(
            json!({"spec": {"nodeName": "n", "containers": [{"name": "c", "image": image}]}}),
        )
        .unwrap()
    }

    #[test]
    fn pods_alike_share_a_shape_and_unused_ones_go() {
        let mut shapes = Shapes::default();
        assert!(Arc::ptr_eq(&shapes.of(&pod("a")), &shapes.of(&pod("a"))));
        let kept = shapes.of(&pod("kept"));
        for n in 0..1000 {
            shapes.of(&pod(&format!("image-{n}")));
        }
        assert!(shapes.known.len() < 200, "{}", shapes.known.len());
        assert!(Arc::ptr_eq(&kept, &shapes.of(&pod("kept"))));
    }
}
