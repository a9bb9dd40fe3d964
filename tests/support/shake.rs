//! Seeded random changes of a cluster through its API: pods, nodes, services, namespaces and priority classes are made,
//! changed and deleted.
#![allow(dead_code, reason = "each program uses its own part")]

use std::time::Duration;

use anyhow::Context;
use kubereel::k8s::{PatchType, Reply, Request, send};
use kubereel::model::{CONTEXT_KINDS, Json, Kind, NODE, ObjectKey, POD};
use kubereel::pace::{Clock, SystemClock};
use serde_json::json;

/// `SplitMix64` (Steele, Lea, Flood 2014).
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// The kinds that are shaken.
pub fn kinds() -> Vec<Kind> {
    let context = ["Namespace", "Service", "PriorityClass"];
    let context = CONTEXT_KINDS.iter().filter(|kind| context.contains(&kind.kind.as_ref()));
    [NODE, POD].into_iter().chain(context.cloned()).collect()
}

/// A change that the API server has taken.
pub struct Taken {
    /// As in an object's key.
    pub kind: String,
    /// The version that it made.
    pub version: String,
    /// When the answer was there, nanoseconds since the Unix epoch.
    pub wall_ns: i64,
}

/// A source of changes; the same seed asks for the same ones.
pub struct Shaker {
    client: kube::Client,
    clock: SystemClock,
    draw: Draw,
    seed: u64,
    made: u64,
    there: Vec<(Kind, ObjectKey)>,
    /// What the API server took, but for deletions, whose answers tell no version.
    pub taken: Vec<Taken>,
}

/// So many objects of a shaker are there at most.
const OBJECTS: usize = 400;

impl Shaker {
    /// Objects bear the seed in their names.
    pub fn new(client: kube::Client, seed: u64) -> Shaker {
        let (clock, draw) = (SystemClock::start(), Draw(seed));
        Shaker { client, clock, draw, seed, made: 0, there: Vec::new(), taken: Vec::new() }
    }

    /// Makes so many changes. A server that is away, or does not want one of them, is no failure: what counts is what
    /// it holds in the end.
    pub async fn shake(&mut self, changes: usize) {
        for _ in 0..changes {
            let drawn = match self.draw.below(10) {
                0..=3 if self.there.len() < OBJECTS => Some(self.create()),
                4..=7 => self.change(),
                _ => {
                    if let Some(request) = self.delete() {
                        let _ = send(&self.client, &request).await;
                    }
                    continue;
                }
            };
            let Some((kind, request)) = drawn else { continue };
            if let Ok(reply) = send(&self.client, &request).await {
                self.take(&kind, &reply);
            }
        }
    }

    /// Makes one object of each kind and returns their keys: who has seen them has seen everything before.
    pub async fn mark(&mut self) -> anyhow::Result<Vec<ObjectKey>> {
        let mut keys = Vec::new();
        for kind in kinds() {
            let key = self.mark_of(&kind).await.with_context(|| format!("the API server takes no {kind}"))?;
            self.there.push((kind, key.clone()));
            keys.push(key);
        }
        Ok(keys)
    }

    /// A server that has just come back may refuse for a while, and a connection of before breaks at its first use.
    async fn mark_of(&mut self, kind: &Kind) -> anyhow::Result<ObjectKey> {
        const TRIES: usize = 30;
        let mut tried = 0;
        loop {
            tried += 1;
            let (key, object) = self.object(kind);
            match send(&self.client, &Request::create(kind, &object)).await {
                Ok(reply) => {
                    self.take(kind, &reply);
                    return Ok(key);
                }
                Err(error) if tried == TRIES => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    fn take(&mut self, kind: &Kind, reply: &Reply) {
        let version = reply.body["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        self.taken.push(Taken { kind: kind.name(), version, wall_ns: self.clock.wall_ns() });
    }

    fn create(&mut self) -> (Kind, Request) {
        let kinds = kinds();
        // Mostly pods.
        let kind = kinds.get(self.draw.below(12) as usize).cloned().unwrap_or(POD);
        let (key, object) = self.object(&kind);
        let request = Request::create(&kind, &object);
        self.there.push((kind.clone(), key));
        (kind, request)
    }

    fn change(&mut self) -> Option<(Kind, Request)> {
        let (kind, key) = self.any()?;
        let value = self.draw.below(1 << 20).to_string();
        if kind == POD && self.draw.below(2) == 0 {
            let condition = json!([{"type": "Shaken", "status": "True", "message": format!("\"{value}\" \u{e4}\u{1F980}")}]);
            let patch = json!({"status": {"phase": "Running", "conditions": condition}});
            let request = Request::patch(&kind, &key, Some("status"), PatchType::Strategic, &patch);
            return Some((kind, request));
        }
        let labels = json!({"shaken": value, "often": if value.len() > 5 { json!(null) } else { json!("") }});
        let patch =
            json!({"metadata": {"labels": labels, "annotations": {"a": "x".repeat(value.len() * 40)}}});
        let request = Request::patch(&kind, &key, None, PatchType::Merge, &patch);
        Some((kind, request))
    }

    fn delete(&mut self) -> Option<Request> {
        let (kind, key) = self.any()?;
        self.there.retain(|(_, other)| *other != key);
        Some(Request::delete(&kind, &key, Some(0), None))
    }

    fn any(&mut self) -> Option<(Kind, ObjectKey)> {
        let count = self.there.len() as u64;
        (count > 0).then(|| self.there[self.draw.below(count) as usize].clone())
    }

    fn object(&mut self, kind: &Kind) -> (ObjectKey, Json) {
        self.made += 1;
        let name = format!("s{}-{}", self.seed, self.made);
        let mut object = json!({"metadata": {"name": name, "labels": {"made": self.made.to_string()}}});
        if kind.namespaced {
            object["metadata"]["namespace"] = "default".into();
        }
        match kind.kind.as_ref() {
            "Pod" => {
                let resources = json!({"requests": {"cpu": "100m", "memory": "64Mi"}});
                let environment =
                    json!([{"name": "A", "value": "1.0"}, {"name": "B", "value": "\u{7f}\t\\"}]);
                object["spec"] = json!({"schedulerName": "nobody", "containers": [
                    {"name": "c", "image": "none", "resources": resources, "env": environment}]});
            }
            "Node" => object["status"] = json!({"capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"}}),
            "Service" => {
                let ports = json!([{"port": 80, "targetPort": 8080}]);
                object["spec"] = json!({"selector": {"app": "a"}, "ports": ports});
            }
            "PriorityClass" => object["value"] = self.draw.below(1000).into(),
            _ => {}
        }
        let object = kind.typed(object.into());
        (ObjectKey::of(&object).expect("it has a name"), object)
    }
}
