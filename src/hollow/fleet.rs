use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::address::Addresses;
use super::pod::{Obligation, PodBehaviour, PodEffect, PodInput, PodState};
use super::status::{Places, admitted, ended, running};
use crate::k8s::{PatchType, Request};
use crate::model::{ActionKind, Json, ObjectEvent, ObjectKey, POD, PodView, Text, TraceTime, Verb};

/// One moment on both time lines: the trace's, which decides, and the wall clock's, which objects show.
#[derive(Debug, Clone, Copy)]
pub struct Instants {
    /// Trace time.
    pub trace: TraceTime,
    /// Wall clock.
    pub wall: DateTime<Utc>,
}

/// A request that a hollow node makes.
#[derive(Debug, Clone, PartialEq)]
pub struct HollowRequest {
    /// About this pod.
    pub key: ObjectKey,
    /// When it was due in trace time.
    pub due: TraceTime,
    /// Set for the ends of pods, which a run's reel records; absent for mere status.
    pub action: Option<ActionKind>,
    /// What to send.
    pub request: Request,
}

#[derive(Debug)]
struct Hosted {
    object: Json,
    state: PodState,
    behaviour: PodBehaviour,
    address: Ipv4Addr,
}

#[derive(Debug, Default)]
struct HollowNode {
    host_ip: String,
    pod_cidr: Option<String>,
}

/// An obligation by when it is due. At one instant admissions go first and pods go by name, so that the order does
/// not depend on the order in which bindings were seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Timer {
    at: TraceTime,
    obligation: Obligation,
    key: ObjectKey,
    uid: Text,
}

type BehaviourOf = Arc<dyn Fn(PodView<'_>) -> PodBehaviour + Send + Sync>;

/// All hollow nodes of a process and the pods on them. Pure: events and instants in, requests out.
pub struct Fleet {
    behaviour_of: BehaviourOf,
    nodes: HashMap<String, HollowNode>,
    pods: HashMap<Text, Hosted>,
    addresses: Addresses,
    timers: BinaryHeap<Reverse<Timer>>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet")
            .field("nodes", &self.nodes.len())
            .field("pods", &self.pods.len())
            .finish_non_exhaustive()
    }
}

impl Fleet {
    /// An empty fleet; `behaviour_of` says how each pod starts, runs and ends.
    pub fn new(behaviour_of: impl Fn(PodView<'_>) -> PodBehaviour + Send + Sync + 'static) -> Fleet {
        Fleet {
            behaviour_of: Arc::new(behaviour_of),
            nodes: HashMap::new(),
            pods: HashMap::new(),
            addresses: Addresses::default(),
            timers: BinaryHeap::new(),
        }
    }

    /// Takes a node under care: from now on the pods bound to it run.
    pub fn add_node(&mut self, node: &Json) {
        let addresses = node["status"]["addresses"].items();
        let internal = addresses.iter().find(|a| a["type"] == "InternalIP");
        let host_ip = internal.and_then(|a| a["address"].as_str()).unwrap_or("10.255.0.1").to_owned();
        let pod_cidr = node["spec"]["podCIDR"].as_str().map(str::to_owned);
        let name = node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.nodes.insert(name, HollowNode { host_ip, pod_cidr });
    }

    /// Lets a node go: nothing more is done for its pods.
    pub fn remove_node(&mut self, name: &str) {
        self.nodes.remove(name);
        self.pods.retain(|_, hosted| PodView(&hosted.object).node_name() != Some(name));
    }

    /// Takes note of a pod event. What follows from it is armed and comes out of [`Fleet::fire_next`].
    pub fn observe(&mut self, event: &ObjectEvent, now: TraceTime) {
        let pod = PodView(&event.object);
        if event.verb == Verb::Deleted {
            if let Some(hosted) = self.pods.remove(&event.uid) {
                self.addresses.give_back(hosted.address);
            }
        } else if pod.node_name().is_some_and(|name| self.nodes.contains_key(name)) {
            self.follow(event, now);
        }
    }

    fn follow(&mut self, event: &ObjectEvent, now: TraceTime) {
        let pod = PodView(&event.object);
        if let Some(hosted) = self.pods.get_mut(&event.uid) {
            hosted.object = event.object.clone();
        } else {
            self.admit(event, now);
        }
        let asked = |hosted: &Hosted| matches!(hosted.state, PodState::Terminating | PodState::Removed);
        if pod.is_deleting() && !self.pods.get(&event.uid).is_none_or(asked) {
            let grace = Duration::from_secs(pod.deletion_grace_seconds().unwrap_or(30));
            self.step(&event.uid, PodInput::DeletionAsked(grace), now);
        }
    }

    /// Takes in a pod that was bound to one of our nodes.
    fn admit(&mut self, event: &ObjectEvent, now: TraceTime) {
        let pod = PodView(&event.object);
        let node = pod.node_name().and_then(|name| self.nodes.get(name));
        let address = self.addresses.take(node.and_then(|node| node.pod_cidr.as_deref()));
        let hosted = Hosted {
            object: event.object.clone(),
            state: if pod.phase().is_terminal() { PodState::Ended } else { PodState::Starting },
            behaviour: (self.behaviour_of)(pod),
            address,
        };
        self.pods.insert(event.uid.clone(), hosted);
        self.step(&event.uid, PodInput::Bound, now);
    }

    /// When the next obligation is due.
    pub fn next_due(&self) -> Option<TraceTime> {
        self.timers.peek().map(|Reverse(timer)| timer.at)
    }

    /// Meets the next obligations that are due at or before `now`, up to the first that needs a request.
    pub fn fire_next(&mut self, now: Instants) -> Option<HollowRequest> {
        loop {
            self.next_due().filter(|due| *due <= now.trace)?;
            let Reverse(Timer { at: due, obligation, uid, .. }) = self.timers.pop()?;
            // From the due time, not from now: a late driver must not stretch the pod's run time.
            let effect = self.step(&uid, PodInput::Due(obligation), due);
            let request = effect.and_then(|effect| self.request(&uid, &effect, due, now.wall));
            if request.is_some() {
                return request;
            }
        }
    }

    fn step(&mut self, uid: &Text, input: PodInput, now: TraceTime) -> Option<PodEffect> {
        let hosted = self.pods.get_mut(uid)?;
        let (state, effects) = hosted.state.step(input, now, &hosted.behaviour);
        hosted.state = state;
        let key = ObjectKey::of(&hosted.object)?;
        let mut outward = None;
        for effect in effects {
            match effect {
                PodEffect::Arm(obligation, at) => {
                    let timer = Timer { at, obligation, key: key.clone(), uid: uid.clone() };
                    self.timers.push(Reverse(timer));
                }
                other => outward = Some(other),
            }
        }
        outward
    }

    fn request(
        &self,
        uid: &Text,
        effect: &PodEffect,
        due: TraceTime,
        wall: DateTime<Utc>,
    ) -> Option<HollowRequest> {
        let hosted = self.pods.get(uid)?;
        let pod = PodView(&hosted.object);
        let key = ObjectKey::of(&hosted.object)?;
        let host = &self.nodes.get(pod.node_name()?)?.host_ip;
        let status = |patch: &serde_json::Value| {
            Request::patch(&POD, &key, Some("status"), PatchType::Strategic, patch)
        };
        let (action, request) = match effect {
            PodEffect::ReportAdmitted => (None, status(&admitted(pod, host, wall))),
            PodEffect::ReportRunning => {
                (None, status(&running(pod, Places { pod: hosted.address, host }, wall)))
            }
            PodEffect::ReportEnded(end) => (Some(ActionKind::FinishPod), status(&ended(pod, end, wall))),
            PodEffect::Remove => {
                (Some(ActionKind::TerminatePod), Request::delete(&POD, &key, Some(0), Some(uid)))
            }
            PodEffect::Arm(..) => return None,
        };
        Some(HollowRequest { key, due, action, request })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hollow::pod::RunEnd;
    use crate::model::Phase;
    use serde_json::json;

    fn fleet() -> Fleet {
        let mut fleet = Fleet::new(|_| PodBehaviour {
            start_latency: Duration::from_millis(100),
            run: Some(RunEnd { after: Duration::from_secs(1), phase: Phase::Succeeded, containers: vec![] }),
            termination: Duration::from_secs(3),
        });
        fleet.add_node(&json!({"metadata": {"name": "n1"}, "spec": {"podCIDR": "10.9.0.0/24"}}).into());
        fleet
    }

    fn pod(node: &str, deleting: bool) -> ObjectEvent {
        let mut object = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": node, "containers": []},
            "metadata": {"name": "p", "namespace": "a", "uid": "u"}});
        if deleting {
            object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            object["metadata"]["deletionGracePeriodSeconds"] = 1.into();
        }
        ObjectEvent::new(TraceTime::ZERO, Verb::Modified, object).unwrap()
    }

    fn at(millis: u64) -> Instants {
        Instants { trace: TraceTime::from_millis(millis), wall: DateTime::UNIX_EPOCH }
    }

    /// All that is due until then, as descriptions.
    fn fire(fleet: &mut Fleet, millis: u64) -> Vec<String> {
        std::iter::from_fn(|| fleet.fire_next(at(millis)))
            .map(|r| format!("{} {:?}", r.request.describe(), r.action))
            .collect()
    }

    #[test]
    fn a_bound_pod_runs_and_ends_at_its_times() {
        let mut fleet = fleet();
        fleet.observe(&pod("n1", false), TraceTime::ZERO);
        let status = "PATCH /api/v1/namespaces/a/pods/p/status None";
        assert_eq!(fire(&mut fleet, 99), [status], "admitted at once");
        assert_eq!(fire(&mut fleet, 100), [status], "running after its latency");
        // The driver comes late: the run time still counts from 100 ms.
        assert_eq!(fleet.next_due(), Some(TraceTime::from_millis(1_100)));
        assert_eq!(fire(&mut fleet, 5_000), ["PATCH /api/v1/namespaces/a/pods/p/status Some(FinishPod)"]);
    }

    #[test]
    fn pods_of_one_instant_go_by_name_whatever_order_they_came_in() {
        let order = |names: [&str; 2]| {
            let mut fleet = fleet();
            for name in names {
                let mut event = pod("n1", false);
                let mut object = event.object.to_value();
                object["metadata"]["name"] = name.into();
                object["metadata"]["uid"] = format!("u-{name}").into();
                event = ObjectEvent::new(event.at, event.verb, object).unwrap();
                fleet.observe(&event, TraceTime::ZERO);
            }
            fire(&mut fleet, 0)
        };
        assert_eq!(order(["a", "b"]), order(["b", "a"]));
        assert!(order(["b", "a"])[0].contains("/pods/a/"));
    }

    #[test]
    fn a_deletion_is_met_once_after_the_grace_period() {
        let mut fleet = fleet();
        fleet.observe(&pod("n1", false), TraceTime::ZERO);
        fleet.observe(&pod("n1", true), TraceTime::from_millis(50));
        fleet.observe(&pod("n1", true), TraceTime::from_millis(60));
        let fired = fire(&mut fleet, 10_000);
        assert_eq!(fired.last().unwrap(), "DELETE /api/v1/namespaces/a/pods/p Some(TerminatePod)");
        assert_eq!(fired.iter().filter(|f| f.starts_with("DELETE")).count(), 1);
    }

    #[test]
    fn pods_on_other_nodes_are_not_ours() {
        let mut fleet = fleet();
        fleet.observe(&pod("real-node", false), TraceTime::ZERO);
        assert_eq!(fleet.next_due(), None);
        fleet.observe(&pod("n1", false), TraceTime::ZERO);
        fleet.remove_node("n1");
        assert_eq!(fire(&mut fleet, 10_000), [""; 0]);
    }
}
