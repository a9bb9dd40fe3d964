use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

/// The messages of kube-scheduler's log that speak of attempts (`pkg/scheduler/schedule_one.go`, v1.36.3 and
/// v1.37.2): how each ended from `-v=2`, scores from `-v=10`.
const BOUND: &str = "Successfully bound pod to node";
const NO_FIT: &str = "Unable to schedule pod; no fit; waiting";
const NO_NODES: &str = "Unable to schedule pod; no nodes are registered to the cluster; waiting";
const ERROR: &str = "Error scheduling pod; retrying";
const PLUGIN_SCORE: &str = "Plugin scored node for pod";
const FINAL_SCORE: &str = "Calculated node's final score for pod";

/// Nodes with scores that an attempt keeps, the best ones.
const MOST_NODES: usize = 200;

/// Pods whose scores are known while no end of their attempt is.
const MOST_PODS: usize = 1000;

/// All of them.
const MESSAGES: &[&str] = &[BOUND, NO_FIT, NO_NODES, ERROR, PLUGIN_SCORE, FINAL_SCORE];

/// Time, caller and message come first in a line; bodies of requests, which fill a log at `-v=10`, later.
const HEAD: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PodRef {
    name: String,
    namespace: String,
}

impl PodRef {
    fn read(reference: &Value) -> Option<PodRef> {
        let namespace = reference["namespace"].as_str().unwrap_or_default().to_owned();
        Some(PodRef { name: reference["name"].as_str()?.to_owned(), namespace })
    }
}

/// One attempt, over.
#[derive(Debug, PartialEq)]
pub(super) struct Ended {
    /// When, wall clock, nanoseconds since the Unix epoch.
    pub(super) wall_ns: i64,
    pod: PodRef,
    result: &'static str,
    node: Option<String>,
    evaluated: Option<u64>,
    feasible: Option<u64>,
    message: Option<String>,
    scores: Vec<Value>,
}

impl Ended {
    /// As a reel holds it; `number` tells it from the others of the run.
    pub(super) fn object(self, number: u64) -> Value {
        let mut object = json!({
            "apiVersion": "kubereel.dev/v1", "kind": "SchedulingAttempt",
            "metadata": {"name": self.pod.name, "namespace": self.pod.namespace, "uid": format!("attempt-{number}")},
            "result": self.result,
        });
        let numbers = [("evaluatedNodes", self.evaluated), ("feasibleNodes", self.feasible)];
        for (field, value) in numbers {
            if let Some(value) = value {
                object[field] = value.into();
            }
        }
        for (field, value) in [("node", self.node), ("message", self.message)] {
            if let Some(value) = value {
                object[field] = value.into();
            }
        }
        if !self.scores.is_empty() {
            object["scores"] = self.scores.into();
        }
        object
    }
}

/// What a node got so far: by plugin, and together.
#[derive(Debug, Default)]
struct NodeScores {
    plugins: Map<String, Value>,
    total: Option<i64>,
}

/// Reads the log line by line. What is no line of an attempt is passed over.
#[derive(Debug)]
pub(super) struct Attempts {
    /// What one point of a plugin counts in the log.
    point: i64,
    scores: HashMap<PodRef, BTreeMap<String, NodeScores>>,
}

impl Attempts {
    pub(super) fn new(point: i64) -> Attempts {
        Attempts { point, scores: HashMap::new() }
    }

    /// The attempt that this line ends, if it does.
    pub(super) fn line(&mut self, line: &[u8]) -> Option<Ended> {
        let head = String::from_utf8_lossy(&line[..line.len().min(HEAD)]);
        if !MESSAGES.iter().any(|message| head.contains(message)) {
            return None;
        }
        // A logger's own values come again in its lines: the last of a name counts.
        let line: Value = serde_json::from_slice(line).ok()?;
        let pod = PodRef::read(&line["pod"])?;
        let node = name_of(&line["node"]);
        let result = match line["msg"].as_str()? {
            PLUGIN_SCORE => {
                let plugin = line["plugin"].as_str()?.to_owned();
                self.node(pod, node?)?.plugins.insert(plugin, line["score"].as_i64()?.into());
                return None;
            }
            FINAL_SCORE => {
                self.node(pod, node?)?.total = line["score"].as_i64();
                return None;
            }
            BOUND => "Bound",
            NO_FIT | NO_NODES => "Unschedulable",
            ERROR => "Error",
            _ => return None,
        };
        // Milliseconds since the Unix epoch; microseconds are as fine as they get.
        let wall_ns = (line["ts"].as_f64()? * 1e3).round() as i64 * 1000;
        let scores = self.scores.remove(&pod).map(|nodes| best(nodes, self.point)).unwrap_or_default();
        Some(Ended {
            wall_ns,
            pod,
            result,
            node: node.filter(|_| result == "Bound"),
            evaluated: line["evaluatedNodes"].as_u64(),
            feasible: line["feasibleNodes"].as_u64(),
            message: line["err"].as_str().map(str::to_owned),
            scores,
        })
    }

    fn node(&mut self, pod: PodRef, node: String) -> Option<&mut NodeScores> {
        if self.scores.len() >= MOST_PODS && !self.scores.contains_key(&pod) {
            return None;
        }
        Some(self.scores.entry(pod).or_default().entry(node).or_default())
    }
}

/// A node is named by itself or as a reference.
fn name_of(node: &Value) -> Option<String> {
    node.as_str().or_else(|| node["name"].as_str()).map(str::to_owned)
}

/// The best nodes, in points: what is less than a point breaks ties, and shows in the order alone.
fn best(nodes: BTreeMap<String, NodeScores>, point: i64) -> Vec<Value> {
    let sum = |scores: &NodeScores| scores.plugins.values().filter_map(Value::as_i64).sum();
    let mut all: Vec<(i64, String, NodeScores)> = nodes
        .into_iter()
        .map(|(node, scores)| (scores.total.unwrap_or_else(|| sum(&scores)), node, scores))
        .collect();
    all.sort_by(|x, y| y.0.cmp(&x.0).then_with(|| x.1.cmp(&y.1)));
    all.truncate(MOST_NODES);
    all.into_iter()
        .map(|(total, node, mut scores)| {
            for score in scores.plugins.values_mut() {
                *score = score.as_i64().map(|score| score.div_euclid(point)).into();
            }
            json!({"node": node, "total": total.div_euclid(point), "plugins": scores.plugins})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(lines: &[&str]) -> Vec<Value> {
        let mut attempts = Attempts::new(1);
        let ended = lines.iter().filter_map(|line| attempts.line(line.as_bytes()));
        ended.zip(1..).map(|(ended, number)| ended.object(number)).collect()
    }

    #[test]
    fn a_binding_comes_with_its_counts_and_scores() {
        let pod = r#""pod":{"name":"web","namespace":"shop"}"#;
        let score = |plugin: &str, node: &str, score: i64| {
            format!(
                r#"{{"ts":1.0,"caller":"x","msg":"Plugin scored node for pod","v":10,{pod},"plugin":"{plugin}","node":"{node}","score":{score}}}"#
            )
        };
        let lines = [
            score("Fit", "n1", 10),
            score("Spread", "n1", 20),
            score("Fit", "n2", 31),
            format!(
                r#"{{"ts":1.0,"msg":"Calculated node's final score for pod","v":10,{pod},"node":"n1","score":30}}"#
            ),
            format!(
                r#"{{"ts":1764081610438.5,"caller":"schedule_one.go:481","msg":"Successfully bound pod to node",{pod},"v":2,{pod},"node":"n2","evaluatedNodes":3,"feasibleNodes":2}}"#
            ),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let expected = json!({"apiVersion": "kubereel.dev/v1", "kind": "SchedulingAttempt",
            "metadata": {"name": "web", "namespace": "shop", "uid": "attempt-1"},
            "result": "Bound", "node": "n2", "evaluatedNodes": 3, "feasibleNodes": 2,
            "scores": [{"node": "n2", "total": 31, "plugins": {"Fit": 31}},
                       {"node": "n1", "total": 30, "plugins": {"Fit": 10, "Spread": 20}}]});
        assert_eq!(ends(&lines), [expected]);
    }

    #[test]
    fn scores_are_in_points_and_what_breaks_ties_shows_in_the_order_alone() {
        let mut attempts = Attempts::new(1_000_000);
        let pod = r#""pod":{"name":"p","namespace":"n"}"#;
        for (node, total) in [("n1", 7_999_990), ("n2", 8_000_010), ("n3", 8_000_020)] {
            let fit = total / 1_000_000 * 1_000_000;
            let lines = [
                format!(
                    r#"{{"msg":"Plugin scored node for pod",{pod},"plugin":"Fit","node":"{node}","score":{fit}}}"#
                ),
                format!(
                    r#"{{"msg":"Calculated node's final score for pod",{pod},"node":"{node}","score":{total}}}"#
                ),
            ];
            assert!(lines.iter().all(|line| attempts.line(line.as_bytes()).is_none()));
        }
        let bound = format!(r#"{{"ts":1.0,"msg":"Successfully bound pod to node",{pod},"node":"n3"}}"#);
        let scores = &attempts.line(bound.as_bytes()).unwrap().object(1)["scores"];
        let told = |node: &str, total: i64| json!({"node": node, "total": total, "plugins": {"Fit": total}});
        assert_eq!(*scores, json!([told("n3", 8), told("n2", 8), told("n1", 7)]));
    }

    #[test]
    fn a_failure_comes_with_its_message() {
        let mut attempts = Attempts::new(1);
        let line = br#"{"ts":1764081610438.5,"msg":"Unable to schedule pod; no fit; waiting","v":2,"pod":{"name":"p","namespace":"n"},"err":"0/3 nodes are available"}"#;
        let ended = attempts.line(line).unwrap();
        assert_eq!((ended.wall_ns, ended.result), (1_764_081_610_438_500_000, "Unschedulable"));
        assert_eq!(ended.object(7)["message"], "0/3 nodes are available");
    }

    #[test]
    fn other_lines_are_passed_over() {
        let lines = [
            "I1125 14:40:10.438153   26116 flags.go:64] FLAG: --v=2",
            "{",
            r#"{"ts":1.0,"msg":"Successfully bound pod to node"}"#,
            r#"{"ts":1.0,"msg":"Attempting to schedule pod","v":3,"pod":{"name":"p","namespace":"n"}}"#,
            r#"{"ts":"late","msg":"Successfully bound pod to node","pod":{"name":"p"}}"#,
        ];
        assert_eq!(ends(&lines), Vec::<Value>::new());
    }
}
