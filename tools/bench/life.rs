//! Pod watch events made from one real life: `pod-life.jsonl` holds what an API server v1.37.2 sent for one pod of a
//! Deployment, from ADDED to DELETED, its status set by PATCH requests of a kubelet. Names, UIDs, addresses,
//! times and container ids are replaced by drawn ones; the same seed gives the same events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use kubereel::model::{ObjectEvent, TraceTime, Verb};
use serde_json::Value;

const LIFE: &str = include_str!("pod-life.jsonl");

/// Wall clock at trace time zero, seconds since the epoch.
pub const START: u64 = 1_795_514_400;

/// Seconds after its creation at which the recorded pod changed; from the sixth on counted from its deletion.
const STEPS: [f64; 10] = [0.0, 0.012, 1.1, 2.3, 3.5, 0.0, 1.2, 2.4, 2.45, 2.5];

/// `SplitMix64` (Steele, Lea, Flood 2014): small, and the same everywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[(self.next() % 16) as usize])).collect()
    }

    /// Letters of generated names, as Kubernetes draws them.
    fn suffix(&mut self, len: usize) -> String {
        let letters = b"bcdfghjklmnpqrstvwxz2456789";
        (0..len).map(|_| char::from(letters[(self.next() % letters.len() as u64) as usize])).collect()
    }

    fn uuid(&mut self) -> String {
        let parts = [8, 4, 3, 3, 12].map(|digits| self.hex(digits));
        format!("{}-{}-4{}-9{}-{}", parts[0], parts[1], parts[2], parts[3], parts[4])
    }
}

/// One Deployment: the life of its pods as text, apart from what differs from pod to pod.
struct Deployment {
    steps: Vec<(Verb, String)>,
    replica_set: String,
}

struct Pod {
    deployment: usize,
    name: String,
    uid: String,
    node: u64,
    address: u64,
    container: String,
    created: f64,
    deleted: f64,
}

/// An endless stream of events in order of time.
pub struct Events {
    draw: Draw,
    deployments: Vec<Deployment>,
    pods: Vec<Option<Pod>>,
    /// Nanoseconds, pod, step.
    due: BinaryHeap<Reverse<(u64, usize, usize)>>,
    next_pod: f64,
    pods_per_second: f64,
    lifetime: f64,
    version: u64,
}

impl Events {
    /// About `rate` events a second, with about 4,000 pods alive once it has been running for a while.
    pub fn new(seed: u64, rate: f64) -> Events {
        let mut draw = Draw(seed);
        let deployments = (0..40).map(|n| deployment(&mut draw, n)).collect();
        let pods_per_second = rate / STEPS.len() as f64;
        Events {
            draw,
            deployments,
            pods: Vec::new(),
            due: BinaryHeap::new(),
            next_pod: 0.0,
            pods_per_second,
            lifetime: 4_000.0 / pods_per_second,
            version: 1_000_000,
        }
    }

    fn create_pod(&mut self) {
        let created = self.next_pod;
        self.next_pod += self.draw.exponential(1.0 / self.pods_per_second);
        let deployment = (self.draw.next() % self.deployments.len() as u64) as usize;
        let pod = Pod {
            deployment,
            name: format!("{}-{}", self.deployments[deployment].replica_set, self.draw.suffix(5)),
            uid: self.draw.uuid(),
            node: self.draw.next() % 500,
            address: self.draw.next() % 65_536,
            container: self.draw.hex(64),
            created,
            deleted: created + 4.5 + self.draw.exponential(self.lifetime),
        };
        let pace = 0.8 + 0.4 * self.draw.unit();
        for (step, offset) in STEPS.iter().enumerate() {
            let from = if step < 5 { pod.created } else { pod.deleted };
            let at = from + offset * pace;
            // Steps do not overtake each other: each is later by its number in nanoseconds at least.
            self.due.push(Reverse(((at * 1e9) as u64 + step as u64, self.pods.len(), step)));
        }
        self.pods.push(Some(pod));
    }

    /// The event and the line that the API server would send.
    fn event(&mut self, at: u64, index: usize, step: usize) -> Option<(ObjectEvent, String)> {
        let pod = self.pods[index].as_ref()?;
        self.version += 1 + self.draw.next() % 3;
        let (verb, text) = &self.deployments[pod.deployment].steps[step];
        let text = text
            .replace("@NAME@", &pod.name)
            .replace("@UID@", &pod.uid)
            .replace("@NODE@", &format!("node-{:04}", pod.node))
            .replace("@HOST@", &format!("10.0.{}.{}", pod.node / 250, pod.node % 250))
            .replace("@IP@", &format!("10.244.{}.{}", pod.address / 256, pod.address % 256))
            .replace("@CID@", &pod.container)
            .replace("@RV@", &self.version.to_string());
        let text = with_times(&text, pod.created, pod.deleted);
        let object: Value = serde_json::from_str(&text).expect("the template is JSON");
        let event = ObjectEvent::new(TraceTime::from_nanos(at), *verb, object)?;
        if step + 1 == STEPS.len() {
            self.pods[index] = None;
        }
        Some((event, text))
    }
}

impl Iterator for Events {
    type Item = (ObjectEvent, String);

    fn next(&mut self) -> Option<Self::Item> {
        while self.due.peek().is_none_or(|Reverse((at, ..))| *at as f64 / 1e9 >= self.next_pod) {
            self.create_pod();
        }
        let Reverse((at, pod, step)) = self.due.pop()?;
        self.event(at, pod, step)
    }
}

/// Replaces `@Tn@`, the n-th second of the recorded life.
fn with_times(text: &str, created: f64, deleted: f64) -> String {
    let mut parts = text.split("@T");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (second, rest) = part.split_once('@').unwrap_or_default();
        let second: f64 = second.parse().unwrap_or_default();
        let at = if second < 5.0 { created + second } else { deleted + second - 6.0 };
        let time = chrono::DateTime::from_timestamp((START as f64 + at) as i64, 0).unwrap_or_default();
        out.push_str(&time.format("%Y-%m-%dT%H:%M:%SZ").to_string());
        out.push_str(rest);
    }
    out
}

fn deployment(draw: &mut Draw, number: usize) -> Deployment {
    let name = format!("service-{number:02}");
    let replica_set = format!("{name}-{}", draw.hex(10));
    let (owner, checksum, digest) = (draw.uuid(), draw.hex(64), draw.hex(64));
    let (version, cpu) = (draw.next() % 90, 100 * (1 + draw.next() % 20));
    let steps = LIFE.lines().map(|line| {
        let mut line = line
            .replace("checkout-79b47467d8-9w7ss", "@NAME@")
            .replace("checkout-79b47467d8", &replica_set)
            .replace("79b47467d8", replica_set.rsplit('-').next().unwrap_or_default())
            .replace("39a84127-37ca-4de5-8291-11472f5f6efb", "@UID@")
            .replace("8221b119-6f63-448c-86bc-ea6eb24c4d0f", &owner)
            .replace("5d41402abc4b2a76b9719d911017c592ae2f6b1f7c8a3b7e9d4a8c1e0f5b6a7d", &checksum)
            .replace("9c1185a5c5e9fc54612808977ee8f548b2258d31ac6a1e9f5b7f0c6f3d2e4a5b", &digest)
            .replace("6f1f3c0b2a9e4d7c8b5a6e1d0c9f8b7a6d5e4c3b2a190817263544536271809f", "@CID@")
            .replace("node-0001", "@NODE@")
            .replace("10.0.3.17", "@HOST@")
            .replace("10.244.7.12", "@IP@")
            .replace("2.31.4", &format!("2.{version}.4"))
            .replace("500m", &format!("{cpu}m"))
            .replace("checkout", &name);
        for second in 0..60 {
            line = line.replace(&format!("2026-11-24T10:57:{second:02}Z"), &format!("@T{second}@"));
        }
        // As text, so that all fields stay where the API server puts them.
        let event: Value = serde_json::from_str(&line).expect("the recorded life is JSON lines");
        let version = format!("\"resourceVersion\":{}", event["object"]["metadata"]["resourceVersion"]);
        line = line.replacen(&version, "\"resourceVersion\":\"@RV@\"", 1);
        // Every third service has a tenant label, so that not all pods have one structure.
        if number.is_multiple_of(3) {
            let tenant = format!("\"tenant\":\"tenant-{}\",\"tier\":", number % 7);
            line = line.replacen("\"tier\":", &tenant, 1);
        }
        let verb = match event["type"].as_str() {
            Some("ADDED") => Verb::Added,
            Some("DELETED") => Verb::Deleted,
            _ => Verb::Modified,
        };
        let object = line.split_once("\"object\":").and_then(|(_, object)| object.strip_suffix('}'));
        (verb, object.expect("an event has an object").to_owned())
    });
    Deployment { steps: steps.collect(), replica_set }
}
