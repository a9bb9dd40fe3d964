//! Options that shape the load of a replay.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::args::parse_duration;
use crate::model::{Json, TraceTime};
use crate::replay::{PodFilter, RunTime, Shape};

/// Another load from the same trace. What is left to chance depends on the seed and on names alone.
#[derive(Debug, Args)]
#[command(next_help_heading = "Shaping the load")]
pub(super) struct ShapeArgs {
    /// Start at this time of the trace, with the objects that existed then: 90s, 1h30m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    from: Option<Duration>,
    /// End at this time of the trace.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    to: Option<Duration>,
    /// Only these pods: namespace=NAME (any of several), label=KEY=VALUE (all of several).
    #[arg(long, value_name = "WHICH", value_parser = parse_filter)]
    filter: Vec<Filter>,
    /// Pods for each recorded one: 2, 0.5. Copies are submitted with it, under names of their own.
    #[arg(long, value_name = "FACTOR", value_parser = parse_factor)]
    scale_pods: Option<f64>,
    /// Nodes for each one.
    #[arg(long, value_name = "FACTOR", value_parser = parse_factor)]
    scale_nodes: Option<f64>,
    /// Another fleet: what `kubectl get nodes -o json` (or yaml) prints. Recorded nodes neither come, change nor go.
    #[arg(long, value_name = "FILE")]
    nodes: Option<PathBuf>,
    /// What each node has, relative to what it had.
    #[arg(long, value_name = "FACTOR", value_parser = parse_factor)]
    capacity_factor: Option<f64>,
    /// Cut stretches without an input to this length.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    skip_idle: Option<Duration>,
    /// How long pods run that end by themselves: `recorded`, a multiple of that (2x), or a time (90s).
    #[arg(long, value_name = "TIME", value_parser = parse_run_time)]
    run_time: Option<RunTime>,
    /// From binding to Running: `recorded` or a time.
    #[arg(long, value_name = "TIME", value_parser = parse_latency)]
    start_latency: Option<Latency>,
    /// Make a new pod when this run preempts one of a controller's, as soon after as its controller did in the recording,
    /// and leave out the recorded replacements; else those come as recorded, whatever this run preempts.
    #[arg(long)]
    closed_loop: bool,
    /// Chooses which pods and nodes a fraction is.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, Clone)]
enum Filter {
    Namespace(String),
    Label(String, String),
}

#[derive(Debug, Clone, Copy)]
enum Latency {
    Recorded,
    Fixed(Duration),
}

impl ShapeArgs {
    /// The part of the trace that is played.
    pub(super) fn span(&self) -> anyhow::Result<(TraceTime, TraceTime)> {
        let time = |duration: Duration| TraceTime::ZERO + duration;
        let span =
            (self.from.map_or(TraceTime::ZERO, time), self.to.map_or(TraceTime::from_nanos(u64::MAX), time));
        anyhow::ensure!(span.0 < span.1, "--from must be before --to");
        Ok(span)
    }

    /// What they ask for.
    pub(super) fn shape(&self) -> anyhow::Result<Shape> {
        let mut filter = PodFilter::default();
        for one in &self.filter {
            match one.clone() {
                Filter::Namespace(name) => filter.namespaces.push(name),
                Filter::Label(key, value) => filter.labels.push((key, value)),
            }
        }
        Ok(Shape {
            seed: self.seed,
            filter,
            scale_pods: self.scale_pods.unwrap_or(1.0),
            fleet: self.nodes.as_deref().map(fleet).transpose()?,
            scale_nodes: self.scale_nodes.unwrap_or(1.0),
            capacity_factor: self.capacity_factor.unwrap_or(1.0),
            skip_idle: self.skip_idle,
            run_time: self.run_time.unwrap_or(RunTime::Recorded),
            start_latency: match self.start_latency {
                Some(Latency::Fixed(time)) => Some(time),
                Some(Latency::Recorded) | None => None,
            },
            closed_loop: self.closed_loop,
        })
    }

    /// The options that were given, as a run's header names them.
    pub(super) fn described(&self) -> BTreeMap<String, String> {
        let time = |time: &Duration| humantime::format_duration(*time).to_string();
        let filters = self.filter.iter().map(|filter| match filter {
            Filter::Namespace(name) => format!("namespace={name}"),
            Filter::Label(key, value) => format!("label={key}={value}"),
        });
        let filters: Vec<String> = filters.collect();
        let run_time = |run_time: &RunTime| match run_time {
            RunTime::Recorded => "recorded".to_owned(),
            RunTime::Factor(factor) => format!("{factor}x"),
            RunTime::Fixed(fixed) => time(fixed),
        };
        let latency = |latency: &Latency| match latency {
            Latency::Recorded => "recorded".to_owned(),
            Latency::Fixed(fixed) => time(fixed),
        };
        let given = [
            ("from", self.from.as_ref().map(time)),
            ("to", self.to.as_ref().map(time)),
            ("filter", (!filters.is_empty()).then(|| filters.join(" "))),
            ("scale-pods", self.scale_pods.map(|f| f.to_string())),
            ("scale-nodes", self.scale_nodes.map(|f| f.to_string())),
            ("nodes", self.nodes.as_ref().map(|path| path.display().to_string())),
            ("capacity-factor", self.capacity_factor.map(|f| f.to_string())),
            ("skip-idle", self.skip_idle.as_ref().map(time)),
            ("run-time", self.run_time.as_ref().map(run_time)),
            ("start-latency", self.start_latency.as_ref().map(latency)),
            ("closed-loop", self.closed_loop.then(|| "true".to_owned())),
        ];
        let mut all: BTreeMap<String, String> =
            given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        if !all.is_empty() {
            all.insert("seed".to_owned(), self.seed.to_string());
        }
        all
    }
}

/// The nodes of a list, or of one node.
fn fleet(path: &Path) -> anyhow::Result<Vec<Json>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let list: serde_json::Value = serde_saphyr::from_str(&text)
        .with_context(|| format!("{} is not a YAML or JSON document", path.display()))?;
    let items = match list["items"].as_array() {
        Some(items) => items.clone(),
        None => vec![list],
    };
    anyhow::ensure!(
        !items.is_empty()
            && items.iter().all(|node| node["kind"] == "Node" && node["metadata"]["name"].is_string()),
        "{} holds something else than nodes: write it with `kubectl get nodes -o json`",
        path.display()
    );
    Ok(items.iter().map(Json::from).collect())
}

fn parse_filter(text: &str) -> Result<Filter, String> {
    match text.split_once('=') {
        Some(("namespace", name)) if !name.is_empty() => Ok(Filter::Namespace(name.to_owned())),
        Some(("label", label)) if label.contains('=') => {
            let (key, value) = label.split_once('=').unwrap_or_default();
            Ok(Filter::Label(key.to_owned(), value.to_owned()))
        }
        _ => Err("write namespace=NAME or label=KEY=VALUE".to_owned()),
    }
}

fn parse_factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if (0.0..=1000.0).contains(&factor) => Ok(factor),
        _ => Err("a factor is a number from 0 to 1000, such as 2 or 0.5".to_owned()),
    }
}

fn parse_run_time(text: &str) -> Result<RunTime, String> {
    if text == "recorded" {
        return Ok(RunTime::Recorded);
    }
    match text.strip_suffix('x') {
        Some(factor) => parse_factor(factor).map(RunTime::Factor),
        None => parse_duration(text).map(RunTime::Fixed),
    }
}

fn parse_latency(text: &str) -> Result<Latency, String> {
    if text == "recorded" { Ok(Latency::Recorded) } else { parse_duration(text).map(Latency::Fixed) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        shape: ShapeArgs,
    }

    fn parse(args: &[&str]) -> Result<ShapeArgs, clap::Error> {
        Only::try_parse_from([&["replay"], args].concat()).map(|only| only.shape)
    }

    #[test]
    fn what_was_given_is_described_and_nothing_else() {
        assert_eq!(parse(&[]).unwrap().described(), BTreeMap::new());
        let args = parse(&[
            "--filter",
            "namespace=a",
            "--filter",
            "label=app=web",
            "--scale-pods",
            "2",
            "--run-time",
            "0.5x",
            "--start-latency",
            "2s",
            "--skip-idle",
            "30s",
            "--seed",
            "7",
        ])
        .unwrap();
        let described = args.described();
        let of = |name: &str| described.get(name).map(String::as_str);
        assert_eq!(of("filter"), Some("namespace=a label=app=web"));
        assert_eq!((of("run-time"), of("start-latency"), of("seed")), (Some("0.5x"), Some("2s"), Some("7")));
        let shape = args.shape().unwrap();
        assert_eq!(shape.filter.labels, [("app".to_owned(), "web".to_owned())]);
        assert_eq!((shape.run_time, shape.skip_idle), (RunTime::Factor(0.5), Some(Duration::from_secs(30))));
    }

    #[test]
    fn nonsense_is_refused() {
        for args in
            [["--filter", "pod=x"], ["--scale-pods", "-1"], ["--scale-nodes", "nan"], ["--run-time", "fast"]]
        {
            assert!(parse(&args).is_err(), "{args:?}");
        }
        assert!(parse(&["--from", "20s", "--to", "10s"]).unwrap().span().is_err());
    }
}
