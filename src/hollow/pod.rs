use std::time::Duration;

use crate::model::{ContainerEnd, Json, Phase, PodView, TraceTime};

/// Annotation: run time in seconds, for pods without a recorded one.
const RUN_SECONDS: &str = "kubereel.dev/run-seconds";
/// Annotation: exit code at the end of the run time.
const EXIT_CODE: &str = "kubereel.dev/exit-code";
/// Annotation: milliseconds from binding to Running.
const START_MILLIS: &str = "kubereel.dev/start-millis";

/// How a pod behaves once it is bound.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PodBehaviour {
    /// From binding to Running.
    pub start_latency: Duration,
    /// Its end, `None` for a pod that runs until it is deleted.
    pub run: Option<RunEnd>,
    /// From the request of a deletion to the removal; the grace period caps it.
    pub termination: Duration,
}

/// How a pod ends on its own.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEnd {
    /// Run time, from Running.
    pub after: Duration,
    /// Succeeded or Failed.
    pub phase: Phase,
    /// How its containers ended; empty: all with the code that fits the phase.
    pub containers: Vec<ContainerEnd>,
}

/// The behaviour that a pod's own annotations ask for; without any it starts at once and runs for ever.
pub fn annotated_behaviour(pod: PodView<'_>) -> PodBehaviour {
    let number = |key: &str| pod.0["metadata"]["annotations"][key].as_str()?.parse::<f64>().ok();
    let seconds = |key: &str| number(key).and_then(|s| Duration::try_from_secs_f64(s).ok());
    let exit = number(EXIT_CODE).unwrap_or(0.0);
    let containers = pod.0["spec"]["containers"].items();
    let ended = |container: &Json| {
        let name = container["name"].as_str().unwrap_or_default().to_owned();
        ContainerEnd { name, exit_code: exit as i64, restarts: 0 }
    };
    PodBehaviour {
        start_latency: Duration::from_millis(number(START_MILLIS).unwrap_or(0.0).max(0.0) as u64),
        run: seconds(RUN_SECONDS).map(|after| RunEnd {
            after,
            phase: if exit == 0.0 { Phase::Succeeded } else { Phase::Failed },
            containers: containers.iter().map(ended).collect(),
        }),
        termination: Duration::ZERO,
    }
}

/// Where a pod stands on its hollow node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodState {
    /// Bound, containers not up yet.
    Starting,
    /// Running.
    Running,
    /// Succeeded or Failed, still in the API.
    Ended,
    /// A deletion was asked for; the containers go down.
    Terminating,
    /// The removal was sent.
    Removed,
}

/// What a hollow node owes a pod at a later instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Obligation {
    /// Report that it was taken in: from then on it has a start time.
    Admit,
    /// Report it Running.
    Start,
    /// Report its end.
    Finish,
    /// Remove it.
    Terminate,
}

/// What happens to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodInput {
    /// It was bound to the node.
    Bound,
    /// Its deletion was asked for, with this grace period.
    DeletionAsked(Duration),
    /// An obligation has come due.
    Due(Obligation),
}

/// What the node does about it.
#[derive(Debug, Clone, PartialEq)]
pub enum PodEffect {
    /// Report it admitted: Pending, with a start time.
    ReportAdmitted,
    /// Report it Running and ready.
    ReportRunning,
    /// Report its end.
    ReportEnded(RunEnd),
    /// Delete it from the API, without grace.
    Remove,
    /// Come back at an instant.
    Arm(Obligation, TraceTime),
}

impl PodState {
    /// One step. Inputs that do not fit the state (a finish after a deletion) change nothing.
    pub fn step(
        self,
        input: PodInput,
        now: TraceTime,
        behaviour: &PodBehaviour,
    ) -> (PodState, Vec<PodEffect>) {
        match (self, input) {
            (PodState::Starting, PodInput::Bound) => {
                let start = now + behaviour.start_latency;
                (self, vec![PodEffect::Arm(Obligation::Admit, now), PodEffect::Arm(Obligation::Start, start)])
            }
            (PodState::Starting, PodInput::Due(Obligation::Admit)) => (self, vec![PodEffect::ReportAdmitted]),
            (PodState::Starting, PodInput::Due(Obligation::Start)) => {
                let mut effects = vec![PodEffect::ReportRunning];
                if let Some(run) = &behaviour.run {
                    effects.push(PodEffect::Arm(Obligation::Finish, now + run.after));
                }
                (PodState::Running, effects)
            }
            (PodState::Running, PodInput::Due(Obligation::Finish)) => {
                let ended = behaviour.run.clone().map(PodEffect::ReportEnded);
                (PodState::Ended, ended.into_iter().collect())
            }
            (PodState::Starting | PodState::Running, PodInput::DeletionAsked(grace)) => {
                let at = now + behaviour.termination.min(grace);
                (PodState::Terminating, vec![PodEffect::Arm(Obligation::Terminate, at)])
            }
            (PodState::Ended, PodInput::DeletionAsked(_)) => {
                (PodState::Terminating, vec![PodEffect::Arm(Obligation::Terminate, now)])
            }
            (PodState::Terminating, PodInput::Due(Obligation::Terminate)) => {
                (PodState::Removed, vec![PodEffect::Remove])
            }
            _ => (self, Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn job() -> PodBehaviour {
        PodBehaviour {
            start_latency: Duration::from_secs(1),
            run: Some(RunEnd { after: Duration::from_secs(5), phase: Phase::Succeeded, containers: vec![] }),
            termination: Duration::from_secs(2),
        }
    }

    fn at(seconds: u64) -> TraceTime {
        TraceTime::from_millis(seconds * 1000)
    }

    #[test]
    fn a_job_starts_runs_and_ends() {
        let (state, effects) = PodState::Starting.step(PodInput::Bound, at(10), &job());
        assert_eq!(
            effects,
            [PodEffect::Arm(Obligation::Admit, at(10)), PodEffect::Arm(Obligation::Start, at(11))]
        );
        let (state, effects) = state.step(PodInput::Due(Obligation::Start), at(11), &job());
        assert_eq!(effects, [PodEffect::ReportRunning, PodEffect::Arm(Obligation::Finish, at(16))]);
        let (state, effects) = state.step(PodInput::Due(Obligation::Finish), at(16), &job());
        assert_eq!((state, effects.len()), (PodState::Ended, 1));
        let (_, effects) = state.step(PodInput::DeletionAsked(Duration::from_secs(30)), at(20), &job());
        assert_eq!(effects, [PodEffect::Arm(Obligation::Terminate, at(20))]);
    }

    #[test]
    fn the_grace_period_caps_the_termination() {
        let (_, effects) =
            PodState::Running.step(PodInput::DeletionAsked(Duration::from_secs(1)), at(10), &job());
        assert_eq!(effects, [PodEffect::Arm(Obligation::Terminate, at(11))]);
    }

    #[test]
    fn a_finish_after_the_deletion_is_void() {
        let (state, effects) = PodState::Terminating.step(PodInput::Due(Obligation::Finish), at(1), &job());
        assert_eq!((state, effects), (PodState::Terminating, vec![]));
    }

    fn inputs() -> impl Strategy<Value = PodInput> {
        prop_oneof![
            Just(PodInput::Bound),
            Just(PodInput::Due(Obligation::Admit)),
            (0..60u64).prop_map(|s| PodInput::DeletionAsked(Duration::from_secs(s))),
            Just(PodInput::Due(Obligation::Start)),
            Just(PodInput::Due(Obligation::Finish)),
            Just(PodInput::Due(Obligation::Terminate)),
        ]
    }

    proptest! {
        /// Whatever comes in whatever order: at most one Running report, one end, one removal; none after the removal.
        #[test]
        fn reports_happen_once_and_in_order(inputs in prop::collection::vec(inputs(), 0..40)) {
            let mut state = PodState::Starting;
            let mut log = Vec::new();
            for (n, input) in inputs.into_iter().enumerate() {
                let (next, effects) = state.step(input, at(n as u64), &job());
                state = next;
                let once = |e: &PodEffect| !matches!(e, PodEffect::Arm(..) | PodEffect::ReportAdmitted);
                log.extend(effects.into_iter().filter(once));
            }
            let rank = |e: &PodEffect| match e {
                PodEffect::ReportRunning => 0,
                PodEffect::ReportEnded(_) => 1,
                _ => 2,
            };
            prop_assert!(log.windows(2).all(|w| rank(&w[0]) < rank(&w[1])), "{log:?}");
        }
    }

    #[test]
    fn annotations_set_run_time_and_exit() {
        let pod = serde_json::json!({"metadata": {"annotations": {RUN_SECONDS: "2.5", EXIT_CODE: "3"}},
            "spec": {"containers": [{"name": "main"}]}});
        let behaviour = annotated_behaviour(PodView(&pod.into()));
        let run = behaviour.run.unwrap();
        assert_eq!((run.after, run.phase), (Duration::from_millis(2_500), Phase::Failed));
        assert_eq!(run.containers, [ContainerEnd { name: "main".to_owned(), exit_code: 3, restarts: 0 }]);
        assert_eq!(annotated_behaviour(PodView(&Json::Null)), PodBehaviour::default());
    }
}
