//! Owners to the pods that their controllers would have made.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::format::{Lifecycle, Trace};
use crate::import::names::{Names, object_name};
use crate::import::workload::{End, Fate, Life};
use crate::import::{Place, Tally, UNWANTED};
use crate::model::{Json, Text, TraceTime};

/// Owners with more pods than this are refused: the API server would have had trouble too.
const REPLICAS: u64 = 100_000;

/// Pods of a trace.
#[derive(Debug, Default)]
pub struct Expanded {
    /// Pods without what is their own.
    pub templates: Vec<Json>,
    /// The pods.
    pub lives: Vec<Life>,
    /// The first second of the trace, since the Unix epoch.
    pub start: i64,
    /// How many owners they come from.
    pub owners: u64,
}

/// The pods of a trace. What is there at its first instant was there before it starts.
pub fn expand(trace: &Trace, name: &str, tally: &mut Tally) -> Expanded {
    let start = trace.events.first().map_or(0, |event| event.ts);
    let mut expander = Expander {
        trace,
        start,
        found: Expanded { start, ..Expanded::default() },
        owners: BTreeMap::new(),
        templates: BTreeMap::new(),
        names: Names::default(),
    };
    let mut line = 0;
    for (number, event) in trace.events.iter().enumerate() {
        let at = (number > 0).then(|| expander.time(event.ts));
        for (objects, is_applied) in [(&event.applied_objs, true), (&event.deleted_objs, false)] {
            for object in objects {
                line += 1;
                tally.read += 1;
                let place = Place { input: name, line };
                let took = if event.ts < start {
                    Err("a time before the start of the trace")
                } else if is_applied {
                    expander.applied(at, object)
                } else {
                    expander.deleted(at, object)
                };
                match took {
                    Ok(()) => tally.used += 1,
                    Err(UNWANTED) => tally.skip(place, UNWANTED),
                    Err(why) => tally.bad(place, why),
                }
            }
        }
    }
    expander.found
}

struct Expander<'a> {
    trace: &'a Trace,
    start: i64,
    found: Expanded,
    /// By kind and `namespace/name`.
    owners: BTreeMap<(String, String), Owner>,
    templates: BTreeMap<String, u32>,
    names: Names,
}

/// An owner that is there, or a bare pod, which owns itself.
#[derive(Default)]
struct Owner {
    template: u32,
    /// Positions of its pods among all, the oldest first.
    pods: Vec<usize>,
    /// How many it has ever had.
    made: u64,
    /// When pods of it ran that are still to be given away.
    runs: VecDeque<Lifecycle>,
}

/// What an object is for pods.
enum Makes {
    /// It is one.
    Itself,
    /// So many at a time, for as long as it is there.
    Replicas(u64),
    /// So many, each to its end; the lifecycles have them all where there are some.
    Runs(u64),
}

impl Expander<'_> {
    fn time(&self, second: i64) -> TraceTime {
        let since = u64::try_from(second.saturating_sub(self.start)).unwrap_or(0);
        TraceTime::ZERO + Duration::from_secs(since)
    }

    fn applied(&mut self, at: Option<TraceTime>, object: &Json) -> Result<(), &'static str> {
        let kind = kind_of(object)?;
        let key = (kind, name_of(object)?);
        let makes = makes(&key.0, object)?;
        let template = self.template(&key.0, object, &makes)?;
        let is_new = !self.owners.contains_key(&key);
        if is_new {
            self.found.owners += u64::from(!matches!(makes, Makes::Itself));
            let runs = self.trace.pod_lifecycles.get(&key).into_iter().flat_map(BTreeMap::values).flatten();
            let runs = runs.copied().filter(|run| *run != Lifecycle::Empty).collect();
            self.owners.insert(key.clone(), Owner { template, runs, ..Owner::default() });
        }
        let mut owner = self.owners.remove(&key).unwrap_or_default();
        // Another template replaces the pods of the old one.
        if std::mem::replace(&mut owner.template, template) != template {
            self.remove(&mut owner, 0, at);
        }
        let made = match makes {
            Makes::Itself | Makes::Runs(_) if !is_new => Ok(()),
            Makes::Itself => self.make(&mut owner, &key, at, 1),
            Makes::Replicas(wanted) => {
                let wanted = wanted as usize;
                let there = owner.pods.len();
                self.remove(&mut owner, wanted.min(there), at);
                self.make(&mut owner, &key, at, wanted.saturating_sub(there))
            }
            Makes::Runs(_) if !owner.runs.is_empty() => self.make_runs(&mut owner, &key),
            Makes::Runs(0) => Err("a CronJob of which no pod ran: its schedule is not followed"),
            Makes::Runs(count) => self.make(&mut owner, &key, at, count as usize),
        };
        self.owners.insert(key, owner);
        made
    }

    fn deleted(&mut self, at: Option<TraceTime>, object: &Json) -> Result<(), &'static str> {
        let key = (kind_of(object)?, name_of(object)?);
        if let Some(mut owner) = self.owners.remove(&key) {
            self.remove(&mut owner, 0, at);
        } else if makes(&key.0, object).is_err_and(|why| why == UNWANTED) {
            return Err(UNWANTED);
        }
        // What was not there, or has no pods, leaves nothing.
        Ok(())
    }

    /// Makes pods.
    fn make(
        &mut self,
        owner: &mut Owner,
        key: &(String, String),
        at: Option<TraceTime>,
        count: usize,
    ) -> Result<(), &'static str> {
        for _ in 0..count {
            let run = match owner.runs.pop_front() {
                Some(Lifecycle::Finished(from, to)) => {
                    Some(Duration::from_secs(u64::try_from(to.saturating_sub(from)).unwrap_or(0)))
                }
                _ => None,
            };
            let name = self.name(owner, key)?;
            owner.pods.push(self.found.lives.len());
            let fate = Fate::Bound { wait: Duration::ZERO, node: None, run, end: End::Succeeded };
            self.found.lives.push(Life { name, template: owner.template, created: at, fate });
        }
        Ok(())
    }

    /// Makes the pods that ran, at the times at which they started.
    fn make_runs(&mut self, owner: &mut Owner, key: &(String, String)) -> Result<(), &'static str> {
        while let Some(run) = owner.runs.front().copied() {
            let from = match run {
                Lifecycle::Finished(from, _) | Lifecycle::Running(from) => from,
                Lifecycle::Empty => self.start,
            };
            let at = (from >= self.start).then(|| self.time(from));
            self.make(owner, key, at, 1)?;
        }
        // They end by themselves, whatever becomes of their owner.
        owner.pods.clear();
        Ok(())
    }

    /// Deletes the youngest pods until so many are left.
    fn remove(&mut self, owner: &mut Owner, left: usize, at: Option<TraceTime>) {
        let at = at.unwrap_or_default();
        for number in owner.pods.drain(left..) {
            let life = &mut self.found.lives[number];
            let created = life.created.unwrap_or_default();
            if let Fate::Bound { run, end, .. } = &mut life.fate
                && run.is_none_or(|run| created + run > at)
            {
                (*run, *end) = (Some(at.since(created)), End::Deleted);
            }
        }
    }

    fn name(&mut self, owner: &mut Owner, key: &(String, String)) -> Result<Text, &'static str> {
        let (namespace, name) = key.1.split_once('/').unwrap_or(("", &key.1));
        let number = owner.made;
        owner.made += 1;
        let own = if key.0 == "v1.Pod" { name.to_owned() } else { format!("{name}-{number}") };
        // Names are told apart by namespace.
        let given = self.names.give(&format!("{namespace}.{own}")).or_else(|_| {
            self.names.give(&format!("{namespace}.{own}.{}", key.0.to_lowercase().replace(['/', '.'], "-")))
        })?;
        let prefix = object_name(namespace);
        Ok(given
            .strip_prefix(prefix.as_str())
            .map_or(given.as_str(), |rest| rest.trim_start_matches('.'))
            .into())
    }

    /// The number of the template of an object's pods.
    fn template(&mut self, kind: &str, object: &Json, makes: &Makes) -> Result<u32, &'static str> {
        let recorded = self.trace.config.tracked_objects.get(kind);
        let recorded = recorded.and_then(|tracked| tracked.pod_spec_template_paths.as_ref()?.first());
        let usual = match kind.rsplit('.').next() {
            Some("CronJob") => "/spec/jobTemplate/spec/template",
            _ => "/spec/template",
        };
        let source = match makes {
            Makes::Itself => object,
            _ => at_pointer(object, recorded.map_or(usual, String::as_str))
                .ok_or("an owner without a pod template")?,
        };
        if source["spec"]["containers"].items().is_empty() {
            return Err("a pod without containers");
        }
        let mut pod = Json::default();
        pod.set(&["apiVersion"], "v1".into());
        pod.set(&["kind"], "Pod".into());
        pod.set(&["metadata", "namespace"], object["metadata"]["namespace"].clone());
        pod.set(&["metadata", "labels"], source["metadata"]["labels"].clone());
        pod.set(&["spec"], source["spec"].clone());
        pod.set(&["status", "phase"], "Pending".into());
        let templates = &mut self.found.templates;
        Ok(*self.templates.entry(pod.to_string()).or_insert_with(|| {
            templates.push(pod);
            (templates.len() - 1) as u32
        }))
    }
}

/// What an object makes.
fn makes(kind: &str, object: &Json) -> Result<Makes, &'static str> {
    let spec = &object["spec"];
    let count = |value: &Json, otherwise: u64| match value {
        Json::Null => Ok(otherwise),
        value => value.as_u64().filter(|count| *count <= REPLICAS).ok_or("a number of pods that is none"),
    };
    match kind {
        "v1.Pod" => Ok(Makes::Itself),
        "batch/v1.Job" => Ok(Makes::Runs(count(&spec["parallelism"], 1)?)),
        "batch/v1.CronJob" => Ok(Makes::Runs(0)),
        "apps/v1.DaemonSet" => Err("a DaemonSet: its pods follow from nodes that the trace does not have"),
        "apps/v1.Deployment" | "apps/v1.ReplicaSet" | "apps/v1.StatefulSet" => {
            Ok(Makes::Replicas(count(&spec["replicas"], 1)?))
        }
        _ if spec["replicas"].as_u64().is_some() => Ok(Makes::Replicas(count(&spec["replicas"], 1)?)),
        _ => Err(UNWANTED),
    }
}

/// `apps/v1.Deployment`, `v1.Pod`.
fn kind_of(object: &Json) -> Result<String, &'static str> {
    match (object["apiVersion"].as_str(), object["kind"].as_str()) {
        (Some(version), Some(kind)) => Ok(format!("{version}.{kind}")),
        _ => Err("an object without apiVersion or kind"),
    }
}

/// `namespace/name`.
fn name_of(object: &Json) -> Result<String, &'static str> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().ok_or("an object without a name")?;
    Ok(format!("{}/{name}", metadata["namespace"].as_str().unwrap_or("default")))
}

/// The value at a JSON pointer (RFC 6901) that goes through maps only.
fn at_pointer<'j>(value: &'j Json, pointer: &str) -> Option<&'j Json> {
    pointer.split('/').skip(1).try_fold(value, |value, key| value.get(key))
}
