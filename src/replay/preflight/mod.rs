//! What stands in the way of a plan at a target, found before anything is made there. The check is pure: facts about
//! the target and a plan go in, findings come out; `ask` gathers the facts.

mod ask;
mod needs;
mod references;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

pub use ask::{Existing, preflight};

use super::outlook::Impossible;
use super::plan::Plan;
use super::run::Mode;
use crate::diff;
use crate::model::{Json, Kind, PodView};
use references::Reference;

/// How many examples a finding names.
const EXAMPLES: usize = 3;

/// What a finding means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It cannot be made.
    Error,
    /// It can be made, and part of it will not go as the trace says.
    Warning,
}

/// Something that stands in the way of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it means for the run.
    pub severity: Severity,
    /// What is wrong, with what, and what to try.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.text)
    }
}

impl Finding {
    fn error(text: String) -> Finding {
        Finding { severity: Severity::Error, text }
    }

    fn warning(text: String) -> Finding {
        Finding { severity: Severity::Warning, text }
    }
}

/// What is known of a target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetFacts {
    /// Nodes and pods that are there.
    pub used: Vec<Used>,
    /// Kinds that the plan makes and the server does not serve in that version, with the versions that it serves.
    pub not_served: BTreeMap<String, Vec<String>>,
    /// What the plan needs and we may not do, such as `create nodes`.
    pub denied: Vec<String>,
    /// Names of objects by kind ([`Kind::name`](crate::model::Kind::name)), with their namespace where they have one;
    /// kinds that could not be listed are absent.
    pub objects: BTreeMap<String, BTreeSet<String>>,
}

/// Nodes or pods that are there before the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// `nodes` or `pods`.
    pub kind: String,
    /// Whether a replay made them.
    pub ours: bool,
    /// How many.
    pub count: usize,
    /// One of them.
    pub example: String,
}

impl Used {
    fn finding(&self) -> Finding {
        let Used { kind, ours, count, example } = self;
        Finding::error(if *ours {
            format!(
                "the target has {count} {kind} of an earlier replay, such as {example}; `kubereel clean` removes them, and nothing else"
            )
        } else {
            format!(
                "the target has {count} {kind} that no replay made, such as {example}; a replay wants an empty cluster \
                 (`kubereel cluster up` makes one), or --allow-existing with --context to name it on purpose"
            )
        })
    }
}

/// What stands in the way of a plan: errors first.
pub fn check(plan: &Plan, target: &TargetFacts, mode: Mode, allow_existing: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !allow_existing {
        findings.extend(target.used.iter().map(Used::finding));
    }
    if !target.denied.is_empty() {
        findings.push(Finding::error(format!(
            "we may not {}: give the user of this context a role that allows it",
            target.denied.join(", ")
        )));
    }
    findings.extend(unserved(plan, target));
    findings.extend(unknown_names(plan, target));
    findings.extend(plan.converted.iter().map(|(versions, objects)| {
        Finding::warning(format!("{} {versions}: {}", objects.len(), some(objects)))
    }));
    findings.extend(impossible(plan));
    findings.extend(racy(plan, mode));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// Kinds of the plan that the target does not serve.
fn unserved(plan: &Plan, target: &TargetFacts) -> Vec<Finding> {
    let mut objects: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (kind, key) in needs::made(plan) {
        let kind = format!("{} {}", kind.api_version(), kind.kind);
        if target.not_served.contains_key(&kind) {
            objects.entry(kind).or_default().push(key.to_string());
        }
    }
    let told = |(kind, objects): (String, Vec<String>)| {
        let served = &target.not_served[&kind];
        let instead = match served.as_slice() {
            [] => "the group is not there at all".to_owned(),
            versions => format!("it serves {}", versions.join(", ")),
        };
        Finding::error(format!(
            "the target does not serve {kind} ({instead}): {} objects of the trace cannot be made, such as {}; choose a \
             target of another version, or leave them out with `kubereel trace filter`",
            objects.len(),
            some(&objects)
        ))
    };
    objects.into_iter().map(told).collect()
}

/// What pods name and neither the trace nor the target has.
fn unknown_names(plan: &Plan, target: &TargetFacts) -> Vec<Finding> {
    let made: BTreeSet<(String, String)> =
        needs::made(plan).map(|(kind, key)| (kind.name(), ask::full_name(&key))).collect();
    let mut missing: BTreeMap<Reference, Vec<String>> = BTreeMap::new();
    for (_, submission) in plan.submissions() {
        for reference in references::of(PodView(&submission.object)) {
            let kind = reference.what.kind().map(Kind::name).unwrap_or_default();
            let known = target.objects.get(&kind).is_none_or(|names| names.contains(&reference.name));
            if !known && !made.contains(&(kind, reference.name.clone())) {
                missing.entry(reference).or_default().push(name(&submission.object));
            }
        }
    }
    let told = |(reference, pods): (Reference, Vec<String>)| {
        Finding::warning(format!(
            "{} {}, named by {}, is neither in the trace nor in the target; {}: {}",
            reference.what.words(),
            reference.name,
            counted(pods.len()),
            reference.what.consequence(),
            some(&pods)
        ))
    };
    missing.into_iter().map(told).collect()
}

fn impossible(plan: &Plan) -> Option<Finding> {
    let (named, count) = plan.impossible();
    let some = named.iter().take(EXAMPLES).map(|Impossible { pod, reason }| format!("{pod} {reason}"));
    let some: Vec<String> = some.collect();
    (count > 0).then(|| {
        let text = format!("no node, even an empty one, can hold {}: {}", counted(count), some.join("; "));
        Finding::warning(text)
    })
}

/// Workloads of which several pods have a hard topology spread constraint. Where such pods wait together, the binding
/// of one wakes the others while they are being tried: their order is up to the scheduler's threads.
fn racy(plan: &Plan, mode: Mode) -> Option<Finding> {
    if mode != Mode::Lockstep {
        return None;
    }
    let mut workloads: BTreeMap<String, usize> = BTreeMap::new();
    for (_, submission) in plan.submissions() {
        let pod = PodView(&submission.object);
        let constraints = pod.0["spec"]["topologySpreadConstraints"].items();
        // `DoNotSchedule` is the default.
        if constraints.iter().any(|constraint| constraint["whenUnsatisfiable"] != "ScheduleAnyway") {
            *workloads.entry(format!("{}/{}", pod.namespace(), diff::workload(pod))).or_default() += 1;
        }
    }
    let several: Vec<String> =
        workloads.into_iter().filter(|(_, pods)| *pods > 1).map(|(name, _)| name).collect();
    (!several.is_empty()).then(|| {
        Finding::warning(format!(
            "{} workloads have hard topology spread constraints: where several of their pods wait at once, decisions may \
             differ from run to run; `compare --runs 2` or more tells which do: {}",
            several.len(),
            some(&several)
        ))
    })
}

fn counted(pods: usize) -> String {
    if pods == 1 { "1 pod".to_owned() } else { format!("{pods} pods") }
}

fn name(pod: &Json) -> String {
    let pod = PodView(pod);
    format!("{}/{}", pod.namespace(), pod.name())
}

/// The first of them, and how many more there are.
fn some(names: &[String]) -> String {
    let first = names.iter().take(EXAMPLES).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(EXAMPLES) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
