use crate::model::{Json, Selector};

/// How many of some pods may be down.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Limit {
    Pods(u64),
    Percent(u64),
}

impl Limit {
    fn read(value: &Json) -> Option<Limit> {
        let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse().ok());
        percent.map(Limit::Percent).or_else(|| value.as_u64().map(Limit::Pods))
    }

    /// Percentages round up, for both kinds of limit (`pkg/controller/disruption/disruption.go`, v1.37.2).
    fn of(&self, expected: u64) -> u64 {
        match self {
            Limit::Pods(pods) => *pods,
            Limit::Percent(percent) => (expected * percent).div_ceil(100),
        }
    }
}

/// A `PodDisruptionBudget`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    pub(super) selector: Selector,
    min_available: Option<Limit>,
    max_unavailable: Option<Limit>,
}

impl Budget {
    pub(super) fn read(object: &Json) -> Budget {
        let (metadata, spec) = (&object["metadata"], &object["spec"]);
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        Budget {
            namespace: text("namespace"),
            name: text("name"),
            selector: Selector::read(&spec["selector"]),
            min_available: Limit::read(&spec["minAvailable"]),
            max_unavailable: Limit::read(&spec["maxUnavailable"]),
        }
    }

    /// How many pods must be up of `expected`.
    pub(super) fn must_be_up(&self, expected: u64) -> u64 {
        let min = self.min_available.as_ref().map(|limit| limit.of(expected));
        let max = self.max_unavailable.as_ref().map(|limit| expected.saturating_sub(limit.of(expected)));
        min.or(max).unwrap_or(0)
    }
}
