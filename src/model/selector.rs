//! Label selectors, node selectors and tolerations, as the scheduler reads them.

use std::collections::BTreeMap;

use super::{Json, Map, Taint};

/// One requirement on a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    Gt(i64),
    Lt(i64),
    /// One that this version does not know: nothing matches it.
    Unknown,
}

impl Requirement {
    fn read(expression: &Json) -> Requirement {
        let values = || -> Vec<String> {
            let values = expression["values"].items().iter();
            values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
        };
        let number = || values().first().and_then(|value| value.parse().ok());
        let operator = match expression["operator"].as_str().unwrap_or_default() {
            "In" => Operator::In(values()),
            "NotIn" => Operator::NotIn(values()),
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => number().map_or(Operator::Unknown, Operator::Gt),
            "Lt" => number().map_or(Operator::Unknown, Operator::Lt),
            _ => Operator::Unknown,
        };
        Requirement { key: expression["key"].as_str().unwrap_or_default().to_owned(), operator }
    }

    /// `k8s.io/apimachinery/pkg/labels/selector.go`, v0.37.2, `Requirement.Matches`.
    fn matches(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.iter().any(|own| own == value)),
            Operator::NotIn(values) => value.is_none_or(|value| values.iter().all(|own| own != value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt(than) => number().is_some_and(|value| value > *than),
            Operator::Lt(than) => number().is_some_and(|value| value < *than),
            Operator::Unknown => false,
        }
    }
}

/// A `LabelSelector`; none matches nothing, an empty one everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Selector(Option<Vec<Requirement>>);

impl Selector {
    /// Reads one; null is none.
    pub fn read(selector: &Json) -> Selector {
        if selector.is_null() {
            return Selector(None);
        }
        let mut requirements: Vec<Requirement> = selector["matchLabels"]
            .as_object()
            .into_iter()
            .flat_map(Map::iter)
            .map(|(key, value)| Requirement {
                key: key.to_string(),
                operator: Operator::In(value.as_str().map(str::to_owned).into_iter().collect()),
            })
            .collect();
        requirements.extend(selector["matchExpressions"].items().iter().map(Requirement::read));
        Selector(Some(requirements))
    }

    /// The selector with one more requirement: a label has a value.
    #[must_use]
    pub fn and(mut self, key: &str, value: &str) -> Selector {
        let operator = Operator::In(vec![value.to_owned()]);
        if let Some(requirements) = &mut self.0 {
            requirements.push(Requirement { key: key.to_owned(), operator });
        }
        self
    }

    /// Whether it takes an object with these labels.
    pub fn matches(&self, labels: &Json) -> bool {
        let matches =
            |requirement: &Requirement| requirement.matches(labels[requirement.key.as_str()].as_str());
        self.0.as_ref().is_some_and(|requirements| requirements.iter().all(matches))
    }
}

/// Whether a node is one that a pod asks for, by `spec.nodeSelector` and required node affinity
/// (`k8s.io/component-helpers/scheduling/corev1/nodeaffinity`, v0.37.2).
pub fn wants_node(
    node_selector: &Json,
    affinity: &Json,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    let label = |key: &str| labels.get(key).map(String::as_str);
    let mut pairs = node_selector.as_object().into_iter().flat_map(Map::iter);
    if !pairs.all(|(key, value)| label(key) == value.as_str()) {
        return false;
    }
    let required = &affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    if required.is_null() {
        return true;
    }
    let term_matches = |term: &Json| {
        let (expressions, fields) = (term["matchExpressions"].items(), term["matchFields"].items());
        let of_label = |e: &Json| {
            let requirement = Requirement::read(e);
            requirement.matches(label(&requirement.key))
        };
        // The only field that the API knows is metadata.name.
        let of_field = |e: &Json| Requirement::read(e).matches(Some(name));
        !(expressions.is_empty() && fields.is_empty())
            && expressions.iter().all(of_label)
            && fields.iter().all(of_field)
    };
    required["nodeSelectorTerms"].items().iter().any(term_matches)
}

/// Whether a pod with these tolerations may be put where this taint is
/// (`k8s.io/api/core/v1/toleration.go`, v0.37.2, `ToleratesTaint`).
pub fn tolerates(tolerations: &Json, taint: &Taint) -> bool {
    tolerations.items().iter().any(|toleration| {
        let text = |field: &str| toleration[field].as_str().unwrap_or_default();
        let value_fits = match text("operator") {
            "Exists" => true,
            "" | "Equal" => text("value") == taint.value,
            _ => false,
        };
        let (effect, key) = (text("effect"), text("key"));
        value_fits && (effect.is_empty() || effect == taint.effect) && (key.is_empty() || key == taint.key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_match_by_labels_and_expressions() {
        let labels = Json::from(json!({"app": "web", "tier": "2"}));
        let matches = |selector: serde_json::Value| Selector::read(&selector.into()).matches(&labels);
        assert!(matches(json!({"matchLabels": {"app": "web"}})) && matches(json!({})));
        assert!(!matches(serde_json::Value::Null) && !matches(json!({"matchLabels": {"app": "db"}})));
        let expression = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]});
        assert!(matches(expression("In", &["1", "2"])) && matches(expression("Gt", &["1"])));
        assert!(!matches(expression("NotIn", &["2"])) && !matches(expression("DoesNotExist", &[])));
        assert!(!matches(expression("Near", &["2"])));
    }

    #[test]
    fn pods_want_nodes_by_selector_and_affinity() {
        let labels = BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]);
        let affinity = |term: serde_json::Value| -> Json {
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}).into()
        };
        let wants = |affinity: &Json| wants_node(&Json::Null, affinity, "n1", &labels);
        assert!(wants(&Json::Null));
        assert!(wants(&affinity(
            json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]})
        )));
        assert!(!wants(&affinity(
            json!({"matchExpressions": [{"key": "disk", "operator": "In", "values": ["hdd"]}]})
        )));
        assert!(!wants(&affinity(json!({}))), "an empty term matches nothing");
        assert!(!wants_node(&json!({"disk": "hdd"}).into(), &Json::Null, "n1", &labels));
    }

    #[test]
    fn tolerations_match_by_key_value_and_effect() {
        let taint = Taint { key: "gpu".to_owned(), value: "yes".to_owned(), effect: "NoSchedule".to_owned() };
        let tolerated = |toleration: serde_json::Value| tolerates(&json!([toleration]).into(), &taint);
        assert!(tolerated(json!({"operator": "Exists"})) && tolerated(json!({"key": "gpu", "value": "yes"})));
        assert!(!tolerated(json!({"key": "gpu"})), "Equal is the default");
        assert!(!tolerated(json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"})));
    }
}
