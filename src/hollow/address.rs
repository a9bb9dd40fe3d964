use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

/// Base of the addresses for pods on nodes without a PodCIDR: RFC 6598 shared space, four million addresses.
const SHARED: u32 = u32::from_be_bytes([100, 64, 0, 0]);

/// Gives each pod an address of its own, out of its node's PodCIDR where it has one.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    used: HashSet<Ipv4Addr>,
    next: HashMap<String, u32>,
}

impl Addresses {
    /// A free address for a pod on a node.
    pub(super) fn take(&mut self, pod_cidr: Option<&str>) -> Ipv4Addr {
        let (base, size) = pod_cidr.and_then(parse_cidr).unwrap_or((SHARED, 1 << 22));
        let next = self.next.entry(pod_cidr.unwrap_or_default().to_owned()).or_insert(0);
        // A CIDR that is full wraps around: the address is shared rather than outside of the node's range.
        for _ in 0..size {
            *next = *next % (size - 1).max(1) + 1;
            let address = Ipv4Addr::from(base + *next);
            if self.used.insert(address) {
                return address;
            }
        }
        Ipv4Addr::from(base + *next)
    }

    /// Returns an address.
    pub(super) fn give_back(&mut self, address: Ipv4Addr) {
        self.used.remove(&address);
    }
}

fn parse_cidr(text: &str) -> Option<(u32, u32)> {
    let (base, bits) = text.split_once('/')?;
    let bits: u32 = bits.parse().ok().filter(|b| (8..=30).contains(b))?;
    Some((u32::from(base.parse::<Ipv4Addr>().ok()?), 1 << (32 - bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_unique_and_inside_the_range() {
        let mut addresses = Addresses::default();
        let taken: Vec<_> = (0..254).map(|_| addresses.take(Some("10.1.2.0/24"))).collect();
        assert!(taken.iter().all(|a| a.octets()[..3] == [10, 1, 2] && !matches!(a.octets()[3], 0)));
        assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 254);
        addresses.give_back(taken[7]);
        assert!(addresses.take(Some("10.1.2.0/24")).octets()[..3] == [10, 1, 2]);
        assert_eq!(addresses.take(None).octets()[..2], [100, 64]);
    }
}
