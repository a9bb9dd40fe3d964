use std::time::Duration;

use chrono::{DateTime, Utc};

use super::body::{Identity, identity};
use super::start;
use crate::hollow::chance::chance;
use crate::k8s::Request;
use crate::model::{Json, NODE, Text};

/// `leaseDurationSeconds` of a kubelet (`pkg/kubelet/apis/config/v1beta1/defaults.go`, v1.37.2).
pub(in crate::hollow) const LEASE_SECONDS: u64 = 40;

/// A kubelet renews at a quarter of the duration (`pkg/kubelet/kubelet.go`, `nodeLeaseRenewIntervalFraction` 0.25),
/// and up to 4 % later (`k8s.io/component-helpers/apimachinery/lease/controller.go`, v0.37.2, `Run`).
pub(in crate::hollow) const RENEW: Duration = Duration::from_secs(LEASE_SECONDS / 4);
pub(in crate::hollow) const LAST_RENEW: Duration = Duration::from_millis(LEASE_SECONDS / 4 * 1040);

/// `nodeStatusReportFrequency`; the first period is drawn between half of it and one and a half
/// (`pkg/kubelet/kubelet_node_status.go`, v1.37.2, `calculateDelay`).
const REPORT: Duration = Duration::from_mins(5);

/// First and longest wait after a failure (`controller.go`, `backoffEnsureLease`; `kubelet_node_status.go`,
/// `registerWithAPIServer`).
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(7);

/// What a node does on its own account. Each is one request at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::hollow) enum NodeTask {
    /// Keep the lease.
    Lease,
    /// Be there.
    Register,
    /// Report the status.
    Report,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::hollow) enum Health {
    /// As it should be.
    #[default]
    Ready,
    /// It says that it is not ready.
    NotReady,
    /// It has stopped: neither leases nor status.
    Silent,
}

/// What came back, as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::hollow) struct Answer {
    /// HTTP status; none where there was no answer.
    pub(in crate::hollow) status: Option<u16>,
    pub(in crate::hollow) uid: Text,
    pub(in crate::hollow) version: Text,
}

impl Answer {
    fn is_success(&self) -> bool {
        matches!(self.status, Some(200..300))
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Registration {
    /// A kubelet that starts looks around first; so many looks are done.
    Look(usize, Json),
    /// To be posted.
    Create(Json),
    /// It was there before: to be read.
    Read(Json),
    /// It was there before: to be brought up to date.
    Patch(Json),
    /// It is there; so many of a kubelet's first steps afterwards are done.
    Settle(usize),
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Lease {
    /// Nothing is known of it.
    Ensure,
    /// There is none; a kubelet looks for the node that will own it.
    Owner,
    /// There is none.
    Create,
    /// It is ours in this version.
    Held(Text),
}

/// A node's own life: registration, lease and status. Pure: answers and time in, requests out.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::hollow) struct NodeLife {
    pub(in crate::hollow) identity: Identity,
    registration: Registration,
    lease: Lease,
    pub(in crate::hollow) health: Health,
    /// Wall-clock second of the last change of Ready; 0 for none.
    since: i64,
    failures: u32,
    renewals: u32,
    reports: u32,
    /// It asks what kubelets ask at their start besides what it needs.
    is_faithful: bool,
    /// It has neither lease nor reports yet.
    is_new: bool,
}

/// What to do after an answer.
pub(in crate::hollow) type Next = Vec<(NodeTask, Duration)>;

impl NodeLife {
    /// A node that registers itself as this object; a faithful one as kubelets do, step by step.
    pub(in crate::hollow) fn new(object: Json, is_faithful: bool) -> NodeLife {
        let identity = identity(&object);
        let registration =
            if is_faithful { Registration::Look(0, object) } else { Registration::Create(object) };
        NodeLife { registration, is_faithful, ..NodeLife::registered(identity) }
    }

    /// A node that somebody else registered, and that is ready since this wall-clock second.
    pub(in crate::hollow) fn adopted(identity: Identity, since: i64) -> NodeLife {
        NodeLife { since, ..NodeLife::registered(identity) }
    }

    fn registered(identity: Identity) -> NodeLife {
        NodeLife {
            identity,
            registration: Registration::Done,
            lease: Lease::Ensure,
            health: Health::Ready,
            since: 0,
            failures: 0,
            renewals: 0,
            reports: 0,
            is_faithful: false,
            is_new: false,
        }
    }

    /// Whether it is there.
    pub(in crate::hollow) fn is_registered(&self) -> bool {
        self.registration == Registration::Done
    }

    /// Its status is to be brought to this object's.
    pub(in crate::hollow) fn change(&mut self, object: Json) {
        match &mut self.registration {
            Registration::Look(_, own)
            | Registration::Create(own)
            | Registration::Read(own)
            | Registration::Patch(own) => *own = object,
            Registration::Settle(_) | Registration::Done => self.registration = Registration::Patch(object),
        }
    }

    /// The request of a task at an instant; `None` where there is nothing to do.
    pub(in crate::hollow) fn request(&self, task: NodeTask, now: DateTime<Utc>) -> Option<Request> {
        let own = &self.identity;
        Some(match (task, &self.registration, &self.lease) {
            (NodeTask::Register, Registration::Look(done, _), _) => start::look(own, *done)?,
            (NodeTask::Register, Registration::Settle(done), _) => start::settle(own, *done, now)?,
            (NodeTask::Register, Registration::Create(object), _) if self.is_faithful => {
                Request::create(&NODE, &start::not_yet_ready(object))
            }
            (NodeTask::Register, Registration::Create(object), _) => Request::create(&NODE, object),
            (NodeTask::Register, Registration::Read(_), _) => own.read(),
            (NodeTask::Register, Registration::Patch(object), _) => own.patch_whole(object),
            (NodeTask::Register, Registration::Done, _) => return None,
            _ if self.health == Health::Silent => return None,
            (NodeTask::Lease, _, Lease::Ensure) => own.read_lease(),
            (NodeTask::Lease, _, Lease::Owner) => own.read(),
            (NodeTask::Lease, _, Lease::Create) => own.create_lease(now),
            (NodeTask::Lease, _, Lease::Held(version)) => own.renew_lease(version, now),
            (NodeTask::Report, ..) => own.heartbeat(self.health, self.since, now),
        })
    }

    /// Takes note of an answer; says what follows, and after how long.
    pub(in crate::hollow) fn answered(&mut self, task: NodeTask, answer: &Answer, wall: i64) -> Next {
        let next = match task {
            NodeTask::Register => self.registered_answer(answer, wall),
            NodeTask::Lease => self.lease_answer(answer),
            NodeTask::Report => self.report_answer(answer),
        };
        if answer.is_success() {
            self.failures = 0;
        }
        next
    }

    fn registered_answer(&mut self, answer: &Answer, wall: i64) -> Next {
        let again = vec![(NodeTask::Register, Duration::ZERO)];
        match (std::mem::replace(&mut self.registration, Registration::Done), answer.status) {
            // What a look finds does not matter, nor does a step that is not allowed or was done before.
            (Registration::Look(done, object), Some(200..=400 | 402..=428)) => {
                let next = done + 1;
                let is_last = next == start::LOOKS;
                self.registration =
                    if is_last { Registration::Create(object) } else { Registration::Look(next, object) };
                again
            }
            (Registration::Settle(done), Some(200..=400 | 402..=428)) if done + 1 < start::STEPS => {
                self.registration = Registration::Settle(done + 1);
                again
            }
            (Registration::Settle(_), Some(200..=400 | 402..=428)) => self.is_there(),
            (Registration::Create(object), Some(409)) => {
                self.registration = Registration::Read(object);
                again
            }
            (Registration::Read(object), Some(200..300)) => {
                self.identity.uid = answer.uid.clone();
                self.registration = Registration::Patch(object);
                again
            }
            // It was deleted between the two: a new one.
            (Registration::Read(object), Some(404)) => {
                self.registration = Registration::Create(object);
                again
            }
            (_, Some(200..300)) => {
                self.is_new = self.identity.uid.is_empty() || self.since == 0;
                self.identity.uid = answer.uid.clone();
                self.since = if self.is_new { wall } else { self.since };
                if self.is_faithful {
                    self.registration = Registration::Settle(0);
                    return again;
                }
                self.is_there()
            }
            (before, _) => {
                self.registration = before;
                vec![(NodeTask::Register, self.backoff("register"))]
            }
        }
    }

    /// It is registered; what a new one does next.
    fn is_there(&mut self) -> Next {
        if self.lease == Lease::Ensure && std::mem::take(&mut self.is_new) {
            vec![(NodeTask::Lease, Duration::ZERO), (NodeTask::Report, self.report_delay())]
        } else {
            Vec::new()
        }
    }

    fn lease_answer(&mut self, answer: &Answer) -> Next {
        let wait = match (&self.lease, answer.status) {
            (Lease::Ensure, Some(200..300)) => {
                self.lease = Lease::Held(answer.version.clone());
                Duration::ZERO
            }
            (Lease::Ensure, Some(404)) => {
                self.lease = if self.is_faithful { Lease::Owner } else { Lease::Create };
                Duration::ZERO
            }
            (Lease::Owner, Some(200..300)) => {
                self.lease = Lease::Create;
                Duration::ZERO
            }
            (Lease::Create, Some(200..300)) => {
                self.lease = Lease::Held(answer.version.clone());
                // Nodes that start together renew apart.
                RENEW.mul_f64(chance(&self.identity.name, "phase"))
            }
            (Lease::Held(_), Some(200..300)) => {
                self.lease = Lease::Held(answer.version.clone());
                self.renewals = self.renewals.wrapping_add(1);
                let jitter = chance(&self.identity.name, &format!("lease {}", self.renewals));
                RENEW + LAST_RENEW.saturating_sub(RENEW).mul_f64(jitter)
            }
            (Lease::Held(_) | Lease::Create, Some(404 | 409)) => {
                self.lease = Lease::Ensure;
                Duration::ZERO
            }
            _ => {
                self.lease = Lease::Ensure;
                self.backoff("lease")
            }
        };
        vec![(NodeTask::Lease, wait)]
    }

    fn report_answer(&mut self, answer: &Answer) -> Next {
        let wait = match answer.status {
            Some(200..300) => self.report_delay(),
            // It is not there: the watch will say so.
            Some(404) => REPORT,
            _ => self.backoff("report"),
        };
        vec![(NodeTask::Report, wait)]
    }

    fn report_delay(&mut self) -> Duration {
        self.reports += 1;
        if self.reports > 1 { REPORT } else { REPORT.mul_f64(0.5 + chance(&self.identity.name, "report")) }
    }

    /// Doubling, and jittered so that nodes that failed together do not come back together.
    fn backoff(&mut self, purpose: &str) -> Duration {
        let wait = FIRST_RETRY.saturating_mul(1 << self.failures.min(10)).min(LAST_RETRY);
        self.failures += 1;
        let draw = chance(&self.identity.name, &format!("{purpose} {}", self.failures));
        wait.mul_f64(0.5 + draw / 2.0)
    }

    /// It is from now on like this; says whether it has to report that.
    pub(in crate::hollow) fn set_health(&mut self, health: Health, wall: i64) -> bool {
        let before = std::mem::replace(&mut self.health, health);
        if before != health {
            self.since = wall;
        }
        before != health && health != Health::Silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node() -> NodeLife {
        NodeLife::new(serde_json::json!({"metadata": {"name": "n1"}, "status": {}}).into(), false)
    }

    fn answer(status: u16) -> Answer {
        Answer { status: Some(status), uid: "u".into(), version: "7".into() }
    }

    fn asks(node: &NodeLife, task: NodeTask) -> String {
        node.request(task, DateTime::UNIX_EPOCH).map(|r| r.describe()).unwrap_or_default()
    }

    #[test]
    fn a_new_node_is_posted_and_then_gets_its_lease() {
        let mut node = node();
        assert_eq!(asks(&node, NodeTask::Register), "POST /api/v1/nodes");
        let next = node.answered(NodeTask::Register, &answer(201), 5);
        assert_eq!(next[0], (NodeTask::Lease, Duration::ZERO));
        assert!((REPORT / 2..REPORT * 3 / 2).contains(&next[1].1));
        let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
        assert_eq!(asks(&node, NodeTask::Lease), format!("GET {lease}/n1"));
        node.answered(NodeTask::Lease, &answer(404), 5);
        assert_eq!(asks(&node, NodeTask::Lease), format!("POST {lease}"));
        let first = node.answered(NodeTask::Lease, &answer(201), 5)[0].1;
        assert!(first < RENEW);
        assert_eq!(asks(&node, NodeTask::Lease), format!("PUT {lease}/n1"));
        node.answered(NodeTask::Lease, &answer(409), 5);
        assert_eq!(asks(&node, NodeTask::Lease), format!("GET {lease}/n1"));
    }

    /// In the order of the audit log of kubemark v1.37.2 (`docs/hollow.md`).
    #[test]
    fn a_faithful_node_starts_as_kubelets_do() {
        let ready = serde_json::json!({"metadata": {"name": "n1"}, "status": {"conditions": [
            {"type": "Ready", "status": "True", "reason": "KubeletReady"}]}});
        let mut node = NodeLife::new(ready.into(), true);
        let mut asked = Vec::new();
        while !node.is_registered() {
            let request = node.request(NodeTask::Register, DateTime::UNIX_EPOCH).unwrap();
            if request.describe() == "POST /api/v1/nodes" {
                let posted: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
                assert_eq!(
                    posted["status"]["conditions"][0]["status"], "False",
                    "not ready before its CSINode is"
                );
            }
            asked.push(request.describe());
            let status = if asked.len() <= start::LOOKS { 404 } else { 200 };
            node.answered(NodeTask::Register, &answer(status), 5);
        }
        let (csi, own) = ("/apis/storage.k8s.io/v1/csinodes", "/api/v1/nodes");
        let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
        let wanted = [
            format!("GET {csi}/n1"),
            format!("GET {own}/n1"),
            format!("GET {lease}/n1"),
            format!("GET {own}/n1"),
            format!("GET {own}/n1"),
            format!("GET {own}/n1"),
            format!("POST {own}"),
            format!("PATCH {own}/n1/status"),
            format!("GET {own}/n1"),
            format!("GET {csi}/n1"),
            format!("POST {csi}"),
            format!("PATCH {own}/n1/status"),
        ];
        assert_eq!(asked, wanted);
        node.answered(NodeTask::Lease, &answer(404), 5);
        assert_eq!(asks(&node, NodeTask::Lease), format!("GET {own}/n1"));
    }

    #[test]
    fn a_node_that_is_there_is_read_and_patched() {
        let mut node = node();
        node.answered(NodeTask::Register, &answer(409), 5);
        assert_eq!(asks(&node, NodeTask::Register), "GET /api/v1/nodes/n1");
        node.answered(NodeTask::Register, &answer(200), 5);
        assert_eq!(asks(&node, NodeTask::Register), "PATCH /api/v1/nodes/n1/status");
        let next = node.answered(NodeTask::Register, &answer(200), 5);
        assert!(node.is_registered());
        assert_eq!(next[0].0, NodeTask::Lease);
        assert_eq!(asks(&node, NodeTask::Register), "");
    }

    #[test]
    fn a_silent_node_asks_for_nothing() {
        let mut node = NodeLife::registered(Identity { name: "n1".into(), uid: "u".into() });
        assert!(!node.set_health(Health::Silent, 9));
        assert_eq!(
            (asks(&node, NodeTask::Lease), asks(&node, NodeTask::Report)),
            (String::new(), String::new())
        );
        assert!(node.set_health(Health::NotReady, 10));
        assert_eq!(asks(&node, NodeTask::Report), "PATCH /api/v1/nodes/n1/status");
    }

    proptest! {
        /// While the server answers, renewals are never less than the interval apart nor more than it and its jitter;
        /// whatever happens, the next try is never further away than the longest wait.
        #[test]
        fn renewals_keep_their_interval(name in "[a-z]{1,8}", statuses in prop::collection::vec(
            prop_oneof![4 => Just(200u16), 1 => Just(500), 1 => Just(409), 1 => Just(404)], 1..60)) {
            let mut node = NodeLife::registered(Identity { name: name.into(), uid: "u".into() });
            for status in statuses {
                let held = matches!(node.lease, Lease::Held(_));
                let wait = node.answered(NodeTask::Lease, &answer(status), 0)[0].1;
                if held && status == 200 {
                    prop_assert!(wait >= RENEW && wait <= LAST_RENEW, "{wait:?}");
                } else {
                    prop_assert!(wait <= LAST_RETRY.max(RENEW), "{wait:?}");
                }
            }
        }
    }
}
