use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::failure::Failure;
use super::fleet::Instants;
use super::node::{Answer, Health, Identity, LAST_RENEW, NodeLife, NodeTask};
use super::timers::Timers;
use crate::k8s::Request;
use crate::model::{Json, Text, TraceTime};

/// A request of a node about itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NodeRequest {
    pub(super) name: Text,
    pub(super) task: NodeTask,
    pub(super) due: TraceTime,
    pub(super) request: Request,
}

/// What the nodes do next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum NodeStep {
    /// Send this.
    Send(NodeRequest),
    /// A node was one way and is now another.
    Turned(Text, Health, Health),
}

#[derive(Debug)]
struct Member {
    life: NodeLife,
    /// When each task is due, by [`NodeTask`]; timers of other instants are void.
    due: [Option<TraceTime>; 3],
    in_flight: [bool; 3],
    failure: Option<Failure>,
    flap_at: Option<TraceTime>,
    /// It was registered before; what follows is a change of it.
    is_known: bool,
}

impl Member {
    fn new(life: NodeLife) -> Member {
        Member { life, due: [None; 3], in_flight: [false; 3], failure: None, flap_at: None, is_known: false }
    }
}

/// Renewals of leases meet at moments so far apart: those of one moment share the waking of a thread, writes and reads.
const BEAT: Duration = Duration::from_millis(200);

/// The moment for a renewal `after` from now: the next one, or the one before where that would be later than a kubelet's.
fn on_beat(now: TraceTime, after: Duration) -> TraceTime {
    let beat = BEAT.as_nanos() as u64;
    let next = TraceTime::from_nanos((now + after).as_nanos().div_ceil(beat) * beat);
    if next.since(now) > after.max(LAST_RENEW) { TraceTime::from_nanos(next.as_nanos() - beat) } else { next }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Task(NodeTask, Text),
    Flap(Text),
}

/// The nodes of a process on their own account: registration, leases, status. Pure, on the monotonic clock: leases do
/// not follow the speed of a trace.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    members: HashMap<Text, Member>,
    timers: Timers<Wake>,
    /// They ask what kubelets ask at their start.
    are_faithful: bool,
}

impl Nodes {
    /// None yet.
    pub(super) fn new(are_faithful: bool) -> Nodes {
        Nodes { are_faithful, ..Nodes::default() }
    }

    /// Registers a node, or takes one over that is there.
    pub(super) fn register(&mut self, object: Json, now: TraceTime) {
        let life = NodeLife::new(object, self.are_faithful);
        let name = life.identity.name.clone();
        self.members.insert(name.clone(), Member::new(life));
        self.arm(&name, NodeTask::Register, now);
    }

    /// Keeps a node alive that somebody else registered; its status is reported only where `reports` says so.
    pub(super) fn adopt(&mut self, name: &str, uid: &str, now: Instants, reports: bool) {
        let identity = Identity { name: name.into(), uid: uid.into() };
        let life = NodeLife::adopted(identity, now.wall.timestamp());
        self.members.insert(name.into(), Member::new(life));
        self.arm(name, NodeTask::Lease, now.trace);
        if reports {
            self.arm(name, NodeTask::Report, now.trace);
        }
    }

    /// A node is gone.
    pub(super) fn remove(&mut self, name: &str) {
        self.members.remove(name);
    }

    /// Whether it is one of ours.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// How many there are, and how many of them are registered.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.members.len(), self.members.values().filter(|member| member.life.is_registered()).count())
    }

    /// A node's status is to be brought to this object's.
    pub(super) fn change(&mut self, name: &str, object: Json, now: TraceTime) {
        if let Some(member) = self.members.get_mut(name) {
            member.life.change(object);
            self.arm(name, NodeTask::Register, now);
        }
    }

    /// Makes a node fail in a way, or not any more.
    pub(super) fn fail(&mut self, name: &str, failure: Option<Failure>, now: Instants) -> Option<NodeStep> {
        let member = self.members.get_mut(name)?;
        if member.failure == failure {
            return None;
        }
        member.failure = failure;
        member.flap_at = None;
        let health = match failure {
            None => Health::Ready,
            Some(Failure::Stop) => Health::Silent,
            Some(Failure::NotReady) => Health::NotReady,
            Some(Failure::Flap { up, .. }) => {
                self.flap_in(name, up, now.trace);
                Health::Ready
            }
        };
        self.set_health(name, health, now)
    }

    fn flap_in(&mut self, name: &str, after: Duration, now: TraceTime) {
        if let Some(member) = self.members.get_mut(name) {
            member.flap_at = Some(now + after);
            self.timers.arm(now + after, Wake::Flap(name.into()));
        }
    }

    fn set_health(&mut self, name: &str, health: Health, now: Instants) -> Option<NodeStep> {
        let life = &mut self.members.get_mut(name)?.life;
        let before = life.health;
        if life.set_health(health, now.wall.timestamp()) {
            self.arm(name, NodeTask::Report, now.trace);
            self.arm(name, NodeTask::Lease, now.trace);
        }
        (before != health).then(|| NodeStep::Turned(name.into(), before, health))
    }

    fn arm(&mut self, name: &str, task: NodeTask, at: TraceTime) {
        if let Some(member) = self.members.get_mut(name) {
            member.due[task as usize] = Some(at);
            self.timers.arm(at, Wake::Task(task, name.into()));
        }
    }

    /// When the next thing is due.
    pub(super) fn next_due(&self) -> Option<TraceTime> {
        self.timers.next_due()
    }

    /// The next thing that is due at or before `now`.
    pub(super) fn fire_next(&mut self, now: Instants) -> Option<NodeStep> {
        loop {
            let (due, wake) = self.timers.pop_due(now.trace)?;
            let step = match wake {
                Wake::Task(task, name) => self.send(name, task, due, now.wall).map(NodeStep::Send),
                Wake::Flap(name) => self.flap(&name, due, now),
            };
            if step.is_some() {
                return step;
            }
        }
    }

    fn send(
        &mut self,
        name: Text,
        task: NodeTask,
        due: TraceTime,
        wall: DateTime<Utc>,
    ) -> Option<NodeRequest> {
        let member = self.members.get_mut(&name)?;
        // A timer that was overtaken; what is in flight arms the next one.
        if member.due[task as usize] != Some(due) || member.in_flight[task as usize] {
            return None;
        }
        let request = member.life.request(task, wall)?;
        member.in_flight[task as usize] = true;
        Some(NodeRequest { name, task, due, request })
    }

    fn flap(&mut self, name: &str, due: TraceTime, now: Instants) -> Option<NodeStep> {
        let member = self.members.get(name)?;
        let Some(Failure::Flap { up, down }) = member.failure.filter(|_| member.flap_at == Some(due)) else {
            return None;
        };
        let was_silent = member.life.health == Health::Silent;
        self.flap_in(name, if was_silent { up } else { down }, due);
        self.set_health(name, if was_silent { Health::Ready } else { Health::Silent }, now)
    }

    /// Takes note of an answer; gives the UID of a node that is registered by it for the first time.
    pub(super) fn answered(
        &mut self,
        name: &str,
        task: NodeTask,
        answer: &Answer,
        now: Instants,
    ) -> Option<Text> {
        let member = self.members.get_mut(name)?;
        member.in_flight[task as usize] = false;
        let next = member.life.answered(task, answer, now.wall.timestamp());
        let is_new = task == NodeTask::Register && member.life.is_registered() && !member.is_known;
        member.is_known |= is_new;
        let uid = member.life.identity.uid.clone();
        for (task, after) in next {
            let at = match task {
                NodeTask::Lease if after >= BEAT => on_beat(now.trace, after),
                _ => now.trace + after,
            };
            self.arm(name, task, at);
        }
        is_new.then_some(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hollow::node::RENEW;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Instants {
        let wall = DateTime::from_timestamp(seconds as i64, 0).unwrap();
        Instants { trace: TraceTime::from_millis(seconds * 1000), wall }
    }

    /// All that is sent until then, each answered with success at once.
    fn run(nodes: &mut Nodes, until: u64) -> Vec<(f64, String)> {
        let mut sent = Vec::new();
        while let Some(due) = nodes.next_due().filter(|due| *due <= at(until).trace) {
            let now = Instants { trace: due, wall: at(0).wall };
            while let Some(step) = nodes.fire_next(now) {
                let NodeStep::Send(request) = step else { continue };
                sent.push((due.as_secs_f64(), request.request.describe()));
                let status = if request.request.describe().starts_with("GET") { 404 } else { 200 };
                let answer = Answer { status: Some(status), uid: "u".into(), version: "1".into() };
                nodes.answered(&request.name, request.task, &answer, now);
            }
        }
        sent
    }

    #[test]
    fn leases_of_many_nodes_are_spread_over_the_interval() {
        let mut nodes = Nodes::default();
        for n in 0..1000 {
            nodes.register(serde_json::json!({"metadata": {"name": format!("n{n}")}}).into(), at(0).trace);
        }
        let mut seconds = [0; 10];
        for (second, what) in run(&mut nodes, 40) {
            if what.starts_with("PUT") && (20.0..30.0).contains(&second) {
                seconds[second as usize - 20] += 1;
            }
        }
        assert!(seconds.iter().all(|n| (60..140).contains(n)), "{seconds:?}");
    }

    proptest! {
        #[test]
        fn renewals_meet_within_the_interval_of_kubelets(now in 0_u64..u64::MAX / 4, after in 0_u64..=400) {
            let (now, after) = (TraceTime::from_nanos(now), RENEW + Duration::from_millis(after));
            let at = on_beat(now, after);
            prop_assert!(at.since(now) >= RENEW && at.since(now) <= LAST_RENEW, "{:?}", at.since(now));
            prop_assert_eq!(at.as_nanos() % BEAT.as_nanos() as u64, 0);
        }
    }

    #[test]
    fn a_stopped_node_is_silent_until_it_is_back() {
        let mut nodes = Nodes::default();
        nodes.adopt("n1", "u", at(0), true);
        run(&mut nodes, 30);
        let step = nodes.fail("n1", Some(Failure::Stop), at(30));
        assert_eq!(step, Some(NodeStep::Turned("n1".into(), Health::Ready, Health::Silent)));
        assert_eq!(run(&mut nodes, 600), []);
        let back = Some(NodeStep::Turned("n1".into(), Health::Silent, Health::Ready));
        assert_eq!(nodes.fail("n1", None, at(600)), back);
        let sent: Vec<String> = run(&mut nodes, 601).into_iter().map(|(_, what)| what).collect();
        assert!(sent.iter().any(|what| what.starts_with("PATCH")), "{sent:?}");
        assert!(sent.iter().any(|what| what.starts_with("PUT")), "{sent:?}");
    }

    #[test]
    fn a_flapping_node_is_silent_by_turns() {
        let mut nodes = Nodes::default();
        nodes.adopt("n1", "u", at(0), true);
        let flap = Failure::Flap { up: Duration::from_mins(1), down: Duration::from_secs(30) };
        nodes.fail("n1", Some(flap), at(0));
        let sent = run(&mut nodes, 300);
        let silent = |from: f64, to: f64| !sent.iter().any(|(at, _)| *at > from && *at < to);
        assert!(silent(60.0, 90.0) && silent(150.0, 180.0) && !silent(91.0, 149.0), "{sent:?}");
    }
}
