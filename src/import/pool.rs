//! Nodes that are made up, where a source has none.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::ImportError;
use super::workload::{Fate, Life, node};
use crate::model::{Amounts, Json, Requests, parse_quantity_milli};

/// How full made-up nodes are at the peak, in the resource that they have least of.
const FULL: f64 = 0.9;

/// Nodes that are alike.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeShape {
    /// What they are called; a number follows. For some sources also which pods they are for.
    pub name: String,
    /// How many; `None`: as many as keep the peak at nine tenths of what they have.
    pub count: Option<u32>,
    /// Capacity by resource.
    pub capacity: BTreeMap<String, String>,
}

impl FromStr for NodeShape {
    type Err = String;

    /// `CN:cpu=192,memory=1Ti` or `HN*40:cpu=128,nvidia.com/gpu=8`.
    fn from_str(text: &str) -> Result<NodeShape, String> {
        let usage = || {
            format!(
                "{text:?} is no node shape: write NAME:RESOURCE=QUANTITY,… or NAME*COUNT:RESOURCE=QUANTITY,…"
            )
        };
        let (head, rest) = text.split_once(':').ok_or_else(usage)?;
        let (name, count) = match head.split_once('*') {
            Some((name, count)) => (name, Some(count.parse().map_err(|_| usage())?)),
            None => (head, None),
        };
        let pair = |pair: &str| {
            let (resource, quantity) = pair.split_once('=')?;
            parse_quantity_milli(quantity).filter(|milli| *milli > 0)?;
            Some((resource.trim().to_owned(), quantity.to_owned()))
        };
        let capacity: Option<BTreeMap<_, _>> = rest.split(',').map(pair).collect();
        let mut capacity = capacity.filter(|_| !name.is_empty()).ok_or_else(usage)?;
        capacity.entry("pods".to_owned()).or_insert_with(|| "110".to_owned());
        Ok(NodeShape { name: name.to_owned(), count, capacity })
    }
}

impl NodeShape {
    /// The nodes; `peak` is the most that their pods ask for at one time.
    ///
    /// # Errors
    /// [`ImportError::Options`] where the peak has a resource of which they have none.
    pub fn make(
        &self,
        labels: &BTreeMap<String, String>,
        peak: Option<&Amounts>,
    ) -> Result<Vec<Json>, ImportError> {
        let count = match (self.count, peak) {
            (Some(count), _) => count,
            (None, Some(peak)) => self.count_for(peak)?,
            (None, None) => 0,
        };
        let prefix = self.name.to_lowercase();
        Ok((0..count).map(|n| node(&format!("{prefix}-{n:04}"), labels, &self.capacity)).collect())
    }

    fn count_for(&self, peak: &Amounts) -> Result<u32, ImportError> {
        let mut count = 1.0_f64;
        for (name, demand) in peak.iter() {
            let of_one = self.capacity.get(name).and_then(|text| parse_quantity_milli(text)).unwrap_or(0);
            if of_one == 0 && demand > 0 {
                return Err(ImportError::Options(format!(
                    "pods ask for {name}, of which the node shape {} has none",
                    self.name
                )));
            }
            count = count.max(demand as f64 / (of_one.max(1) as f64 * FULL));
        }
        Ok(count.ceil().min(f64::from(u32::MAX)) as u32)
    }
}

/// Nodes for all pods alike: of one shape as many as the peak wants, of several as many as each says.
///
/// # Errors
/// [`ImportError::Options`].
pub fn make_up(shapes: &[NodeShape], templates: &[Json], lives: &[Life]) -> Result<Vec<Json>, ImportError> {
    if shapes.len() > 1 && shapes.iter().any(|shape| shape.count.is_none()) {
        let what = "several node shapes need a count each: NAME*COUNT:RESOURCE=QUANTITY,…".to_owned();
        return Err(ImportError::Options(what));
    }
    let mut peaks = peaks(templates, lives, |_| String::new());
    let mut peak = peaks.remove("").unwrap_or_default();
    peak.raise("pods", most_at_once(lives) * 1000);
    let labels = BTreeMap::new();
    let nodes: Result<Vec<_>, _> = shapes.iter().map(|shape| shape.make(&labels, Some(&peak))).collect();
    Ok(nodes?.concat())
}

/// What happens to pods, by time: whether one comes, and its template. Those that go make room first.
fn changes(lives: &[Life]) -> Vec<(crate::model::TraceTime, bool, u32)> {
    let mut changes = Vec::with_capacity(2 * lives.len());
    for life in lives {
        let from = life.created.unwrap_or_default();
        changes.push((from, true, life.template));
        let to = match life.fate {
            Fate::Bound { wait, run, .. } => run.map(|run| from + wait + run),
            Fate::Waited { deleted } => deleted.map(|after| from + after),
        };
        changes.extend(to.map(|to| (to, false, life.template)));
    }
    changes.sort_unstable();
    changes
}

fn most_at_once(lives: &[Life]) -> u128 {
    let (mut now, mut most) = (0_u128, 0);
    for (_, comes, _) in changes(lives) {
        now = if comes { now + 1 } else { now.saturating_sub(1) };
        most = most.max(now);
    }
    most
}

/// The most that pods ask for at one time, by pool, which a template says, and resource.
pub fn peaks(
    templates: &[Json],
    lives: &[Life],
    pool: impl Fn(&Json) -> String,
) -> BTreeMap<String, Amounts> {
    let asked: Vec<_> = templates.iter().map(Requests::of).collect();
    let pools: Vec<_> = templates.iter().map(pool).collect();
    let mut now: BTreeMap<&str, (Amounts, Amounts)> = BTreeMap::new();
    for (_, comes, template) in changes(lives) {
        let (sum, peak) = now.entry(&pools[template as usize]).or_default();
        for (name, milli) in asked[template as usize].iter() {
            if comes {
                sum.add(name, milli);
                peak.raise(name, sum.get(name));
            } else {
                sum.sub(name, milli);
            }
        }
    }
    now.into_iter().map(|(pool, (_, peak))| (pool.to_owned(), peak)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::import::workload::{End, Template, texts};
    use crate::model::TraceTime;

    #[test]
    fn shapes_are_read_and_counted_for_the_peak() {
        let template =
            Template { requests: texts([("cpu", "1".to_owned())]), ..Template::default() }.to_object();
        // Pods of 10 s, one each second: ten at once.
        let life = |n: u64| Life {
            name: format!("p{n}").into(),
            template: 0,
            created: Some(TraceTime::from_millis(n * 1000)),
            fate: Fate::Bound {
                wait: Duration::ZERO,
                node: None,
                run: Some(Duration::from_secs(10)),
                end: End::Succeeded,
            },
        };
        let lives: Vec<_> = (0..50).map(life).collect();
        let nodes = |shapes: &[&str]| {
            let shapes: Vec<NodeShape> = shapes.iter().map(|shape| shape.parse().unwrap()).collect();
            make_up(&shapes, std::slice::from_ref(&template), &lives).map(|nodes| nodes.len())
        };
        assert_eq!(nodes(&["n:cpu=2"]).unwrap(), 6);
        assert_eq!(nodes(&["n:cpu=100,pods=4"]).unwrap(), 3);
        assert_eq!(nodes(&["n*2:cpu=2", "m*3:cpu=4"]).unwrap(), 5);
        assert!(nodes(&["n:cpu=2", "m*3:cpu=4"]).is_err());
        assert!(nodes(&["n:memory=2"]).unwrap_err().to_string().contains("ask for cpu"));
        for bad in ["", "HN", "HN:", "HN:cpu", "HN:cpu=x", "HN*x:cpu=1", ":cpu=1", "HN:cpu=0"] {
            assert!(bad.parse::<NodeShape>().is_err(), "{bad}");
        }
    }
}
