//! Status patches as a kubelet sends them (`pkg/kubelet/status/generate.go` and `status_manager.go`, v1.37.2):
//! strategic merge, with the UID so that a successor of the same name is not touched.

use std::net::Ipv4Addr;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::pod::RunEnd;
use crate::model::{Json, Phase, PodView};

/// The addresses of a pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) pod: Ipv4Addr,
    pub(super) host: &'a str,
}

/// Taken in by the kubelet, containers not up yet.
pub(super) fn admitted(pod: PodView<'_>, host: &str, now: DateTime<Utc>) -> Value {
    let time = stamp(now);
    let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
    let waiting = statuses(pod, "containers", |_| (waiting("ContainerCreating"), false, 0));
    json!({
        "metadata": {"uid": pod.uid()},
        "status": {
            "phase": "Pending",
            "startTime": time,
            "hostIP": host,
            "hostIPs": [{"ip": host}],
            "conditions": conditions(&[
                ("PodReadyToStartContainers", false), ("ContainersReady", false), ("Ready", false),
            ], "ContainersNotReady", &time),
            "containerStatuses": waiting,
        }
    })
}

/// All containers up, the pod ready. The start time is that of the admission, which came before.
pub(super) fn running(pod: PodView<'_>, places: Places<'_>, now: DateTime<Utc>) -> Value {
    let time = stamp(now);
    let started = json!({"running": {"startedAt": time}});
    let containers = statuses(pod, "containers", |_| (started.clone(), true, 0));
    let finished =
        json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": time, "finishedAt": time}});
    let init = statuses(pod, "initContainers", |c| {
        let is_sidecar = c["restartPolicy"] == "Always";
        (if is_sidecar { started.clone() } else { finished.clone() }, true, 0)
    });
    let pod_ip =
        if pod.0["spec"]["hostNetwork"] == true { places.host.to_owned() } else { places.pod.to_string() };
    json!({
        "metadata": {"uid": pod.uid()},
        "status": {
            "phase": "Running",
            "hostIP": places.host,
            "hostIPs": [{"ip": places.host}],
            "podIP": pod_ip,
            "podIPs": [{"ip": pod_ip}],
            "conditions": conditions(&[
                ("PodReadyToStartContainers", true), ("Initialized", true), ("ContainersReady", true), ("Ready", true),
            ], "", &time),
            "containerStatuses": containers,
            "initContainerStatuses": init,
        }
    })
}

/// All containers ended.
pub(super) fn ended(pod: PodView<'_>, end: &RunEnd, now: DateTime<Utc>) -> Value {
    let time = stamp(now);
    let default = i64::from(end.phase == Phase::Failed);
    let containers = statuses(pod, "containers", |container| {
        let recorded = end.containers.iter().find(|c| container["name"] == c.name.as_str());
        let (code, restarts) = recorded.map_or((default, 0), |c| (c.exit_code, c.restarts));
        let reason = if code == 0 { "Completed" } else { "Error" };
        (
            json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": time, "finishedAt": time}}),
            false,
            restarts,
        )
    });
    let (phase, reason) = match end.phase {
        Phase::Failed => ("Failed", "PodFailed"),
        _ => ("Succeeded", "PodCompleted"),
    };
    json!({
        "metadata": {"uid": pod.uid()},
        "status": {
            "phase": phase,
            "conditions": conditions(&[
                ("PodReadyToStartContainers", false), ("ContainersReady", false), ("Ready", false),
            ], reason, &time),
            "containerStatuses": containers,
        }
    })
}

fn conditions(states: &[(&str, bool)], reason: &str, time: &str) -> Vec<Value> {
    let condition = |(kind, on): &(&str, bool)| {
        let status = if *on { "True" } else { "False" };
        let mut condition =
            json!({"type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": time});
        if !reason.is_empty() {
            condition["reason"] = reason.into();
        }
        condition
    };
    states.iter().map(condition).collect()
}

fn statuses(pod: PodView<'_>, list: &str, state: impl Fn(&Json) -> (Value, bool, i64)) -> Vec<Value> {
    let containers = pod.0["spec"][list].items();
    let status = |container: &Json| {
        let (state, ready, restarts) = state(container);
        let name = container["name"].as_str().unwrap_or_default();
        json!({
            "name": name,
            "image": container["image"],
            "imageID": "",
            "containerID": format!("hollow://{}/{name}", pod.uid()),
            "ready": ready,
            "started": ready,
            "restartCount": restarts,
            "state": state,
        })
    };
    containers.iter().map(status).collect()
}

/// A time as the API server writes it: RFC 3339 in whole seconds.
pub(super) fn stamp(now: DateTime<Utc>) -> String {
    now.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ContainerEnd;

    fn pod() -> Json {
        Json::from(json!({"metadata": {"uid": "u"}, "spec": {
            "initContainers": [{"name": "i"}, {"name": "side", "restartPolicy": "Always"}],
            "containers": [{"name": "a", "image": "x"}, {"name": "b"}]}}))
    }

    #[test]
    fn a_running_pod_is_ready_with_all_containers_up() {
        let pod = pod();
        let places = Places { pod: Ipv4Addr::new(10, 0, 0, 7), host: "192.168.0.1" };
        let patch = running(PodView(&pod), places, DateTime::UNIX_EPOCH);
        assert_eq!(patch["metadata"]["uid"], "u");
        assert!(PodView(&patch.clone().into()).is_ready());
        assert_eq!(patch["status"]["podIP"], "10.0.0.7");
        assert_eq!(patch["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
        assert!(patch["status"]["initContainerStatuses"][1]["state"]["running"].is_object());
        assert_eq!(patch["status"].get("startTime"), None);
        let admitted = admitted(PodView(&pod), "192.168.0.1", DateTime::UNIX_EPOCH);
        assert_eq!(admitted["status"]["startTime"], "1970-01-01T00:00:00Z");
        assert_eq!(PodView(&admitted.into()).phase(), Phase::Pending);
    }

    #[test]
    fn recorded_exits_come_back() {
        let pod = pod();
        let b = ContainerEnd { name: "b".into(), exit_code: 137, restarts: 4 };
        let end = RunEnd { after: std::time::Duration::ZERO, phase: Phase::Failed, containers: vec![b] };
        let patch = ended(PodView(&pod), &end, DateTime::UNIX_EPOCH);
        let ends = PodView(&patch.into()).container_ends();
        assert_eq!((ends[0].exit_code, ends[1].exit_code, ends[1].restarts), (1, 137, 4));
    }
}
