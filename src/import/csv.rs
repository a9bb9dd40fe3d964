//! Any table of jobs, by a mapping that says what its columns mean (`docs/import.md`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use serde::Deserialize;
use serde_json::json;

use super::names::{Names, label_value, object_name};
use super::pool::{NodeShape, make_up};
use super::rows::{Column, Row, Rows};
use super::shaping::Shaping;
use super::workload::{End, Fate, Life, Template, Templates, Workload, milli};
use super::{ImportError, Imported, Input, Origin, Tally, Target, dump, lives};
use crate::model::{Json, TraceTime};
use crate::trace::digest_of;

/// Pods of one row at most.
const REPLICAS: f64 = 10_000.0;

/// What the columns of a table mean. Names of columns are as in its first line.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mapping {
    /// What parts the fields; a comma if not given.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// What a row is.
    pub pod: PodMapping,
    /// When things happened.
    pub times: TimesMapping,
    /// How rows ended.
    pub state: Option<StateMapping>,
}

/// What a row is.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodMapping {
    /// Column with its name.
    pub name: String,
    /// Column with its namespace; `default` if not given.
    pub namespace: Option<String>,
    /// Column with how many pods it stands for, all alike; 1 if not given.
    pub replicas: Option<String>,
    /// Labels: each from a column.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Node labels that its node must have: each from a column; where that is empty any node will do.
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// Requests by resource.
    pub requests: BTreeMap<String, Amount>,
    /// Column with the node it ran on, where the table knows it.
    pub node: Option<String>,
}

/// An amount of a resource.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Amount {
    /// Column.
    pub column: String,
    /// What one of it is in the unit of Kubernetes: cores, bytes, pieces; 1 if not given.
    #[serde(default = "one")]
    pub scale: f64,
    /// Whether it is for all pods of the row together.
    #[serde(default)]
    pub total: bool,
}

/// When things happened.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TimesMapping {
    /// What the columns have.
    pub unit: Unit,
    /// Column with the submission.
    pub submit: String,
    /// Column with the start; empty for rows that never started. Not given: they started when they were submitted.
    pub start: Option<String>,
    /// Column with the end; empty for rows that had not ended.
    pub end: Option<String>,
    /// Column with the run time, in place of an end.
    pub duration: Option<String>,
}

/// What a column of times has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
    /// Dates with times, RFC 3339 or without a zone, which is UTC then. Run times are in seconds.
    Date,
}

/// How rows ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateMapping {
    /// Column.
    pub column: String,
    /// Its values for failure.
    #[serde(default)]
    pub failed: Vec<String>,
    /// Its values for rows that somebody ended.
    #[serde(default)]
    pub deleted: Vec<String>,
    /// Its values for rows that are left out.
    #[serde(default)]
    pub skipped: Vec<String>,
}

fn comma() -> char {
    ','
}

fn one() -> f64 {
    1.0
}

impl Mapping {
    /// Reads a mapping, YAML.
    ///
    /// # Errors
    /// [`ImportError`] that names what is wrong with it.
    pub fn read(input: Input) -> Result<Mapping, ImportError> {
        let refuse = |what: String| ImportError::Format { input: input.name.clone(), what };
        let mapping: Mapping = serde_saphyr::from_reader(input.reader)
            .map_err(|error| refuse(format!("is no mapping: {}", error.without_snippet())))?;
        if !mapping.delimiter.is_ascii() {
            return Err(refuse(format!("the delimiter {:?} is more than a byte", mapping.delimiter)));
        }
        if mapping.times.end.is_some() && mapping.times.duration.is_some() {
            return Err(refuse("gives an end and a duration; one of them will do".to_owned()));
        }
        Ok(mapping)
    }
}

/// An import of a table.
#[derive(Debug, Clone)]
pub struct Csv {
    /// The table.
    pub csv: PathBuf,
    /// What its columns mean.
    pub map: PathBuf,
    /// A dump with the nodes; others are made up where it is empty.
    pub nodes: Vec<PathBuf>,
    /// The nodes to make up.
    pub shapes: Vec<NodeShape>,
    /// How the load is changed.
    pub shaping: Shaping,
}

impl Csv {
    /// Makes the reel.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn run(&self, target: &Target) -> Result<Imported, ImportError> {
        let mapping = Mapping::read(Input::open(&self.map)?)?;
        let mut tally = Tally::default();
        let Table { templates, lives: pods, start } = read(Input::open(&self.csv)?, &mapping, &mut tally)?;
        let mut remarks = Vec::new();
        let nodes = if self.nodes.is_empty() {
            let nodes = make_up(&self.shapes, &templates, &pods)?;
            remarks.push(format!("{} nodes are made up: the table has none", nodes.len()));
            nodes
        } else {
            dump::nodes(&self.nodes, &mut tally)?
        };
        let context = namespaces(&templates);
        let mut workload = Workload { context, nodes, templates, pods };
        let arriving = self.shaping.apply(&mut workload)?;
        let mut out = target.start(Origin {
            format: "csv",
            started_wall_ns: start,
            inputs: [&self.csv, &self.map]
                .into_iter()
                .chain(&self.nodes)
                .map(|path| path.display().to_string())
                .collect(),
            options: self.shaping.described(),
            digest: Some(format!("{} {}", digest_of(&self.csv)?, digest_of(&self.map)?)),
        })?;
        lives::write(&workload, &arriving, &self.shaping, &mut out)?;
        let lost = vec!["what the mapping does not name".to_owned()];
        out.finish(tally, lost, remarks)
    }
}

/// The namespaces of the pods; one that every cluster has needs no word.
fn namespaces(templates: &[Json]) -> Vec<Json> {
    let names = templates.iter().filter_map(|template| template["metadata"]["namespace"].as_str());
    let names: std::collections::BTreeSet<_> = names.filter(|name| *name != "default").collect();
    let namespace = |name| {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": name}}).into()
    };
    names.into_iter().map(namespace).collect()
}

/// What a table has.
#[derive(Debug, Default)]
pub struct Table {
    /// Pods without what is their own.
    pub templates: Vec<Json>,
    /// The pods.
    pub lives: Vec<Life>,
    /// The earliest submission, nanoseconds since the Unix epoch or whatever the table counts from.
    pub start: i64,
}

/// The columns of a mapping in a table.
struct Columns {
    name: Column,
    namespace: Option<Column>,
    replicas: Option<Column>,
    labels: Vec<(String, Column)>,
    node_selector: Vec<(String, Column)>,
    requests: Vec<(String, Column, f64, bool)>,
    node: Option<Column>,
    submit: Column,
    start: Option<Column>,
    end: Option<Column>,
    duration: Option<Column>,
    state: Option<Column>,
}

impl Columns {
    fn of(rows: &Rows, mapping: &Mapping) -> Result<Columns, ImportError> {
        let column = |name: &String| rows.columns([name]).map(|[column]| column);
        let optional = |name: &Option<String>| name.as_ref().map(column).transpose();
        let pairs = |map: &BTreeMap<String, String>| {
            map.iter()
                .map(|(key, name)| Ok((key.clone(), column(name)?)))
                .collect::<Result<Vec<_>, ImportError>>()
        };
        let (pod, times) = (&mapping.pod, &mapping.times);
        let amounts = pod.requests.iter().map(|(resource, amount)| {
            Ok((resource.clone(), column(&amount.column)?, amount.scale, amount.total))
        });
        Ok(Columns {
            name: column(&pod.name)?,
            namespace: optional(&pod.namespace)?,
            replicas: optional(&pod.replicas)?,
            labels: pairs(&pod.labels)?,
            node_selector: pairs(&pod.node_selector)?,
            requests: amounts.collect::<Result<Vec<_>, ImportError>>()?,
            node: optional(&pod.node)?,
            submit: column(&times.submit)?,
            start: optional(&times.start)?,
            end: optional(&times.end)?,
            duration: optional(&times.duration)?,
            state: mapping.state.as_ref().map(|state| column(&state.column)).transpose()?,
        })
    }
}

/// Reads a table.
///
/// # Errors
/// [`ImportError`] where it lacks columns.
pub fn read(input: Input, mapping: &Mapping, tally: &mut Tally) -> Result<Table, ImportError> {
    let mut rows = Rows::open(input, mapping.delimiter as u8)?;
    let columns = Columns::of(&rows, mapping)?;
    let mut reading = Reading {
        mapping,
        columns: &columns,
        names: Names::default(),
        templates: Templates::default(),
        found: Vec::new(),
    };
    while let Some(row) = rows.next_row(tally) {
        match reading.row(row) {
            Ok(true) => tally.used += 1,
            Ok(false) => tally.skip(row.place, "a state that the mapping leaves out"),
            Err(why) => tally.bad(row.place, why),
        }
    }
    let start = reading.found.iter().map(|(at, _)| *at).min().unwrap_or(0);
    let since = |at: i64| TraceTime::from_nanos(u64::try_from(at.saturating_sub(start)).unwrap_or(0));
    let lives =
        reading.found.into_iter().map(|(at, life)| Life { created: Some(since(at)), ..life }).collect();
    Ok(Table { templates: reading.templates.into_list(), lives, start })
}

struct Reading<'a> {
    mapping: &'a Mapping,
    columns: &'a Columns,
    names: Names,
    templates: Templates,
    /// Pods with the time of their submission.
    found: Vec<(i64, Life)>,
}

impl Reading<'_> {
    /// Takes a row; false if it is left out on purpose.
    fn row(&mut self, row: Row<'_>) -> Result<bool, &'static str> {
        let columns = self.columns;
        let state = columns.state.map_or("", |column| row.text(column));
        let is = |values: fn(&StateMapping) -> &Vec<String>| {
            self.mapping
                .state
                .as_ref()
                .is_some_and(|mapping| values(mapping).iter().any(|value| value == state))
        };
        if is(|mapping| &mapping.skipped) {
            return Ok(false);
        }
        let end = match (is(|mapping| &mapping.failed), is(|mapping| &mapping.deleted)) {
            (true, _) => End::Failed,
            (_, true) => End::Deleted,
            _ => End::Succeeded,
        };
        let (submit, fate) = self.times(row, end)?;
        let replicas = match columns.replicas {
            Some(column) => row.number(column)?.unwrap_or(1.0),
            None => 1.0,
        };
        if !(1.0..=REPLICAS).contains(&replicas) {
            return Err("a number of pods that is not within 1 to 10,000");
        }
        let template = self.template(row, replicas)?;
        let name = self.names.give(row.text(columns.name))?;
        for number in 0..replicas as u64 {
            let name = if replicas < 2.0 { name.clone() } else { format!("{name}-{number}").into() };
            let life = Life { name, template, created: None, fate: fate.clone() };
            self.found.push((submit, life));
        }
        Ok(true)
    }

    fn times(&self, row: Row<'_>, end: End) -> Result<(i64, Fate), &'static str> {
        let (columns, unit) = (self.columns, self.mapping.times.unit);
        let time = |column: Option<Column>| column.map_or(Ok(None), |column| instant(row.text(column), unit));
        let submit = time(Some(columns.submit))?.ok_or("no submission time")?;
        let start = match columns.start {
            Some(column) => time(Some(column))?,
            None => Some(submit),
        };
        let until = time(columns.end)?;
        let Some(start) = start else {
            let deleted = until.map(|at| between(submit, at)).transpose()?;
            return Ok((submit, Fate::Waited { deleted }));
        };
        let run = match columns.duration {
            Some(column) => duration(row.text(column), unit)?,
            None => until.map(|at| between(start, at)).transpose()?,
        };
        let node = columns.node.map(|column| object_name(row.text(column))).filter(|node| !node.is_empty());
        Ok((submit, Fate::Bound { wait: between(submit, start)?, node, run, end }))
    }

    fn template(&mut self, row: Row<'_>, replicas: f64) -> Result<u32, &'static str> {
        let columns = self.columns;
        let mut requests = BTreeMap::new();
        for (resource, column, scale, total) in &columns.requests {
            let amount = row.amount(*column)? * scale / if *total { replicas } else { 1.0 };
            if amount > 1e15 {
                return Err("an amount that no node has");
            }
            // Only CPU comes in thousandths.
            let text = if resource == "cpu" { milli(amount * 1e3) } else { amount.ceil().to_string() };
            if amount > 0.0 {
                requests.insert(resource.clone(), text);
            }
        }
        let texts = |pairs: &[(String, Column)]| -> BTreeMap<String, String> {
            let texts = pairs.iter().map(|(key, column)| (key.clone(), label_value(row.text(*column))));
            texts.filter(|(_, value)| !value.is_empty()).collect()
        };
        let (labels, node_selector) = (texts(&columns.labels), texts(&columns.node_selector));
        let namespace = columns.namespace.map(|column| object_name(row.text(column)).replace('.', "-"));
        let namespace = namespace.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned());
        let key = format!("{namespace}\0{requests:?}\0{labels:?}\0{node_selector:?}");
        Ok(self.templates.intern(key, || Template {
            namespace,
            labels,
            requests,
            node_selector,
            ..Template::default()
        }))
    }
}

/// Nanoseconds of a time; empty is `None`.
fn instant(text: &str, unit: Unit) -> Result<Option<i64>, &'static str> {
    let nanos = match unit {
        Unit::Date => match text {
            "" | "Unknown" | "None" => return Ok(None),
            text => date(text),
        },
        unit => return number(text, unit),
    };
    nanos.map(Some).ok_or("a time that is none")
}

fn duration(text: &str, unit: Unit) -> Result<Option<Duration>, &'static str> {
    let unit = if unit == Unit::Date { Unit::S } else { unit };
    Ok(number(text, unit)?.and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos))
}

/// Nanoseconds of a number. Whole numbers stay exact: seconds since the epoch in nanoseconds are more than a float holds.
fn number(text: &str, unit: Unit) -> Result<Option<i64>, &'static str> {
    let nanos: i64 = match unit {
        Unit::S | Unit::Date => 1_000_000_000,
        Unit::Ms => 1_000_000,
        Unit::Us => 1_000,
        Unit::Ns => 1,
    };
    if text.is_empty() || text.eq_ignore_ascii_case("nan") {
        return Ok(None);
    }
    let found = match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(whole), _) => whole.checked_mul(nanos),
        (_, Ok(number)) if number.abs() * (nanos as f64) < 9e18 => Some((number * nanos as f64) as i64),
        _ => None,
    };
    match found {
        Some(nanos) if nanos < 0 => Err("a negative time"),
        Some(nanos) => Ok(Some(nanos)),
        None => Err("a time that is none"),
    }
}

fn date(text: &str) -> Option<i64> {
    let with_zone = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let mut without = formats.iter().filter_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    with_zone.ok().or_else(|| without.next().map(|time| time.and_utc()))?.timestamp_nanos_opt()
}

fn between(from: i64, to: i64) -> Result<Duration, &'static str> {
    let nanos = to.checked_sub(from).and_then(|nanos| u64::try_from(nanos).ok());
    nanos.map(Duration::from_nanos).ok_or("a time before the one that it must follow")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Requests;

    const SLURM: &str = "
delimiter: '|'
pod:
  name: JobID
  namespace: Account
  replicas: NNodes
  labels: {user: User}
  requests:
    cpu: {column: ReqCPUS, total: true}
    memory: {column: ReqMem, scale: 1073741824}
  node: NodeList
times: {unit: date, submit: Submit, start: Start, end: End}
state: {column: State, failed: [FAILED], deleted: [CANCELLED], skipped: [RESIZING]}
";

    const JOBS: &str = "JobID|Account|NNodes|User|ReqCPUS|ReqMem|NodeList|Submit|Start|End|State
1|Phys Lab|2|ann|16|4|n1|2026-01-01T00:00:10|2026-01-01T00:01:10|2026-01-01T01:01:10|FAILED
2||1|bob|0.5|1||2026-01-01 00:00:00|Unknown|2026-01-01T00:00:30Z|CANCELLED
3||1|bob|1|1||2026-01-01T00:00:00|||RESIZING
4||0|bob|1|1||2026-01-01T00:00:00|||COMPLETED
5||1|bob|1|1||tomorrow|||COMPLETED
6||1|bob|1|1||2026-01-01T00:00:09|2026-01-01T00:00:08||COMPLETED
1||1|bob|1|1||2026-01-01T00:00:00|||COMPLETED
";

    fn mapping(text: &str) -> Result<Mapping, ImportError> {
        Mapping::read(Input::of("map.yaml", text))
    }

    #[test]
    fn a_slurm_like_table_by_its_mapping() {
        let mut tally = Tally::default();
        let table = read(Input::of("jobs.csv", JOBS), &mapping(SLURM).unwrap(), &mut tally).unwrap();
        let names: Vec<_> = table.lives.iter().map(|life| life.name.as_str()).collect();
        assert_eq!(names, ["1-0", "1-1", "2"]);
        assert_eq!(table.start, 1_767_225_600_000_000_000);
        let first = &table.lives[0];
        let (wait, run) = (Duration::from_mins(1), Some(Duration::from_hours(1)));
        assert_eq!(first.created, Some(TraceTime::from_millis(10_000)));
        assert_eq!(first.fate, Fate::Bound { wait, node: Some("n1".into()), run, end: End::Failed });
        assert_eq!(table.lives[2].fate, Fate::Waited { deleted: Some(Duration::from_secs(30)) });
        let pod = &table.templates[0];
        assert_eq!(
            (&pod["metadata"]["namespace"], &pod["metadata"]["labels"]["user"]),
            (&"phys-lab".into(), &"ann".into())
        );
        let asked = Requests::of(pod);
        assert_eq!((asked.cpu_milli, asked.memory_bytes), (8_000, 4 << 30));
        assert_eq!((tally.read, tally.used), (7, 2));
        let lines: Vec<_> = tally.dropped.values().flat_map(|dropped| dropped.first.clone()).collect();
        assert_eq!(lines.len(), 5);
        assert!(tally.dropped["a state that the mapping leaves out"].expected);
    }

    #[test]
    fn numbers_count_in_the_unit_of_the_mapping() {
        let us = "pod: {name: id, requests: {cpu: {column: cpu, scale: 0.001}}}
times: {unit: us, submit: t, duration: d}";
        let mut tally = Tally::default();
        let text = "id,cpu,t,d\na,1500,1700000000000000,2500000\nb,1,-5,\n";
        let table = read(Input::of("t", text), &mapping(us).unwrap(), &mut tally).unwrap();
        let run = Some(Duration::from_millis(2_500));
        assert_eq!(
            table.lives[0].fate,
            Fate::Bound { wait: Duration::ZERO, node: None, run, end: End::Succeeded }
        );
        assert_eq!(table.start, 1_700_000_000_000_000_000);
        assert_eq!(Requests::of(&table.templates[0]).cpu_milli, 1_500);
        assert_eq!(tally.dropped["a negative time"].first, ["t:3"]);
    }

    #[test]
    fn a_mapping_that_does_not_fit_says_why() {
        let told = |text: &str| mapping(text).unwrap_err().to_string();
        assert!(
            told("pod: {name: id, colour: red}").contains("colour"),
            "{}",
            told("pod: {name: id, colour: red}")
        );
        assert!(
            told("pod: {name: id, requests: {}}\ntimes: {unit: s, submit: t, end: e, duration: d}")
                .contains("one of them")
        );
        let fits = mapping("pod: {name: id, requests: {}}\ntimes: {unit: s, submit: t}").unwrap();
        let error = read(Input::of("t.csv", "id,x\n"), &fits, &mut Tally::default()).unwrap_err().to_string();
        assert_eq!(error, "t.csv: has no column t; its first line has: id, x");
    }
}
