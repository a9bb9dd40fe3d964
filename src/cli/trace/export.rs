use std::collections::{HashMap, HashSet};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::cat::to_json;
use super::rewrite::{each_record, is_stdio};
use super::select::Selection;
use crate::cli::Outcome;
use crate::model::{ObjectEvent, PodView, Record, Text, TraceTime, Verb};
use crate::trace::Reader;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// A record a line, with whole objects.
    Jsonl,
    /// An event a line, without objects.
    Csv,
    /// A timeline for Perfetto: nodes are tracks, pods are slices, pending pods a counter.
    Chrome,
}

/// Writes a reel in another format.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The reel; - for standard input.
    reel: PathBuf,
    /// The format.
    #[arg(long, value_enum)]
    to: To,
    /// Where it goes; - for standard output.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    #[command(flatten)]
    select: ExportSelection,
}

/// `--to` is the format here.
#[derive(Debug, Args)]
struct ExportSelection {
    /// Only objects of this kind: Pod, Node, ReplicaSet.apps.
    #[arg(long)]
    kind: Vec<String>,
    /// Only objects in this namespace.
    #[arg(long, short)]
    namespace: Vec<String>,
}

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<Outcome> {
    let mut reader = Reader::open_or_stdin(&args.reel)?;
    let out: Box<dyn Write> = if is_stdio(&args.out) {
        Box::new(std::io::stdout().lock())
    } else {
        Box::new(std::fs::File::create_new(&args.out)?)
    };
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let select = Selection::of_objects(args.select.kind.clone(), args.select.namespace.clone());
    let mut chrome = Chrome::default();
    match args.to {
        To::Jsonl => {}
        To::Csv => writeln!(out, "at_ns,verb,inferred,kind,namespace,name,uid,resource_version,node,phase")?,
        To::Chrome => write!(out, "{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[{}", Chrome::process())?,
    }
    let outcome = each_record(&mut reader, |record| {
        match (&record, args.to) {
            _ if !select.takes(&record) => {}
            (_, To::Jsonl) => writeln!(out, "{}", to_json(&record)?)?,
            (Record::Object(event), To::Csv) => writeln!(out, "{}", csv(event))?,
            (Record::Object(event), To::Chrome) if event.key.kind == "Pod" => {
                for entry in chrome.pod(event) {
                    write!(out, ",\n{entry}")?;
                }
            }
            _ => {}
        }
        Ok(true)
    })?;
    if args.to == To::Chrome {
        for entry in chrome.end() {
            write!(out, ",\n{entry}")?;
        }
        writeln!(out, "]}}")?;
    }
    out.flush()?;
    Ok(outcome)
}

fn csv(event: &ObjectEvent) -> String {
    let pod = PodView(&event.object);
    let phase = event.object["status"]["phase"].as_str().unwrap_or_default();
    let fields = [
        event.verb.as_str(),
        if event.inferred { "true" } else { "false" },
        &event.key.kind,
        event.key.namespace.as_deref().unwrap_or_default(),
        &event.key.name,
        &event.uid,
        &event.rv,
        pod.node_name().unwrap_or_default(),
        phase,
    ];
    let quoted = fields.map(|field| {
        let special = field.contains(['"', ',', '\n', '\r']);
        if special { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
    });
    format!("{},{}", event.at.as_nanos(), quoted.join(","))
}

/// The trace event format: <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>. Process 1
/// is the cluster, its threads are nodes.
#[derive(Debug, Default)]
struct Chrome {
    nodes: HashMap<String, usize>,
    /// Bound pods by UID: node, name, since when.
    running: HashMap<Text, (usize, String, TraceTime)>,
    /// UIDs of pods without a node.
    pending: HashSet<Text>,
    last: TraceTime,
}

impl Chrome {
    fn process() -> Value {
        json!({"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "cluster"}})
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
    fn end(&mut self) -> Vec<Value> {
        let mut left: Vec<_> = std::mem::take(&mut self.running).into_iter().collect();
        left.sort_by(|a, b| a.0.cmp(&b.0));
        left.iter().map(|(_, pod)| slice(pod, self.last)).collect()
    }
}

fn slice((track, name, since): &(usize, String, TraceTime), until: TraceTime) -> Value {
    json!({"ph": "X", "pid": 1, "tid": track, "name": name, "ts": micros(*since),
           "dur": until.since(*since).as_secs_f64() * 1e6})
}

fn micros(at: TraceTime) -> f64 {
    at.as_secs_f64() * 1e6
}
