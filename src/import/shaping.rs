use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;

use super::ImportError;
use super::workload::{Life, Workload};
use crate::model::{Amounts, Json, Requests, TraceTime, allocatable};

/// How the load of a table is changed on its way into a reel. The default changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Shaping {
    /// When pods arrive.
    pub arrival: Arrival,
    /// The table's arrival times are divided by this; waits and run times stay as they are.
    pub time_compress: f64,
    /// Pods are repeated or left out until they ask, all at once, for this share of the nodes; nothing ends then.
    pub fill: Option<f64>,
    /// Nothing ends and nothing is deleted.
    pub no_delete: bool,
    /// So many of the nodes.
    pub sample_nodes: Option<usize>,
    /// What a pod's end counts from.
    pub lifetime: Lifetime,
    /// What pods of the start are made of.
    pub initial: Initial,
    /// What draws follow from.
    pub seed: u64,
}

/// When pods arrive.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Arrival {
    /// At the times of the table.
    #[default]
    Trace,
    /// Evenly, so many a second, in the order of the table.
    Uniform(f64),
    /// All at once, in the order of the table.
    Burst,
}

/// What a pod's end counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lifetime {
    /// From its binding: one that is bound later in a replay ends later.
    #[default]
    FromBind,
    /// From the start of the trace: it is deleted at its time, bound or not.
    Absolute,
}

/// What becomes of pods that were there before the trace starts, if the table does not say on which nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Initial {
    /// The importer puts them on nodes; no scheduler decides about them, no statistic counts them.
    #[default]
    Place,
    /// They are submitted when the trace starts.
    Submit,
}

impl Default for Shaping {
    fn default() -> Shaping {
        Shaping {
            arrival: Arrival::Trace,
            time_compress: 1.0,
            fill: None,
            no_delete: false,
            sample_nodes: None,
            lifetime: Lifetime::FromBind,
            initial: Initial::Place,
            seed: 1,
        }
    }
}

impl FromStr for Arrival {
    type Err = String;

    fn from_str(text: &str) -> Result<Arrival, String> {
        let rate = |text: &str| text.parse::<f64>().ok().filter(|rate| *rate > 0.0 && rate.is_finite());
        let found = match text.split_once(':') {
            None if text == "trace" => Some(Arrival::Trace),
            None if text == "burst" => Some(Arrival::Burst),
            Some(("uniform", number)) => rate(number).map(Arrival::Uniform),
            _ => None,
        };
        found.ok_or_else(|| {
            format!("{text:?} is no arrival: write trace, burst or uniform:RATE, in pods a second")
        })
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arrival::Trace => f.write_str("trace"),
            Arrival::Uniform(rate) => write!(f, "uniform:{rate}"),
            Arrival::Burst => f.write_str("burst"),
        }
    }
}

/// One arrival of a pod of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arriving {
    /// Position among the workload's pods.
    pub pod: u32,
    /// 0; of a repetition its number.
    pub copy: u32,
    /// When; `None`: it was there before the trace starts.
    pub at: Option<TraceTime>,
}

impl Shaping {
    /// Whether pods end and are deleted.
    pub fn has_ends(&self) -> bool {
        !self.no_delete && self.fill.is_none()
    }

    /// What differs from the table as it is, by name: for the reel's header.
    pub fn described(&self) -> BTreeMap<String, String> {
        let standard = Shaping::default();
        let lifetime = match self.lifetime {
            Lifetime::FromBind => "from-bind",
            Lifetime::Absolute => "absolute",
        };
        let initial = match self.initial {
            Initial::Place => "place",
            Initial::Submit => "submit",
        };
        let mut words = vec![
            ("arrival", self.arrival.to_string()),
            ("lifetime", lifetime.to_owned()),
            ("initial", initial.to_owned()),
            ("seed", self.seed.to_string()),
        ];
        if (self.time_compress - standard.time_compress).abs() > f64::EPSILON {
            words.push(("time-compress", self.time_compress.to_string()));
        }
        words.extend(self.fill.map(|share| ("fill", share.to_string())));
        words.extend(self.sample_nodes.map(|count| ("sample-nodes", count.to_string())));
        if !self.has_ends() {
            words.push(("no-delete", "true".to_owned()));
        }
        words.into_iter().map(|(name, value)| (format!("import.{name}"), value)).collect()
    }

    /// Keeps the nodes that are wanted and says which pods arrive when, in order of time.
    ///
    /// # Errors
    /// [`ImportError::Options`] where the workload does not allow what is asked for.
    pub fn apply(&self, workload: &mut Workload) -> Result<Vec<Arriving>, ImportError> {
        let mut rng = Rng::with_seed(self.seed);
        if let Some(count) = self.sample_nodes {
            workload.nodes = sample(&workload.nodes, count, &mut rng)?;
        }
        let mut chosen: Vec<(u32, u32)> = match self.fill {
            Some(share) => filling(workload, share, &mut rng)?,
            None => (0..workload.pods.len() as u32).map(|pod| (0, pod)).collect(),
        };
        // Stable: pods of one time keep the order of the table. Those that were there at the start come first.
        chosen.sort_by_key(|(copy, pod)| (*copy, workload.pods[*pod as usize].created));
        let span = workload.pods.iter().filter_map(|pod| pod.created).max().unwrap_or_default();
        let at = |number: usize, copy: u32, life: &Life| match self.arrival {
            Arrival::Burst => Some(TraceTime::ZERO),
            Arrival::Uniform(rate) => Some(seconds(number as f64 / rate)),
            Arrival::Trace if copy == 0 && self.fill.is_none() => {
                Some(self.compressed(life.created?, 0, span))
            }
            Arrival::Trace => Some(self.compressed(life.created.unwrap_or_default(), copy, span)),
        };
        let arriving = chosen.iter().enumerate().map(|(number, (copy, pod))| Arriving {
            pod: *pod,
            copy: *copy,
            at: at(number, *copy, &workload.pods[*pod as usize]),
        });
        Ok(arriving.collect())
    }

    /// A time of the table; repetitions follow the table one after the other.
    fn compressed(&self, created: TraceTime, copy: u32, span: TraceTime) -> TraceTime {
        let table = created.as_secs_f64() + f64::from(copy) * span.as_secs_f64();
        seconds(table / self.time_compress)
    }
}

fn seconds(number: f64) -> TraceTime {
    TraceTime::ZERO + Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX)
}

/// So many of the nodes, at equal distances in the list from a drawn start: lists go by kind of machine, so the mix stays.
fn sample(nodes: &[Json], count: usize, rng: &mut Rng) -> Result<Vec<Json>, ImportError> {
    if count == 0 || count > nodes.len() {
        let all = nodes.len();
        return Err(ImportError::Options(format!(
            "--sample-nodes {count}: there are {all} nodes to choose from"
        )));
    }
    let start = rng.f64();
    let place = |n: usize| ((n as f64 + start) * nodes.len() as f64 / count as f64) as usize;
    Ok((0..count).map(|n| nodes[place(n).min(nodes.len() - 1)].clone()).collect())
}

/// Pods, by repetition and position, until they ask for a share of what the nodes have, in the resource that pods
/// ask for most of. The last repetition, which may be the first, is a draw.
fn filling(workload: &Workload, share: f64, rng: &mut Rng) -> Result<Vec<(u32, u32)>, ImportError> {
    let mut capacity = Amounts::default();
    workload.nodes.iter().flat_map(allocatable).for_each(|(name, milli)| capacity.add(&name, milli));
    let asked: Vec<Requests> = workload.templates.iter().map(Requests::of).collect();
    let mut demand = Amounts::default();
    for life in &workload.pods {
        asked[life.template as usize].iter().for_each(|(name, milli)| demand.add(name, milli));
    }
    let of_capacity = |name: &str| demand.get(name) as f64 / capacity.get(name).max(1) as f64;
    let names = demand.iter().map(|(name, _)| name).filter(|name| capacity.get(name) > 0);
    let Some(scarcest) = names.max_by(|a, b| of_capacity(a).total_cmp(&of_capacity(b))) else {
        let what = "--fill: the pods ask for nothing that the nodes have".to_owned();
        return Err(ImportError::Options(what));
    };
    let target = share * capacity.get(scarcest) as f64;
    let (mut chosen, mut sum) = (Vec::new(), 0.0);
    for copy in 0.. {
        let mut order: Vec<u32> = (0..workload.pods.len() as u32).collect();
        rng.shuffle(&mut order);
        for pod in order {
            if sum >= target {
                chosen.sort_unstable();
                return Ok(chosen);
            }
            let template = workload.pods[pod as usize].template as usize;
            sum += asked[template].iter().find(|(name, _)| *name == scarcest).map_or(0, |(_, milli)| milli)
                as f64;
            chosen.push((copy, pod));
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::workload::{Fate, Template, node, texts};

    /// Four nodes of two kinds and ten pods of one CPU, a second apart, the first there from the start.
    fn workload() -> Workload {
        let named =
            |n: usize, cpu: &str| node(&format!("n{n}"), &BTreeMap::new(), &texts([("cpu", cpu.to_owned())]));
        let template = Template { requests: texts([("cpu", "1".to_owned())]), ..Template::default() };
        let life = |n: u64| Life {
            name: format!("p{n}").into(),
            template: 0,
            created: (n > 0).then(|| TraceTime::from_millis(n * 1000)),
            fate: Fate::Waited { deleted: None },
        };
        Workload {
            context: Vec::new(),
            nodes: vec![named(0, "2"), named(1, "2"), named(2, "4"), named(3, "4")],
            templates: vec![template.to_object()],
            pods: (0..10).map(life).collect(),
        }
    }

    fn times(shaping: &Shaping) -> Vec<Option<f64>> {
        let arriving = shaping.apply(&mut workload()).unwrap();
        arriving.iter().map(|arriving| arriving.at.map(TraceTime::as_secs_f64)).collect()
    }

    #[test]
    fn arrivals_follow_the_table_a_rate_or_nothing() {
        let own = times(&Shaping::default());
        assert_eq!((own[0], own[1], own[9]), (None, Some(1.0), Some(9.0)));
        let faster = times(&Shaping { time_compress: 2.0, ..Shaping::default() });
        assert_eq!((faster[0], faster[9]), (None, Some(4.5)));
        let even = times(&Shaping { arrival: Arrival::Uniform(4.0), ..Shaping::default() });
        assert_eq!((even[0], even[9]), (Some(0.0), Some(2.25)));
        let burst = times(&Shaping { arrival: Arrival::Burst, ..Shaping::default() });
        assert!(burst.iter().all(|at| *at == Some(0.0)));
    }

    #[test]
    fn a_fill_repeats_or_draws_until_the_share_is_asked_for() {
        let arriving = |fill: f64, seed: u64| {
            let shaping = Shaping { fill: Some(fill), seed, ..Shaping::default() };
            shaping.apply(&mut workload()).unwrap()
        };
        // 12 CPUs: half of it are 6 pods, twice it are 24.
        assert_eq!(arriving(0.5, 1).len(), 6);
        assert_eq!(arriving(0.5, 1), arriving(0.5, 1));
        assert_ne!(arriving(0.5, 1), arriving(0.5, 2));
        let twice = arriving(2.0, 1);
        assert_eq!(twice.len(), 24);
        assert_eq!(twice.iter().filter(|a| a.copy == 0).count(), 10);
        assert_eq!(twice.iter().map(|a| a.copy).max(), Some(2));
        assert!(twice.is_sorted_by_key(|a| a.at));
    }

    #[test]
    fn a_sample_of_nodes_keeps_the_mix() {
        let mut workload = workload();
        let shaping = Shaping { sample_nodes: Some(2), ..Shaping::default() };
        shaping.apply(&mut workload).unwrap();
        let cpus: Vec<_> = workload.nodes.iter().map(|n| n["status"]["capacity"]["cpu"].as_str()).collect();
        assert_eq!(cpus, [Some("2"), Some("4")]);
        let all = Shaping { sample_nodes: Some(9), ..Shaping::default() };
        assert!(all.apply(&mut workload).unwrap_err().to_string().contains("there are 2 nodes"));
    }

    #[test]
    fn what_is_asked_for_is_told_in_words() {
        let shaping =
            Shaping { fill: Some(1.3), arrival: "uniform:50".parse().unwrap(), ..Shaping::default() };
        let words = shaping.described();
        assert_eq!((words["import.fill"].as_str(), words["import.arrival"].as_str()), ("1.3", "uniform:50"));
        assert_eq!(words["import.no-delete"], "true");
        for bad in ["", "uniform", "uniform:0", "uniform:x", "burst:1", "later"] {
            assert!(bad.parse::<Arrival>().is_err(), "{bad}");
        }
    }
}
