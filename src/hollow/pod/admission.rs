//! Whether a kubelet takes a pod in (`pkg/kubelet/lifecycle/predicate.go` and `AdmissionCheck` in
//! `pkg/scheduler/eventhandlers.go`, v1.37.2): resources, then node selector and affinity. Taints and host ports are
//! left to the scheduler.

use std::collections::BTreeMap;

use crate::hollow::seen::{NodeSelectorTerm, Requirement, Resources, SeenNode, SeenPod};
use crate::model::{Text, parse_quantity_milli};

/// Amounts by resource: CPU in thousandths, everything else in its unit.
type Amounts = BTreeMap<Text, i64>;

/// What a pod needs of its node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(in crate::hollow) struct Placement {
    /// What the pod as a whole asks for (`k8s.io/component-helpers/resource/helpers.go`, v0.37.2, `PodRequests`).
    pub(in crate::hollow) requests: Amounts,
    selector: BTreeMap<Text, Text>,
    /// Any one of these; `None` where every node will do.
    terms: Option<Vec<NodeSelectorTerm>>,
}

impl Placement {
    pub(super) fn of(pod: &SeenPod) -> Placement {
        let affinity = pod.spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        Placement {
            requests: requests(pod),
            selector: pod.spec.node_selector.clone(),
            terms: affinity.and_then(|node| node.required.as_ref()).map(|r| r.node_selector_terms.clone()),
        }
    }

    fn matches(&self, node: &NodeFacts) -> bool {
        self.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term_matches(term, node)))
    }
}

fn requests(pod: &SeenPod) -> Amounts {
    let mut whole = Amounts::new();
    for container in &pod.spec.containers {
        add(&mut whole, &amounts(&container.resources.requests));
    }
    let (mut sidecars, mut init) = (Amounts::new(), Amounts::new());
    for container in &pod.spec.init_containers {
        let own = amounts(&container.resources.requests);
        let mut then = sidecars.clone();
        add(&mut then, &own);
        if container.restart_policy == "Always" {
            add(&mut sidecars, &own);
        }
        for (name, amount) in then {
            let most = init.entry(name).or_insert(0);
            *most = (*most).max(amount);
        }
    }
    add(&mut whole, &sidecars);
    for (name, amount) in init {
        let most = whole.entry(name).or_insert(0);
        *most = (*most).max(amount);
    }
    // Requests of the pod as a whole stand in place of the sums (KEP-2837).
    whole.extend(pod.spec.resources.iter().flat_map(|own| amounts(&own.requests)));
    add(&mut whole, &amounts(&pod.spec.overhead));
    whole
}

fn amounts(resources: &Resources) -> Amounts {
    resources.iter().filter_map(|(name, text)| Some((name.clone(), amount(name, text)?))).collect()
}

/// Thousandths for CPU, whole units, rounded up, for everything else.
fn amount(name: &str, text: &str) -> Option<i64> {
    let milli = parse_quantity_milli(text)?;
    let amount = if name == "cpu" { milli } else { (milli + 999).div_euclid(1000) };
    i64::try_from(amount).ok()
}

fn add(to: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = to.entry(name.clone()).or_insert(0);
        *sum = sum.saturating_add(*amount);
    }
}

/// What of a node decides which pods it takes.
#[derive(Debug, Clone, Default)]
pub(in crate::hollow) struct NodeFacts {
    pub(in crate::hollow) name: Text,
    pub(in crate::hollow) labels: BTreeMap<Text, Text>,
    pub(in crate::hollow) allocatable: Amounts,
}

impl NodeFacts {
    pub(in crate::hollow) fn of(node: &SeenNode) -> NodeFacts {
        NodeFacts {
            name: node.metadata.name.clone(),
            labels: node.metadata.labels.clone(),
            allocatable: amounts(&node.status.allocatable),
        }
    }
}

/// What the pods of a node take of it.
#[derive(Debug, Clone, Default)]
pub(in crate::hollow) struct Usage {
    pods: i64,
    amounts: Amounts,
}

impl Usage {
    /// A pod comes.
    pub(in crate::hollow) fn add(&mut self, placement: &Placement) {
        self.pods += 1;
        add(&mut self.amounts, &placement.requests);
    }

    /// A pod is gone, or has ended.
    pub(in crate::hollow) fn remove(&mut self, placement: &Placement) {
        self.pods -= 1;
        for (name, amount) in &placement.requests {
            if let Some(sum) = self.amounts.get_mut(name) {
                *sum -= amount;
            }
        }
    }
}

/// Why a pod is not taken in, in the words of the kubelet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::hollow) struct Rejection {
    /// `status.reason`.
    pub(in crate::hollow) reason: String,
    /// `status.message`, without its beginning.
    pub(in crate::hollow) message: String,
}

/// Whether a node takes a pod in beside those it has; resources come before affinity.
pub(in crate::hollow) fn admit(
    placement: &Placement,
    node: &NodeFacts,
    usage: &Usage,
) -> Result<(), Rejection> {
    if let Some(allowed) = node.allocatable.get("pods")
        && usage.pods + 1 > *allowed
    {
        return Err(insufficient("pods", 1, usage.pods, *allowed));
    }
    // In the kubelet's order; resources that the node does not have at all are somebody else's business.
    let known = ["cpu", "memory", "ephemeral-storage"];
    let others = placement.requests.keys().map(Text::as_str).filter(|name| !known.contains(name));
    for name in known.into_iter().chain(others) {
        let requested = placement.requests.get(name).copied().unwrap_or(0);
        let Some(capacity) = node.allocatable.get(name).copied() else { continue };
        let used = usage.amounts.get(name).copied().unwrap_or(0);
        if requested > 0 && requested > capacity - used {
            return Err(insufficient(name, requested, used, capacity));
        }
    }
    if placement.matches(node) {
        return Ok(());
    }
    Err(Rejection {
        reason: "NodeAffinity".to_owned(),
        message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
            .to_owned(),
    })
}

fn insufficient(name: &str, requested: i64, used: i64, capacity: i64) -> Rejection {
    Rejection {
        reason: format!("OutOf{name}"),
        message: format!(
            "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
        ),
    }
}

/// `k8s.io/component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go`, v0.37.2: an empty term matches nothing.
fn term_matches(term: &NodeSelectorTerm, node: &NodeFacts) -> bool {
    let field = |requirement: &Requirement| {
        let name = (requirement.key == "metadata.name").then_some(&node.name);
        requirement_matches(requirement, name)
    };
    !(term.match_expressions.is_empty() && term.match_fields.is_empty())
        && term.match_expressions.iter().all(|r| requirement_matches(r, node.labels.get(&r.key)))
        && term.match_fields.iter().all(field)
}

fn requirement_matches(requirement: &Requirement, value: Option<&Text>) -> bool {
    let one_of = |value: &Text| requirement.values.contains(value);
    let numbers = || {
        let limit: i64 = requirement.values.first()?.parse().ok()?;
        Some((value?.parse::<i64>().ok()?, limit))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(one_of),
        "NotIn" => !value.is_some_and(one_of),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(value, limit)| value > limit),
        "Lt" => numbers().is_some_and(|(value, limit)| value < limit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn placement(spec: &Value) -> Placement {
        Placement::of(&serde_json::from_value(json!({"spec": spec})).unwrap())
    }

    fn container(cpu: &str, memory: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    fn node() -> NodeFacts {
        let node = json!({"metadata": {"name": "n1", "labels": {"zone": "a", "cores": "8"}},
            "status": {"allocatable": {"cpu": "4", "memory": "1Gi", "pods": "2", "nvidia.com/gpu": "2"}}});
        NodeFacts::of(&serde_json::from_value(node).unwrap())
    }

    #[test]
    fn requests_are_those_of_the_greatest_moment() {
        let mut sidecar = container("200m", "1");
        sidecar["restartPolicy"] = "Always".into();
        let spec = json!({"containers": [container("1", "10"), container("500m", "10")],
            "initContainers": [sidecar, container("3", "1")], "overhead": {"cpu": "100m"}});
        let whole = placement(&spec).requests;
        assert_eq!((whole["cpu"], whole["memory"]), (3_300, 21));
        let mut spec = json!({"containers": [container("1", "10")]});
        spec["resources"] = json!({"requests": {"cpu": "5"}});
        assert_eq!(placement(&spec).requests["cpu"], 5_000);
    }

    #[test]
    fn a_node_takes_what_fits_and_says_why_not() {
        let (node, mut usage) = (node(), Usage::default());
        let big = placement(&json!({"containers": [container("3", "1Mi")]}));
        assert_eq!(admit(&big, &node, &usage), Ok(()));
        usage.add(&big);
        let rejection = admit(&big, &node, &usage).unwrap_err();
        assert_eq!(rejection.reason, "OutOfcpu");
        assert_eq!(
            rejection.message,
            "Node didn't have enough resource: cpu, requested: 3000, used: 3000, capacity: 4000"
        );
        usage.remove(&big);
        let reasons = [
            (json!({"containers": [container("1", "2Gi")]}), "OutOfmemory"),
            (
                json!({"containers": [{"resources": {"requests": {"nvidia.com/gpu": "3"}}}]}),
                "OutOfnvidia.com/gpu",
            ),
            (json!({"nodeSelector": {"zone": "b"}, "containers": []}), "NodeAffinity"),
        ];
        for (spec, reason) in reasons {
            assert_eq!(admit(&placement(&spec), &node, &usage).unwrap_err().reason, reason);
        }
        let unknown = json!({"containers": [{"resources": {"requests": {"example.com/cluster-wide": "3"}}}]});
        assert_eq!(admit(&placement(&unknown), &node, &usage), Ok(()));
        usage.add(&placement(&json!({})));
        usage.add(&placement(&json!({})));
        assert_eq!(admit(&placement(&json!({})), &node, &usage).unwrap_err().reason, "OutOfpods");
    }

    #[test]
    fn affinity_has_the_operators_of_the_api() {
        let matches = |expression: Value| {
            let spec = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}});
            placement(&spec).matches(&node())
        };
        let of = |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
        assert!(matches(of("zone", "In", &["a", "b"])) && !matches(of("zone", "NotIn", &["a"])));
        assert!(matches(of("zone", "Exists", &[])) && matches(of("rack", "DoesNotExist", &[])));
        assert!(matches(of("cores", "Gt", &["7"])) && !matches(of("cores", "Lt", &["8"])));
        assert!(!matches(of("zone", "Gt", &["1"])) && !matches(of("zone", "Like", &["a"])));
        let by_name = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{}, {"matchFields": [of("metadata.name", "In", &["n1"])]}]}}}});
        assert!(placement(&by_name).matches(&node()));
    }
}
