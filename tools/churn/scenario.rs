//! The script: a pure function of the seed and the sizes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::nodes::{Class, Machine};
use crate::objects::Template;
use crate::rng::SplitMix64;
use crate::step::Step;

/// Nodes that the numbers of replicas are meant for; other sizes scale with it.
const MEANT_FOR: u64 = 24;

/// Seconds between the starts of two batch jobs.
const JOB_EVERY: f64 = 7.0;

/// Steps with the instant at which each is due, in order.
pub struct Script {
    rng: SplitMix64,
    nodes: u64,
    length: Duration,
    steps: Vec<(Duration, Step)>,
}

/// Replicas for a cluster of so many nodes.
pub fn sized(replicas: u64, nodes: u64) -> u64 {
    (replicas * nodes / MEANT_FOR).max(1)
}

/// All steps of a scenario of this length over these nodes.
pub fn script(seed: u64, machines: &[Machine], length: Duration) -> Vec<(Duration, Step)> {
    let mut script =
        Script { rng: SplitMix64::new(seed), nodes: machines.len() as u64, length, steps: Vec::new() };
    script.deployments();
    script.batch_jobs();
    script.accelerators();
    script.held_back();
    script.urgent();
    script.node_life(machines);
    script.steps.sort_by_key(|(due, _)| *due);
    script.steps
}

impl Script {
    /// A step at a part of the length, moved a little by the seed.
    fn at(&mut self, part: f64, step: impl Into<Option<Step>>) {
        let jitter = self.rng.unit() * 0.01;
        let due = self.length.mul_f64((part + jitter).clamp(0.0, 0.99));
        self.steps.extend(step.into().map(|step| (due, step)));
    }

    fn sized(&self, replicas: u64) -> u64 {
        sized(replicas, self.nodes)
    }

    /// Roll-outs and other numbers of replicas.
    fn deployments(&mut self) {
        let reindex = Template::new("reindex", "1500m", "2Gi").priority("low").starts_after(400);
        self.at(0.03, Step::Create(reindex.deployment("batch", self.sized(30)).into()));
        self.at(0.08, Step::roll_out("Deployment", "shop", "frontend", 2));
        self.at(0.17, Step::scale("Deployment", "shop", "search", self.sized(9)));
        self.at(0.19, Step::scale("Deployment", "shop", "cart", self.sized(14)));
        self.at(0.45, Step::roll_out("Deployment", "pay", "api", 2));
        self.at(0.58, Step::roll_out("Deployment", "shop", "cart", 2));
        self.at(0.66, Step::scale("Deployment", "shop", "search", self.sized(5)));
        self.at(0.70, Step::scale("Deployment", "batch", "crunch", self.sized(50)));
        self.at(0.74, Step::roll_out("StatefulSet", "pay", "ledger", 2));
        self.at(0.80, Step::scale("StatefulSet", "data", "queue", self.sized(7)));
        self.at(0.87, Step::delete("Deployment", "batch", "reindex"));
    }

    /// Jobs of many sizes, one in five failing, and one that comes every minute.
    fn batch_jobs(&mut self) {
        let report = Template::new("report", "300m", "512Mi").starts_after(200).runs(9, 0);
        self.at(0.0, Step::Create(report.cron_job("ops", self.sized(4)).into()));
        let step = JOB_EVERY / self.length.as_secs_f64().max(JOB_EVERY);
        let mut part = 0.01;
        for number in 1.. {
            if part > 0.88 {
                break;
            }
            let job = self.batch_job(number);
            self.at(part, Step::Create(job.into()));
            part += step;
        }
    }

    fn batch_job(&mut self, number: u64) -> Value {
        let cpu = *self.rng.pick(&["250m", "500m", "750m", "1"]);
        let memory = *self.rng.pick(&["256Mi", "1Gi", "3Gi"]);
        let fails = self.rng.between(0, 5) == 0;
        let run = self.rng.between(4, 26);
        let mut template =
            Template::new(&format!("etl-{number:02}"), cpu, memory).starts_after(self.rng.between(100, 900));
        template = if fails { template.runs(run / 4 + 1, 3) } else { template.runs(run, 0) };
        if self.rng.between(0, 3) == 0 {
            template = template.priority("low");
        }
        let (wide, more) = (self.rng.between(3, 9), self.rng.between(0, 5));
        let parallelism = if fails { 1 } else { self.sized(wide) };
        let completions = parallelism + if fails { 0 } else { self.sized(more) };
        template.job("batch", parallelism, completions)
    }

    /// More work for accelerators than there are: some waits until others end.
    fn accelerators(&mut self) {
        for (number, part) in [0.13, 0.15, 0.30, 0.55].into_iter().enumerate() {
            let (each, pods) = *self.rng.pick(&[(1, 9), (2, 5), (1, 7)]);
            let run = self.rng.between(18, 35);
            let train = Template::new(&format!("train-{}", number + 1), "2", "8Gi").gpus(each);
            let pods = self.sized(pods);
            self.at(part, Step::Create(train.starts_after(1500).runs(run, 0).job("ml", pods, pods).into()));
        }
        let whole = Template::new("finetune", "8", "24Gi").gpus(4).starts_after(1500).runs(25, 0);
        self.at(0.20, Step::Create(whole.job("ml", self.sized(3), self.sized(3)).into()));
    }

    /// Pods that wait: for a label that no node has yet, and for a gate.
    fn held_back(&mut self) {
        let notebook =
            Template::new("notebook", "500m", "1Gi").on("churn.example/disk", "fast").starts_after(300);
        self.at(0.10, Step::Create(notebook.deployment("ml", self.sized(6)).into()));
        for number in 1..=self.sized(6) {
            let name = format!("import-{number}");
            let import = Template::new("import", "500m", "1Gi").starts_after(300).runs(30, 0);
            self.at(0.12, Step::Create(import.gated_pod("data", &name).into()));
            let lifted = 0.2 + self.rng.unit() * 0.3;
            self.at(lifted, Step::ungate("data", &name));
        }
    }

    /// Bursts of high priority into a full cluster.
    fn urgent(&mut self) {
        let flash = Template::new("flash-sale", "2500m", "4Gi").priority("high").starts_after(500);
        let flash = flash.spread("topology.kubernetes.io/zone", 2, false);
        self.at(0.29, Step::Create(flash.deployment("shop", self.sized(22)).into()));
        self.at(0.52, Step::scale("Deployment", "shop", "flash-sale", self.sized(8)));
        self.at(0.64, Step::delete("Deployment", "shop", "flash-sale"));
        let fraud = Template::new("fraud-check", "2", "4Gi").priority("high").starts_after(300).runs(20, 0);
        self.at(0.77, Step::Create(fraud.job("pay", self.sized(24), self.sized(24)).into()));
    }

    /// Nodes that come, go, fall silent, are drained, labelled and tainted.
    fn node_life(&mut self, machines: &[Machine]) {
        let mut plain: Vec<String> =
            machines.iter().filter(|m| m.class != Class::Gpu).map(Machine::name).collect();
        let mut some = || self.rng.take(&mut plain);
        let (serviced, silent, removed) = (some(), some(), some());
        let (tainted, evacuated, fast, faster) = (some(), some(), some(), some());
        if let Some(node) = serviced {
            self.at(0.23, Step::cordon(&node, true));
            self.at(0.25, Step::Drain { node: node.clone(), remove: false });
            self.at(0.47, Step::cordon(&node, false));
        }
        if let Some(node) = silent {
            self.at(0.33, Step::Lose(node.clone()));
            self.at(0.56, Step::Forget(node));
        }
        if let Some(node) = removed {
            self.at(0.48, Step::cordon(&node, true));
            self.at(0.49, Step::Drain { node, remove: true });
        }
        for (node, key, effect, from, until) in [
            (tainted, "churn.example/maintenance", "NoSchedule", 0.40, 0.68),
            (evacuated, "churn.example/reserved", "NoExecute", 0.61, 0.72),
        ] {
            let Some(node) = node else { continue };
            let taint = json!({"key": key, "value": "true", "effect": effect});
            self.at(from, Step::Taint { node: node.clone(), taint: taint.clone(), on: true });
            self.at(until, Step::Taint { node, taint, on: false });
        }
        for (node, part) in [(fast, 0.21), (faster, 0.27)] {
            let Some(node) = node else { continue };
            self.at(part, Step::label(&node, &json!({"churn.example/disk": "fast"})));
            self.at(part + 0.55, Step::label(&node, &json!({"churn.example/disk": null})));
        }
        for (place, part) in [0.36, 0.42, 0.60].into_iter().enumerate() {
            let class = if place == 1 { Class::Small } else { Class::Large };
            self.at(part, Step::Join(Machine { number: self.nodes + 1 + place as u64, class }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(seed: u64) -> Vec<String> {
        let steps = script(seed, &crate::nodes::first(24), Duration::from_secs(250));
        steps.iter().map(|(due, step)| format!("{due:?} {step}")).collect()
    }

    #[test]
    fn a_seed_tells_one_story() {
        assert_eq!(told(7), told(7));
        assert_ne!(told(7), told(8));
    }

    #[test]
    fn a_node_meets_one_fate() {
        let lost = |step: &Step| match step {
            Step::Lose(node) | Step::Drain { node, .. } | Step::Taint { node, on: true, .. } => {
                Some(node.clone())
            }
            _ => None,
        };
        let steps = script(3, &crate::nodes::first(24), Duration::from_secs(250));
        let mut fates: Vec<String> = steps.iter().filter_map(|(_, step)| lost(step)).collect();
        let all = fates.len();
        fates.sort();
        fates.dedup();
        assert_eq!((all, fates.len()), (5, 5));
    }
}
