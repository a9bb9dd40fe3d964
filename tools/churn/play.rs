//! Plays the script on the stage.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kubereel::k8s::{PatchType, Request, send};
use kubereel::model::{Json, NODE, TraceTime};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::stage::{Stage, pod_key};
use crate::step::{Step, key};

/// Between two rounds of evictions: what a budget forbids now it may allow then.
const RETRY: Duration = Duration::from_secs(2);

/// Rounds after which a drain gives up.
const ROUNDS: u32 = 20;

/// Plays all steps, each at its time after `start`; drains go on beside them. Returns at the scenario's end.
pub async fn play(
    stage: &Arc<Stage>,
    script: Vec<(Duration, Step)>,
    start: TraceTime,
    length: Duration,
) -> anyhow::Result<()> {
    let mut drains = JoinSet::new();
    for (due, step) in script {
        until(stage, start + due).await;
        tracing::info!("{:>5.1} s  {step}", due.as_secs_f64());
        if let Step::Drain { node, remove } = step {
            let stage = stage.clone();
            drains.spawn(async move { drain(&stage, &node, remove).await });
            continue;
        }
        perform(stage, &step).await.with_context(|| step.to_string())?;
    }
    until(stage, start + length).await;
    while let Some(drained) = drains.try_join_next() {
        drained??;
    }
    if !drains.is_empty() {
        tracing::warn!("{} drains had not come to an end", drains.len());
    }
    Ok(())
}

async fn until(stage: &Stage, due: TraceTime) {
    tokio::time::sleep(due.since(stage.clock.now())).await;
}

async fn perform(stage: &Stage, step: &Step) -> anyhow::Result<()> {
    match step {
        Step::Create(object) => stage.create(object).await.map(drop),
        Step::Patch { kind, key, patch } => {
            let request = Request::patch(kind, key, None, PatchType::Merge, patch);
            gone_is_fine(stage, &request).await
        }
        Step::Delete { kind, key } => gone_is_fine(stage, &Request::delete(kind, key, None, None)).await,
        Step::Join(machine) => stage.join(machine).await,
        Step::Lose(node) => {
            stage.silence(node);
            Ok(())
        }
        Step::Forget(node) => stage.forget(node).await,
        Step::Taint { node, taint, on } => set_taint(stage, node, taint, *on).await,
        Step::Drain { node, remove } => drain(stage, node, *remove).await,
    }
}

/// An object that has come to its own end needs no change any more.
async fn gone_is_fine(stage: &Stage, request: &Request) -> anyhow::Result<()> {
    match send(&stage.client, request).await {
        Err(error) if error.status() != Some(404) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Taints are one list: the controllers' own must stay in it, and a change in between shows as a conflict.
async fn set_taint(stage: &Stage, node: &str, taint: &Value, on: bool) -> anyhow::Result<()> {
    let key = key(&NODE, None, node);
    for _ in 0..ROUNDS {
        let current = stage.send(&Request::get(format!("{}/{node}", NODE.path()))).await?.body;
        let mut taints = current["spec"]["taints"].items().to_vec();
        taints.retain(|t| t["key"] != taint["key"]);
        taints.extend(on.then(|| Json::from(taint)));
        let version = &current["metadata"]["resourceVersion"];
        let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"taints": taints}});
        match send(&stage.client, &Request::patch(&NODE, &key, None, PatchType::Merge, &patch)).await {
            Err(error) if error.status() == Some(409) => {}
            other => return other.map(drop).map_err(Into::into),
        }
    }
    anyhow::bail!("{node} changes all the time")
}

/// As `kubectl drain --ignore-daemonsets`: evict, and ask again for what a disruption budget holds back.
async fn drain(stage: &Stage, node: &str, remove: bool) -> anyhow::Result<()> {
    for _ in 0..ROUNDS {
        let pods = stage.pods_on(node).await?;
        let left: Vec<&Json> = pods.iter().filter(|pod| is_evictable(pod)).collect();
        if left.is_empty() {
            tracing::info!("{node} is drained");
            break;
        }
        for pod in left.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
            evict(stage, pod).await?;
        }
        tokio::time::sleep(RETRY).await;
    }
    if remove {
        tracing::info!("{node} is removed");
        stage.forget(node).await?;
    }
    Ok(())
}

fn is_evictable(pod: &Json) -> bool {
    let owners = pod["metadata"]["ownerReferences"].items();
    let over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    !over && !owners.iter().any(|owner| owner["kind"] == "DaemonSet")
}

async fn evict(stage: &Stage, pod: &Json) -> anyhow::Result<()> {
    let key = pod_key(pod);
    let (namespace, name) = (key.namespace.as_deref().unwrap_or_default(), &key.name);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
                          "metadata": {"namespace": namespace, "name": name}});
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
    match send(&stage.client, &Request::post(path, &eviction)).await {
        Err(error) if !matches!(error.status(), Some(404 | 409 | 429)) => Err(error.into()),
        Err(error) if error.status() == Some(429) => {
            tracing::info!("{namespace}/{name} stays for now: its disruption budget is used up");
            Ok(())
        }
        _ => Ok(()),
    }
}
