use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Format, Out};
use crate::model::{ObjectEvent, PodView, Record, Text, TraceTime, Verb};

/// The trace event format: <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>. Process 1
/// is the cluster, its threads are nodes.
pub(super) struct Chrome {
    out: Out,
    nodes: HashMap<String, usize>,
    /// Bound pods by UID: node, name, since when.
    running: HashMap<Text, (usize, String, TraceTime)>,
    /// UIDs of pods without a node.
    pending: HashSet<Text>,
    last: TraceTime,
}

impl Chrome {
    pub(super) fn new(mut out: Out) -> io::Result<Chrome> {
        let process = json!({"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "cluster"}});
        write!(out, "{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[{process}")?;
        let (nodes, running, pending) = Default::default();
        Ok(Chrome { out, nodes, running, pending, last: TraceTime::ZERO })
    }

    fn pod(&mut self, event: &ObjectEvent) -> Vec<Value> {
        self.last = self.last.max(event.at);
        let pod = PodView(&event.object);
        let over = event.verb == Verb::Deleted || pod.phase().is_terminal();
        let mut out = Vec::new();
        let before = self.pending.len();
        if over || pod.node_name().is_some() {
            self.pending.remove(&event.uid);
        } else {
            self.pending.insert(event.uid.clone());
        }
        if self.pending.len() != before {
            out.push(json!({"ph": "C", "pid": 1, "name": "pending pods", "ts": micros(event.at),
                            "args": {"pods": self.pending.len()}}));
        }
        if over {
            out.extend(self.running.remove(&event.uid).map(|pod| slice(&pod, event.at)));
        } else if let Some(node) = pod.node_name().filter(|_| !self.running.contains_key(&event.uid)) {
            let track = self.track(node, &mut out);
            let name = format!("{}/{}", pod.namespace(), pod.name());
            self.running.insert(event.uid.clone(), (track, name, event.at));
        }
        out
    }

    fn track(&mut self, node: &str, out: &mut Vec<Value>) -> usize {
        let next = self.nodes.len() + 1;
        *self.nodes.entry(node.to_owned()).or_insert_with(|| {
            out.push(
                json!({"ph": "M", "pid": 1, "tid": next, "name": "thread_name", "args": {"name": node}}),
            );
            next
        })
    }

    /// Slices of the pods that are still there.
    fn rest(&mut self) -> Vec<Value> {
        let mut left: Vec<_> = std::mem::take(&mut self.running).into_iter().collect();
        left.sort_by(|a, b| a.0.cmp(&b.0));
        left.iter().map(|(_, pod)| slice(pod, self.last)).collect()
    }
}

impl Format for Chrome {
    fn record(&mut self, record: &Record) -> anyhow::Result<()> {
        let Record::Object(event) = record else { return Ok(()) };
        if event.key.kind == "Pod" {
            for entry in self.pod(event) {
                write!(self.out, ",\n{entry}")?;
            }
        }
        Ok(())
    }

    fn end(mut self: Box<Self>) -> anyhow::Result<()> {
        for entry in self.rest() {
            write!(self.out, ",\n{entry}")?;
        }
        writeln!(self.out, "]}}")?;
        Ok(self.out.flush()?)
    }
}

fn slice((track, name, since): &(usize, String, TraceTime), until: TraceTime) -> Value {
    json!({"ph": "X", "pid": 1, "tid": track, "name": name, "ts": micros(*since),
           "dur": until.since(*since).as_secs_f64() * 1e6})
}

fn micros(at: TraceTime) -> f64 {
    at.as_secs_f64() * 1e6
}
