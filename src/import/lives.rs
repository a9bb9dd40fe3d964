//! Lives of pods to events, in order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::place::Places;
use super::shaping::{Arriving, Initial, Lifetime, Shaping};
use super::workload::{End, Fate, Life, Workload, ended};
use super::{ImportError, Output};
use crate::model::{Json, Requests, Text, TraceTime, Verb};

/// What happens to a pod after its arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Bound,
    Ended,
    Deleted,
}

/// How pods of the start were put on nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Placed {
    /// Pods that the importer put on a node.
    pub placed: u64,
    /// Pods that fitted nowhere: they are submitted at the start.
    pub unplaced: u64,
}

/// Writes a workload whose pods arrive like this. Memory beyond the workload follows the pods that are alive.
///
/// # Errors
/// [`ImportError::Trace`].
pub fn write(
    workload: &Workload,
    arriving: &[Arriving],
    shaping: &Shaping,
    out: &mut Output,
) -> Result<Placed, ImportError> {
    for object in workload.context.iter().chain(&workload.nodes) {
        out.made(TraceTime::ZERO, Verb::Initial, object.clone())?;
    }
    let mut stage = Stage { workload, arriving, shaping, out, due: BinaryHeap::new(), on: Vec::new() };
    let placed = stage.initial()?;
    stage.out.synced(TraceTime::ZERO, &["Node", "Pod"])?;
    for (number, arrival) in arriving.iter().enumerate() {
        let Some(at) = arrival.at else { continue };
        stage.play_until(at)?;
        let pod = stage.pod(number, None);
        stage.out.made(at, Verb::Added, pod)?;
        stage.arm(number, at);
    }
    stage.play_until(TraceTime::from_nanos(u64::MAX))?;
    Ok(placed)
}

struct Stage<'a> {
    workload: &'a Workload,
    arriving: &'a [Arriving],
    shaping: &'a Shaping,
    out: &'a mut Output,
    /// What is still to come of pods that are there, the next first.
    due: BinaryHeap<Reverse<(TraceTime, usize, Step)>>,
    /// Nodes of the pods of the start, which come first.
    on: Vec<Option<Text>>,
}

impl Stage<'_> {
    fn life(&self, number: usize) -> &Life {
        &self.workload.pods[self.arriving[number].pod as usize]
    }

    /// The pod with its name, on its node where it has one.
    fn pod(&self, number: usize, node: Option<&str>) -> Json {
        let (life, copy) = (self.life(number), self.arriving[number].copy);
        let template = &self.workload.templates[life.template as usize];
        let name = if copy == 0 { life.name.clone() } else { format!("{}-r{copy}", life.name).into() };
        let mut pod = template.clone();
        let namespace = template["metadata"]["namespace"].as_str().unwrap_or_default();
        pod.set(&["metadata", "uid"], format!("{namespace}/{name}").as_str().into());
        pod.set(&["metadata", "name"], name.into());
        if let Some(node) = node {
            pod.set(&["spec", "nodeName"], node.into());
        }
        pod
    }

    /// Writes the pods that were there before the trace starts.
    fn initial(&mut self) -> Result<Placed, ImportError> {
        let mut placed = Placed::default();
        let mut places = Places::of(&self.workload.nodes);
        let requests: Vec<_> = self.workload.templates.iter().map(Requests::of).collect();
        let arriving = self.arriving;
        for (number, _) in arriving.iter().enumerate().take_while(|(_, arrival)| arrival.at.is_none()) {
            let life = self.life(number);
            let template = life.template;
            let node = match &life.fate {
                Fate::Waited { .. } => None,
                Fate::Bound { node: Some(node), .. } => Some(node.clone()),
                Fate::Bound { .. } if self.shaping.initial == Initial::Submit => None,
                Fate::Bound { .. } => {
                    let object = &self.workload.templates[template as usize];
                    let node = places.put(template, object, &requests[template as usize]);
                    placed.placed += u64::from(node.is_some());
                    placed.unplaced += u64::from(node.is_none());
                    node
                }
            };
            let mut pod = self.pod(number, node.as_deref());
            if node.is_some() {
                pod.set(&["status", "phase"], "Running".into());
            }
            self.on.push(node);
            self.out.made(TraceTime::ZERO, Verb::Initial, pod)?;
            self.arm(number, TraceTime::ZERO);
        }
        Ok(placed)
    }

    /// Notes what is to come of a pod that has just arrived.
    fn arm(&mut self, number: usize, at: TraceTime) {
        let ends = self.shaping.has_ends();
        let next = match &self.life(number).fate {
            Fate::Waited { deleted } => deleted.filter(|_| ends).map(|after| (at + after, Step::Deleted)),
            Fate::Bound { .. } if self.is_placed(number) => {
                return self.arm_end(number, at);
            }
            // Without a node and an end it would only say that there was a scheduler.
            Fate::Bound { wait, node, .. } => (ends || node.is_some()).then(|| (at + *wait, Step::Bound)),
        };
        self.due.extend(next.map(|(at, step)| Reverse((at, number, step))));
    }

    fn arm_end(&mut self, number: usize, bound: TraceTime) {
        let Fate::Bound { run: Some(run), end, .. } = self.life(number).fate else { return };
        if self.shaping.has_ends() {
            let is_deleted = end == End::Deleted || self.shaping.lifetime == Lifetime::Absolute;
            let step = if is_deleted { Step::Deleted } else { Step::Ended };
            self.due.push(Reverse((bound + run, number, step)));
        }
    }

    fn is_placed(&self, number: usize) -> bool {
        self.on.get(number).is_some_and(Option::is_some)
    }

    /// Writes all that is due up to a time.
    fn play_until(&mut self, until: TraceTime) -> Result<(), ImportError> {
        while let Some(Reverse((at, number, step))) = self.due.peek().copied().filter(|due| due.0.0 <= until)
        {
            self.due.pop();
            let (node, end) = match &self.life(number).fate {
                Fate::Bound { node, end, .. } => (node.clone(), *end),
                Fate::Waited { .. } => (None, End::Deleted),
            };
            let node = node.or_else(|| self.on.get(number).cloned().flatten());
            let mut pod = self.pod(number, node.as_deref());
            match step {
                Step::Bound => {
                    pod.set(&["status", "phase"], "Running".into());
                    self.out.made(at, Verb::Modified, pod)?;
                    self.arm_end(number, at);
                }
                Step::Ended => {
                    pod.set(&["status"], ended(end).into());
                    self.out.made(at, Verb::Modified, pod)?;
                }
                Step::Deleted => {
                    if matches!(self.life(number).fate, Fate::Bound { .. }) {
                        pod.set(&["status", "phase"], "Running".into());
                    }
                    self.out.made(at, Verb::Deleted, pod)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::import::workload::{Template, node, texts};
    use crate::import::{Origin, Tally, Target};
    use crate::model::{PodView, Record};
    use crate::trace::Reader;

    fn workload(created: Option<u64>, fate: Fate) -> Workload {
        let template = Template {
            namespace: "n".to_owned(),
            requests: texts([("cpu", "1".to_owned())]),
            ..Template::default()
        };
        let capacity = texts([("cpu", "4".to_owned()), ("pods", "9".to_owned())]);
        Workload {
            nodes: vec![node("node", &texts([]), &capacity)],
            templates: vec![template.to_object()],
            pods: vec![Life {
                name: "p".into(),
                template: 0,
                created: created.map(TraceTime::from_millis),
                fate,
            }],
            ..Workload::default()
        }
    }

    fn bound(run: Option<u64>) -> Fate {
        let (wait, node) = (Duration::from_secs(2), None);
        Fate::Bound { wait, node, run: run.map(Duration::from_secs), end: End::Failed }
    }

    /// The pod's events: time in seconds, verb, node and phase.
    fn events(mut workload: Workload, shaping: &Shaping) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.reel");
        let mut out = Target::new(path.clone()).start(Origin::default()).unwrap();
        let arriving = shaping.apply(&mut workload).unwrap();
        write(&workload, &arriving, shaping, &mut out).unwrap();
        out.finish(Tally::default(), Vec::new(), Vec::new()).unwrap();
        let told = |record: Record| match record {
            Record::Object(event) if event.key.kind == "Pod" => {
                let pod = PodView(&event.object);
                let node = pod.node_name().unwrap_or("-");
                Some(format!("{} {} {node} {:?}", event.at.as_secs_f64(), event.verb.as_str(), pod.phase()))
            }
            _ => None,
        };
        Reader::open(&path).unwrap().map(Result::unwrap).filter_map(told).collect()
    }

    #[test]
    fn a_life_ends_with_its_run_or_at_its_time() {
        let from_bind = events(workload(Some(1_000), bound(Some(5))), &Shaping::default());
        assert_eq!(from_bind, ["1 added - Pending", "3 modified - Running", "8 modified - Failed"]);
        let absolute = Shaping { lifetime: Lifetime::Absolute, ..Shaping::default() };
        let at_its_time = events(workload(Some(1_000), bound(Some(5))), &absolute);
        assert_eq!(at_its_time, ["1 added - Pending", "3 modified - Running", "8 deleted - Running"]);
        let waited = Fate::Waited { deleted: Some(Duration::from_secs(4)) };
        let waited = events(workload(Some(1_000), waited), &Shaping::default());
        assert_eq!(waited, ["1 added - Pending", "5 deleted - Pending"]);
        let endless = Shaping { no_delete: true, ..Shaping::default() };
        assert_eq!(events(workload(Some(1_000), bound(Some(5))), &endless), ["1 added - Pending"]);
    }

    #[test]
    fn pods_of_the_start_are_put_on_nodes_unless_they_are_to_be_submitted() {
        let placed = events(workload(None, bound(Some(5))), &Shaping::default());
        assert_eq!(placed, ["0 initial node Running", "5 modified node Failed"]);
        let submit = Shaping { initial: Initial::Submit, ..Shaping::default() };
        let submitted = events(workload(None, bound(Some(5))), &submit);
        assert_eq!(submitted, ["0 initial - Pending", "2 modified - Running", "7 modified - Failed"]);
    }

    #[test]
    fn repetitions_have_names_of_their_own() {
        let fill = Shaping { fill: Some(0.5), ..Shaping::default() };
        let mut workload = workload(Some(0), bound(None));
        let arriving = fill.apply(&mut workload).unwrap();
        assert_eq!(arriving.iter().map(|a| a.copy).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(events(workload, &fill).len(), 2);
    }
}
