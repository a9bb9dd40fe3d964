//! Readings as the two formats of a kubelet.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::meter::{NodeReading, PodReading, Reading};
use crate::model::PodView;

/// The Prometheus text of `/metrics/resource` (`pkg/kubelet/metrics/collectors/resource_metrics.go`, v1.37.2, without
/// swap).
pub(super) fn exposition(node: &NodeReading) -> String {
    let at = node.at.timestamp_millis();
    let names = |pod: &PodReading| {
        let view = PodView(&pod.pod);
        format!("namespace=\"{}\",pod=\"{}\"", view.namespace(), view.name())
    };
    let containers = |value: fn(Reading) -> f64| {
        let each = node.pods.iter().flat_map(|pod| pod.containers.iter().map(move |c| (pod, c)));
        let line = |(pod, c): (&PodReading, &super::meter::ContainerReading)| {
            (format!("{{container=\"{}\",{}}}", c.name, names(pod)), value(c.used))
        };
        each.map(line).collect::<Vec<_>>()
    };
    let pods = |value: fn(Reading) -> f64| {
        node.pods.iter().map(|pod| (format!("{{{}}}", names(pod)), value(pod.used))).collect::<Vec<_>>()
    };
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: Vec<(String, f64)>, timed: bool| {
        let _ = writeln!(text, "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let time = if timed { format!(" {at}") } else { String::new() };
            let _ = writeln!(text, "{name}{labels} {value}{time}");
        }
    };
    let (cpu, memory) = (|r: Reading| r.core_seconds, |r: Reading| r.memory_bytes);
    let cumulative = "Cumulative cpu time consumed in core-seconds";
    let current = "Current working set in bytes";
    family("container_cpu_usage_seconds_total", "counter", cumulative, containers(cpu), true);
    family("container_memory_working_set_bytes", "gauge", current, containers(memory), true);
    let started = node.pods.iter().flat_map(|pod| {
        let line = move |c: &super::meter::ContainerReading| {
            let labels = format!("{{container=\"{}\",{}}}", c.name, names(pod));
            (labels, c.started.timestamp_millis() as f64 / 1e3)
        };
        pod.containers.iter().map(line)
    });
    let help = "Start time of the container since unix epoch in seconds";
    family("container_start_time_seconds", "gauge", help, started.collect(), false);
    family(
        "node_cpu_usage_seconds_total",
        "counter",
        cumulative,
        vec![(String::new(), cpu(node.used))],
        true,
    );
    family("node_memory_working_set_bytes", "gauge", current, vec![(String::new(), memory(node.used))], true);
    family("pod_cpu_usage_seconds_total", "counter", cumulative, pods(cpu), true);
    family("pod_memory_working_set_bytes", "gauge", current, pods(memory), true);
    let help = "1 if there was an error while getting container metrics, 0 otherwise";
    family("resource_scrape_error", "gauge", help, vec![(String::new(), 0.0)], false);
    text
}

/// The JSON of `/stats/summary` (`k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go`, v0.37.2): CPU and memory.
pub(super) fn summary(name: &str, node: &NodeReading) -> Value {
    let stats = |used: Reading| {
        json!({
            "cpu": {"time": time(node.at), "usageNanoCores": (used.cores * 1e9) as u64,
                "usageCoreNanoSeconds": (used.core_seconds * 1e9) as u64},
            "memory": {"time": time(node.at), "usageBytes": used.memory_bytes as u64,
                "workingSetBytes": used.memory_bytes as u64, "rssBytes": used.memory_bytes as u64},
        })
    };
    let with = |mut object: Value, used: Reading| {
        let mut stats = stats(used);
        for part in ["cpu", "memory"] {
            object[part] = stats[part].take();
        }
        object
    };
    let pod = |reading: &PodReading| {
        let view = PodView(&reading.pod);
        let containers: Vec<Value> = reading
            .containers
            .iter()
            .map(|c| with(json!({"name": c.name, "startTime": time(c.started)}), c.used))
            .collect();
        let reference = json!({"name": view.name(), "namespace": view.namespace(), "uid": view.uid()});
        let start = &reading.pod["status"]["startTime"];
        with(json!({"podRef": reference, "startTime": start, "containers": containers}), reading.used)
    };
    json!({
        "node": with(json!({"nodeName": name, "startTime": time(node.started)}), node.used),
        "pods": node.pods.iter().map(pod).collect::<Vec<_>>(),
    })
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hollow::endpoint::meter::Meters;
    use crate::hollow::endpoint::usage::tests::pod;

    fn reading() -> NodeReading {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        Meters::new(at(0)).read(vec![pod().into()], at(20))
    }

    #[test]
    fn metrics_are_what_a_kubelet_writes() {
        let text = exposition(&reading());
        for line in [
            "container_cpu_usage_seconds_total{container=\"main\",namespace=\"shop\",pod=\"web\"} 15 20000",
            "container_memory_working_set_bytes{container=\"main\",namespace=\"shop\",pod=\"web\"} 67108864 20000",
            "container_start_time_seconds{container=\"side\",namespace=\"shop\",pod=\"web\"} 10",
            "node_cpu_usage_seconds_total 40.078125 20000",
            "pod_memory_working_set_bytes{namespace=\"shop\",pod=\"web\"} 69206016 20000",
            "# TYPE pod_cpu_usage_seconds_total counter",
            "resource_scrape_error 0",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_summary_has_node_pods_and_containers() {
        let summary = summary("n1", &reading());
        assert_eq!(summary["node"]["nodeName"], "n1");
        assert_eq!(summary["node"]["cpu"]["usageNanoCores"], 2_003_906_250);
        assert_eq!(summary["pods"][0]["podRef"], json!({"name": "web", "namespace": "shop", "uid": "u1"}));
        assert_eq!(summary["pods"][0]["startTime"], "1970-01-01T00:00:09Z");
        let main = &summary["pods"][0]["containers"][0];
        assert_eq!(main["cpu"]["usageCoreNanoSeconds"], 15_000_000_000u64);
        assert_eq!(main["memory"]["workingSetBytes"], 67_108_864);
        assert_eq!(main["startTime"], "1970-01-01T00:00:10Z");
    }
}
