//! Shaping: another load from the same trace. A plan goes in, a plan comes out; what is left to chance depends on the
//! seed and on names alone, so that the same trace and the same shape give the same plan on any machine.

mod closed;
mod fleet;
mod load;
mod pace;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(super) use load::unbound;

use super::plan::Plan;
use crate::hollow::chance;
use crate::model::{Json, PodView};

/// How a plan differs from what the trace says. The default changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Chooses which pods and nodes a fraction is.
    pub seed: u64,
    /// Only pods that pass.
    pub filter: PodFilter,
    /// Pods for each recorded one.
    pub scale_pods: f64,
    /// Another fleet in place of the recorded one, whose nodes then neither come, change nor go.
    pub fleet: Option<Vec<Json>>,
    /// Nodes for each node of the fleet.
    pub scale_nodes: f64,
    /// What each node has, relative to what it had.
    pub capacity_factor: f64,
    /// The longest time without an input; longer ones are cut to it.
    pub skip_idle: Option<Duration>,
    /// How long pods run that end by themselves.
    pub run_time: RunTime,
    /// From binding to Running, in place of what was recorded.
    pub start_latency: Option<Duration>,
    /// Whether places of preempted pods are refilled as the run needs it, in place of the recorded replacements.
    pub closed_loop: bool,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            seed: 0,
            filter: PodFilter::default(),
            scale_pods: 1.0,
            fleet: None,
            scale_nodes: 1.0,
            capacity_factor: 1.0,
            skip_idle: None,
            run_time: RunTime::Recorded,
            start_latency: None,
            closed_loop: false,
        }
    }
}

/// How long pods run that end by themselves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RunTime {
    /// As recorded.
    Recorded,
    /// A multiple of what was recorded.
    Factor(f64),
    /// All as long.
    Fixed(Duration),
}

/// Which pods take part: of one of these namespaces, with all of these labels. Empty, all do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodFilter {
    /// Namespaces.
    pub namespaces: Vec<String>,
    /// Labels and their values.
    pub labels: Vec<(String, String)>,
}

impl PodFilter {
    fn takes(&self, pod: PodView<'_>) -> bool {
        let labels = &pod.0["metadata"]["labels"];
        (self.namespaces.is_empty() || self.namespaces.iter().any(|own| own == pod.namespace()))
            && self.labels.iter().all(|(key, value)| labels[key.as_str()] == value.as_str())
    }
}

impl Plan {
    /// The plan for another load or fleet. Pods that were bound to a node that is not there are submitted when the play
    /// starts.
    #[must_use]
    pub fn shaped(mut self, shape: &Shape) -> Plan {
        if shape.closed_loop {
            closed::close(&mut self);
        }
        fleet::replace(&mut self, shape.fleet.as_deref());
        fleet::scale(&mut self, shape);
        fleet::resize(&mut self, shape.capacity_factor);
        load::scale(&mut self, shape);
        load::rehome(&mut self);
        pace::run_times(&mut self, shape);
        pace::skip_idle(&mut self, shape.skip_idle);
        self
    }
}

/// How many there are of a thing where there shall be `factor` for each: the whole part, and one more by chance.
fn copies(factor: f64, seed: u64, what: &str, name: &str) -> u32 {
    let more = chance(name, &format!("{what} {seed}")) < factor.fract();
    factor.trunc() as u32 + u32::from(more)
}

/// The name of the n-th copy; the first bears the recorded one.
fn copy_name(name: &str, copy: u32) -> String {
    if copy <= 1 {
        return name.to_owned();
    }
    suffixed(name, &format!("x{copy}"))
}

/// A name with something after it. Names are at most 253 bytes long
/// (`k8s.io/apimachinery/pkg/util/validation/validation.go`, v0.37.2, `DNS1123SubdomainMaxLength`).
pub(super) fn suffixed(name: &str, suffix: &str) -> String {
    let kept: String = name.chars().take(252 - suffix.len()).collect();
    format!("{kept}-{suffix}")
}
