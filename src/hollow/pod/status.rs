//! Status patches as a kubelet sends them (`pkg/kubelet/status/generate.go` and `status_manager.go`, v1.37.2):
//! strategic merge, with the UID so that a successor of the same name is not touched.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use super::container::{Container, ContainerState, Exit};
use super::life::{PodLife, Stage};
use super::shape::{ContainerShape, PodShape};
use crate::hollow::address::PodAddresses;
use crate::hollow::seen::{SeenResources, is_zero};
use crate::model::Phase;

/// The conditions that a kubelet owns, in its order.
const KINDS: [&str; 4] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];

/// Since when each of a pod's conditions has been as it is: wall-clock seconds, in the order of [`KINDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::hollow) struct Transitions([(bool, i64); 4]);

/// What became of a change of a running pod's resources (KEP-1287).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::hollow) enum Resize {
    /// None was asked for, or it is done.
    #[default]
    None,
    /// It was done: the condition that said otherwise goes.
    Done,
    /// It may fit later.
    Deferred(String),
    /// The node is too small.
    Infeasible(String),
}

/// All that a pod's status says.
#[derive(Debug)]
pub(in crate::hollow) struct StatusOf<'a> {
    pub(in crate::hollow) uid: &'a str,
    pub(in crate::hollow) generation: i64,
    pub(in crate::hollow) life: &'a PodLife,
    /// Resources as they are allocated: those of the spec but for a resize under way.
    pub(in crate::hollow) shape: &'a PodShape,
    pub(in crate::hollow) addresses: PodAddresses,
    pub(in crate::hollow) host: &'a str,
    pub(in crate::hollow) resize: &'a Resize,
}

impl StatusOf<'_> {
    fn containers_are_ready(&self) -> bool {
        self.life.phase == Phase::Running && unready(self, false).is_empty()
    }

    /// Whether its condition Ready holds.
    pub(in crate::hollow) fn is_ready(&self) -> bool {
        self.containers_are_ready() && gates(self).is_ok()
    }
}

#[derive(Serialize)]
struct Patch<'a> {
    metadata: Identity<'a>,
    status: Status<'a>,
}

#[derive(Serialize)]
struct Identity<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    observed_generation: i64,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(rename = "hostIP", skip_serializing_if = "str::is_empty")]
    host_ip: &'a str,
    #[serde(rename = "hostIPs", skip_serializing_if = "Vec::is_empty")]
    host_ips: Vec<Ip>,
    #[serde(rename = "podIP", skip_serializing_if = "Option::is_none")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pod_ips: Vec<Ip>,
    conditions: Vec<Condition<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    init_container_statuses: Vec<ContainerStatus<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    container_statuses: Vec<ContainerStatus<'a>>,
}

#[derive(Serialize)]
struct Ip {
    ip: String,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Condition<'a> {
    #[serde(rename = "$patch", skip_serializing_if = "Option::is_none")]
    patch: Option<&'static str>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    observed_generation: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_transition_time: Option<String>,
    // Null where there is none: what stood there before must go.
    reason: Option<&'static str>,
    message: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus<'a> {
    name: &'a str,
    image: &'a str,
    #[serde(rename = "imageID")]
    image_id: &'static str,
    #[serde(rename = "containerID", skip_serializing_if = "Option::is_none")]
    container_id: Option<String>,
    ready: bool,
    started: bool,
    restart_count: u32,
    state: State,
    last_state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated_resources: Option<&'a crate::hollow::seen::Resources>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<&'a SeenResources>,
}

#[derive(Serialize, Default)]
struct State {
    // All three: a strategic merge would otherwise leave the former state beside the new one.
    waiting: Option<Waiting>,
    running: Option<Running>,
    terminated: Option<Terminated>,
}

#[derive(Serialize)]
struct Waiting {
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    started_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Terminated {
    exit_code: i32,
    reason: &'static str,
    started_at: Option<String>,
    finished_at: Option<String>,
}

/// The patch that brings the API's status to what it is at this wall-clock second.
pub(in crate::hollow) fn patch(of: &StatusOf<'_>, transitions: &mut Transitions, wall: i64) -> Vec<u8> {
    let rejected = of.life.phase == Phase::Failed && of.life.start_time.is_none();
    let ips: Vec<String> = pod_ips(of);
    let status = Status {
        observed_generation: of.generation,
        phase: phase(of.life.phase),
        reason: of.life.reason.as_ref().map(|why| why.reason.as_str()),
        message: of.life.reason.as_ref().map(|why| match of.life.start_time {
            None => format!("Pod was rejected: {}", why.message).into(),
            Some(_) => why.message.as_str().into(),
        }),
        start_time: of.life.start_time.map(stamp),
        host_ip: if rejected { "" } else { of.host },
        host_ips: if rejected { Vec::new() } else { vec![Ip { ip: of.host.to_owned() }] },
        pod_ip: ips.first().cloned(),
        pod_ips: ips.into_iter().map(|ip| Ip { ip }).collect(),
        conditions: conditions(of, transitions, wall),
        init_container_statuses: if rejected { Vec::new() } else { statuses(of, true) },
        container_statuses: if rejected { Vec::new() } else { statuses(of, false) },
    };
    let patch = Patch { metadata: Identity { uid: of.uid }, status };
    // Made of strings and numbers only: nothing in it can fail to be JSON.
    serde_json::to_vec(&patch).unwrap_or_default()
}

fn pod_ips(of: &StatusOf<'_>) -> Vec<String> {
    match (of.life.has_sandbox, of.shape.host_network) {
        (false, _) => Vec::new(),
        (true, true) => vec![of.host.to_owned()],
        (true, false) => of.addresses.iter().map(|ip| ip.to_string()).collect(),
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Running => "Running",
        Phase::Succeeded => "Succeeded",
        Phase::Failed => "Failed",
        Phase::Unknown => "Unknown",
    }
}

/// Whether it holds, and if not, why.
type Verdict<'a> = Result<(), (&'static str, Option<Cow<'a, str>>)>;

fn conditions<'a>(of: &StatusOf<'a>, transitions: &mut Transitions, wall: i64) -> Vec<Condition<'a>> {
    let (life, shape) = (of.life, of.shape);
    let ended = match life.phase {
        Phase::Succeeded => Some("PodCompleted"),
        Phase::Failed => Some("PodFailed"),
        _ => None,
    };
    let sandbox = life.has_sandbox && ended.is_none();
    let is_initialized = matches!(life.stage, Stage::Running) || life.phase == Phase::Running;
    let initialized: Verdict<'_> = if is_initialized || shape.inits == 0 || life.phase == Phase::Succeeded {
        Ok(())
    } else {
        Err(("ContainersNotInitialized", Some(unready_message(of, true, "incomplete"))))
    };
    let containers: Verdict<'_> = match ended {
        Some(reason) => Err((reason, None)),
        None if of.containers_are_ready() => Ok(()),
        None => Err(("ContainersNotReady", Some(unready_message(of, false, "unready")))),
    };
    let ready = containers.clone().and_then(|()| gates(of));
    let verdicts = [if sandbox { Ok(()) } else { Err(("", None)) }, initialized, ready, containers];
    let mut conditions = Vec::with_capacity(5);
    for ((kind, verdict), was) in KINDS.into_iter().zip(verdicts).zip(&mut transitions.0) {
        let holds = verdict.is_ok();
        if was.0 != holds || was.1 == 0 {
            *was = (holds, wall);
        }
        let (reason, message) = verdict.err().unwrap_or_default();
        conditions.push(Condition {
            kind,
            observed_generation: of.generation,
            status: if holds { "True" } else { "False" },
            last_transition_time: Some(stamp(was.1)),
            reason: Some(reason).filter(|reason| !reason.is_empty()),
            message,
            ..Condition::default()
        });
    }
    conditions.extend(resize(of, wall));
    conditions
}

fn resize<'a>(of: &StatusOf<'a>, wall: i64) -> Option<Condition<'a>> {
    let kind = "PodResizePending";
    let (reason, message) = match of.resize {
        Resize::None => return None,
        Resize::Done => return Some(Condition { patch: Some("delete"), kind, ..Condition::default() }),
        Resize::Deferred(message) => ("Deferred", message),
        Resize::Infeasible(message) => ("Infeasible", message),
    };
    Some(Condition {
        kind,
        status: "True",
        observed_generation: of.generation,
        last_transition_time: Some(stamp(wall)),
        reason: Some(reason),
        message: Some(message.as_str().into()),
        ..Condition::default()
    })
}

fn gates<'a>(of: &StatusOf<'a>) -> Verdict<'a> {
    let closed = |(n, _): &(usize, _)| of.life.gates & (1 << n) == 0;
    let closed = of.shape.gates.iter().take(32).enumerate().filter(closed);
    let messages: Vec<String> = closed
        .map(|(_, gate)| format!("the status of pod readiness gate \"{gate}\" is not \"True\""))
        .collect();
    if messages.is_empty() {
        Ok(())
    } else {
        Err(("ReadinessGatesNotReady", Some(messages.join(", ").into())))
    }
}

/// The names of the containers that hold their pod back: of those that run first, which are not through yet; of those that
/// go on running (`pkg/kubelet/status/generate.go`, v1.37.2, counts sidecars to both), which are not ready.
fn unready<'a>(of: &StatusOf<'a>, inits: bool) -> Vec<&'a str> {
    let holds_back = |(n, shape): &(usize, &ContainerShape)| {
        let is_init = *n < of.shape.inits;
        let container = of.life.containers.get(*n);
        match (inits, shape.is_sidecar) {
            (true, true) => is_init && !container.is_some_and(Container::is_started),
            (true, false) => is_init && container.and_then(Container::exit_code) != Some(0),
            (false, is_sidecar) => (!is_init || is_sidecar) && !container.is_some_and(Container::is_ready),
        }
    };
    let containers = of.shape.containers.iter().enumerate();
    containers.filter(holds_back).map(|(_, shape)| shape.name.as_str()).collect()
}

/// `containers with unready status: [a b]`.
fn unready_message<'a>(of: &StatusOf<'_>, inits: bool, what: &str) -> Cow<'a, str> {
    format!("containers with {what} status: [{}]", unready(of, inits).join(" ")).into()
}

fn statuses<'a>(of: &StatusOf<'a>, inits: bool) -> Vec<ContainerStatus<'a>> {
    let range = if inits { 0..of.shape.inits } else { of.shape.inits..of.shape.containers.len() };
    range.map(|n| container_status(of, n)).collect()
}

fn container_status<'a>(of: &StatusOf<'a>, n: usize) -> ContainerStatus<'a> {
    let shape = &of.shape.containers[n];
    let container = of.life.containers.get(n);
    let state = container.map_or(ContainerState::Waiting, |c| c.state);
    let running = matches!(state, ContainerState::Running(_));
    let restarts = container.map_or(0, |c| c.restarts);
    let is_done = matches!(state, ContainerState::Exited(Exit { code: 0, .. }));
    let has_requests = !shape.resources.requests.is_empty();
    ContainerStatus {
        name: &shape.name,
        image: &shape.image,
        image_id: "",
        container_id: (state != ContainerState::Waiting)
            .then(|| format!("hollow://{}/{}/{restarts}", of.uid, shape.name)),
        ready: container.is_some_and(Container::is_ready) || (n < of.shape.inits && is_done),
        started: container.is_some_and(Container::is_started),
        restart_count: restarts,
        state: state_of(state, of.life, n < of.shape.inits || of.shape.inits == 0),
        last_state: State { terminated: container.and_then(|c| c.last).map(terminated), ..State::default() },
        allocated_resources: (running && has_requests).then_some(&shape.resources.requests),
        resources: running.then_some(&shape.resources),
    }
}

fn state_of(state: ContainerState, life: &PodLife, comes_first: bool) -> State {
    let waiting = |reason, message| State { waiting: Some(Waiting { reason, message }), ..State::default() };
    match state {
        ContainerState::Waiting
            if comes_first && matches!(life.stage, Stage::Starting | Stage::Sandboxed) =>
        {
            waiting("ContainerCreating", None)
        }
        ContainerState::Waiting if life.phase.is_terminal() => State {
            terminated: Some(Terminated {
                exit_code: 137,
                reason: "ContainerStatusUnknown",
                started_at: None,
                finished_at: None,
            }),
            ..State::default()
        },
        ContainerState::Waiting => waiting("PodInitializing", None),
        ContainerState::BackingOff => {
            waiting("CrashLoopBackOff", Some("back-off restarting failed container"))
        }
        ContainerState::Running(since) => {
            State { running: Some(Running { started_at: stamp(since) }), ..State::default() }
        }
        ContainerState::Exited(exit) => State { terminated: Some(terminated(exit)), ..State::default() },
    }
}

fn terminated(exit: Exit) -> Terminated {
    Terminated {
        exit_code: exit.code,
        reason: if exit.code == 0 { "Completed" } else { "Error" },
        started_at: Some(stamp(exit.from)),
        finished_at: Some(stamp(exit.until)),
    }
}

/// A time as the API server writes it: RFC 3339 in whole seconds.
fn stamp(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}
