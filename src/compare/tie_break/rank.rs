use serde::{Deserialize, Serialize};

use crate::hollow::chance;

/// Scores that an extender may give without reaching a point of a plugin: the scheduler multiplies them by
/// `MaxNodeScore / MaxExtenderPriority` = 10 (`pkg/scheduler/schedule_one.go`, v1.37.2, `prioritizeNodes`).
pub(super) const RANKS: u32 = super::POINT / 10;

/// `ExtenderArgs` of `k8s.io/kube-scheduler/extender/v1/types.go` (v0.37.2), the part that is read.
#[derive(Deserialize)]
struct ExtenderArgs<'a> {
    #[serde(borrow, rename = "NodeNames")]
    node_names: Vec<&'a str>,
}

/// `HostPriority` of the same file.
#[derive(Serialize)]
struct HostPriority<'a> {
    #[serde(rename = "Host")]
    host: &'a str,
    #[serde(rename = "Score")]
    score: u32,
}

/// Answers a request to prioritize nodes: a distinct score for each. Which of two nodes scores higher depends on their
/// two names alone, whatever other nodes there are or come later. The order is that of a hash, not of the alphabet:
/// names often begin with a pool or a zone, and ties should not all go to the first of them.
pub(super) fn answer(request: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let args: ExtenderArgs<'_> = serde_json::from_slice(request)?;
    let mut nodes: Vec<(f64, &str)> =
        args.node_names.into_iter().map(|name| (chance(name, "tie-break"), name)).collect();
    nodes.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)));
    let ranked: Vec<HostPriority<'_>> = (1..RANKS)
        .rev()
        .chain(std::iter::repeat(0))
        .zip(nodes)
        .map(|(score, (_, host))| HostPriority { host, score })
        .collect();
    serde_json::to_vec(&ranked)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    /// Names in the order of their scores, best first.
    fn order(names: &[&str]) -> Vec<String> {
        let request = json!({"Pod": {"metadata": {"name": "p"}}, "Nodes": null, "NodeNames": names});
        let answer = answer(request.to_string().as_bytes()).unwrap();
        let mut ranked: Vec<Value> = serde_json::from_slice(&answer).unwrap();
        let scores: BTreeSet<i64> = ranked.iter().map(|node| node["Score"].as_i64().unwrap()).collect();
        assert_eq!(scores.len(), names.len(), "scores are distinct");
        assert!(scores.iter().all(|score| (0..i64::from(super::super::POINT)).contains(&(score * 10))));
        ranked.sort_by_key(|node| std::cmp::Reverse(node["Score"].as_i64()));
        ranked.iter().map(|node| node["Host"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_order_of_two_nodes_depends_on_their_names_alone() {
        let all: Vec<String> = (0..50).map(|n| format!("node-{n}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let whole = order(&all);
        let reversed: Vec<&str> = all.iter().rev().copied().collect();
        assert_eq!(order(&reversed), whole);
        let some: Vec<&str> = all.iter().step_by(3).copied().collect();
        let kept: Vec<String> = whole.iter().filter(|name| some.contains(&name.as_str())).cloned().collect();
        assert_eq!(order(&some), kept);
        assert_ne!(whole, all, "not the order of the alphabet");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in ["", "{}", r#"{"NodeNames": null}"#, r#"{"NodeNames": [1]}"#] {
            assert!(answer(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(answer(br#"{"NodeNames": []}"#).unwrap(), b"[]");
    }
}
