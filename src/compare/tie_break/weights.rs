use serde_json::{Value, json};

/// What one point of a score plugin counts once weights are multiplied. Ten times less is the number of nodes that can
/// be told apart; the scheduler's weights are 32 bits wide, so that up to 2,147 can be multiplied.
pub(in crate::compare) const POINT: u32 = 1_000_000;

/// How long the scheduler waits for the extender. It would go on without it, and break ties by chance.
const ASKS_WITHIN: &str = "30s";

/// Sets of plugins that have weights (`pkg/scheduler/framework/runtime/framework.go`, v1.37.2, `getValidScoreWeights`).
const WEIGHTED: [&str; 3] = ["multiPoint", "score", "placementScore"];

/// A weight that cannot be multiplied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} has weight {weight}; with fixed ties it may be at most {most}, as it is multiplied by {POINT}: lower all \
     weights alike, or compare with --tie-break stock"
)]
pub struct WeightError {
    /// The plugin or extender.
    pub what: String,
    /// Its weight.
    pub weight: i64,
    /// The highest that it may have.
    pub most: i64,
}

/// A complete configuration in which ties are broken by the extender at `url`: weights multiplied by [`POINT`], those
/// of its own extenders too, which stay.
pub(in crate::compare) fn fixed(mut config: Value, url: &str) -> Result<Value, WeightError> {
    for profile in config["profiles"].as_array_mut().into_iter().flatten() {
        for set in WEIGHTED {
            let enabled = profile.pointer_mut(&format!("/plugins/{set}/enabled"));
            for plugin in enabled.and_then(Value::as_array_mut).into_iter().flatten() {
                // The scheduler takes 0 for 1.
                let weight = plugin["weight"].as_i64().unwrap_or(0).max(1);
                let what = || format!("plugin {}", plugin["name"].as_str().unwrap_or_default());
                plugin["weight"] = multiplied(weight, i32::MAX.into(), what)?.into();
            }
        }
    }
    let mut extenders = config["extenders"].as_array().cloned().unwrap_or_default();
    for extender in &mut extenders {
        if let Some(weight) = extender["weight"].as_i64() {
            let what = || format!("extender {}", extender["urlPrefix"].as_str().unwrap_or_default());
            extender["weight"] = multiplied(weight, i64::MAX, what)?.into();
        }
    }
    extenders.push(json!({"urlPrefix": url, "prioritizeVerb": "prioritize", "weight": 1,
        "nodeCacheCapable": true, "httpTimeout": ASKS_WITHIN}));
    config["extenders"] = extenders.into();
    Ok(config)
}

fn multiplied(weight: i64, limit: i64, what: impl FnOnce() -> String) -> Result<i64, WeightError> {
    let most = limit / i64::from(POINT);
    if weight <= most {
        Ok(weight * i64::from(POINT))
    } else {
        Err(WeightError { what: what(), weight, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_is_multiplied_and_own_extenders_stay() {
        let config = json!({
            "profiles": [{"plugins": {
                "multiPoint": {"enabled": [{"name": "TaintToleration", "weight": 3}, {"name": "NodePorts", "weight": 0}]},
                "score": {"enabled": [{"name": "ImageLocality", "weight": 5}], "disabled": [{"name": "NodeAffinity"}]},
                "filter": {}}},
                {"schedulerName": "bare"}],
            "extenders": [{"urlPrefix": "http://own", "prioritizeVerb": "p", "weight": 2}, {"urlPrefix": "http://f"}]});
        let fixed = fixed(config, "http://127.0.0.1:9").unwrap();
        let plugins = &fixed["profiles"][0]["plugins"];
        assert_eq!(
            plugins["multiPoint"]["enabled"],
            json!([{"name": "TaintToleration", "weight": 3_000_000}, {"name": "NodePorts", "weight": 1_000_000}])
        );
        assert_eq!(
            plugins["score"],
            json!({"enabled": [{"name": "ImageLocality", "weight": 5_000_000}], "disabled": [{"name": "NodeAffinity"}]})
        );
        let extenders = fixed["extenders"].as_array().unwrap();
        assert_eq!((&extenders[0]["weight"], extenders[1].get("weight")), (&json!(2_000_000), None));
        assert_eq!(
            (&extenders[2]["urlPrefix"], &extenders[2]["weight"]),
            (&json!("http://127.0.0.1:9"), &json!(1))
        );
        assert_eq!(extenders.len(), 3);
    }

    #[test]
    fn a_weight_that_is_too_high_is_named() {
        let config =
            json!({"profiles": [{"plugins": {"score": {"enabled": [{"name": "Mine", "weight": 2148}]}}}]});
        let error = fixed(config, "u").unwrap_err();
        assert_eq!((error.weight, error.most), (2148, 2147));
        let said = error.to_string();
        assert!(said.contains("plugin Mine has weight 2148") && said.contains("--tie-break stock"), "{said}");
    }
}
