use std::sync::Arc;

use super::{Json, Map, Text, parse_quantity_milli};

/// What a pod asks of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Requests {
    /// CPU, thousandths of a core.
    pub cpu_milli: u64,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Extended resources and ephemeral storage, in thousandths of their units, sorted by name.
    pub others: Arc<[(Text, u64)]>,
}

impl Requests {
    /// What the scheduler counts for a pod: the sum over its containers and restartable init containers, or the
    /// largest that an init container and the restartable ones before it ask for; pod-level requests instead where
    /// they are; and the pod's overhead (`k8s.io/component-helpers/resource/helpers.go`, v0.37.2, `PodRequests`).
    pub fn of(pod: &Json) -> Requests {
        let spec = &pod["spec"];
        let mut sum = Sums::default();
        for container in spec["containers"].items() {
            sum.add(&container["resources"]["requests"]);
        }
        let (mut beside, mut most) = (Sums::default(), Sums::default());
        for container in spec["initContainers"].items() {
            let asked = &container["resources"]["requests"];
            if container["restartPolicy"] == "Always" {
                sum.add(asked);
                beside.add(asked);
                most.max(&beside);
            } else {
                let mut here = beside.clone();
                here.add(asked);
                most.max(&here);
            }
        }
        sum.max(&most);
        let own = &spec["resources"]["requests"];
        if !own.is_null() {
            sum.replace(own);
        }
        sum.add(&spec["overhead"]);
        let Sums(mut entries) = sum;
        let mut take = |name: &str| {
            let at = entries.iter().position(|(own, _)| own == name);
            at.map_or(0, |at| entries.remove(at).1)
        };
        let (cpu_milli, memory) = (take("cpu"), take("memory"));
        entries.retain(|(_, milli)| *milli > 0);
        entries.sort();
        Requests { cpu_milli, memory_bytes: memory / 1000, others: entries.into() }
    }

    /// Each resource asked for, with how much, in thousandths of its unit.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let known = [("cpu", self.cpu_milli), ("memory", self.memory_bytes.saturating_mul(1000))];
        let others = self.others.iter().map(|(name, milli)| (name.as_str(), *milli));
        known.into_iter().chain(others).filter(|(_, milli)| *milli > 0)
    }
}

/// Thousandths by resource; a pod has few.
#[derive(Debug, Clone, Default)]
struct Sums(Vec<(Text, u64)>);

impl Sums {
    fn add(&mut self, list: &Json) {
        self.each(list, u64::saturating_add);
    }

    fn replace(&mut self, list: &Json) {
        self.each(list, |_, new| new);
    }

    fn each(&mut self, list: &Json, join: impl Fn(u64, u64) -> u64) {
        for (name, quantity) in list.as_object().into_iter().flat_map(Map::iter) {
            let milli = milli(quantity);
            match self.0.iter_mut().find(|(own, _)| own == name) {
                Some((_, sum)) => *sum = join(*sum, milli),
                None => self.0.push((name.clone(), milli)),
            }
        }
    }

    fn max(&mut self, other: &Sums) {
        for (name, milli) in &other.0 {
            match self.0.iter_mut().find(|(own, _)| own == name) {
                Some((_, sum)) => *sum = (*sum).max(*milli),
                None => self.0.push((name.clone(), *milli)),
            }
        }
    }
}

fn milli(quantity: &Json) -> u64 {
    let value = quantity.as_str().and_then(parse_quantity_milli).unwrap_or(0);
    u64::try_from(value.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Json, Requests};
    use serde_json::json;

    fn asked(spec: &serde_json::Value) -> Requests {
        Requests::of(&Json::from(json!({"spec": spec})))
    }

    fn container(cpu: &str, memory: &str) -> serde_json::Value {
        json!({"resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    #[test]
    fn containers_add_up_and_a_larger_init_container_wins() {
        let found = asked(&json!({
            "containers": [container("250m", "1Mi"), container("1", "1Mi"), {"name": "asks for nothing"}],
            "initContainers": [container("100m", "8Mi")]}));
        assert_eq!((found.cpu_milli, found.memory_bytes), (1250, 8 * 1024 * 1024));
        assert_eq!(Requests::of(&json!({}).into()), Requests::default());
    }

    #[test]
    fn restartable_init_containers_run_beside_what_comes_after_them() {
        let mut sidecar = container("200m", "1");
        sidecar["restartPolicy"] = "Always".into();
        let found = asked(&json!({"containers": [container("100m", "1")],
            "initContainers": [sidecar, container("500m", "1")]}));
        assert_eq!(found.cpu_milli, 700);
    }

    #[test]
    fn pod_level_requests_overhead_and_extended_resources_count() {
        let mut gpu = container("1", "1Gi");
        gpu["resources"]["requests"]["nvidia.com/gpu"] = "2".into();
        let found = asked(&json!({"containers": [gpu], "resources": {"requests": {"cpu": "3"}},
            "overhead": {"cpu": "50m"}}));
        assert_eq!(found.cpu_milli, 3050);
        let each: Vec<_> = found.iter().collect();
        assert_eq!(each[2], ("nvidia.com/gpu", 2000));
    }
}
