use crate::model::{Json, parse_quantity_milli};

/// What a pod asks of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Requests {
    /// CPU, thousandths of a core.
    pub cpu_milli: u64,
    /// Memory, bytes.
    pub memory_bytes: u64,
}

impl Requests {
    /// What the pod asks for: the sum over its containers, or the largest init container where that is more.
    pub fn of(pod: &Json) -> Requests {
        let each = |list: &str, resource: &str| -> Vec<u64> {
            let containers = pod["spec"][list].items();
            containers.iter().map(|c| milli(&c["resources"]["requests"][resource])).collect()
        };
        let asked = |resource: &str| {
            let running = each("containers", resource).into_iter().fold(0, u64::saturating_add);
            running.max(each("initContainers", resource).into_iter().max().unwrap_or(0))
        };
        Requests { cpu_milli: asked("cpu"), memory_bytes: asked("memory") / 1000 }
    }
}

fn milli(quantity: &Json) -> u64 {
    let value = quantity.as_str().and_then(parse_quantity_milli).unwrap_or(0);
    u64::try_from(value.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Json, Requests};
    use serde_json::json;

    #[test]
    fn containers_add_up_and_a_larger_init_container_wins() {
        let pod = Json::from(json!({"spec": {
            "containers": [
                {"resources": {"requests": {"cpu": "250m", "memory": "1Mi"}}},
                {"resources": {"requests": {"cpu": "1", "memory": "1Mi"}}},
                {"name": "asks for nothing"}],
            "initContainers": [{"resources": {"requests": {"cpu": "100m", "memory": "8Mi"}}}]}}));
        assert_eq!(Requests::of(&pod), Requests { cpu_milli: 1250, memory_bytes: 8 * 1024 * 1024 });
        assert_eq!(Requests::of(&json!({}).into()), Requests::default());
    }
}
