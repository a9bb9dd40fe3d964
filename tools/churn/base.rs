//! What runs in the cluster before the recording starts.

use serde_json::{Value, json};

use crate::objects::{Template, budget, namespace, priority_class, service};
use crate::scenario::sized;

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";
const TYPE: &str = "node.kubernetes.io/instance-type";

/// What workloads refer to.
pub fn context() -> Vec<Value> {
    let mut all: Vec<Value> = ["shop", "pay", "data", "batch", "ml", "ops"].map(namespace).into();
    all.extend([
        priority_class("low", 100, false),
        priority_class("default", 1_000, true),
        priority_class("high", 100_000, false),
        budget("shop", "frontend", &json!({"minAvailable": "75%"})),
        budget("shop", "cart", &json!({"maxUnavailable": 2})),
        budget("pay", "api", &json!({"maxUnavailable": 1})),
        budget("pay", "ledger", &json!({"maxUnavailable": 1})),
        budget("data", "queue", &json!({"maxUnavailable": 1})),
        budget("batch", "crunch", &json!({"maxUnavailable": "25%"})),
    ]);
    for (namespace, app) in [
        ("shop", "frontend"),
        ("shop", "cart"),
        ("shop", "search"),
        ("pay", "api"),
        ("pay", "ledger"),
        ("data", "queue"),
        ("batch", "crunch"),
        ("ml", "notebook"),
    ] {
        all.push(service(namespace, app));
    }
    all
}

/// The workloads of a cluster of so many nodes.
pub fn workloads(nodes: u64) -> Vec<Value> {
    let of = |replicas| sized(replicas, nodes);
    vec![
        Template::new("node-agent", "100m", "128Mi").priority("high").starts_after(150).daemon_set("ops"),
        Template::new("frontend", "1", "2Gi")
            .spread(ZONE, 1, false)
            .spread(HOST, 2, false)
            .starts_after(600)
            .deployment("shop", of(14)),
        Template::new("cart", "500m", "1Gi")
            .rather_near("frontend")
            .spread(HOST, 2, false)
            .starts_after(400)
            .deployment("shop", of(8)),
        Template::new("search", "2", "8Gi").on(TYPE, "m16").starts_after(900).deployment("shop", of(6)),
        Template::new("api", "1", "2Gi")
            .spread(ZONE, 1, false)
            .rather_on(TYPE, "m16")
            .starts_after(500)
            .deployment("pay", of(9)),
        Template::new("ledger", "2", "8Gi")
            .one_per_node()
            .spread(ZONE, 1, true)
            .starts_after(1200)
            .stateful_set("pay", of(5)),
        Template::new("queue", "3", "12Gi")
            .one_per_node()
            .spread(ZONE, 1, false)
            .starts_after(1200)
            .stateful_set("data", of(6)),
        Template::new("crunch", "1", "1536Mi").priority("low").starts_after(300).deployment("batch", of(60)),
    ]
}
