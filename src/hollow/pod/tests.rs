use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::hollow::address::PodAddresses;
use crate::hollow::behaviour::{ContainerRun, PodBehaviour, RunEnd};
use crate::hollow::seen::SeenPod;
use crate::model::{ContainerEnd, Json, Phase, PodView, TraceTime};

const HABITS: Habits = Habits {
    reads_first: false,
    reports_admission: true,
    reports_termination: true,
    reports_steps: false,
    posts_events: true,
    admits: true,
    probes_and_hooks: true,
};

/// A pod that is driven by hand: what is armed comes due in order.
struct Played {
    habits: Habits,
    life: PodLife,
    shape: std::sync::Arc<PodShape>,
    how: PodBehaviour,
    transitions: Transitions,
    armed: Vec<(TraceTime, Obligation)>,
    log: Vec<PodEffect>,
    now: TraceTime,
}

impl Played {
    fn new(spec: &Value, how: PodBehaviour) -> Played {
        let pod: SeenPod = serde_json::from_value(json!({"spec": spec})).unwrap();
        let shape = Shapes::default().of(&pod);
        let mut played = Played {
            habits: HABITS,
            life: PodLife::new(),
            shape,
            how,
            transitions: Transitions::default(),
            armed: Vec::new(),
            log: Vec::new(),
            now: TraceTime::ZERO,
        };
        played.take(PodInput::Bound);
        played
    }

    fn take(&mut self, input: PodInput) {
        for effect in self.life.step(input, self.now, &self.how, &self.shape, self.habits) {
            match effect {
                PodEffect::Arm(obligation, at) => self.armed.push((at, obligation)),
                other => self.log.push(other),
            }
        }
    }

    /// Meets everything that is due until then; returns what was done.
    fn until(&mut self, seconds: u64) -> Vec<PodEffect> {
        let end = TraceTime::from_millis(seconds * 1000);
        while let Some(n) = (0..self.armed.len()).min_by_key(|n| self.armed[*n]) {
            if self.armed[n].0 > end {
                break;
            }
            let (at, obligation) = self.armed.remove(n);
            self.now = at;
            self.take(PodInput::Due(obligation, at.as_secs_f64() as i64 + 1));
        }
        self.now = end;
        std::mem::take(&mut self.log)
    }

    fn status(&mut self) -> Json {
        let status = StatusOf {
            uid: "u",
            generation: 1,
            life: &self.life,
            shape: &self.shape,
            addresses: PodAddresses { first: "10.0.0.7".parse().ok(), second: "fd00::7".parse().ok() },
            host: "192.168.0.1",
            resize: &Resize::None,
        };
        let wall = self.now.as_secs_f64() as i64 + 1;
        serde_json::from_slice(&patch(&status, &mut self.transitions, wall)).unwrap()
    }

    fn restarts(&mut self) -> i64 {
        self.status()["status"]["containerStatuses"][0]["restartCount"].as_i64().unwrap()
    }
}

fn spec(restart: &str) -> Value {
    json!({"restartPolicy": restart, "containers": [{"name": "a", "image": "x"}, {"name": "b"}]})
}

fn exits(after: u64, exit_code: i32, failures: u32) -> PodBehaviour {
    let exit = ContainerRun { after: Duration::from_secs(after), exit_code, failures };
    PodBehaviour { exit: Some(exit), ..PodBehaviour::default() }
}

fn condition<'a>(status: &'a Json, kind: &str) -> &'a Json {
    PodView(status).condition(kind).unwrap()
}

#[test]
fn conditions_come_in_the_kubelets_order_and_remember_since_when() {
    let mut pod = Played::new(
        &spec("Always"),
        PodBehaviour { start_latency: Duration::from_secs(5), ..PodBehaviour::default() },
    );
    pod.until(0);
    let admitted = pod.status();
    let kinds: Vec<_> =
        admitted["status"]["conditions"].items().iter().map(|c| c["type"].to_string()).collect();
    assert_eq!(
        kinds,
        [r#""PodReadyToStartContainers""#, r#""Initialized""#, r#""Ready""#, r#""ContainersReady""#]
    );
    assert_eq!(admitted["status"]["containerStatuses"][0]["state"]["waiting"]["reason"], "ContainerCreating");
    assert_eq!(condition(&admitted, "Ready")["message"], "containers with unready status: [a b]");
    assert!(admitted["status"]["podIP"].is_null());
    pod.until(5);
    let running = pod.status();
    assert_eq!(PodView(&running).phase(), Phase::Running);
    assert!(PodView(&running).is_ready());
    assert_eq!(running["status"]["podIPs"], json!([{"ip": "10.0.0.7"}, {"ip": "fd00::7"}]));
    assert_eq!(condition(&running, "Initialized")["lastTransitionTime"], "1970-01-01T00:00:01Z");
    assert_eq!(condition(&running, "Ready")["lastTransitionTime"], "1970-01-01T00:00:06Z");
    assert_eq!(running["status"]["startTime"], "1970-01-01T00:00:01Z");
}

#[test]
fn a_container_is_ready_when_its_probes_would_have_succeeded() {
    let spec = json!({"restartPolicy": "Always", "containers": [{"name": "a", "image": "x",
        "startupProbe": {"initialDelaySeconds": 1, "periodSeconds": 2, "successThreshold": 1},
        "readinessProbe": {"initialDelaySeconds": 7, "periodSeconds": 3, "successThreshold": 2}}, {"name": "b"}]});
    let mut pod = Played::new(&spec, exits(100, 1, u32::MAX));
    let ready = |pod: &mut Played, seconds: u64| {
        let reports = pod.until(seconds).iter().filter(|effect| **effect == PodEffect::Report).count();
        (reports > 0, PodView(&pod.status()).is_ready())
    };
    let started = |pod: &mut Played| pod.status()["status"]["containerStatuses"][0]["started"] == true;
    assert_eq!((ready(&mut pod, 1).1, started(&mut pod)), (false, false));
    assert_eq!((ready(&mut pod, 2), started(&mut pod)), ((true, false), true));
    assert_eq!(ready(&mut pod, 11), (false, false), "probed at 9 s first");
    assert_eq!(condition(&pod.status(), "ContainersReady")["message"], "containers with unready status: [a]");
    assert_eq!(ready(&mut pod, 12), (true, true));
    assert_eq!(ready(&mut pod, 100), (true, false), "started again after a crash");
    assert_eq!(ready(&mut pod, 112), (true, true));
    pod.habits.probes_and_hooks = false;
    pod.until(200);
    assert_eq!(ready(&mut pod, 211), (true, true), "after a wait of ten seconds, at once");
}

#[test]
fn init_containers_go_one_by_one_and_sidecars_stay() {
    let spec = json!({"restartPolicy": "Never", "containers": [{"name": "main"}], "initContainers": [
        {"name": "first"}, {"name": "side", "restartPolicy": "Always"}, {"name": "second"}]});
    let mut how = exits(10, 0, 0);
    how.init.after = Duration::from_secs(2);
    let mut pod = Played::new(&spec, how);
    let states = |pod: &mut Played| -> Vec<String> {
        let status = pod.status();
        let lists = ["initContainerStatuses", "containerStatuses"]
            .map(|list| status["status"][list].items().to_vec());
        let state =
            |c: &Json| ["waiting", "running", "terminated"].into_iter().find(|s| !c["state"][*s].is_null());
        lists.concat().iter().map(|c| state(c).unwrap_or("none").to_owned()).collect()
    };
    pod.until(1);
    assert_eq!(states(&mut pod), ["running", "waiting", "waiting", "waiting"]);
    assert_eq!(condition(&pod.status(), "Initialized")["status"], "False");
    pod.until(3);
    assert_eq!(states(&mut pod), ["terminated", "running", "running", "waiting"]);
    assert_eq!(pod.life.phase, Phase::Pending);
    pod.until(5);
    assert_eq!(states(&mut pod), ["terminated", "running", "terminated", "running"]);
    pod.until(20);
    assert_eq!(states(&mut pod), ["terminated", "terminated", "terminated", "terminated"]);
    assert_eq!(pod.life.phase, Phase::Succeeded);
}

#[test]
fn restart_policies_decide() {
    for (policy, code, phase, restarts) in [
        ("Never", 0, Phase::Succeeded, 0),
        ("Never", 3, Phase::Failed, 0),
        ("OnFailure", 0, Phase::Succeeded, 0),
        ("OnFailure", 3, Phase::Running, 2),
        ("Always", 0, Phase::Running, 2),
    ] {
        let mut pod = Played::new(&spec(policy), exits(1, code, 0));
        pod.until(13);
        assert_eq!((pod.life.phase, pod.restarts()), (phase, restarts), "{policy} {code}");
    }
}

#[test]
fn crashes_back_off_up_to_five_minutes() {
    let mut pod = Played::new(&spec("Always"), exits(1, 1, 0));
    // Starts after crashes of a second each: at once, then after 10, 20, 40, 80, 160, 300 and 300 seconds.
    let starts = [1, 12, 33, 74, 155, 316, 617, 918];
    for (n, start) in starts.into_iter().enumerate() {
        pod.until(start - 1);
        assert_eq!(pod.restarts(), n as i64, "before {start} s");
        pod.until(start);
        assert_eq!(pod.restarts(), n as i64 + 1, "at {start} s");
    }
    pod.until(920);
    let status = pod.status();
    let first = &status["status"]["containerStatuses"][0];
    assert_eq!(first["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(first["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!(condition(&status, "Ready")["status"], "False");
}

#[test]
fn a_job_may_fail_before_it_succeeds() {
    let mut pod = Played::new(&spec("OnFailure"), exits(1, 0, 2));
    pod.until(60);
    assert_eq!((pod.life.phase, pod.restarts()), (Phase::Succeeded, 2));
}

#[test]
fn a_failed_init_container_fails_a_pod_that_never_restarts() {
    let spec =
        json!({"restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]});
    let mut how = PodBehaviour::default();
    how.init.exit_code = 1;
    let mut pod = Played::new(&spec, how);
    pod.until(1);
    assert_eq!(pod.life.phase, Phase::Failed);
}

#[test]
fn the_active_deadline_ends_a_pod() {
    let mut spec = spec("Never");
    spec["activeDeadlineSeconds"] = 30.into();
    let mut pod = Played::new(&spec, PodBehaviour::default());
    pod.until(29);
    assert_eq!(pod.life.phase, Phase::Running);
    pod.until(30);
    let status = pod.status();
    assert_eq!(
        (PodView(&status).phase(), status["status"]["reason"].as_str()),
        (Phase::Failed, Some("DeadlineExceeded"))
    );
    assert_eq!(status["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 137);
}

#[test]
fn readiness_gates_hold_a_pod_back() {
    let mut spec = spec("Always");
    spec["readinessGates"] = json!([{"conditionType": "example.com/warm"}]);
    let mut pod = Played::new(&spec, PodBehaviour::default());
    pod.until(1);
    let status = pod.status();
    assert_eq!(condition(&status, "ContainersReady")["status"], "True");
    assert_eq!(condition(&status, "Ready")["reason"], "ReadinessGatesNotReady");
    pod.take(PodInput::Gates(1));
    assert_eq!(pod.until(2), [PodEffect::Report]);
    assert!(PodView(&pod.status()).is_ready());
}

#[test]
fn a_deletion_takes_as_long_as_the_containers_but_not_longer_than_the_grace_period() {
    let slow = || PodBehaviour { termination: Duration::from_secs(20), ..PodBehaviour::default() };
    let ends = [(30, 20, Phase::Succeeded), (5, 5, Phase::Failed), (0, 2, Phase::Failed)];
    for (grace, gone, phase) in ends {
        let mut pod = Played::new(&spec("Always"), slow());
        pod.until(0);
        pod.take(PodInput::DeletionAsked(Duration::from_secs(grace)));
        let killing = [PodEffect::Tell(Told::Killing, 0), PodEffect::Tell(Told::Killing, 1)];
        assert_eq!(pod.until(gone - 1), killing);
        assert_eq!(pod.until(gone), [PodEffect::Report, PodEffect::Remove]);
        assert_eq!(pod.life.phase, phase);
    }
    let mut pod = Played::new(&spec("Always"), slow());
    pod.until(0);
    pod.take(PodInput::DeletionAsked(Duration::from_secs(30)));
    pod.take(PodInput::DeletionAsked(Duration::from_secs(5)));
    pod.until(5);
    assert_eq!(pod.life.stage, Stage::Removed, "a second request may shorten the first");
}

#[test]
fn what_is_deleted_before_it_is_done_has_failed() {
    for (policy, started, phase, code) in [
        ("Never", true, Phase::Failed, 143),
        ("OnFailure", true, Phase::Failed, 143),
        ("Always", true, Phase::Succeeded, 0),
        ("Always", false, Phase::Failed, 137),
    ] {
        let mut how = exits(3600, 0, 0);
        how.start_latency = Duration::from_secs(10 * u64::from(!started));
        let mut pod = Played::new(&spec(policy), how);
        pod.until(5);
        pod.take(PodInput::DeletionAsked(Duration::from_secs(30)));
        assert!(pod.until(5).ends_with(&[PodEffect::Report, PodEffect::Remove]));
        let first = pod.status()["status"]["containerStatuses"][0]["state"]["terminated"].clone();
        assert_eq!((pod.life.phase, first["exitCode"].as_i64()), (phase, Some(code)), "{policy} {started}");
    }
}

#[test]
fn a_container_is_asked_to_stop_after_its_hook() {
    let mut spec = spec("Always");
    spec["containers"][1]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 7}}});
    let mut pod = Played::new(&spec, PodBehaviour::default());
    pod.until(0);
    pod.take(PodInput::DeletionAsked(Duration::from_secs(30)));
    assert!(!pod.until(6).contains(&PodEffect::Remove));
    assert!(pod.until(7).contains(&PodEffect::Remove));
}

#[test]
fn a_sidecar_holds_back_what_comes_after_it_until_it_has_started() {
    let spec = json!({"containers": [{"name": "main"}], "initContainers": [{"name": "side", "restartPolicy": "Always",
        "startupProbe": {"periodSeconds": 3, "initialDelaySeconds": 3}, "readinessProbe": {"initialDelaySeconds": 8}}]});
    let mut pod = Played::new(&spec, PodBehaviour::default());
    let mut look = |seconds| {
        pod.until(seconds);
        let status = pod.status();
        let side = &status["status"]["initContainerStatuses"][0];
        let is_true = |kind| condition(&status, kind)["status"] == "True";
        (side["started"] == true, side["ready"] == true, is_true("Initialized"), is_true("Ready"))
    };
    assert_eq!(look(2), (false, false, false, false));
    assert_eq!(look(3), (true, false, true, false));
    assert_eq!(look(8), (true, true, true, true));
    assert_eq!(pod.life.phase, Phase::Running);
}

#[test]
fn a_rule_may_start_all_containers_again() {
    let spec = json!({"restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [{"name": "a",
        "restartPolicy": "Never", "restartPolicyRules": [
            {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}]}]});
    let mut pod = Played::new(&spec, exits(5, 0, 2));
    let mut look = |seconds| {
        pod.until(seconds);
        let status = pod.status();
        let restarts = |list: &str| status["status"][list][0]["restartCount"].as_i64();
        (pod.life.phase, restarts("initContainerStatuses"), restarts("containerStatuses"))
    };
    assert_eq!(look(4), (Phase::Running, Some(0), Some(0)));
    assert_eq!(look(5), (Phase::Running, Some(1), Some(1)), "down, and seen a second later");
    assert_eq!(look(11), (Phase::Running, Some(2), Some(2)));
    assert_eq!(look(17), (Phase::Succeeded, Some(2), Some(2)));
}

/// As hollow kubelets of kubemark v1.37.2 do by the API server's audit log, but for the events.
#[test]
fn each_step_is_reported_on_its_own() {
    let mut pod = Played::new(&spec("Always"), PodBehaviour::default());
    pod.habits.reports_steps = true;
    let reports = |pod: &mut Played, n: u64| -> Vec<PodEffect> {
        let mut done = pod.until(n);
        done.retain(|effect| !matches!(effect, PodEffect::Tell(..)));
        done
    };
    assert_eq!(reports(&mut pod, 0), [PodEffect::Report; 2], "admission and sandbox");
    let sandboxed = pod.status();
    assert_eq!(condition(&sandboxed, "PodReadyToStartContainers")["status"], "True");
    assert_eq!(
        sandboxed["status"]["containerStatuses"][0]["state"]["waiting"]["reason"],
        "ContainerCreating"
    );
    pod.take(PodInput::Due(Obligation::Reported, 1));
    assert_eq!(reports(&mut pod, 1), [PodEffect::Report]);
    assert!(PodView(&pod.status()).is_ready());
    pod.take(PodInput::DeletionAsked(Duration::from_secs(30)));
    assert_eq!(
        reports(&mut pod, 2),
        [PodEffect::Report; 2],
        "the deletion was seen; the containers are down"
    );
    assert_eq!(PodView(&pod.status()).phase(), Phase::Succeeded);
    pod.take(PodInput::Due(Obligation::Reported, 3));
    assert_eq!(reports(&mut pod, 3), [PodEffect::Report, PodEffect::Remove]);
}

#[test]
fn a_rejected_pod_says_why_in_the_kubelets_words() {
    let node: crate::hollow::SeenNode =
        serde_json::from_value(json!({"status": {"allocatable": {"pods": "0"}}})).unwrap();
    let mut pod = Played::new(&spec("Always"), PodBehaviour::default());
    let why = admit(&pod.shape.placement, &NodeFacts::of(&node), &Usage::default()).unwrap_err();
    pod.take(PodInput::Rejected(why));
    let status = pod.status();
    assert_eq!(status["status"]["reason"], "OutOfpods");
    assert!(
        status["status"]["message"]
            .as_str()
            .unwrap()
            .starts_with("Pod was rejected: Node didn't have enough")
    );
    assert!(status["status"]["containerStatuses"].is_null());
}

#[test]
fn recorded_ends_come_back() {
    let b = ContainerEnd { name: "b".into(), exit_code: 137, restarts: 4 };
    let run = RunEnd { after: Duration::from_secs(9), phase: Phase::Failed, containers: vec![b] };
    let mut pod = Played::new(&spec("Always"), PodBehaviour { run: Some(run), ..PodBehaviour::default() });
    assert!(!pod.until(8).contains(&PodEffect::ReportEnd));
    assert!(pod.until(9).contains(&PodEffect::ReportEnd));
    let ends = PodView(&pod.status()).container_ends();
    assert_eq!((ends[0].exit_code, ends[1].exit_code, ends[1].restarts), (1, 137, 4));
}

fn inputs() -> impl Strategy<Value = PodInput> {
    let due = prop_oneof![
        Just(Obligation::Admit),
        Just(Obligation::Start),
        (0..3u16, 0..3u32).prop_map(|(container, restarts)| Obligation::Exit { container, restarts }),
        (0..3u16, 0..3u32).prop_map(|(container, restarts)| Obligation::Restart { container, restarts }),
        Just(Obligation::Deadline),
        Just(Obligation::Finish),
        Just(Obligation::Terminate),
        Just(Obligation::Reported),
    ];
    prop_oneof![
        4 => due.prop_map(|obligation| PodInput::Due(obligation, 7)),
        1 => (0..60u64).prop_map(|s| PodInput::DeletionAsked(Duration::from_secs(s))),
        1 => (0..4u32).prop_map(PodInput::Gates),
        1 => Just(PodInput::Bound),
    ]
}

proptest! {
    /// Whatever comes in whatever order: no pod leaves Succeeded or Failed, there is one end and one removal, and nothing
    /// after the removal.
    #[test]
    fn no_pod_lives_again(policy in prop_oneof![Just("Always"), Just("OnFailure"), Just("Never")],
        code in 0..2i32, recorded in any::<bool>(), steps in any::<bool>(), inputs in prop::collection::vec(inputs(), 0..60)) {
        let mut how = exits(1, code, 1);
        if recorded {
            how.run = Some(RunEnd { after: Duration::from_secs(3), phase: Phase::Succeeded, containers: vec![] });
        }
        let mut spec = spec(policy);
        spec["initContainers"] = json!([{"name": "i"}]);
        let mut pod = Played::new(&spec, how);
        pod.habits.reports_steps = steps;
        let mut all = Vec::new();
        for (n, input) in inputs.into_iter().enumerate() {
            let before = pod.life.phase;
            pod.now = TraceTime::from_millis(n as u64 * 1000);
            pod.take(input);
            prop_assert!(!before.is_terminal() || pod.life.phase == before);
            all.append(&mut pod.log);
        }
        let count = |what: PodEffect| all.iter().filter(|effect| **effect == what).count();
        prop_assert!(count(PodEffect::ReportEnd) <= 1 && count(PodEffect::Remove) <= 1, "{all:?}");
        if count(PodEffect::Remove) == 1 {
            prop_assert_eq!(all.last(), Some(&PodEffect::Remove));
        }
        prop_assert!(PodView(&pod.status()).phase() == pod.life.phase);
    }
}
