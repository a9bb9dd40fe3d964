use std::time::Duration;

use serde::Serialize;

use super::seen::SeenPod;
use crate::model::{ContainerEnd, Phase, Text};

/// How a pod behaves once it is bound.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PodBehaviour {
    /// From binding to the start of its first container.
    pub start_latency: Duration,
    /// How each init container runs.
    pub init: ContainerRun,
    /// How each container exits by itself; the restart policy says what follows. `None`: it runs until it is stopped.
    pub exit: Option<ContainerRun>,
    /// A recorded end of the whole pod, whatever its restart policy; `None` where there is none.
    pub run: Option<RunEnd>,
    /// From the request of a deletion until its containers are down; the grace period caps it.
    pub termination: Duration,
}

/// One run of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ContainerRun {
    /// How long it takes.
    pub after: Duration,
    /// What it exits with.
    pub exit_code: i32,
    /// How many runs exit with 1 before the first that exits with that code.
    pub failures: u32,
}

impl ContainerRun {
    /// Whether it is more than a success at once.
    pub(super) fn takes_time(self) -> bool {
        !self.after.is_zero() || self.code(0) != 0
    }

    /// The exit code of a run by the number of restarts before it.
    pub(super) fn code(self, restarts: u32) -> i32 {
        if restarts < self.failures { 1 } else { self.exit_code }
    }
}

/// How a pod ended in a recording.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunEnd {
    /// Run time, from Running.
    pub after: Duration,
    /// Succeeded or Failed.
    pub phase: Phase,
    /// How its containers ended; empty: all with the code that fits the phase.
    pub containers: Vec<ContainerEnd>,
}

/// The behaviour that a pod's own annotations ask for (`docs/hollow.md` lists them), over what is given otherwise.
pub fn annotated_behaviour(pod: &SeenPod, otherwise: PodBehaviour) -> PodBehaviour {
    let Some(annotations) = pod.annotations() else { return otherwise };
    let seconds = |text: &Option<Text>| {
        let number = text.as_deref()?.parse::<f64>().ok()?;
        Duration::try_from_secs_f64(number).ok()
    };
    let code = |text: &Option<Text>| text.as_deref()?.parse::<i32>().ok();
    let millis = annotations.start_millis.as_deref().and_then(|text| text.parse().ok());
    let failures = annotations.failures.as_deref().and_then(|text| text.parse().ok());
    let mut behaviour = PodBehaviour {
        start_latency: millis.map_or(otherwise.start_latency, Duration::from_millis),
        termination: seconds(&annotations.termination_seconds).unwrap_or(otherwise.termination),
        ..otherwise
    };
    behaviour.init.after = seconds(&annotations.init_seconds).unwrap_or(behaviour.init.after);
    behaviour.init.exit_code = code(&annotations.init_exit_code).unwrap_or(behaviour.init.exit_code);
    // An exit code or failures without a run time: it exits at once, unless it would have run for a while anyway.
    let run_time = seconds(&annotations.run_seconds);
    if run_time.is_some() || annotations.exit_code.is_some() || failures.is_some() {
        let exit = behaviour.exit.get_or_insert_default();
        exit.after = run_time.unwrap_or(exit.after);
        exit.exit_code = code(&annotations.exit_code).unwrap_or(exit.exit_code);
        exit.failures = failures.unwrap_or(exit.failures);
    }
    behaviour
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn annotated(annotations: &serde_json::Value) -> PodBehaviour {
        let pod = serde_json::from_value(json!({"metadata": {"annotations": annotations}})).unwrap();
        annotated_behaviour(
            &pod,
            PodBehaviour { termination: Duration::from_secs(1), ..PodBehaviour::default() },
        )
    }

    #[test]
    fn annotations_go_over_the_default() {
        let behaviour = annotated(&json!({"kubereel.dev/run-seconds": "2.5", "kubereel.dev/exit-code": "3",
            "kubereel.dev/failures": "2", "kubereel.dev/start-millis": "40", "kubereel.dev/init-seconds": "0.5"}));
        let exit = behaviour.exit.unwrap();
        assert_eq!((exit.after, exit.exit_code), (Duration::from_millis(2_500), 3));
        assert_eq!([0, 1, 2].map(|restarts| exit.code(restarts)), [1, 1, 3]);
        assert_eq!(behaviour.start_latency, Duration::from_millis(40));
        assert_eq!(behaviour.init.after, Duration::from_millis(500));
        assert_eq!(behaviour.termination, Duration::from_secs(1));
    }

    #[test]
    fn nonsense_is_passed_over() {
        let nonsense = json!({"kubereel.dev/run-seconds": "-1", "kubereel.dev/start-millis": "soon"});
        assert_eq!(annotated(&nonsense).exit, None);
        assert_eq!(annotated(&json!({})).start_latency, Duration::ZERO);
        let exit = annotated(&json!({"kubereel.dev/exit-code": "1"})).exit.unwrap();
        assert_eq!((exit.after, exit.exit_code), (Duration::ZERO, 1));
    }
}
