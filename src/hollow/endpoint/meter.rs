use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::usage::{ContainerUsage, IDLE_CORES, IDLE_MEMORY_BYTES, containers};
use crate::model::{Json, PodView, Text};

/// CPU time that only grows, whatever becomes of the usage, as cgroup counters do.
#[derive(Debug, Clone, Copy)]
struct Meter {
    started: DateTime<Utc>,
    read: DateTime<Utc>,
    core_seconds: f64,
}

impl Meter {
    fn new(started: DateTime<Utc>) -> Meter {
        Meter { started, read: started, core_seconds: 0.0 }
    }

    fn advance(&mut self, now: DateTime<Utc>, cores: f64) -> f64 {
        // The wall clock may step back.
        self.core_seconds += cores * seconds(now - self.read).max(0.0);
        self.read = now.max(self.read);
        self.core_seconds
    }
}

/// Length of a time in seconds.
pub(super) fn seconds(time: chrono::TimeDelta) -> f64 {
    time.as_seconds_f64()
}

/// One thing's use of CPU and memory.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Reading {
    pub(super) cores: f64,
    pub(super) core_seconds: f64,
    pub(super) memory_bytes: f64,
}

impl std::ops::AddAssign for Reading {
    fn add_assign(&mut self, other: Reading) {
        self.cores += other.cores;
        self.core_seconds += other.core_seconds;
        self.memory_bytes += other.memory_bytes;
    }
}

/// What a container uses and has used.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ContainerReading {
    pub(super) name: Text,
    pub(super) started: DateTime<Utc>,
    pub(super) used: Reading,
}

/// What a pod with running containers uses and has used.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PodReading {
    pub(super) pod: Json,
    pub(super) containers: Vec<ContainerReading>,
    pub(super) used: Reading,
}

/// What a node and its pods use and have used, at one instant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NodeReading {
    pub(super) at: DateTime<Utc>,
    pub(super) started: DateTime<Utc>,
    pub(super) pods: Vec<PodReading>,
    pub(super) used: Reading,
}

/// The meters of one node: its own, and one for each container that ran at the last reading.
#[derive(Debug)]
pub(super) struct Meters {
    node: Meter,
    containers: HashMap<(Text, Text), Meter>,
}

impl Meters {
    /// Of a node that started then.
    pub(super) fn new(started: DateTime<Utc>) -> Meters {
        Meters { node: Meter::new(started), containers: HashMap::new() }
    }

    /// Reads all meters. Those of containers that are gone are forgotten.
    pub(super) fn read(&mut self, pods: Vec<Json>, now: DateTime<Utc>) -> NodeReading {
        let before = std::mem::take(&mut self.containers);
        let read = pods.into_iter().map(|pod| self.read_pod(pod, &before, now));
        let pods: Vec<PodReading> = read.filter(|pod| !pod.containers.is_empty()).collect();
        let mut used = Reading { cores: IDLE_CORES, core_seconds: 0.0, memory_bytes: IDLE_MEMORY_BYTES };
        for pod in &pods {
            used += pod.used;
        }
        used.core_seconds = self.node.advance(now, used.cores);
        NodeReading { at: now, started: self.node.started, pods, used }
    }

    fn read_pod(
        &mut self,
        pod: Json,
        before: &HashMap<(Text, Text), Meter>,
        now: DateTime<Utc>,
    ) -> PodReading {
        let uid = Text::from(PodView(&pod).uid());
        let mut used = Reading::default();
        let read = |ContainerUsage { name, started, cores, memory_bytes }| {
            let key = (uid.clone(), name);
            // A container that was started again begins at zero.
            let known = before.get(&key).filter(|meter| meter.started == started);
            let mut meter = known.copied().unwrap_or_else(|| Meter::new(started));
            let reading = Reading { cores, core_seconds: meter.advance(now, cores), memory_bytes };
            used += reading;
            self.containers.insert(key.clone(), meter);
            ContainerReading { name: key.1, started, used: reading }
        };
        let containers = containers(&pod).into_iter().map(read).collect();
        PodReading { pod, containers, used }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hollow::endpoint::usage::{USAGE_CPU, tests::pod};

    fn nanos(used: Reading) -> i64 {
        (used.core_seconds * 1e9).round() as i64
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn counters_grow_by_the_usage_and_never_shrink() {
        let mut meters = Meters::new(at(0));
        let first = meters.read(vec![pod().into()], at(20));
        let main = &first.pods[0].containers[0];
        assert_eq!((main.name.as_str(), nanos(main.used)), ("main", 15_000_000_000), "10 s at 1.5 cores");
        assert_eq!(nanos(first.pods[0].used), 20_019_531_250);
        assert_eq!(nanos(first.used), 40_078_125_000, "the node has run for 20 s");

        let mut busier = pod();
        busier["metadata"]["annotations"] = serde_json::json!({USAGE_CPU[0]: "30m"});
        let second = meters.read(vec![busier.into()], at(30));
        assert_eq!(nanos(second.pods[0].containers[0].used), 15_100_000_000);
        let third = meters.read(vec![pod().into()], at(25));
        assert_eq!(nanos(third.pods[0].containers[0].used), 15_100_000_000, "the clock went back");
    }

    #[test]
    fn a_restarted_container_begins_at_zero_and_a_gone_one_is_forgotten() {
        let mut meters = Meters::new(at(0));
        meters.read(vec![pod().into()], at(20));
        let mut again = pod();
        again["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] =
            "1970-01-01T00:00:28Z".into();
        let read = meters.read(vec![again.into()], at(30));
        assert_eq!(nanos(read.pods[0].containers[0].used), 3_000_000_000);
        let empty = meters.read(Vec::new(), at(40));
        assert!(meters.containers.is_empty() && empty.pods.is_empty());
        assert_eq!(nanos(empty.used), 60_136_718_750);
    }

    #[test]
    fn a_node_without_pods_still_uses_something() {
        let read = Meters::new(at(0)).read(Vec::new(), at(20));
        assert_eq!((nanos(read.used), read.used.memory_bytes), (39_062_500, 1_048_576.0));
    }
}
