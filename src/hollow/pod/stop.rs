//! How the containers of a pod go down when it is deleted (`pkg/kubelet/kuberuntime/kuberuntime_container.go`,
//! `killContainer`, and `kuberuntime_termination_order.go`, v1.37.2).

use std::time::Duration;

use super::container::Container;
use super::shape::PodShape;

/// What a container gets that does not stop in time: 128 + SIGKILL.
pub(super) const KILLED: i32 = 137;

/// What one gets that is asked to stop before it was done: 128 + SIGTERM.
const INTERRUPTED: i32 = 143;

/// What each has at the least after its hook (`minimumGracePeriodInSeconds`).
const SHORTEST_GRACE: Duration = Duration::from_secs(2);

/// The end of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) after: Duration,
    pub(super) code: i32,
}

/// How those containers stop that run, in the order of the shape; `None` for the others. Each takes `takes` from when it is
/// asked to, which is after its preStop hook, and for a sidecar after the containers that it serves.
pub(super) fn stops(
    containers: &[Container],
    shape: &PodShape,
    takes: Duration,
    grace: Duration,
) -> Vec<Option<Stop>> {
    let mut stops = vec![None; containers.len()];
    let is_sidecar = |n: &usize| shape.containers[*n].is_sidecar;
    let running = (0..containers.len()).filter(|n| containers[*n].is_running());
    let (sidecars, others): (Vec<usize>, Vec<usize>) = running.partition(is_sidecar);
    let stop = |n: usize, turn: Duration| {
        let of = &shape.containers[n];
        let asked = of.pre_stop.max(turn).min(grace);
        let left = grace.saturating_sub(asked).max(SHORTEST_GRACE);
        let code = match takes > left {
            true => KILLED,
            false if of.restarts.may_end() => INTERRUPTED,
            false => 0,
        };
        Stop { after: asked + takes.min(left), code }
    };
    for n in others {
        stops[n] = Some(stop(n, Duration::ZERO));
    }
    for n in sidecars.into_iter().rev() {
        let turn = longest(&stops);
        stops[n] = Some(stop(n, turn));
    }
    stops
}

/// When the last of them is down.
pub(super) fn longest(stops: &[Option<Stop>]) -> Duration {
    stops.iter().flatten().map(|stop| stop.after).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hollow::pod::container::ContainerState;
    use crate::hollow::pod::shape::Shapes;
    use serde_json::json;

    /// Seconds and exit codes; -1 for what does not run.
    fn stop(running: &[usize], takes: u64, grace: u64) -> Vec<(u64, i32)> {
        let hook = |seconds: u64| json!({"preStop": {"sleep": {"seconds": seconds}}});
        let pod = serde_json::from_value(json!({"spec": {"restartPolicy": "Never",
            "initContainers": [{"name": "i"}, {"name": "s1", "restartPolicy": "Always"},
                {"name": "s2", "restartPolicy": "Always", "lifecycle": hook(9)}],
            "containers": [{"name": "a"}, {"name": "b", "lifecycle": hook(4)}]}}));
        let shape = Shapes::default().of(&pod.unwrap());
        let mut containers = vec![Container::NEW; 5];
        for n in running {
            containers[*n].state = ContainerState::Running(0);
        }
        let seconds = Duration::from_secs;
        let stops = stops(&containers, &shape, seconds(takes), seconds(grace));
        stops.into_iter().map(|stop| stop.map_or((0, -1), |stop| (stop.after.as_secs(), stop.code))).collect()
    }

    #[test]
    fn hooks_go_first_and_sidecars_last() {
        let all = [1, 2, 3, 4];
        let none = (0, -1);
        assert_eq!(stop(&all, 3, 30), [none, (15, 0), (12, 0), (3, 143), (7, 143)]);
        assert_eq!(
            stop(&all, 3, 10),
            [none, (12, 137), (11, 137), (3, 143), (7, 143)],
            "two seconds at the least"
        );
        assert_eq!(stop(&all, 0, 0), [none, (0, 0), (0, 0), (0, 143), (0, 143)]);
        assert_eq!(stop(&[0], 50, 30), [(30, 137), none, none, none, none]);
        assert_eq!(stop(&[], 50, 30), [none; 5]);
    }
}
