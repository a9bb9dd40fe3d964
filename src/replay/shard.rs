//! A plan in parts, for several processes in front of one target: each node and each pod belongs to one of them.

use std::time::Duration;

use super::plan::{Action, Plan, TimedAction};
use super::run::ReplayError;
use crate::hollow::{Shard, chance};
use crate::k8s::{Request, send};
use crate::model::{Kind, ObjectKey};
use crate::pace::Stop;

/// How long the part that makes the context may take for it.
const CONTEXT_WITHIN: Duration = Duration::from_mins(5);

/// Pause between two looks whether it is there.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// An object that another part of the run makes.
pub(super) type Awaited = (Kind, ObjectKey);

impl Plan {
    /// This part of the plan: nodes and pods by a hash of their name and id, pods that were placed with their node,
    /// everything else with part 0. Parts in their order have all actions of the plan, each once. How pods behave stays
    /// in every part: a node runs whatever is bound to it.
    #[must_use]
    pub fn part(mut self, shard: Shard) -> Plan {
        self.nodes.retain(|node| owns(shard, node["metadata"]["name"].as_str().unwrap_or_default()));
        self.placed.retain(|pod| owns(shard, pod.object["spec"]["nodeName"].as_str().unwrap_or_default()));
        self.actions.retain(|timed| is_part(shard, &timed.action));
        if shard.index > 0 {
            self.context.clear();
            self.left = super::plan::Left::default();
            self.replacements.clear();
        }
        self
    }

    /// What must be there before a part other than the first begins: the context object that is made last.
    pub(super) fn awaited(&self, shard: Shard) -> Option<Awaited> {
        let last = self.context.iter().rev().find_map(|TimedAction { action, .. }| match action {
            Action::CreateContext { kind, .. } => Some((kind.clone(), action.key())),
            _ => None,
        });
        last.filter(|_| shard.index > 0)
    }
}

fn is_part(shard: Shard, action: &Action) -> bool {
    match action {
        Action::CreateContext { .. } | Action::UpdateContext { .. } | Action::DeleteContext { .. } => {
            shard.index == 0
        }
        Action::CreateNode { .. } | Action::UpdateNode { .. } | Action::DeleteNode { .. } => {
            owns(shard, &action.key().name)
        }
        Action::CreatePod(pod) => owns(shard, &pod.id),
        Action::UpdatePod { id, .. } | Action::DeletePod { id, .. } => owns(shard, id),
    }
}

fn owns(shard: Shard, name: &str) -> bool {
    (chance(name, "shard") * f64::from(shard.count)) as u32 == shard.index
}

/// Waits until an object that another part makes is there.
pub(super) async fn wait_for(
    client: &kube::Client,
    awaited: &Awaited,
    stop: &Stop,
) -> Result<(), ReplayError> {
    let (kind, key) = awaited;
    let there = async {
        while !stop.is_stopped() {
            match send(client, &Request::get_object(kind, key)).await {
                Ok(_) => break,
                Err(error) if error.status() == Some(404) => tokio::time::sleep(LOOK_AGAIN).await,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    };
    match tokio::time::timeout(CONTEXT_WITHIN, there).await {
        Ok(done) => done,
        Err(_) => Err(ReplayError::NoContext { object: key.to_string(), patience: CONTEXT_WITHIN }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Json, TraceTime};
    use crate::replay::plan::Submission;

    #[test]
    fn the_parts_of_a_plan_have_each_action_once_and_all_of_an_object_together() {
        let key =
            |name: &str| ObjectKey { kind: "Pod".into(), namespace: Some("n".into()), name: name.into() };
        let node = |n: u64| {
            Json::from(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("n{n}")}}))
        };
        let pod = |n: u64, on: &str| {
            Submission {
            id: format!("id-{n}"),
            object: json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("p{n}"), "namespace": "n"},
                "spec": {"nodeName": on}})
            .into(),
        }
        };
        let timed = |at, action| TimedAction { at: TraceTime::from_millis(at), action };
        let mut plan = Plan { nodes: (0..40).map(node).collect(), ..Plan::default() };
        plan.placed = (0..40).map(|n| pod(n, &format!("n{n}"))).collect();
        for n in 100..200 {
            plan.actions.push(timed(n, Action::CreatePod(pod(n, ""))));
            let delete = Action::DeletePod { id: format!("id-{n}"), key: key(&format!("p{n}")), grace: None };
            plan.actions.push(timed(n, delete));
            plan.actions.push(timed(n, Action::DeleteNode { name: format!("n{}", n % 40) }));
        }
        let parts: Vec<Plan> = (0..3).map(|index| plan.clone().part(Shard { index, count: 3 })).collect();
        let count = |of: fn(&Plan) -> usize| parts.iter().map(of).sum::<usize>();
        assert_eq!(
            (count(|p| p.nodes.len()), count(|p| p.placed.len()), count(|p| p.actions.len())),
            (40, 40, 300)
        );
        for part in &parts {
            assert!(part.actions.len() > 60 && part.actions.is_sorted_by_key(|timed| timed.at));
            let creates = part.actions.iter().filter(|timed| timed.action.submits().is_some()).count();
            let deletes =
                part.actions.iter().filter(|timed| matches!(timed.action, Action::DeletePod { .. })).count();
            assert_eq!(creates, deletes);
            let names: Vec<&str> =
                part.nodes.iter().filter_map(|node| node["metadata"]["name"].as_str()).collect();
            assert!(
                part.placed
                    .iter()
                    .all(|pod| names.contains(&pod.object["spec"]["nodeName"].as_str().unwrap()))
            );
        }
    }

    #[test]
    fn one_part_of_one_is_the_plan() {
        let plan = Plan { nodes: vec![json!({"metadata": {"name": "n"}}).into()], ..Plan::default() };
        assert_eq!(plan.clone().part(Shard::default()).digest(), plan.digest());
    }
}
