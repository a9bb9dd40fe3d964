//! Whether a kubelet takes a pod in (`generalFilter` in `pkg/kubelet/lifecycle/predicate.go` and `AdmissionCheck` in
//! `pkg/scheduler/eventhandlers.go`, v1.37.2): resources, node selector and affinity, host ports, taints that evict.

use std::collections::BTreeMap;

use crate::hollow::seen::{NodeSelectorTerm, Port, Requirement, Resources, SeenNode, SeenPod, Toleration};
use crate::model::{Taint, Text, parse_quantity_milli};

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
    /// Ports of the node, those of sidecars included (`GetHostPorts` in `pkg/scheduler/util/utils.go`, v1.37.2).
    ports: Vec<Port>,
    /// `None` for a static pod, which no taint keeps away.
    tolerations: Option<Vec<Toleration>>,
}

impl Placement {
    pub(super) fn of(pod: &SeenPod) -> Placement {
        let affinity = pod.spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let sidecars = pod.spec.init_containers.iter().filter(|container| container.is_sidecar());
        let ports = sidecars.chain(&pod.spec.containers).flat_map(|container| &container.ports);
        Placement {
            ports: ports.filter(|port| port.of_host > 0).cloned().collect(),
            tolerations: (!pod.is_mirror()).then(|| pod.spec.tolerations.clone()),
            requests: requests(pod),
            selector: pod.spec.node_selector.clone(),
            terms: affinity.and_then(|node| node.required.as_ref()).map(|r| r.node_selector_terms.clone()),
        }
    }

    fn matches(&self, node: &NodeFacts) -> bool {
        self.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term_matches(term, node)))
    }

    /// Whether every taint that evicts is tolerated.
    fn tolerates(&self, node: &NodeFacts) -> bool {
        self.tolerations
            .as_ref()
            .is_none_or(|all| node.evicting.iter().all(|taint| all.iter().any(|one| tolerates(one, taint))))
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
        if container.is_sidecar() {
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
    /// Taints of effect `NoExecute`.
    evicting: Vec<Taint>,
}

impl NodeFacts {
    pub(in crate::hollow) fn of(node: &SeenNode) -> NodeFacts {
        NodeFacts {
            name: node.metadata.name.clone(),
            labels: node.metadata.labels.clone(),
            allocatable: amounts(&node.status.allocatable),
            evicting: node.spec.taints.iter().filter(|taint| taint.effect == "NoExecute").cloned().collect(),
        }
    }
}

/// What the pods of a node take of it.
#[derive(Debug, Clone, Default)]
pub(in crate::hollow) struct Usage {
    pods: i64,
    amounts: Amounts,
    ports: Vec<Port>,
}

impl Usage {
    /// A pod comes.
    pub(in crate::hollow) fn add(&mut self, placement: &Placement) {
        self.pods += 1;
        add(&mut self.amounts, &placement.requests);
        self.ports.extend(placement.ports.iter().cloned());
    }

    /// A pod is gone, or has ended.
    pub(in crate::hollow) fn remove(&mut self, placement: &Placement) {
        self.pods -= 1;
        for (name, amount) in &placement.requests {
            if let Some(sum) = self.amounts.get_mut(name) {
                *sum -= amount;
            }
        }
        for port in &placement.ports {
            if let Some(at) = self.ports.iter().position(|used| used == port) {
                self.ports.swap_remove(at);
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
    let is_free = |port: &Port| !usage.ports.iter().any(|used| conflict(used, port));
    let predicates: [(&str, bool, &str); 3] = [
        ("NodeAffinity", placement.matches(node), "node(s) didn't match Pod's node affinity/selector"),
        (
            "NodePorts",
            placement.ports.iter().all(is_free),
            "node(s) didn't have free ports for the requested pod ports",
        ),
        ("TaintToleration", placement.tolerates(node), "node(s) had taints that the pod didn't tolerate"),
    ];
    match predicates.into_iter().find(|(_, holds, _)| !holds) {
        None => Ok(()),
        Some((name, _, why)) => {
            Err(Rejection { reason: name.to_owned(), message: format!("Predicate {name} failed: {why}") })
        }
    }
}

/// Whether two cannot be had at once: an address that is empty stands for all (`HostPortInfo` in
/// `k8s.io/kube-scheduler/framework/types.go`, v0.37.2).
fn conflict(a: &Port, b: &Port) -> bool {
    let all = |port: &Port| port.host_ip.is_empty() || port.host_ip == "0.0.0.0";
    let protocol = |port: &Port| if port.protocol.is_empty() { "TCP".into() } else { port.protocol.clone() };
    a.of_host == b.of_host && protocol(a) == protocol(b) && (all(a) || all(b) || a.host_ip == b.host_ip)
}

/// `ToleratesTaint` in `k8s.io/api/core/v1/toleration.go`, v0.37.2, without the operators that are alpha.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let same = |asked: &Text, has: &str| asked.is_empty() || asked == has;
    same(&toleration.effect, &taint.effect)
        && same(&toleration.key, &taint.key)
        && match toleration.operator.as_str() {
            "" | "Equal" => toleration.value == taint.value,
            operator => operator == "Exists",
        }
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
    fn host_ports_are_had_once_an_address_and_protocol() {
        let (node, mut usage) = (node(), Usage::default());
        let pod = |ip: &str, protocol: &str, port: u16| {
            placement(&json!({"containers": [{"ports": [
                {"containerPort": 1}, {"hostIP": ip, "protocol": protocol, "hostPort": port}]}]}))
        };
        let first = pod("127.0.0.1", "TCP", 80);
        usage.add(&first);
        let fits = |usage: &Usage, pod: &Placement| admit(pod, &node, usage).map_err(|why| why.reason);
        for (ip, protocol, port, is_free) in [
            ("127.0.0.1", "TCP", 80, false),
            ("127.0.0.1", "", 80, false),
            ("", "TCP", 80, false),
            ("0.0.0.0", "TCP", 80, false),
            ("127.0.0.1", "UDP", 80, true),
            ("127.0.0.2", "TCP", 80, true),
            ("127.0.0.1", "TCP", 81, true),
        ] {
            let fit = fits(&usage, &pod(ip, protocol, port));
            assert_eq!(
                fit,
                if is_free { Ok(()) } else { Err("NodePorts".to_owned()) },
                "{ip} {protocol} {port}"
            );
        }
        usage.remove(&first);
        assert_eq!(fits(&usage, &first), Ok(()));
    }

    #[test]
    fn only_taints_that_evict_keep_pods_away_and_static_pods_never() {
        let tainted = json!({"metadata": {"name": "n1"}, "spec": {"taints": [
            {"key": "full", "effect": "NoSchedule"}, {"key": "gone", "value": "yes", "effect": "NoExecute"}]}});
        let node = NodeFacts::of(&serde_json::from_value(tainted).unwrap());
        let admitted = |tolerations: Value, annotations: Value| {
            let pod = json!({"metadata": {"annotations": annotations}, "spec": {"tolerations": tolerations}});
            let placement = Placement::of(&serde_json::from_value(pod).unwrap());
            admit(&placement, &node, &Usage::default()).map_err(|why| why.message)
        };
        let refused =
            Err("Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
                .to_owned());
        for (toleration, result) in [
            (json!([]), refused.clone()),
            (json!([{"key": "gone", "value": "no"}]), refused.clone()),
            (json!([{"key": "gone", "operator": "Exists", "effect": "NoSchedule"}]), refused),
            (json!([{"key": "gone", "value": "yes"}]), Ok(())),
            (json!([{"operator": "Exists", "effect": "NoExecute"}]), Ok(())),
        ] {
            assert_eq!(admitted(toleration.clone(), json!({})), result, "{toleration}");
        }
        assert_eq!(admitted(json!([]), json!({"kubernetes.io/config.mirror": "hash"})), Ok(()));
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
