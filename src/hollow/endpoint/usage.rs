use chrono::{DateTime, Utc};

use crate::model::{Json, Text, parse_quantity_milli};

/// Annotations for the CPU that a pod uses, as a quantity; its requests where there is none. The second is KWOK's
/// (`kustomize/metrics/usage/usage-from-annotation.yaml`, v0.8.0).
pub const USAGE_CPU: [&str; 2] = ["kubereel.dev/usage-cpu", "kwok.x-k8s.io/usage-cpu"];

/// The same for memory.
pub const USAGE_MEMORY: [&str; 2] = ["kubereel.dev/usage-memory", "kwok.x-k8s.io/usage-memory"];

/// What a container uses that asks for nothing, and what a node uses besides its containers: nothing real uses nothing,
/// and metrics-server drops a node and a whole pod where it reads a zero (`pkg/scraper/client/resource/decode.go`,
/// v0.9.0). About 2m; sums of it are exact.
pub(super) const IDLE_CORES: f64 = 1.0 / 512.0;

/// The same for memory.
pub(super) const IDLE_MEMORY_BYTES: f64 = 1_048_576.0;

/// What a running container uses, made up from what it asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ContainerUsage {
    pub(super) name: Text,
    pub(super) started: DateTime<Utc>,
    pub(super) cores: f64,
    pub(super) memory_bytes: f64,
}

/// What each running container of a pod uses. A usage set by annotation is that of the whole pod and shared evenly; a zero
/// is taken at its word.
pub(super) fn containers(pod: &Json) -> Vec<ContainerUsage> {
    let mut running = [("containers", "containerStatuses"), ("initContainers", "initContainerStatuses")]
        .into_iter()
        .flat_map(|(specs, statuses)| {
            let status = &pod["status"][statuses];
            status.items().iter().filter_map(move |status| container(pod["spec"][specs].items(), status))
        })
        .collect::<Vec<_>>();
    let count = running.len() as f64;
    let annotated = |names: [&str; 2]| {
        let annotations = &pod["metadata"]["annotations"];
        names.into_iter().find_map(|name| quantity(&annotations[name])).map(|whole| whole / count)
    };
    let (cores, memory_bytes) = (annotated(USAGE_CPU), annotated(USAGE_MEMORY));
    for container in &mut running {
        container.cores = cores.unwrap_or(container.cores);
        container.memory_bytes = memory_bytes.unwrap_or(container.memory_bytes);
    }
    running
}

/// A container by its status, if it runs.
fn container(specs: &[Json], status: &Json) -> Option<ContainerUsage> {
    let started = status["state"]["running"]["startedAt"].as_str()?;
    let name = status["name"].as_text()?;
    let requests = &specs.iter().find(|spec| spec["name"].as_text() == Some(name))?["resources"]["requests"];
    let requested = |resource: &str| quantity(&requests[resource]).filter(|amount| *amount > 0.0);
    Some(ContainerUsage {
        name: name.clone(),
        started: started.parse().ok()?,
        cores: requested("cpu").unwrap_or(IDLE_CORES),
        memory_bytes: requested("memory").unwrap_or(IDLE_MEMORY_BYTES),
    })
}

fn quantity(value: &Json) -> Option<f64> {
    Some(parse_quantity_milli(value.as_str()?)?.max(0) as f64 / 1000.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A pod with a running container that asks, one that does not, a sidecar, and one that has ended.
    pub(in crate::hollow::endpoint) fn pod() -> Value {
        let running =
            |name: &str| json!({"name": name, "state": {"running": {"startedAt": "1970-01-01T00:00:10Z"}}});
        json!({"metadata": {"namespace": "shop", "name": "web", "uid": "u1"},
            "spec": {
                "initContainers": [{"name": "side", "resources": {"requests": {"cpu": "500m"}}}],
                "containers": [
                    {"name": "main", "resources": {"requests": {"cpu": "1500m", "memory": "64Mi"}}},
                    {"name": "modest"}, {"name": "done", "resources": {"requests": {"cpu": "9"}}}]},
            "status": {
                "startTime": "1970-01-01T00:00:09Z",
                "initContainerStatuses": [running("side")],
                "containerStatuses": [running("main"), running("modest"),
                    {"name": "done", "state": {"terminated": {"exitCode": 0}}}]}})
    }

    #[test]
    fn running_containers_use_what_they_asked_for() {
        let used = containers(&pod().into());
        let of = |name: &str| used.iter().find(|c| c.name == name).map(|c| (c.cores, c.memory_bytes));
        assert_eq!(of("main"), Some((1.5, 67_108_864.0)));
        assert_eq!(of("modest"), Some((IDLE_CORES, IDLE_MEMORY_BYTES)));
        assert_eq!(of("side"), Some((0.5, IDLE_MEMORY_BYTES)));
        assert_eq!(of("done"), None);
        assert_eq!(used[0].started.timestamp(), 10);
        assert_eq!(containers(&Json::Null), []);
    }

    #[test]
    fn an_annotation_is_the_usage_of_the_whole_pod() {
        let mut pod = pod();
        pod["metadata"]["annotations"] = json!({USAGE_CPU[1]: "600m", USAGE_MEMORY[0]: "30Mi"});
        let used = containers(&pod.into());
        assert!(used.iter().all(|c| (c.cores - 0.2).abs() < 1e-9), "{used:?}");
        let whole: f64 = used.iter().map(|c| c.memory_bytes).sum();
        assert_eq!(whole.round() as u64, 30 << 20);
    }
}
