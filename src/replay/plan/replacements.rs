//! Which pods of a recording took the place of preempted ones.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use crate::diff;
use crate::model::{ID_ANNOTATION, PodView, TraceTime};

/// A pod that took the place of a preempted one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replacement {
    /// The id of the preempted pod.
    pub of: String,
    /// How long after its preemption.
    pub after: Duration,
}

/// Preempted pods that their controllers have not replaced yet, by controller, oldest first. A controller makes one pod
/// for each that it lost, and all alike: which of them stands for which is a matter of counting.
#[derive(Debug, Default)]
pub(super) struct Vacancies(HashMap<String, VecDeque<(String, TraceTime)>>);

impl Vacancies {
    /// A pod was preempted.
    pub(super) fn preempted(&mut self, pod: PodView<'_>, at: TraceTime) {
        if let Some(controller) = controller(pod) {
            self.0.entry(controller).or_default().push_back((pod.id().to_owned(), at));
        }
    }

    /// The place that a new pod takes, if one of its controller's is vacant.
    pub(super) fn filled_by(&mut self, pod: PodView<'_>, at: TraceTime) -> Option<Replacement> {
        let (of, since) = self.0.get_mut(&controller(pod)?)?.pop_front()?;
        Some(Replacement { of, after: at.since(since) })
    }
}

/// Who replaces a pod. Pods of a run have lost their owner references, so that there their workload counts.
pub(super) fn controller(pod: PodView<'_>) -> Option<String> {
    let owners = pod.0["metadata"]["ownerReferences"].items();
    let owner =
        owners.iter().find(|owner| owner["controller"] == true).and_then(|owner| owner["uid"].as_str());
    let replayed = pod.0["metadata"]["annotations"][ID_ANNOTATION].is_string();
    owner
        .map(str::to_owned)
        .or_else(|| replayed.then(|| format!("{}/{}", pod.namespace(), diff::workload(pod))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Json;
    use serde_json::json;

    fn pod(name: &str, owner: Option<&str>, replayed: bool) -> Json {
        let mut pod =
            json!({"metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": "web"}}});
        if let Some(owner) = owner {
            pod["metadata"]["ownerReferences"] = json!([{"kind": "Node", "uid": "x"}, {"kind": "ReplicaSet", "uid": owner, "controller": true}]);
        }
        if replayed {
            pod["metadata"]["annotations"] = json!({ID_ANNOTATION: name});
        }
        pod.into()
    }

    #[test]
    fn each_vacancy_is_filled_once_by_a_pod_of_the_same_controller() {
        let at = TraceTime::from_millis;
        let mut vacancies = Vacancies::default();
        for (name, owner, millis) in [("a", "rs", 1_000), ("b", "rs", 1_500), ("c", "other", 1_600)] {
            vacancies.preempted(PodView(&pod(name, Some(owner), false)), at(millis));
        }
        let mut filled = |name: &str, owner, millis| {
            let found = vacancies.filled_by(PodView(&pod(name, owner, false)), at(millis))?;
            Some((found.of, found.after.as_millis()))
        };
        assert_eq!(filled("d", Some("rs"), 1_700), Some(("a".to_owned(), 700)));
        assert_eq!(filled("e", None, 1_700), None);
        assert_eq!(filled("f", Some("rs"), 2_000), Some(("b".to_owned(), 500)));
        assert_eq!(filled("g", Some("rs"), 2_100), None, "the count is restored");
        assert_eq!(filled("h", Some("other"), 2_100), Some(("c".to_owned(), 500)));
    }

    #[test]
    fn pods_of_a_run_are_known_by_their_workload_and_bare_pods_are_not_replaced() {
        let mut vacancies = Vacancies::default();
        vacancies.preempted(PodView(&pod("a", None, true)), TraceTime::ZERO);
        vacancies.preempted(PodView(&pod("bare", None, false)), TraceTime::ZERO);
        let mut filled =
            |pod: Json| vacancies.filled_by(PodView(&pod), TraceTime::ZERO).map(|found| found.of);
        assert_eq!(filled(pod("b", None, false)), None);
        assert_eq!(filled(pod("b", None, true)), Some("a".to_owned()));
        assert_eq!(filled(pod("c", None, true)), None);
    }
}
