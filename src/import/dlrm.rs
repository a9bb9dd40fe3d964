//! Alibaba's GPU-disaggregated DLRM serving trace of 2025 (`cluster-trace-gpu-v2025` of `alibaba/clusterdata`; Yang et al.,
//! "GPU-Disaggregated Serving for Deep Learning Recommendation Models at Scale", NSDI 2025): one table of instances, no nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::names::{Names, label_value};
use super::pool::{NodeShape, peaks};
use super::rows::{Column, Row, Rows};
use super::shaping::Shaping;
use super::workload::{End, Fate, Life, Template, Templates, Workload, milli, since, start, texts};
use super::{GPU, ImportError, Imported, Input, Origin, Tally, Target, lives};
use crate::model::{Json, TraceTime};
use crate::trace::digest_of;

/// Hundredths of RDMA network cards.
const RDMA: &str = "kubereel.dev/rdma-percent";

/// Label and node selector: `CN`, a node of CPUs, or `HN`, one with GPUs.
const ROLE: &str = "kubereel.dev/role";

/// Prefix of the resources that keep instances of an application apart: `max_instance_per_node`.
const DENSITY: &str = "kubereel.dev/density-";

/// Shapes in the proportions of what the instances ask for.
pub fn standard_shapes() -> Vec<NodeShape> {
    let shapes = [
        "CN:cpu=192,memory=1Ti,ephemeral-storage=1280Gi,kubereel.dev/rdma-percent=400",
        "HN:cpu=128,memory=768Gi,ephemeral-storage=2Ti,nvidia.com/gpu=8,kubereel.dev/rdma-percent=400",
    ];
    shapes.iter().filter_map(|shape| shape.parse().ok()).collect()
}

/// An import of the trace.
#[derive(Debug, Clone)]
pub struct Dlrm {
    /// The table.
    pub csv: PathBuf,
    /// The nodes to make up.
    pub shapes: Vec<NodeShape>,
    /// How the load is changed.
    pub shaping: Shaping,
}

impl Dlrm {
    /// Makes the reel.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn run(&self, target: &Target) -> Result<Imported, ImportError> {
        let mut tally = Tally::default();
        let Table { templates, lives: pods, density } = read(Input::open(&self.csv)?, &mut tally)?;
        let nodes = make_nodes(&self.shapes, &templates, &pods, &density)?;
        let mut workload = Workload { context: Vec::new(), nodes, templates, pods };
        let arriving = self.shaping.apply(&mut workload)?;
        let mut options = self.shaping.described();
        for shape in &self.shapes {
            let words: Vec<_> =
                shape.capacity.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
            options.insert(format!("import.node-shape.{}", shape.name), words.join(","));
        }
        let mut out = target.start(Origin {
            format: "dlrm",
            inputs: vec![self.csv.display().to_string()],
            options,
            digest: Some(digest_of(&self.csv)?),
            ..Origin::default()
        })?;
        let placed = lives::write(&workload, &arriving, &self.shaping, &mut out)?;
        let mut remarks = vec![format!("{} nodes are made up: the trace has none", workload.nodes.len())];
        if placed != lives::Placed::default() {
            remarks.push(format!(
                "{} pods of the start were put on nodes by the importer, {} fitted nowhere and are submitted",
                placed.placed, placed.unplaced
            ));
        }
        out.finish(tally, lost(), remarks)
    }
}

fn lost() -> Vec<String> {
    [
        "nodes and placements: the trace has neither",
        "max_instance_per_node as a rule between pods: it is a resource of the node here, of which an instance takes its share",
        "limits of disk above requests",
        "the calendar: times count from the start of the trace",
    ]
    .map(str::to_owned)
    .into()
}

/// What the table has.
#[derive(Debug, Default)]
pub struct Table {
    /// Pods without what is their own.
    pub templates: Vec<Json>,
    /// The pods.
    pub lives: Vec<Life>,
    /// What a node has of each density resource, by role.
    density: BTreeMap<String, BTreeMap<String, u64>>,
}

/// The instances, and of how many a node takes at most by application.
#[derive(Debug, Clone, Copy)]
struct Columns {
    name: Column,
    role: Column,
    app: Column,
    cpu: Column,
    gpu: Column,
    rdma: Column,
    memory: Column,
    disk: Column,
    density: Column,
    times: [Column; 3],
}

/// A row, but for what only the whole table tells.
struct Instance {
    life: Life,
    role: String,
    app: String,
    requests: BTreeMap<String, String>,
    /// Instances of the application that one node takes.
    density: Option<u64>,
}

/// Reads the table.
///
/// # Errors
/// [`ImportError`] where it is no such table.
pub fn read(input: Input, tally: &mut Tally) -> Result<Table, ImportError> {
    let mut rows = Rows::open(input, b',')?;
    let [name, role, app, cpu, gpu, rdma, memory, disk, density] = rows.columns([
        "instance_sn",
        "role",
        "app_name",
        "cpu_request",
        "gpu_request",
        "rdma_request",
        "memory_request",
        "disk_request",
        "max_instance_per_node",
    ])?;
    let times = rows.columns(["creation_time", "scheduled_time", "deletion_time"])?;
    let columns = Columns { name, role, app, cpu, gpu, rdma, memory, disk, density, times };
    let (mut names, mut instances) = (Names::default(), Vec::new());
    while let Some(row) = rows.next_row(tally) {
        match read_row(row, &columns, &mut names) {
            Ok(instance) => {
                instances.push(instance);
                tally.used += 1;
            }
            Err(why) => tally.bad(row.place, why),
        }
    }
    Ok(table(instances))
}

fn read_row(row: Row<'_>, columns: &Columns, names: &mut Names) -> Result<Instance, &'static str> {
    let density = match row.text(columns.density).parse::<i64>() {
        Ok(-1) => None,
        // A node of more instances than it may have pods is no limit.
        Ok(most @ 1..=1000) => Some(most.unsigned_abs()),
        _ => return Err("max_instance_per_node is neither -1 nor within 1 to 1000"),
    };
    let mebibytes = |column| row.amount(column).map(|gib| format!("{}Mi", (gib * 1024.0).round()));
    let requests = texts([
        ("cpu", milli(row.amount(columns.cpu)? * 1000.0)),
        ("memory", mebibytes(columns.memory)?),
        ("ephemeral-storage", mebibytes(columns.disk)?),
        (GPU, row.amount(columns.gpu)?.to_string()),
        (RDMA, row.amount(columns.rdma)?.to_string()),
    ]);
    let (role, app) = (label_value(row.text(columns.role)), label_value(row.text(columns.app)));
    if role.is_empty() || app.is_empty() {
        return Err("no role or no app_name");
    }
    let (created, fate) = read_times(row, columns.times)?;
    let name = names.give(row.text(columns.name))?;
    Ok(Instance { life: Life { name, template: 0, created, fate }, role, app, requests, density })
}

/// Empty times are before the start or after the end.
fn read_times(row: Row<'_>, times: [Column; 3]) -> Result<(Option<TraceTime>, Fate), &'static str> {
    let [created, scheduled, deleted] = times.map(|column| row.number(column));
    let (created, scheduled, deleted) = (created?, scheduled?, deleted?);
    let run = |from: f64| deleted.map(|at| since(from, at)).transpose();
    let bound = |wait, run| Fate::Bound { wait, node: None, run, end: End::Deleted };
    Ok(match (created, scheduled) {
        (None, scheduled) => (None, bound(since(0.0, 0.0)?, run(scheduled.unwrap_or(0.0))?)),
        (Some(created), Some(scheduled)) => {
            (Some(start(created)?), bound(since(created, scheduled)?, run(scheduled)?))
        }
        (Some(created), None) => (Some(start(created)?), Fate::Waited { deleted: run(created)? }),
    })
}

/// Gives every instance its share of the density resource. A node has the least common multiple of all limits of the
/// application, an instance takes that over its own limit: applications whose limits differ from instance to instance come
/// out right too.
fn table(instances: Vec<Instance>) -> Table {
    let mut limits: BTreeMap<(String, String), BTreeSet<u64>> = BTreeMap::new();
    for instance in &instances {
        if let Some(limit) = instance.density {
            limits.entry((instance.role.clone(), instance.app.clone())).or_default().insert(limit);
        }
    }
    let wholes: BTreeMap<_, u64> =
        limits.into_iter().map(|(of, limits)| (of, limits.into_iter().fold(1, common_multiple))).collect();
    let (mut table, mut templates) = (Table::default(), Templates::default());
    for ((role, app), whole) in &wholes {
        table.density.entry(role.clone()).or_default().insert(density_of(app), *whole);
    }
    for Instance { mut life, role, app, mut requests, density } in instances {
        let key = format!("{role} {app} {requests:?} {density:?}");
        life.template = templates.intern(key, || {
            let whole = wholes.get(&(role.clone(), app.clone()));
            if let (Some(limit), Some(whole)) = (density, whole) {
                requests.insert(density_of(&app), (whole / limit).to_string());
            }
            Template {
                namespace: "default".to_owned(),
                labels: texts([("app", app), (ROLE, role.clone())]),
                requests,
                node_selector: texts([(ROLE, role)]),
                ..Template::default()
            }
        });
        table.lives.push(life);
    }
    table.templates = templates.into_list();
    table
}

fn density_of(app: &str) -> String {
    format!("{DENSITY}{app}")
}

/// Limits are at most 1,000: a multiple that grows out of hand is as good as none.
fn common_multiple(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).saturating_mul(b).min(i64::MAX as u64 / 1000)
}

/// The nodes of all shapes, as many as they say or as the peaks want.
fn make_nodes(
    shapes: &[NodeShape],
    templates: &[Json],
    lives: &[Life],
    density: &BTreeMap<String, BTreeMap<String, u64>>,
) -> Result<Vec<Json>, ImportError> {
    let role =
        |template: &Json| template["spec"]["nodeSelector"][ROLE].as_str().unwrap_or_default().to_owned();
    let peaks = peaks(templates, lives, role);
    let missing: Vec<_> = peaks.keys().filter(|role| !shapes.iter().any(|s| s.name == **role)).collect();
    if !missing.is_empty() {
        return Err(ImportError::Options(format!(
            "there are instances of role {missing:?} and no node shape for them: give --node-shape ROLE:cpu=…,memory=…"
        )));
    }
    let mut nodes = Vec::new();
    for shape in shapes {
        let mut shape = shape.clone();
        let of_role = density.get(&shape.name).into_iter().flatten();
        shape.capacity.extend(of_role.map(|(name, whole)| (name.clone(), whole.to_string())));
        let labels = texts([(ROLE, shape.name.clone())]);
        nodes.extend(shape.make(&labels, peaks.get(&shape.name))?);
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Requests;

    const HEAD: &str = "instance_sn,role,app_name,cpu_request,cpu_limit,gpu_request,gpu_limit,rdma_request,rdma_limit,\
        memory_request,memory_limit,disk_request,disk_limit,max_instance_per_node,creation_time,scheduled_time,deletion_time\n";

    fn row(name: &str, role: &str, density: &str, times: &str) -> String {
        format!("{name},{role},app_0,12,12,1,1,25,25,120.5,120.5,640.0,800.0,{density},{times}\n")
    }

    fn table_of(rows: &[String]) -> (Table, Tally) {
        let mut tally = Tally::default();
        let table = read(Input::of("t.csv", format!("{HEAD}{}", rows.concat())), &mut tally).unwrap();
        (table, tally)
    }

    #[test]
    fn instances_of_the_start_have_no_creation_and_odd_rows_are_counted() {
        let (table, tally) = table_of(&[
            row("instance_0", "HN", "8", ",,"),
            row("instance_1", "HN", "8", ",,475.00000000000006"),
            row("instance_2", "HN", "8", "100.0,160.0,"),
            row("instance_3", "HN", "0", ",,"),
            row("instance_4", "HN", "-1", "5,4,"),
            row("instance_5", "", "-1", ",,"),
        ]);
        let bound = |wait, run: Option<u64>| Fate::Bound {
            wait: Duration::from_secs(wait),
            node: None,
            run: run.map(Duration::from_secs),
            end: End::Deleted,
        };
        let lives: Vec<_> =
            table.lives.iter().map(|l| (l.name.as_str(), l.created, l.fate.clone())).collect();
        assert_eq!(
            lives,
            [
                ("instance-0", None, bound(0, None)),
                ("instance-1", None, bound(0, Some(475))),
                ("instance-2", Some(TraceTime::from_millis(100_000)), bound(60, None)),
            ]
        );
        assert_eq!(tally.dropped.values().map(|d| d.count).sum::<u64>(), 3);
        let requests = &table.templates[0]["spec"]["containers"][0]["resources"]["requests"];
        assert_eq!((&requests["memory"], &requests[RDMA]), (&"123392Mi".into(), &"25".into()));
    }

    #[test]
    fn a_node_takes_as_many_of_an_application_as_its_limit_says() {
        let (table, _) =
            table_of(&[row("a", "CN", "2", ",,"), row("b", "CN", "8", ",,"), row("c", "CN", "-1", ",,")]);
        let share = |n: usize| {
            let requests = Requests::of(&table.templates[table.lives[n].template as usize]);
            requests.iter().find(|(name, _)| name.starts_with(DENSITY)).map(|(_, milli)| milli / 1000)
        };
        assert_eq!((share(0), share(1), share(2)), (Some(4), Some(1), None));
        assert_eq!(table.density["CN"]["kubereel.dev/density-app_0"], 8);
    }

    #[test]
    fn nodes_are_made_up_for_the_peak() {
        let rows: Vec<_> = (0..10).map(|n| row(&format!("i{n}"), "HN", "-1", ",,")).collect();
        let (table, _) = table_of(&rows);
        let shape = |text: &str| text.parse::<NodeShape>().unwrap();
        let nodes = |shapes: &[NodeShape]| make_nodes(shapes, &table.templates, &table.lives, &table.density);
        let all =
            "cpu=128,memory=768Gi,ephemeral-storage=10Ti,nvidia.com/gpu=2,kubereel.dev/rdma-percent=400";
        // Ten cards at 1.8 a node.
        assert_eq!(nodes(&[shape(&format!("HN:{all}"))]).unwrap().len(), 6);
        assert_eq!(nodes(&[shape(&format!("HN*3:{all}"))]).unwrap().len(), 3);
        assert!(nodes(&[shape("HN:cpu=4")]).unwrap_err().to_string().contains("has none"));
        assert!(nodes(&[shape("CN:cpu=4")]).unwrap_err().to_string().contains("no node shape"));
        assert_eq!(standard_shapes().len(), 2);
    }
}
