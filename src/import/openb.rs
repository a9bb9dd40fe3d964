//! openb, Alibaba's GPU cluster trace of 2023 (`cluster-trace-gpu-v2023` of `alibaba/clusterdata`; Weng et al., "Beware of
//! Fragmentation", USENIX ATC 2023): one table of nodes, one of pods.

use std::path::PathBuf;

use super::names::{Names, label_value};
use super::rows::{Column, Row, Rows};
use super::shaping::Shaping;
use super::workload::{
    End, Fate, Life, Template, Templates, Workload, milli, node, priority_class, since, start, texts,
};
use super::{GPU, GPU_MILLI, GPU_MODEL, ImportError, Imported, Input, Origin, Tally, Target, lives};
use crate::model::Json;
use crate::trace::digest_of;

/// `deletion_time` of pods that were alive at the end of the trace, seconds.
const END: f64 = 12_902_960.0;

/// The label with Alibaba's own class of a pod.
const QOS: &str = "kubereel.dev/qos";

/// Value of the priority class of latency-sensitive pods; others have 0.
const LATENCY_SENSITIVE: i64 = 1000;

/// An import of openb.
#[derive(Debug, Clone)]
pub struct Openb {
    /// The table of nodes.
    pub nodes: PathBuf,
    /// The table of pods.
    pub pods: PathBuf,
    /// `pods` of every node.
    pub pods_per_node: u32,
    /// Latency-sensitive pods get a higher priority than the others.
    pub priorities: bool,
    /// How the load is changed.
    pub shaping: Shaping,
}

impl Openb {
    /// Makes the reel.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn run(&self, target: &Target) -> Result<Imported, ImportError> {
        let mut tally = Tally::default();
        let nodes = read_nodes(Input::open(&self.nodes)?, self.pods_per_node, &mut tally)?;
        let (templates, pods) = read_pods(Input::open(&self.pods)?, self.priorities, &mut tally)?;
        let context = if self.priorities {
            vec![priority_class("latency-sensitive", LATENCY_SENSITIVE)]
        } else {
            Vec::new()
        };
        let mut workload = Workload { context, nodes, templates, pods };
        let arriving = self.shaping.apply(&mut workload)?;
        let mut options = self.shaping.described();
        options.insert("import.priorities".to_owned(), self.priorities.to_string());
        let mut out = target.start(Origin {
            format: "openb",
            inputs: [&self.nodes, &self.pods].map(|path| path.display().to_string()).into(),
            options,
            digest: Some(format!("{} {}", digest_of(&self.nodes)?, digest_of(&self.pods)?)),
            ..Origin::default()
        })?;
        lives::write(&workload, &arriving, &self.shaping, &mut out)?;
        out.finish(tally, lost(), Vec::new())
    }
}

fn lost() -> Vec<String> {
    [
        "where pods ran: the trace has no placements, only when they were scheduled",
        "cards of a node as bins: two pods of 600 thousandths may share what is one card here; totals are right",
        "the calendar: times count from the start of the trace",
        "why pods ended: a pod that was deleted while it ran succeeds here, unless its lifetime is absolute",
    ]
    .map(str::to_owned)
    .into()
}

/// The nodes of a table with the columns `sn`, `cpu_milli`, `memory_mib`, `gpu`, `model`.
///
/// # Errors
/// [`ImportError`] where it is no such table.
pub fn read_nodes(input: Input, pods_per_node: u32, tally: &mut Tally) -> Result<Vec<Json>, ImportError> {
    let mut rows = Rows::open(input, b',')?;
    let columns = rows.columns(["sn", "cpu_milli", "memory_mib", "gpu", "model"])?;
    let (mut names, mut nodes) = (Names::default(), Vec::new());
    while let Some(row) = rows.next_row(tally) {
        match read_node(row, columns, pods_per_node, &mut names) {
            Ok(node) => {
                nodes.push(node);
                tally.used += 1;
            }
            Err(why) => tally.bad(row.place, why),
        }
    }
    Ok(nodes)
}

fn read_node(
    row: Row<'_>,
    [name, cpu, memory, gpu, model]: [Column; 5],
    pods: u32,
    names: &mut Names,
) -> Result<Json, &'static str> {
    let cards = row.amount(gpu)?;
    let labels = texts([(GPU_MODEL, label_value(row.text(model)))]);
    let capacity = texts([
        ("cpu", milli(row.amount(cpu)?)),
        ("memory", format!("{}Mi", row.amount(memory)?)),
        ("pods", pods.to_string()),
        (GPU, cards.to_string()),
        (GPU_MILLI, (cards * 1000.0).to_string()),
    ]);
    Ok(node(&names.give(row.text(name))?, &labels, &capacity))
}

/// What the columns of a table of pods are; lists of pods with several cards have no times.
#[derive(Debug, Clone, Copy)]
struct PodColumns {
    name: Column,
    cpu: Column,
    memory: Column,
    cards: Column,
    milli: Column,
    spec: Option<Column>,
    qos: Option<Column>,
    phase: Option<Column>,
    /// Creation, scheduling, deletion.
    times: Option<[Column; 3]>,
}

/// The pods of a table with the columns `name`, `cpu_milli`, `memory_mib`, `num_gpu`, `gpu_milli`, and maybe `gpu_spec`, `qos`,
/// `pod_phase`, `creation_time`, `scheduled_time` and `deletion_time`, in seconds; and their templates.
///
/// # Errors
/// [`ImportError`] where it is no such table.
pub fn read_pods(
    input: Input,
    priorities: bool,
    tally: &mut Tally,
) -> Result<(Vec<Json>, Vec<Life>), ImportError> {
    let mut rows = Rows::open(input, b',')?;
    let [name, cpu, memory, cards, milli] =
        rows.columns(["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"])?;
    let columns = PodColumns {
        name,
        cpu,
        memory,
        cards,
        milli,
        spec: rows.column("gpu_spec"),
        qos: rows.column("qos"),
        phase: rows.column("pod_phase"),
        times: rows.columns(["creation_time", "scheduled_time", "deletion_time"]).ok(),
    };
    let (mut names, mut templates, mut lives) = (Names::default(), Templates::default(), Vec::new());
    while let Some(row) = rows.next_row(tally) {
        match read_pod(row, &columns, priorities, &mut names, &mut templates) {
            Ok(life) => {
                lives.push(life);
                tally.used += 1;
            }
            Err(why) => tally.bad(row.place, why),
        }
    }
    Ok((templates.into_list(), lives))
}

fn read_pod(
    row: Row<'_>,
    columns: &PodColumns,
    priorities: bool,
    names: &mut Names,
    templates: &mut Templates,
) -> Result<Life, &'static str> {
    let (cpu, memory) = (row.amount(columns.cpu)?, row.amount(columns.memory)?);
    let (cards, of_each) = (row.amount(columns.cards)?, row.amount(columns.milli)?);
    if of_each > 1000.0 || (cards > 0.0 && of_each < 1.0) {
        return Err("gpu_milli is not within 1 to 1000");
    }
    let text = |column: Option<Column>| column.map_or("", |column| row.text(column));
    let (spec, qos) = (text(columns.spec), text(columns.qos));
    let (created, fate) = match columns.times {
        Some(times) => read_times(row, times, text(columns.phase))?,
        None => (0.0, Fate::Bound { wait: since(0.0, 0.0)?, node: None, run: None, end: End::default() }),
    };
    let key = format!("{cpu} {memory} {cards} {of_each} {spec} {qos}");
    let template = templates.intern(key, || {
        let mut models: Vec<_> = spec.split('|').filter(|s| !s.is_empty()).map(label_value).collect();
        models.sort();
        models.dedup();
        let whole = if of_each >= 1000.0 { cards } else { 0.0 };
        Template {
            namespace: "default".to_owned(),
            labels: texts([(QOS, label_value(qos))]),
            requests: texts([
                ("cpu", milli(cpu)),
                ("memory", format!("{memory}Mi")),
                (GPU, whole.to_string()),
                (GPU_MILLI, (cards * of_each).to_string()),
            ]),
            one_of: (!models.is_empty()).then(|| (GPU_MODEL.to_owned(), models)),
            priority_class: (priorities && qos == "LS").then(|| "latency-sensitive".to_owned()),
            ..Template::default()
        }
    });
    Ok(Life { name: names.give(row.text(columns.name))?, template, created: Some(start(created)?), fate })
}

/// Creation, and what followed.
fn read_times(row: Row<'_>, times: [Column; 3], phase: &str) -> Result<(f64, Fate), &'static str> {
    let [created, scheduled, deleted] = times.map(|column| row.number(column));
    let created = created?.ok_or("no creation_time")?;
    let deleted = deleted?.filter(|at| *at < END);
    let Some(scheduled) = scheduled? else {
        let deleted = deleted.map(|at| since(created, at)).transpose()?;
        return Ok((created, Fate::Waited { deleted }));
    };
    let run = deleted.map(|at| since(scheduled, at)).transpose()?;
    let end = if phase == "Failed" { End::Failed } else { End::Succeeded };
    Ok((created, Fate::Bound { wait: since(created, scheduled)?, node: None, run, end }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Requests, TraceTime};

    const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\n\
        node-0,32000,262144,0,\nnode-1,96500,393216,8,G2\nnode-1,1,1,0,\nnode-2,x,1,0,\n";

    const PODS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n\
        pod-0,12000,16384,2,1000,,LS,Running,0,12902960,5\n\
        pod-1,6000,0,1,460,V100M32|V100M16|V100M32,BE,Failed,10,70,20\n\
        pod-2,6000,1,0,0,,LS,Pending,10,40,\n\
        pod-3,6000,1,0,0,,LS,Running,-1,40,7\n\
        pod-4,6000,1,0,0,,LS,Running,9,8,7\n\
        pod-5,6000,1,1,0,,LS,Running,9,10,9\n\
        pod-0,6000,1,0,0,,LS,Running,9,10,9\n";

    #[test]
    fn nodes_have_cards_and_their_thousandths() {
        let mut tally = Tally::default();
        let nodes = read_nodes(Input::of("n.csv", NODES), 1001, &mut tally).unwrap();
        assert_eq!(nodes.len(), 2);
        let capacity = &nodes[1]["status"]["capacity"];
        let of = |name: &str| capacity[name].as_str().unwrap_or("none");
        assert_eq!(
            ["cpu", "memory", "pods", GPU, GPU_MILLI].map(of),
            ["96500m", "393216Mi", "1001", "8", "8000"]
        );
        assert_eq!(nodes[1]["metadata"]["labels"][GPU_MODEL], "G2");
        assert!(nodes[0]["status"]["capacity"].get(GPU).is_none());
        assert_eq!(tally.dropped["a name that an earlier row has"].first, ["n.csv:4"]);
        assert_eq!(tally.dropped["a field that is no number"].first, ["n.csv:5"]);
        assert_eq!((tally.read, tally.used), (4, 2));
    }

    #[test]
    fn pods_have_lives_and_odd_rows_are_counted() {
        let mut tally = Tally::default();
        let (templates, pods) = read_pods(Input::of("p.csv", PODS), true, &mut tally).unwrap();
        let fates: Vec<_> =
            pods.iter().map(|pod| (pod.created.map(TraceTime::as_secs_f64), pod.fate.clone())).collect();
        let bound = |wait, run: Option<u64>, end| Fate::Bound {
            wait: Duration::from_secs(wait),
            node: None,
            run: run.map(Duration::from_secs),
            end,
        };
        assert_eq!(
            fates,
            [
                (Some(0.0), bound(5, None, End::Succeeded)),
                (Some(10.0), bound(10, Some(50), End::Failed)),
                (Some(10.0), Fate::Waited { deleted: Some(Duration::from_secs(30)) })
            ]
        );
        let asked = |n: usize| Requests::of(&templates[pods[n].template as usize]);
        let all: Vec<_> = asked(0).iter().map(|(name, milli)| format!("{name}={milli}")).collect();
        assert_eq!(all.len(), 4);
        assert!(all.contains(&"kubereel.dev/gpu-milli=2000000".to_owned()), "{all:?}");
        assert!(all.contains(&"nvidia.com/gpu=2000".to_owned()), "{all:?}");
        assert_eq!(asked(1).others.len(), 1, "a shared card is no whole one");
        let spec = &templates[pods[1].template as usize]["spec"];
        let models = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
            [0]["matchExpressions"][0]["values"];
        assert_eq!(*models, serde_json::json!(["V100M16", "V100M32"]));
        assert_eq!(templates[0]["spec"]["priorityClassName"], "latency-sensitive");
        let lines = |why: &str| tally.dropped[why].first.clone();
        assert_eq!(lines("a negative number"), ["p.csv:5"]);
        assert_eq!(lines("a time before the one that it must follow"), ["p.csv:6"]);
        assert_eq!(lines("gpu_milli is not within 1 to 1000"), ["p.csv:7"]);
        assert_eq!(lines("a name that an earlier row has"), ["p.csv:8"]);
    }

    #[test]
    fn lists_without_times_are_taken_as_they_are() {
        let text = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,2,0,0\n";
        let mut tally = Tally::default();
        let (_, pods) = read_pods(Input::of("p.csv", text), false, &mut tally).unwrap();
        assert_eq!(pods[0].created, Some(TraceTime::ZERO));
        let missing = read_pods(Input::of("p.csv", "name,cpu\n"), false, &mut tally).unwrap_err().to_string();
        assert!(missing.contains("has no column cpu_milli, memory_mib, num_gpu, gpu_milli"), "{missing}");
    }
}
