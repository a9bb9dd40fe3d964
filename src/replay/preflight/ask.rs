use std::collections::BTreeSet;

use futures::future::{join_all, try_join_all};

use super::{Finding, TargetFacts, check, needs, references};
use crate::k8s::{K8sError, Request, Target, send};
use crate::model::{Json, Kind, ObjectKey, PodView};
use crate::replay::plan::Plan;
use crate::replay::run::Mode;
use crate::replay::target::used;

/// What may be at a target already.
#[derive(Debug, Clone, Copy)]
pub struct Existing<'a> {
    /// Whether nodes and pods may be there.
    pub allowed: bool,
    /// The id of the run, of which other parts may have begun; empty where there is none yet.
    pub run: &'a str,
}

/// What stands in the way of a plan at a target: errors first.
///
/// # Errors
/// [`K8sError`] where the target does not answer.
pub async fn preflight(
    target: &Target,
    plan: &Plan,
    mode: Mode,
    existing: Existing<'_>,
) -> Result<Vec<Finding>, K8sError> {
    Ok(check(plan, &ask(&target.client, plan, existing.run).await?, mode, existing.allowed))
}

/// What a target says of all that a plan needs. Only what the plan names is asked for.
async fn ask(client: &kube::Client, plan: &Plan, run: &str) -> Result<TargetFacts, K8sError> {
    let needs: Vec<needs::Need> = needs::of(plan).into_iter().collect();
    let allowed = join_all(needs.iter().map(|need| may(client, need))).await;
    let denied = needs.iter().zip(allowed).filter(|(_, may)| !may).map(|(need, _)| need.to_string());
    let kinds: BTreeSet<&Kind> = needs::made(plan).map(|(kind, _)| kind).collect();
    let missing = try_join_all(kinds.into_iter().map(|kind| not_served(client, kind))).await?;
    let named = plan.submissions().flat_map(|(_, pod)| references::of(PodView(&pod.object)));
    let named: BTreeSet<&Kind> = named.filter_map(|reference| reference.what.kind()).collect();
    let objects = join_all(named.into_iter().map(|kind| names(client, kind))).await;
    Ok(TargetFacts {
        used: match used(client, run).await {
            // That we may not list them is among what is denied.
            Err(error) if error.status() == Some(403) => Vec::new(),
            used => used?,
        },
        not_served: missing.into_iter().flatten().collect(),
        denied: denied.collect(),
        objects: objects.into_iter().flatten().collect(),
    })
}

async fn may(client: &kube::Client, need: &needs::Need) -> bool {
    let review = Request::access_review(&need.kind, need.subresource, need.verb, None);
    match send(client, &review).await {
        Ok(reply) => reply.body["status"]["allowed"] != false,
        // A server that does not answer this still answers the requests.
        Err(error) => {
            tracing::debug!("cannot ask whether we may {need}: {error}");
            true
        }
    }
}

/// The versions in which the server serves the kind's group, where it does not serve the kind as it is.
async fn not_served(client: &kube::Client, kind: &Kind) -> Result<Option<(String, Vec<String>)>, K8sError> {
    let found = |path: String| async move {
        match send(client, &Request::get(path)).await {
            Ok(reply) => Ok(reply.body),
            Err(error) if error.status() == Some(404) => Ok(Json::Null),
            Err(error) => Err(error),
        }
    };
    let resources = found(kind.version_path()).await?;
    if resources["resources"].items().iter().any(|entry| entry["name"] == kind.plural.as_ref()) {
        return Ok(None);
    }
    let group = found(format!("/apis/{}", kind.group)).await?;
    let versions = group["versions"].items().iter().filter_map(|entry| entry["groupVersion"].as_str());
    let versions = versions.filter(|version| *version != kind.api_version()).map(str::to_owned).collect();
    Ok(Some((format!("{} {}", kind.api_version(), kind.kind), versions)))
}

/// The names of all objects of a kind; `None` where they cannot be listed.
async fn names(client: &kube::Client, kind: &Kind) -> Option<(String, BTreeSet<String>)> {
    let list = send(client, &Request::get(kind.path())).await;
    let list = list.inspect_err(|error| tracing::debug!("cannot list {kind}: {error}")).ok()?;
    let items = list.body["items"].items().iter();
    let keys = items.filter_map(|item| ObjectKey::of(&kind.typed(item.clone())));
    Some((kind.name(), keys.map(|key| full_name(&key)).collect()))
}

/// `name`, or `namespace/name`.
pub(super) fn full_name(key: &ObjectKey) -> String {
    key.namespace
        .as_ref()
        .map_or_else(|| key.name.to_string(), |namespace| format!("{namespace}/{}", key.name))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, Full};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{ObjectEvent, Record, TraceTime, Verb};

    /// A server of policy/v1beta1 that does not let us create nodes or list priority classes, and has a pod of others.
    async fn answer(request: http::Request<Body>) -> Result<http::Response<Full<bytes::Bytes>>, Infallible> {
        let path = request.uri().path().to_owned();
        let asked = request.into_body().collect().await.unwrap().to_bytes();
        let asked: Value = serde_json::from_slice(&asked).unwrap_or_default();
        let attributes = &asked["spec"]["resourceAttributes"];
        let items = |objects: Value| (200, json!({"items": objects}));
        let (status, body) = match path.as_str() {
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" => {
                let denied = attributes["verb"] == "create" && attributes["resource"] == "nodes";
                (201, json!({"status": {"allowed": !denied}}))
            }
            "/apis/policy" => (200, json!({"versions": [{"groupVersion": "policy/v1beta1"}]})),
            "/api/v1/nodes" => items(json!([])),
            "/api/v1/pods" => items(json!([{"metadata": {"name": "p", "namespace": "other"}}])),
            "/api/v1/namespaces" => items(json!([{"metadata": {"name": "default"}}])),
            "/apis/scheduling.k8s.io/v1/priorityclasses" => (403, json!({"kind": "Status", "code": 403})),
            _ => (404, json!({"kind": "Status", "code": 404, "message": path})),
        };
        let body = Full::from(body.to_string());
        Ok(http::Response::builder().status(status).body(body).unwrap())
    }

    #[tokio::test]
    async fn a_target_is_asked_for_what_the_plan_names() {
        let event = |verb, object: Value| {
            Ok::<_, Infallible>(Record::Object(ObjectEvent::new(TraceTime::ZERO, verb, object).unwrap()))
        };
        let meta = |name: &str| json!({"name": name, "namespace": "shop", "uid": name});
        let Ok(plan) = Plan::build(
            [
                event(Verb::Initial, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})),
                event(
                    Verb::Initial,
                    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta("web"), "spec": {}}),
                ),
                event(
                    Verb::Added,
                    json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta("web-0"),
                        "spec": {"priorityClassName": "gold"}}),
                ),
            ]
            .into_iter(),
        );
        let client = kube::Client::new(tower::service_fn(answer), "default");
        let facts = ask(&client, &plan, "").await.unwrap();
        assert_eq!(facts.denied, ["create nodes"]);
        assert_eq!(facts.not_served["policy/v1 PodDisruptionBudget"], ["policy/v1beta1"]);
        assert_eq!((facts.used.len(), facts.used[0].example.as_str()), (1, "other/p"));
        assert_eq!(
            facts.objects.keys().collect::<Vec<_>>(),
            ["Namespace"],
            "what cannot be listed is unknown"
        );
        assert!(facts.objects["Namespace"].contains("default"));
    }
}
