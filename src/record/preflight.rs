use std::collections::BTreeMap;
use std::fmt::Write;

use futures::future::join_all;

use super::kinds::RecordKind;
use super::recorder::RecordError;
use crate::k8s::{Request, Session};

/// What a watch needs.
const VERBS: [&str; 2] = ["list", "watch"];

/// Asks the server which of these kinds we may list and watch: those that we may, and those that we may not.
///
/// # Errors
/// [`RecordError::Forbidden`] with the role to apply, where a required kind is among the latter.
pub(super) async fn permitted(
    session: &Session,
    kinds: &[RecordKind],
) -> Result<(Vec<RecordKind>, Vec<RecordKind>), RecordError> {
    let answers = join_all(kinds.iter().map(|kind| may_watch(session, kind))).await;
    let (mut granted, mut denied) = (Vec::new(), Vec::new());
    for (kind, may) in kinds.iter().zip(answers) {
        if may { granted.push(kind.clone()) } else { denied.push(kind.clone()) }
    }
    if denied.iter().any(|kind| kind.required) {
        let names = denied.iter().filter(|kind| kind.required).map(ToString::to_string);
        let kinds = names.collect::<Vec<_>>().join(" and ");
        return Err(RecordError::Forbidden { kinds, role: cluster_role(granted.iter().chain(&denied)) });
    }
    Ok((granted, denied))
}

async fn may_watch(session: &Session, kind: &RecordKind) -> bool {
    join_all(VERBS.map(|verb| may(session, kind, verb))).await.into_iter().all(|may| may)
}

async fn may(session: &Session, kind: &RecordKind, verb: &str) -> bool {
    let review = Request::access_review(&kind.kind, "", verb, kind.scope.namespace.as_deref());
    match session.send(&review).await {
        Ok(reply) => reply.body["status"]["allowed"] != false,
        // A server that does not answer this still answers the list.
        Err(error) => {
            tracing::debug!("cannot ask whether {kind} may be watched: {error}");
            true
        }
    }
}

/// A `ClusterRole` that allows a recording of these kinds and nothing else.
pub fn cluster_role<'k>(kinds: impl IntoIterator<Item = &'k RecordKind>) -> String {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for RecordKind { kind, .. } in kinds {
        let plurals = groups.entry(&kind.group).or_default();
        if !plurals.contains(&kind.plural.as_ref()) {
            plurals.push(&kind.plural);
        }
    }
    let mut role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  \
                    name: kubereel-recorder\nrules:\n"
        .to_owned();
    for (group, plurals) in groups {
        // Writing to a text cannot fail.
        let _ = write!(
            role,
            "- apiGroups: [\"{group}\"]\n  resources: [{}]\n  verbs: [get, list, watch]\n",
            plurals.join(", ")
        );
    }
    role
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Selection;

    #[test]
    fn the_deployed_role_allows_what_is_recorded() {
        let deployed = include_str!("../../tools/deploy/recorder/clusterrole.yaml");
        let events = vec!["default-scheduler".to_owned()];
        let kinds = Selection { event_sources: events, ..Selection::default() }.kinds();
        assert_eq!(deployed, cluster_role(&kinds));
        assert!(!deployed.contains("secrets") && !deployed.contains("configmaps"));
    }
}
