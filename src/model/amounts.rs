use std::collections::BTreeMap;

use super::{Json, Map, NodeView, Text, parse_quantity_milli};

/// Sums by resource, in thousandths of its unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<Text, u128>);

impl Amounts {
    /// How much there is of a resource.
    pub fn get(&self, name: &str) -> u128 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Adds to a resource.
    pub fn add(&mut self, name: &str, milli: u64) {
        match self.0.get_mut(name) {
            Some(sum) => *sum += u128::from(milli),
            None => drop(self.0.insert(name.into(), u128::from(milli))),
        }
    }

    /// Takes from a resource, no more than there is.
    pub fn sub(&mut self, name: &str, milli: u64) {
        if let Some(sum) = self.0.get_mut(name) {
            *sum = sum.saturating_sub(u128::from(milli));
        }
    }

    /// Makes a resource at least this.
    pub fn raise(&mut self, name: &str, milli: u128) {
        match self.0.get_mut(name) {
            Some(most) => *most = milli.max(*most),
            None => drop(self.0.insert(name.into(), milli)),
        }
    }

    /// All resources, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u128)> {
        self.0.iter().map(|(name, milli)| (name.as_str(), *milli))
    }
}

/// What pods may ask of a node, by resource, in thousandths.
pub fn allocatable(node: &Json) -> impl Iterator<Item = (Text, u64)> + '_ {
    let (capacity, allocatable) = NodeView(node).resources();
    amounts(if allocatable.as_object().is_some() { allocatable } else { capacity })
}

/// A list of resources, in thousandths; what is no quantity is left out.
pub fn amounts(resources: &Json) -> impl Iterator<Item = (Text, u64)> + '_ {
    resources.as_object().into_iter().flat_map(Map::iter).filter_map(|(name, quantity)| {
        let milli = parse_quantity_milli(quantity.as_str()?)?;
        Some((name.clone(), u64::try_from(milli).ok()?))
    })
}
