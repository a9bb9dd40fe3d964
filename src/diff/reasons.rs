/// The reasons in what the scheduler says of a pod that fits nowhere, without counts, sorted: `0/5 nodes are available:
/// 3 Insufficient cpu, 2 node(s) had untolerated taint(s). preemption: …` gives `Insufficient cpu; node(s) had untolerated
/// taint(s)`. Texts change from version to version and counts with every node; reasons can be compared.
/// (`pkg/scheduler/framework/types.go`, v1.37.2, `FitError.Error`.)
pub fn reasons(message: &str) -> String {
    let nodes = message.split_once("nodes are available:").map_or(message, |(_, rest)| rest);
    let nodes = nodes.split(" preemption:").next().unwrap_or_default();
    let mut reasons: Vec<&str> = nodes
        .split([',', ';'])
        .map(|part| part.trim().trim_end_matches('.'))
        .map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start())
        .map(|part| part.split(" {").next().unwrap_or(part))
        .filter(|part| !part.is_empty())
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    reasons.join("; ")
}

#[cfg(test)]
mod tests {
    use super::reasons;

    #[test]
    fn reasons_lose_counts_order_and_what_versions_add() {
        let old = "0/5 nodes are available: 3 Insufficient cpu, 2 node(s) had untolerated taint {gpu: yes}. \
                   preemption: 0/5 nodes are available: 5 No preemption victims found for incoming pod.";
        let new = "0/9 nodes are available: 2 node(s) had untolerated taint, 7 Insufficient cpu.";
        assert_eq!(reasons(old), "Insufficient cpu; node(s) had untolerated taint");
        assert_eq!(reasons(old), reasons(new));
        assert_eq!(reasons("no nodes available to schedule pods"), "no nodes available to schedule pods");
        assert_eq!(reasons(""), "");
    }
}
