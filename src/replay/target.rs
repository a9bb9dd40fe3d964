use super::preflight::Used;
use crate::k8s::{K8sError, Request, send};
use crate::model::{CONTEXT_KINDS, ID_ANNOTATION, Json, Kind, NODE, ObjectKey, POD};

/// Annotation with the id of the run that made an object.
pub const RUN_ANNOTATION: &str = "kubereel.dev/run";

pub use crate::hollow::OWNER_ANNOTATION;

/// The context kinds that a run makes, but for namespaces.
const REPLAYED: &[&str] = &["PriorityClass", "RuntimeClass", "PodDisruptionBudget", "Service"];

/// Nodes and pods that a target has: of others, and left over from earlier runs. Other parts of this run may have begun.
pub(super) async fn used(client: &kube::Client, run: &str) -> Result<Vec<Used>, K8sError> {
    let mut used = Vec::new();
    for kind in [NODE, POD] {
        let mut found = list(client, &kind).await?;
        found.retain(|object| object["metadata"]["annotations"][RUN_ANNOTATION] != *run);
        let (ours, foreign): (Vec<Json>, Vec<Json>) = found.into_iter().partition(is_ours);
        for (ours, objects) in [(false, foreign), (true, ours)] {
            used.extend(objects.first().map(|object| Used {
                kind: kind.plural.to_string(),
                ours,
                count: objects.len(),
                example: name(object),
            }));
        }
    }
    Ok(used)
}

/// Deletes what runs made: of one run, or of all. Says how many pods and how many nodes. Namespaces stay: without the
/// namespace controller, which a replay's target need not run, they would never be gone.
///
/// # Errors
/// [`K8sError`] where listing or a deletion fails.
pub async fn clean(client: &kube::Client, run: Option<&str>) -> Result<(usize, usize), K8sError> {
    let pods = remove(client, &POD, run).await?;
    let nodes = remove(client, &NODE, run).await?;
    for kind in CONTEXT_KINDS.iter().filter(|kind| REPLAYED.contains(&kind.kind.as_ref())) {
        remove(client, kind, run).await?;
    }
    Ok((pods, nodes))
}

async fn remove(client: &kube::Client, kind: &Kind, run: Option<&str>) -> Result<usize, K8sError> {
    let mut removed = 0;
    for object in list(client, kind).await? {
        let of_run = &object["metadata"]["annotations"][RUN_ANNOTATION];
        let wanted = run.map_or(is_ours(&object), |run| *of_run == run);
        let (true, Some(key)) = (wanted, ObjectKey::of(&object)) else { continue };
        let uid = object["metadata"]["uid"].as_str();
        match send(client, &Request::delete(kind, &key, Some(0), uid)).await {
            Ok(_) => removed += 1,
            Err(error) if error.status() == Some(404) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

async fn list(client: &kube::Client, kind: &Kind) -> Result<Vec<Json>, K8sError> {
    let reply = send(client, &Request::get(kind.path())).await?;
    Ok(reply.body["items"].items().iter().map(|item| kind.typed(item.clone())).collect())
}

fn is_ours(object: &Json) -> bool {
    let annotations = &object["metadata"]["annotations"];
    [RUN_ANNOTATION, OWNER_ANNOTATION, ID_ANNOTATION].iter().any(|key| annotations[*key].is_string())
}

fn name(object: &Json) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or("?");
    object["metadata"]["namespace"].as_str().map_or_else(|| name.to_owned(), |ns| format!("{ns}/{name}"))
}
