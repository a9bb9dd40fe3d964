use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Base of the addresses for pods on nodes without a PodCIDR: RFC 6598 shared space, four million addresses.
const SHARED: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0));
const SHARED_BITS: u32 = 22;

/// The longest cycle through a range: an IPv6 node range has more addresses than pods will ever need.
const LARGEST: u32 = 30;

/// The addresses of a pod: one of each family that its node has a range of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PodAddresses {
    pub(super) first: Option<IpAddr>,
    pub(super) second: Option<IpAddr>,
}

impl PodAddresses {
    /// Both, where there are two.
    pub(super) fn iter(self) -> impl Iterator<Item = IpAddr> {
        self.first.into_iter().chain(self.second)
    }
}

/// A range of addresses: `host_bits` bits of the address are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Range {
    base: IpAddr,
    host_bits: u32,
}

impl Range {
    /// Reads `10.1.2.0/24` or `fd00:1::/64`; `None` for what is no range of more than two addresses.
    pub(super) fn parse(text: &str) -> Option<Range> {
        let (base, bits) = text.split_once('/')?;
        let (base, bits): (IpAddr, u32) = (base.parse().ok()?, bits.parse().ok()?);
        let all = if base.is_ipv4() { 32 } else { 128 };
        let host_bits = all - Some(bits).filter(|bits| (1..all - 1).contains(bits))?;
        Some(Range { base, host_bits: host_bits.min(LARGEST) })
    }

    /// The part of the shared space that shard `index` of `count` uses.
    pub(super) fn shared(index: u32, count: u32) -> Range {
        let parts = count.max(1).next_power_of_two().trailing_zeros().min(SHARED_BITS - 8);
        let shared = Range { base: SHARED, host_bits: SHARED_BITS - parts };
        Range { base: shared.at(u128::from(index) << shared.host_bits), ..shared }
    }

    fn at(self, offset: u128) -> IpAddr {
        match self.base {
            IpAddr::V4(base) => Ipv4Addr::from(u32::from(base).wrapping_add(offset as u32)).into(),
            IpAddr::V6(base) => Ipv6Addr::from(u128::from(base).wrapping_add(offset)).into(),
        }
    }
}

/// Gives each pod addresses of its own, out of its node's PodCIDRs where it has some.
#[derive(Debug)]
pub(super) struct Addresses {
    used: HashSet<IpAddr>,
    /// The offset that was given out last.
    last: HashMap<Range, u64>,
    shared: Range,
}

impl Default for Addresses {
    fn default() -> Self {
        Addresses { used: HashSet::new(), last: HashMap::new(), shared: Range::shared(0, 1) }
    }
}

impl Addresses {
    /// Addresses whose pods without a range use this part of the shared space.
    pub(super) fn with_shared(shared: Range) -> Addresses {
        Addresses { shared, ..Addresses::default() }
    }

    /// Free addresses for a pod on a node with these ranges.
    pub(super) fn take(&mut self, ranges: &[Range]) -> PodAddresses {
        let mut taken = ranges.iter().take(2).map(|range| self.take_one(*range));
        // A range that is full: an address of nobody's is better than one of two pods.
        let mut next = || taken.next().flatten();
        let (first, second) = (next(), next());
        let first = first.or_else(|| self.take_one(self.shared));
        PodAddresses { first, second }
    }

    /// Goes round the range, so that an address is not used again at once.
    fn take_one(&mut self, range: Range) -> Option<IpAddr> {
        // All but the network's own address and, as IPv4 has it, the one for broadcasts.
        let usable = (1u64 << range.host_bits) - 2;
        let last = self.last.entry(range).or_insert(0);
        for _ in 0..usable {
            *last = *last % usable + 1;
            let address = range.at(u128::from(*last));
            if self.used.insert(address) {
                return Some(address);
            }
        }
        None
    }

    /// A pod that was there before has these.
    pub(super) fn keep(&mut self, addresses: PodAddresses) {
        self.used.extend(addresses.iter());
    }

    /// Returns addresses.
    pub(super) fn give_back(&mut self, addresses: PodAddresses) {
        for address in addresses.iter() {
            self.used.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(text: &str) -> Range {
        Range::parse(text).unwrap()
    }

    #[test]
    fn addresses_are_unique_and_inside_the_range_until_it_is_full() {
        let mut addresses = Addresses::default();
        let ranges = [range("10.1.2.0/24"), range("fd00:1::/64")];
        let taken: Vec<_> = (0..254).map(|_| addresses.take(&ranges)).collect();
        for pod in &taken {
            assert!(pod.first.unwrap().to_string().starts_with("10.1.2."), "{pod:?}");
            assert!(pod.second.unwrap().to_string().starts_with("fd00:1::"), "{pod:?}");
        }
        assert_eq!(addresses.take(&ranges[..1]).first.unwrap().to_string(), "100.64.0.1");
        addresses.give_back(taken[7]);
        assert_eq!(addresses.take(&ranges).first, taken[7].first);
    }

    #[test]
    fn shards_share_the_shared_space() {
        let first =
            |index| Addresses::with_shared(Range::shared(index, 3)).take(&[]).first.unwrap().to_string();
        assert_eq!([0, 1, 2].map(first), ["100.64.0.1", "100.80.0.1", "100.96.0.1"]);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in ["", "10.0.0.0", "10.0.0.0/31", "10.0.0.0/33", "10.0.0.0/x", "x/24", "fd00::/127"] {
            assert_eq!(Range::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        /// Whatever is taken and given back in whatever order: no two pods hold one address.
        #[test]
        fn no_address_is_held_twice(steps in prop::collection::vec((any::<bool>(), 0..3usize, any::<u8>()), 0..200)) {
            let ranges = [range("10.0.0.0/29"), range("10.0.0.8/29"), range("fd00::/125")];
            let mut addresses = Addresses::default();
            let mut held: Vec<PodAddresses> = Vec::new();
            for (take, node, which) in steps {
                if take {
                    let pod = addresses.take(&ranges[node..]);
                    let others: HashSet<IpAddr> = held.iter().flat_map(|other| other.iter()).collect();
                    prop_assert!(pod.iter().all(|ip| !others.contains(&ip)), "{pod:?}");
                    held.push(pod);
                } else if !held.is_empty() {
                    addresses.give_back(held.swap_remove(usize::from(which) % held.len()));
                }
            }
        }
    }
}
