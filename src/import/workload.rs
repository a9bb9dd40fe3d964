//! What tables are made into before it becomes events: nodes, and pods that are born, bound and end.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::{Json, Text, TraceTime};

/// The container image of made-up pods: hollow nodes pull nothing.
const IMAGE: &str = "registry.k8s.io/pause:3.10";

/// Nodes and pods of a table. Memory: about 100 bytes a pod and what its name has over 23 bytes; what pods have in common is
/// kept once.
#[derive(Debug, Clone, Default)]
pub struct Workload {
    /// Objects other than nodes and pods, there from the start.
    pub context: Vec<Json>,
    /// The nodes, all there from the start.
    pub nodes: Vec<Json>,
    /// Pods without what is their own.
    pub templates: Vec<Json>,
    /// The pods, in the order of the table.
    pub pods: Vec<Life>,
}

/// The life of one pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Life {
    /// Its name.
    pub name: Text,
    /// Which of the templates it follows.
    pub template: u32,
    /// When it was submitted; `None`: it was there before the trace starts.
    pub created: Option<TraceTime>,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// A scheduler found a node for it.
    Bound {
        /// From its submission to its binding.
        wait: Duration,
        /// Which node, where the table says.
        node: Option<Text>,
        /// How long it ran from there; `None`: longer than the trace.
        run: Option<Duration>,
        /// How it ended.
        end: End,
    },
    /// None did.
    Waited {
        /// When it was deleted, from its submission; `None`: not within the trace.
        deleted: Option<Duration>,
    },
}

/// How a pod ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum End {
    /// By itself, with success.
    #[default]
    Succeeded,
    /// By itself, with failure.
    Failed,
    /// Somebody deleted it.
    Deleted,
}

/// What pods have in common.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Template {
    /// Namespace.
    pub namespace: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What its one container asks for, by resource.
    pub requests: BTreeMap<String, String>,
    /// `spec.nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// Values of a node label of which the node must have one.
    pub one_of: Option<(String, Vec<String>)>,
    /// `spec.priorityClassName`.
    pub priority_class: Option<String>,
}

impl Template {
    /// A pod without name.
    pub fn to_object(&self) -> Json {
        let limits = self.requests.iter().filter(|(name, _)| is_extended(name));
        // Extended resources cannot be overcommitted: their limits must be given and be the requests
        // (`pkg/apis/core/validation/validation.go`, v1.37.2, `ValidateResourceRequirements`).
        let limits: BTreeMap<_, _> = limits.collect();
        let mut spec = json!({
            "containers": [{"name": "main", "image": IMAGE,
                            "resources": {"requests": self.requests, "limits": limits}}],
            "restartPolicy": "Never", "schedulerName": "default-scheduler",
        });
        if !self.node_selector.is_empty() {
            spec["nodeSelector"] = json!(self.node_selector);
        }
        if let Some((key, values)) = &self.one_of {
            let term = json!({"matchExpressions": [{"key": key, "operator": "In", "values": values}]});
            spec["affinity"] = json!({"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}});
        }
        if let Some(class) = &self.priority_class {
            spec["priorityClassName"] = json!(class);
        }
        json!({"apiVersion": "v1", "kind": "Pod", "spec": spec, "status": {"phase": "Pending"},
               "metadata": {"namespace": self.namespace, "labels": self.labels}})
        .into()
    }
}

/// Whether a resource is none of the built-in ones.
fn is_extended(resource: &str) -> bool {
    resource.contains('/')
}

/// A node as its kubelet would have registered it, ready.
pub fn node(name: &str, labels: &BTreeMap<String, String>, capacity: &BTreeMap<String, String>) -> Json {
    let mut all = BTreeMap::from([
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
    ]);
    all.extend(labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name, "labels": all}, "spec": {},
           "status": {"capacity": capacity, "allocatable": capacity,
                      "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}})
    .into()
}

/// A priority class.
pub fn priority_class(name: &str, value: i64) -> Json {
    json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": value,
           "preemptionPolicy": "PreemptLowerPriority", "metadata": {"name": name, "uid": name}})
    .into()
}

/// Numbers templates, each kept once.
#[derive(Debug, Default)]
pub struct Templates {
    list: Vec<Json>,
    known: HashMap<String, u32>,
}

impl Templates {
    /// The number of a template; `key` says all that it follows from.
    pub fn intern(&mut self, key: String, make: impl FnOnce() -> Template) -> u32 {
        *self.known.entry(key).or_insert_with(|| {
            self.list.push(make().to_object());
            (self.list.len() - 1) as u32
        })
    }

    /// All of them.
    pub fn into_list(self) -> Vec<Json> {
        self.list
    }
}

/// Text of a number of thousandths: `1500m`, `2`.
pub fn milli(amount: f64) -> String {
    let milli = amount.round() as u64;
    if milli.is_multiple_of(1000) { (milli / 1000).to_string() } else { format!("{milli}m") }
}

/// Labels and resources that are there; a resource of which there is nothing is left out.
pub fn texts<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    let there = pairs.into_iter().filter(|(_, value)| !value.is_empty() && value != "0" && value != "0Mi");
    there.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// An instant of a table, seconds from its start, to the millisecond.
///
/// # Errors
/// Why it is none, for the tally.
pub fn start(seconds: f64) -> Result<TraceTime, &'static str> {
    Ok(TraceTime::ZERO + since(0.0, seconds)?)
}

/// From one instant of a table to a later one, both in seconds, to the millisecond.
///
/// # Errors
/// Why there is no such time, for the tally.
pub fn since(from: f64, to: f64) -> Result<Duration, &'static str> {
    let millis = (to * 1e3).round() - (from * 1e3).round();
    // What is longer than the time line of a reel is no time of a trace.
    if !millis.is_finite() || millis > 1e13 {
        return Err("a time that is too far off");
    }
    if millis < 0.0 {
        Err("a time before the one that it must follow")
    } else {
        Ok(Duration::from_millis(millis as u64))
    }
}

/// The status of a pod that ended by itself.
pub fn ended(end: End) -> Value {
    let (phase, reason, code) =
        if end == End::Failed { ("Failed", "Error", 1) } else { ("Succeeded", "Completed", 0) };
    json!({"phase": phase, "containerStatuses": [{"name": "main", "image": IMAGE, "imageID": "", "ready": false,
        "restartCount": 0, "state": {"terminated": {"exitCode": code, "reason": reason}}}]})
}
