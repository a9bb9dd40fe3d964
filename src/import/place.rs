//! Puts pods that were there before a trace starts on nodes, where the trace does not say on which they were.

use std::collections::{BTreeMap, HashMap};

use crate::model::{Json, NodeView, Requests, Text, allocatable, wants_node};

/// The nodes as far as they are taken.
#[derive(Debug)]
pub struct Places {
    nodes: Vec<Place>,
    /// The number of a resource: there are many nodes, and pods look at all of them.
    numbers: HashMap<Text, usize>,
    /// Nodes that pods of a template may use.
    candidates: HashMap<u32, Vec<u32>>,
}

#[derive(Debug)]
struct Place {
    name: Text,
    labels: BTreeMap<String, String>,
    /// By number of the resource.
    capacity: Vec<u64>,
    free: Vec<u64>,
}

impl Places {
    /// Empty nodes.
    pub fn of(nodes: &[Json]) -> Places {
        let mut numbers = HashMap::new();
        for (name, _) in nodes.iter().flat_map(allocatable) {
            let next = numbers.len();
            numbers.entry(name).or_insert(next);
        }
        let place = |node: &Json| {
            let mut capacity = vec![0; numbers.len()];
            allocatable(node).for_each(|(name, milli)| capacity[numbers[&name]] = milli);
            Place {
                name: NodeView(node).name().into(),
                labels: NodeView(node).labels().texts(),
                free: capacity.clone(),
                capacity,
            }
        };
        Places { nodes: nodes.iter().map(place).collect(), numbers, candidates: HashMap::new() }
    }

    /// The node on which the fullest of the resources that a pod asks for is then least full, as the scheduler's
    /// least-allocated strategy would have it; `None` where it fits nowhere.
    pub fn put(&mut self, template: u32, pod: &Json, requests: &Requests) -> Option<Text> {
        let nodes = &mut self.nodes;
        let candidates = self.candidates.entry(template).or_insert_with(|| {
            let spec = &pod["spec"];
            let wants = |place: &Place| {
                wants_node(&spec["nodeSelector"], &spec["affinity"], &place.name, &place.labels)
            };
            (0..nodes.len() as u32).filter(|at| wants(&nodes[*at as usize])).collect()
        });
        let asked = requests.iter().chain([("pods", 1000)]);
        let asked: Option<Vec<_>> =
            asked.map(|(name, milli)| Some((*self.numbers.get(name)?, milli))).collect();
        let asked = asked?;
        let fill = |at: &u32| nodes[*at as usize].fill_with(&asked).map(|share| (*at, share));
        // Of equals the first.
        let best = candidates.iter().filter_map(fill).min_by(|a, b| a.1.total_cmp(&b.1));
        let place = &mut nodes[best?.0 as usize];
        for (resource, milli) in asked {
            place.free[resource] -= milli;
        }
        Some(place.name.clone())
    }
}

impl Place {
    /// How full the fullest resource would be; `None` where it would be too full.
    fn fill_with(&self, asked: &[(usize, u64)]) -> Option<f64> {
        asked.iter().try_fold(0.0_f64, |most, (resource, milli)| {
            let free = self.free[*resource].checked_sub(*milli)?;
            Some(most.max(1.0 - free as f64 / self.capacity[*resource].max(1) as f64))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::workload::{Template, node, texts};

    #[test]
    fn pods_go_to_the_emptiest_node_that_can_hold_them() {
        let named = |name: &str, cpu: &str| {
            let capacity = texts([("cpu", cpu.to_owned()), ("pods", "2".to_owned())]);
            node(name, &texts([("role", name.to_owned())]), &capacity)
        };
        let mut places = Places::of(&[named("a", "4"), named("b", "8")]);
        let template = Template { requests: texts([("cpu", "3".to_owned())]), ..Template::default() };
        let pod = template.to_object();
        let requests = Requests::of(&pod);
        let put: Vec<_> = (0..4).map(|_| places.put(0, &pod, &requests)).collect();
        let names: Vec<_> = put.iter().map(|name| name.as_deref()).collect();
        assert_eq!(names, [Some("b"), Some("a"), Some("b"), None]);
        let picky = Template { node_selector: texts([("role", "c".to_owned())]), ..template }.to_object();
        assert_eq!(places.put(1, &picky, &requests), None);
    }
}
