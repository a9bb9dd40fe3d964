use super::kinds::{RecordKind, default_kinds};
use crate::model::{EVENT, Kind, POD};

/// What of a cluster is recorded. Nodes and other kinds without a namespace are always recorded whole: a scheduler
/// decides by all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only objects of these namespaces; empty for all.
    pub namespaces: Vec<String>,
    /// Nothing of these namespaces.
    pub excluded: Vec<String>,
    /// Label selector for pods; empty for all.
    pub selector: String,
    /// Kinds besides the usual ones.
    pub more: Vec<Kind>,
    /// Events of these schedulers.
    pub event_sources: Vec<String>,
}

impl Selection {
    /// The watches that this takes: one a kind, or one a kind and namespace.
    pub fn kinds(&self) -> Vec<RecordKind> {
        let usual = default_kinds();
        let mut more = self.more.clone();
        more.retain(|kind| usual.iter().all(|usual| usual.kind.name() != kind.name()));
        more.dedup();
        let mut kinds: Vec<_> = usual.into_iter().chain(more.into_iter().map(RecordKind::optional)).collect();
        kinds.extend(self.event_sources.iter().map(|source| {
            let mut events = RecordKind::optional(EVENT);
            events.scope.fields = format!("reportingController={source}");
            events
        }));
        kinds.into_iter().flat_map(|kind| self.scoped(kind)).collect()
    }

    /// The selection in words, for a reel's header; `None` where everything is recorded.
    pub fn describe(&self) -> Option<String> {
        let said = [
            ("only namespaces", self.namespaces.join(",")),
            ("without namespaces", self.excluded.join(",")),
            ("only pods with", self.selector.clone()),
        ];
        let said: Vec<_> = said
            .iter()
            .filter(|(_, what)| !what.is_empty())
            .map(|(how, what)| format!("{how} {what}"))
            .collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    fn scoped(&self, mut kind: RecordKind) -> Vec<RecordKind> {
        if kind.kind == POD {
            kind.scope.labels.clone_from(&self.selector);
        }
        if !kind.kind.namespaced {
            return vec![kind];
        }
        let excluded = self.excluded.iter().map(|namespace| format!("metadata.namespace!={namespace}"));
        let fields = excluded.chain(Some(kind.scope.fields.clone()).filter(|fields| !fields.is_empty()));
        kind.scope.fields = fields.collect::<Vec<_>>().join(",");
        if self.namespaces.is_empty() {
            return vec![kind];
        }
        let one = |namespace: &String| {
            let mut kind = kind.clone();
            kind.scope.namespace = Some(namespace.clone());
            kind
        };
        self.namespaces.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NODE;

    fn of<'k>(kinds: &'k [RecordKind], kind: &Kind) -> Vec<&'k RecordKind> {
        kinds.iter().filter(|k| k.kind == *kind).collect()
    }

    #[test]
    fn without_a_selection_every_kind_is_watched_once_and_whole() {
        let kinds = Selection::default().kinds();
        assert_eq!(kinds.len(), default_kinds().len());
        assert!(kinds.iter().all(|kind| kind.scope == crate::k8s::Scope::default()));
        assert!(!kinds.iter().any(|kind| ["Secret", "ConfigMap"].contains(&kind.kind.kind.as_ref())));
        assert_eq!(Selection::default().describe(), None);
    }

    #[test]
    fn namespaces_and_labels_narrow_what_lives_in_namespaces_only() {
        let selection = Selection {
            namespaces: vec!["a".to_owned(), "b".to_owned()],
            selector: "app=web".to_owned(),
            event_sources: vec!["default-scheduler".to_owned()],
            ..Selection::default()
        };
        let kinds = selection.kinds();
        let pods = of(&kinds, &POD);
        let namespaces: Vec<_> = pods.iter().filter_map(|kind| kind.scope.namespace.as_deref()).collect();
        assert_eq!(namespaces, ["a", "b"]);
        assert!(pods.iter().all(|kind| kind.required && kind.scope.labels == "app=web"));
        assert_eq!(of(&kinds, &NODE)[0].scope, crate::k8s::Scope::default());
        assert_eq!(of(&kinds, &EVENT)[1].scope.fields, "reportingController=default-scheduler");
        assert_eq!(selection.describe().unwrap(), "only namespaces a,b; only pods with app=web");
    }

    #[test]
    fn excluded_namespaces_are_left_out_by_the_server() {
        let selection = Selection {
            excluded: vec!["x".to_owned(), "y".to_owned()],
            event_sources: vec!["s".to_owned()],
            ..Selection::default()
        };
        let kinds = selection.kinds();
        assert_eq!(of(&kinds, &POD)[0].scope.fields, "metadata.namespace!=x,metadata.namespace!=y");
        let events = &of(&kinds, &EVENT)[0].scope.fields;
        assert_eq!(events, "metadata.namespace!=x,metadata.namespace!=y,reportingController=s");
    }

    #[test]
    fn a_kind_that_is_recorded_anyway_is_not_watched_twice() {
        let selection = Selection { more: vec![POD, NODE], ..Selection::default() };
        assert_eq!(selection.kinds().len(), default_kinds().len());
    }
}
