//! Made-up traces in the shape of the cases of Kubernetes' own scheduler benchmark
//! (`test/integration/scheduler_perf`, v1.37.2: its nodes, its pods, its stages), of any size.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::shaping::Shaping;
use super::workload::{End, Fate, Life, Template, Workload, node, priority_class, texts};
use super::{ImportError, Imported, Origin, Tally, Target, lives};
use crate::model::{Json, TraceTime};

/// How long a pod of the churn that no node can hold is there.
const CHURN: Duration = Duration::from_secs(10);

/// What a trace is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// `SchedulingBasic`: small pods that go anywhere.
    Basic,
    /// `SchedulingPodAffinity`: pods that want to be in the zone of others.
    Affinity,
    /// `SchedulingPodAntiAffinity`: pods that want a node without others.
    AntiAffinity,
    /// `TopologySpreading`: pods that are spread over zones.
    Spread,
    /// `Preemption`: important pods on nodes that others have filled.
    Preemption,
    /// `SchedulingWhileGated`: small pods beside as many that are held by a gate.
    Gated,
    /// `Unschedulable`: small pods beside a churn of pods that no node can hold.
    Unschedulable,
    /// `SchedulingDaemonset`: a pod for each node, which only that node can take.
    Daemonset,
    /// `SchedulingBasic` at its largest: 5,000 nodes and 10,000 pods.
    LargeFleet,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 9] = [
        Scenario::Basic,
        Scenario::Affinity,
        Scenario::AntiAffinity,
        Scenario::Spread,
        Scenario::Preemption,
        Scenario::Gated,
        Scenario::Unschedulable,
        Scenario::Daemonset,
        Scenario::LargeFleet,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Basic => "basic",
            Scenario::Affinity => "affinity",
            Scenario::AntiAffinity => "anti-affinity",
            Scenario::Spread => "spread",
            Scenario::Preemption => "preemption",
            Scenario::Gated => "gated",
            Scenario::Unschedulable => "unschedulable",
            Scenario::Daemonset => "daemonset",
            Scenario::LargeFleet => "large-fleet",
        }
    }

    /// Nodes, pods of the start and pods that arrive: the benchmark's own numbers for its middle size.
    pub fn size(self) -> Size {
        let (nodes, initial, pods) = match self {
            Scenario::Basic
            | Scenario::Gated
            | Scenario::Unschedulable
            | Scenario::Affinity
            | Scenario::Spread => (500, 500, 1000),
            Scenario::AntiAffinity => (500, 100, 400),
            Scenario::Preemption => (500, 2000, 500),
            Scenario::Daemonset => (500, 0, 500),
            Scenario::LargeFleet => (5000, 1000, 10_000),
        };
        Size { nodes, initial, pods }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Scenario, String> {
        let names = || Scenario::ALL.map(Scenario::name).join(", ");
        let found = Scenario::ALL.into_iter().find(|scenario| scenario.name() == text);
        found.ok_or_else(|| format!("not one of {}", names()))
    }
}

/// How large a trace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Nodes.
    pub nodes: u32,
    /// Pods that are there when it starts.
    pub initial: u32,
    /// Pods that arrive.
    pub pods: u32,
}

/// A trace to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Synth {
    /// What it is about.
    pub scenario: Scenario,
    /// How large it is.
    pub size: Size,
    /// Pods that arrive a second, on average: a Poisson process.
    pub rate: f64,
    /// What draws follow from: the same seed, the same trace.
    pub seed: u64,
}

impl Synth {
    /// Makes the reel.
    ///
    /// # Errors
    /// [`ImportError::Trace`].
    pub fn run(&self, target: &Target) -> Result<Imported, ImportError> {
        let mut workload = self.workload();
        let made = (workload.nodes.len() + workload.pods.len()) as u64;
        // Nothing ends, as in the benchmark; what waits in vain is deleted.
        let shaping = Shaping { seed: self.seed, ..Shaping::default() };
        let arriving = shaping.apply(&mut workload)?;
        let Size { nodes, initial, pods } = self.size;
        let options = BTreeMap::from([
            ("import.scenario".to_owned(), self.scenario.to_string()),
            ("import.size".to_owned(), format!("{nodes} nodes, {initial} initial pods, {pods} pods")),
            ("import.rate".to_owned(), self.rate.to_string()),
            ("import.seed".to_owned(), self.seed.to_string()),
        ]);
        let digest = Some(self.scenario.to_string());
        let mut out = target.start(Origin { format: "synth", options, digest, ..Origin::default() })?;
        lives::write(&workload, &arriving, &shaping, &mut out)?;
        let tally = Tally { read: made, used: made, ..Tally::default() };
        out.finish(tally, Vec::new(), Vec::new())
    }

    fn workload(&self) -> Workload {
        let mut making = Making::default();
        making.workload.context = self.context();
        making.workload.nodes = (0..self.size.nodes).map(|n| self.node(n)).collect();
        let mut rng = Rng::with_seed(self.seed);
        let [first, arriving] = self.pods();
        for number in 0..self.size.initial {
            let pod = first.clone();
            making.push(&pod, format!("init-{number}"), None, waits(&pod));
        }
        let mut at = 0.0;
        for number in 0..self.size.pods {
            // Gaps of a Poisson process; `1 - u` is not 0.
            at += -(1.0 - rng.f64()).ln() / self.rate;
            let created = TraceTime::ZERO + Duration::from_secs_f64(at);
            let pod = match self.scenario {
                Scenario::Daemonset => for_node(&arriving, number % self.size.nodes.max(1)),
                _ => arriving.clone(),
            };
            making.push(&pod, format!("pod-{number}"), Some(created), waits(&pod));
        }
        if self.scenario == Scenario::Unschedulable {
            let large = requesting("9", "500Mi").to_object();
            for number in 0..(at as u32) {
                let created = TraceTime::from_millis(u64::from(number) * 1000);
                let fate = Fate::Waited { deleted: Some(CHURN) };
                making.push(&large, format!("large-{number}"), Some(created), fate);
            }
        }
        making.workload
    }

    fn context(&self) -> Vec<Json> {
        match self.scenario {
            Scenario::Preemption => vec![priority_class("low", -10), priority_class("high", 10)],
            _ => Vec::new(),
        }
    }

    /// `templates/node-default.yaml`, in one zone or three.
    fn node(&self, number: u32) -> Json {
        let zone = match self.scenario {
            Scenario::Spread => format!("moon-{}", number % 3 + 1),
            _ => "zone1".to_owned(),
        };
        let capacity =
            texts([("pods", "110".to_owned()), ("cpu", "4".to_owned()), ("memory", "32Gi".to_owned())]);
        node(&node_name(number), &texts([("topology.kubernetes.io/zone", zone)]), &capacity)
    }

    /// The pods of the start, and those that arrive.
    fn pods(&self) -> [Json; 2] {
        let small = requesting("100m", "500Mi").to_object();
        let colour = |colour: &str| {
            let template = requesting("100m", "500Mi");
            Template { labels: texts([("color", colour.to_owned())]), ..template }.to_object()
        };
        let with = |mut pod: Json, field: &str, value: Value| {
            pod.set(&["spec", field], value.into());
            pod
        };
        let near = |colour: &str, topology: &str| {
            json!({"requiredDuringSchedulingIgnoredDuringExecution": [
                {"labelSelector": {"matchLabels": {"color": colour}}, "topologyKey": topology}]})
        };
        match self.scenario {
            Scenario::Basic | Scenario::LargeFleet | Scenario::Daemonset | Scenario::Unschedulable => {
                [small.clone(), small]
            }
            Scenario::Affinity => {
                let affinity = json!({"podAffinity": near("blue", "topology.kubernetes.io/zone")});
                let pod = with(colour("blue"), "affinity", affinity);
                [pod.clone(), pod]
            }
            Scenario::AntiAffinity => {
                let affinity = json!({"podAntiAffinity": near("green", "kubernetes.io/hostname")});
                let pod = with(colour("green"), "affinity", affinity);
                [pod.clone(), pod]
            }
            Scenario::Spread => {
                let spread = json!([{"maxSkew": 5, "topologyKey": "topology.kubernetes.io/zone",
                    "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"color": "blue"}}}]);
                [small, with(colour("blue"), "topologySpreadConstraints", spread)]
            }
            Scenario::Preemption => {
                let of = |class: &str, cpu: &str| {
                    let template = requesting(cpu, "500Mi");
                    Template { priority_class: Some(class.to_owned()), ..template }.to_object()
                };
                let low = with(of("low", "900m"), "terminationGracePeriodSeconds", json!(0));
                [low, of("high", "3")]
            }
            Scenario::Gated => {
                let gates = json!([{"name": "kubereel.dev/closed"}]);
                [with(small.clone(), "schedulingGates", gates), small]
            }
        }
    }
}

/// A pod of the benchmark's default template with these requests.
fn requesting(cpu: &str, memory: &str) -> Template {
    Template {
        namespace: "default".to_owned(),
        requests: texts([("cpu", cpu.to_owned()), ("memory", memory.to_owned())]),
        ..Template::default()
    }
}

fn node_name(number: u32) -> String {
    format!("node-{number:05}")
}

/// The pod for one node alone, as the DaemonSet controller makes it.
fn for_node(pod: &Json, number: u32) -> Json {
    let field = json!({"key": "metadata.name", "operator": "In", "values": [node_name(number)]});
    let mut pod = pod.clone();
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchFields": [field]}]}}});
    pod.set(&["spec", "affinity"], affinity.into());
    pod
}

/// A pod that runs for ever, or is held for ever.
fn waits(pod: &Json) -> Fate {
    if pod["spec"]["schedulingGates"].items().is_empty() {
        Fate::Bound { wait: Duration::ZERO, node: None, run: None, end: End::Deleted }
    } else {
        Fate::Waited { deleted: None }
    }
}

/// A workload that is being made; pods that are alike share a template.
#[derive(Default)]
struct Making {
    workload: Workload,
    templates: HashMap<String, u32>,
}

impl Making {
    fn push(&mut self, pod: &Json, name: String, created: Option<TraceTime>, fate: Fate) {
        let templates = &mut self.workload.templates;
        let template = *self.templates.entry(pod.to_string()).or_insert_with(|| {
            templates.push(pod.clone());
            (templates.len() - 1) as u32
        });
        self.workload.pods.push(Life { name: name.into(), template, created, fate });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::testing::{Made, made};

    fn small(scenario: Scenario, seed: u64) -> Made {
        let size = Size { nodes: 12, initial: 10, pods: 24 };
        let size = if scenario == Scenario::Preemption { Size { initial: 48, ..size } } else { size };
        made(|target| Synth { scenario, size, rate: 4.0, seed }.run(target))
    }

    #[test]
    fn every_scenario_has_its_nodes_and_pods_and_a_seed_repeats_itself() {
        for scenario in Scenario::ALL {
            let (one, again, other) = (small(scenario, 1), small(scenario, 1), small(scenario, 2));
            let load = &one.report.load;
            assert_eq!(load.nodes, 12, "{scenario}");
            assert!(load.pods.submitted >= 24, "{scenario}");
            assert_eq!(one.records, again.records, "{scenario}");
            assert_eq!(one.header.id, again.header.id, "{scenario}");
            assert_ne!(one.records, other.records, "{scenario}");
            let hopeless = if scenario == Scenario::Unschedulable { load.pods.submitted - 24 } else { 0 };
            assert_eq!(load.misfits.pods, hopeless, "{scenario}");
            assert_eq!(scenario.name().parse(), Ok(scenario));
        }
    }

    #[test]
    fn important_pods_find_full_nodes() {
        let made = small(Scenario::Preemption, 1);
        let cpu = made.report.load.resources["cpu"];
        assert_eq!(made.report.load.pods.initial, 48);
        assert!(cpu.share.unwrap() > 2.0, "{cpu:?}");
        let placed = made.events("Pod").iter().filter(|event| event.starts_with("0 initial init-")).count();
        assert_eq!(placed, 48);
    }

    #[test]
    fn gated_pods_wait_and_hopeless_ones_churn() {
        assert!(small(Scenario::Gated, 1).events("Pod").iter().any(|e| e == "0 initial init-0 - Pending"));
        let churn = small(Scenario::Unschedulable, 1).events("Pod");
        let of = |word: &str| churn.iter().filter(|e| e.contains("large-") && e.contains(word)).count();
        assert!(of("added") > 1 && of("added") == of("deleted"), "{churn:?}");
    }
}
