//! What a reel asks of its cluster: kept while it is being written.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;
use serde::Serialize;

use crate::model::{Amounts, Machine, ObjectEvent, PodView, Text, TraceTime, Verb, Wants};

/// Pods that no node can hold which are told one by one.
const SHOWN: usize = 5;

/// Follows the events of a reel. Memory follows the nodes, the pods that are alive, and kinds of pods.
#[derive(Debug, Default)]
pub struct Survey {
    /// Every node that was ever there, as it was last, and whether it is.
    nodes: HashMap<Text, (Machine, bool)>,
    kinds: Vec<Kind>,
    by_key: HashMap<String, u32>,
    alive: HashMap<Text, Alive, FixedState>,
    capacity: Amounts,
    demand: Amounts,
    peaks: BTreeMap<Text, Peak>,
    counts: Counts,
    arrivals: Arrivals,
    first: Option<TraceTime>,
    last: TraceTime,
}

/// Pods that are alike for the scheduler's filters.
#[derive(Debug)]
struct Kind {
    wants: Wants,
    example: String,
    count: u64,
}

#[derive(Debug)]
struct Alive {
    kind: u32,
    is_bound: bool,
}

#[derive(Debug, Clone, Copy)]
struct Peak {
    demand: u128,
    capacity: u128,
    at: TraceTime,
}

/// How many pods came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// There when the trace starts.
    pub initial: u64,
    /// Submitted later.
    pub submitted: u64,
    /// Bound to a node that the reel names.
    pub bound: u64,
    /// Started on a node that the reel does not name.
    pub placed_unknown: u64,
    /// Ended by themselves.
    pub ended: u64,
    /// Deleted before their end.
    pub deleted: u64,
    /// Most at one time that were not over.
    pub peak: u64,
}

/// Counts arrivals by minute.
#[derive(Debug, Clone, Copy, Default)]
struct Arrivals {
    minute: (u64, u64),
    busiest: u64,
}

/// What a reel asks of its cluster.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Load {
    /// Pods.
    pub pods: Counts,
    /// Nodes that were ever there.
    pub nodes: u64,
    /// From the first event to the last, seconds.
    pub span_seconds: f64,
    /// Pods submitted a second, over the span.
    pub submitted_per_second: f64,
    /// Pods submitted in the busiest minute.
    pub busiest_minute: u64,
    /// By resource: the most that pods asked for at one time, waiting or not.
    pub resources: BTreeMap<String, ResourceLoad>,
    /// Pods that no node of the reel can hold, even empty.
    pub misfits: Misfits,
}

/// Peak demand of one resource. CPU in cores, memory in bytes, others in their unit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct ResourceLoad {
    /// Most that was asked for at one time.
    pub peak_demand: f64,
    /// What the nodes had at that time.
    pub capacity: f64,
    /// The one over the other; absent without capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// When, seconds from the start.
    pub at_seconds: f64,
}

/// Pods that no node can hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Misfits {
    /// How many pods.
    pub pods: u64,
    /// Of some kinds of them: a pod, and why.
    pub examples: Vec<String>,
}

impl Survey {
    /// Takes note of an event.
    pub fn observe(&mut self, event: &ObjectEvent) {
        self.first.get_or_insert(event.at);
        self.last = self.last.max(event.at);
        match event.key.kind.as_str() {
            "Node" => self.node(event),
            "Pod" => self.pod(event),
            _ => {}
        }
    }

    /// The last time seen.
    pub fn last(&self) -> TraceTime {
        self.last
    }

    fn node(&mut self, event: &ObjectEvent) {
        let (machine, is_there) = self.nodes.entry(event.key.name.clone()).or_default();
        if std::mem::take(is_there) {
            machine.allocatable.iter().for_each(|(name, milli)| self.capacity.sub(name, *milli));
        }
        if event.verb != Verb::Deleted {
            (*machine, *is_there) = (Machine::of(&event.object), true);
            machine.allocatable.iter().for_each(|(name, milli)| self.capacity.add(name, *milli));
        }
    }

    fn pod(&mut self, event: &ObjectEvent) {
        let pod = PodView(&event.object);
        let is_over = event.verb == Verb::Deleted || pod.phase().is_terminal();
        if is_over {
            return self.over(event);
        }
        if let Some(alive) = self.alive.get_mut(&event.uid) {
            let named = pod.node_name().is_some();
            let starts = named || pod.phase() == crate::model::Phase::Running;
            if starts && !std::mem::replace(&mut alive.is_bound, starts) {
                self.counts.bound += u64::from(named);
                self.counts.placed_unknown += u64::from(!named);
            }
        } else if event.verb != Verb::Modified {
            self.arrives(event, pod);
        }
    }

    fn arrives(&mut self, event: &ObjectEvent, pod: PodView<'_>) {
        if event.verb == Verb::Initial {
            self.counts.initial += 1;
        } else {
            self.counts.submitted += 1;
            self.arrivals.count(event.at);
        }
        let is_bound = pod.node_name().is_some();
        self.counts.bound += u64::from(is_bound && event.verb != Verb::Initial);
        let number = self.kind(pod);
        self.alive.insert(event.uid.clone(), Alive { kind: number, is_bound });
        self.counts.peak = self.counts.peak.max(self.alive.len() as u64);
        for (name, milli) in self.kinds[number as usize].wants.requests.iter() {
            self.demand.add(name, milli);
            let (demand, capacity) = (self.demand.get(name), self.capacity.get(name));
            let peak = Peak { demand, capacity, at: event.at };
            match self.peaks.get_mut(name) {
                Some(known) if known.demand >= demand => {}
                Some(known) => *known = peak,
                None => drop(self.peaks.insert(name.into(), peak)),
            }
        }
    }

    fn over(&mut self, event: &ObjectEvent) {
        let Some(alive) = self.alive.remove(&event.uid) else { return };
        let requests = &self.kinds[alive.kind as usize].wants.requests;
        requests.iter().for_each(|(name, milli)| self.demand.sub(name, milli));
        if event.verb == Verb::Deleted {
            self.counts.deleted += 1;
        } else {
            self.counts.ended += 1;
        }
    }

    fn kind(&mut self, pod: PodView<'_>) -> u32 {
        let wants = Wants::of(pod.0);
        let kinds = &mut self.kinds;
        let number = *self.by_key.entry(wants.key()).or_insert_with(|| {
            kinds.push(Kind { wants, example: format!("{}/{}", pod.namespace(), pod.name()), count: 0 });
            (kinds.len() - 1) as u32
        });
        kinds[number as usize].count += 1;
        number
    }

    /// What it all comes to.
    pub fn load(&self) -> Load {
        let span = self.last.since(self.first.unwrap_or_default()).as_secs_f64();
        let submitted = self.counts.submitted as f64;
        Load {
            pods: self.counts,
            nodes: self.nodes.len() as u64,
            span_seconds: span,
            submitted_per_second: if span > 0.0 { submitted / span } else { 0.0 },
            busiest_minute: self.arrivals.busiest.max(self.arrivals.minute.1),
            resources: self.peaks.iter().map(|(name, peak)| (name.to_string(), peak.told())).collect(),
            misfits: self.misfits(),
        }
    }

    fn misfits(&self) -> Misfits {
        let mut misfits = Misfits::default();
        if self.nodes.is_empty() {
            return misfits;
        }
        for kind in &self.kinds {
            let machines = self.nodes.values().map(|(machine, _)| machine);
            let Some(why) = kind.wants.why_not(machines) else { continue };
            misfits.pods += kind.count;
            if misfits.examples.len() < SHOWN {
                misfits.examples.push(format!("{}: {why}", kind.example));
            }
        }
        misfits
    }
}

impl Peak {
    fn told(self) -> ResourceLoad {
        let (demand, capacity) = (self.demand as f64 / 1e3, self.capacity as f64 / 1e3);
        ResourceLoad {
            peak_demand: demand,
            capacity,
            share: (capacity > 0.0).then(|| demand / capacity),
            at_seconds: self.at.as_secs_f64(),
        }
    }
}

impl Arrivals {
    fn count(&mut self, at: TraceTime) {
        let minute = at.as_nanos() / 60_000_000_000;
        if self.minute.0 != minute {
            self.busiest = self.busiest.max(self.minute.1);
            self.minute = (minute, 0);
        }
        self.minute.1 += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn observe(survey: &mut Survey, millis: u64, verb: Verb, object: Value) {
        survey.observe(&ObjectEvent::new(TraceTime::from_millis(millis), verb, object).unwrap());
    }

    fn node(name: &str, cpu: &str, taints: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"disk": name}},
               "spec": {"taints": taints}, "status": {"allocatable": {"cpu": cpu}}})
    }

    fn pod(name: &str, cpu: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n", "uid": name},
               "spec": {"containers": [{"resources": {"requests": {"cpu": cpu}}}]}, "status": {"phase": "Pending"}})
    }

    #[test]
    fn demand_peaks_against_what_the_nodes_have_and_ends_with_the_pods() {
        let mut survey = Survey::default();
        observe(&mut survey, 0, Verb::Initial, node("a", "4", &json!([])));
        observe(&mut survey, 0, Verb::Initial, pod("p", "1"));
        observe(&mut survey, 1_000, Verb::Added, pod("q", "2"));
        let mut done = pod("p", "1");
        done["status"]["phase"] = "Succeeded".into();
        observe(&mut survey, 2_000, Verb::Modified, done.clone());
        observe(&mut survey, 2_500, Verb::Deleted, done);
        observe(&mut survey, 3_000, Verb::Added, pod("r", "500m"));
        observe(&mut survey, 4_000, Verb::Deleted, pod("r", "500m"));
        let load = survey.load();
        let cpu = load.resources["cpu"];
        assert_eq!((cpu.peak_demand, cpu.capacity, cpu.share, cpu.at_seconds), (3.0, 4.0, Some(0.75), 1.0));
        let counts = Counts { initial: 1, submitted: 2, ended: 1, deleted: 1, peak: 2, ..Counts::default() };
        assert_eq!(load.pods, counts);
        assert_eq!((load.busiest_minute, load.span_seconds, load.nodes), (2, 4.0, 1));
        assert_eq!(load.misfits, Misfits::default());
    }

    #[test]
    fn pods_that_no_node_can_hold_are_told_with_the_reason() {
        let mut survey = Survey::default();
        observe(&mut survey, 0, Verb::Initial, node("a", "4", &json!([])));
        observe(
            &mut survey,
            0,
            Verb::Initial,
            node("b", "64", &json!([{"key": "gpu", "effect": "NoSchedule"}])),
        );
        observe(&mut survey, 1, Verb::Added, pod("large", "8"));
        let mut nowhere = pod("nowhere", "1");
        nowhere["spec"]["nodeSelector"] = json!({"disk": "c"});
        observe(&mut survey, 2, Verb::Added, nowhere);
        let mut tolerant = pod("tolerant", "8");
        tolerant["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        observe(&mut survey, 3, Verb::Added, tolerant);
        let misfits = survey.load().misfits;
        assert_eq!(misfits.pods, 2);
        assert_eq!(
            misfits.examples,
            [
                "n/large: asks for 8 of cpu, the largest node that it may use has 4",
                "n/nowhere: no node is labelled disk=c"
            ]
        );
    }

    #[test]
    fn a_node_that_leaves_or_grows_changes_the_capacity() {
        let mut survey = Survey::default();
        observe(&mut survey, 0, Verb::Initial, node("a", "4", &json!([])));
        observe(&mut survey, 1, Verb::Modified, node("a", "8", &json!([])));
        assert_eq!(survey.capacity.get("cpu"), 8_000);
        observe(&mut survey, 2, Verb::Deleted, node("a", "8", &json!([])));
        assert_eq!(survey.capacity.get("cpu"), 0);
    }
}
