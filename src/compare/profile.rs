use serde_json::{Value, json};

/// Back-off of pods that found no node, in seconds: none. The configuration wants a number above 0, and the scheduler
/// multiplies it by 10⁹ to get nanoseconds in 64 bits (`pkg/scheduler/scheduler.go`, v1.37.2, `New`): 2⁵⁵ seconds are 0,
/// and 0 disables back-off (`pkg/scheduler/backend/queue/backoff_queue.go`, `getBackoffTime`). With any back-off, pods
/// that are woken together queue in two groups, by whether their second is over: the order then depends on how fast
/// the machine is. In lockstep back-off has nothing to protect: a woken pod is tried once and rests again.
const NO_BACKOFF_SECONDS: u64 = 1 << 55;

/// A `KubeSchedulerConfiguration` under which the scheduler decides the same from the same history: one filter
/// worker (more race for the order of feasible nodes), every node scored (else a rotating window is), every
/// preemption candidate looked at (else a random offset chooses). Sources: `pkg/scheduler/schedule_one.go`
/// (`findNodesThatPassFilters`, `numFeasibleNodesToFind`) and
/// `pkg/scheduler/framework/plugins/defaultpreemption/default_preemption.go` (`GetOffsetAndNumCandidates`), v1.37.2.
/// Everything else of `config` is kept.
pub fn deterministic(config: Option<&Value>) -> Value {
    let mut config = config.cloned().unwrap_or_else(|| json!({}));
    config["apiVersion"] = "kubescheduler.config.k8s.io/v1".into();
    config["kind"] = "KubeSchedulerConfiguration".into();
    config["parallelism"] = 1.into();
    config["percentageOfNodesToScore"] = 100.into();
    config["podInitialBackoffSeconds"] = NO_BACKOFF_SECONDS.into();
    config["podMaxBackoffSeconds"] = NO_BACKOFF_SECONDS.into();
    let profiles = config["profiles"].as_array().filter(|p| !p.is_empty()).cloned();
    let profiles = profiles.unwrap_or_else(|| vec![json!({"schedulerName": "default-scheduler"})]);
    config["profiles"] = profiles.into_iter().map(deterministic_profile).collect();
    config
}

fn deterministic_profile(mut profile: Value) -> Value {
    if let Some(profile) = profile.as_object_mut() {
        // A profile's own percentage would win over the global one.
        profile.remove("percentageOfNodesToScore");
    }
    let mut plugins = profile["pluginConfig"].as_array().cloned().unwrap_or_default();
    if !plugins.iter().any(|p| p["name"] == "DefaultPreemption") {
        plugins.push(json!({"name": "DefaultPreemption", "args": {
            "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "DefaultPreemptionArgs",
            "minCandidateNodesAbsolute": 100}}));
    }
    for plugin in plugins.iter_mut().filter(|p| p["name"] == "DefaultPreemption") {
        plugin["args"]["minCandidateNodesPercentage"] = 100.into();
    }
    profile["pluginConfig"] = plugins.into();
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_is_fixed_and_the_rest_is_kept() {
        let own = json!({"profiles": [{"schedulerName": "default-scheduler", "percentageOfNodesToScore": 5,
            "pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}}]}]});
        let config = deterministic(Some(&own));
        assert_eq!((&config["parallelism"], &config["percentageOfNodesToScore"]), (&json!(1), &json!(100)));
        assert_eq!(1_000_000_000u64.wrapping_mul(config["podMaxBackoffSeconds"].as_u64().unwrap()), 0);
        let profile = &config["profiles"][0];
        assert_eq!(profile.get("percentageOfNodesToScore"), None);
        assert_eq!(profile["pluginConfig"][0]["args"]["scoringStrategy"]["type"], "MostAllocated");
        assert_eq!(profile["pluginConfig"][1]["args"]["minCandidateNodesPercentage"], 100);
    }

    #[test]
    fn without_a_configuration_there_is_one_default_profile() {
        let config = deterministic(None);
        assert_eq!(config["profiles"][0]["schedulerName"], "default-scheduler");
        assert_eq!(config["kind"], "KubeSchedulerConfiguration");
    }
}
