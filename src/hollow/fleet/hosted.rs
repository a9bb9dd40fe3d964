use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use chrono::DateTime;

use super::images::Images;
use super::outbox::Outbox;
use crate::hollow::address::{PodAddresses, Range};
use crate::hollow::behaviour::PodBehaviour;
use crate::hollow::event::NodeTold;
use crate::hollow::pod::{NodeFacts, PodLife, PodShape, Resize, StatusOf, Transitions, Usage};
use crate::hollow::seen::{SeenNode, SeenPod};
use crate::model::{ObjectKey, Text};

/// Address of a node that does not say its own.
const NO_ADDRESS: &str = "10.255.0.1";

/// A pod on a node under care.
#[derive(Debug)]
pub(super) struct Hosted {
    pub(super) key: ObjectKey,
    pub(super) node: Text,
    /// As allocated; what a resize asks for beyond it stands in `wanted`.
    pub(super) shape: Arc<PodShape>,
    pub(super) wanted: Option<Arc<PodShape>>,
    pub(super) resize: Resize,
    pub(super) life: PodLife,
    pub(super) behaviour: PodBehaviour,
    pub(super) addresses: PodAddresses,
    pub(super) transitions: Transitions,
    pub(super) generation: i64,
    /// What it says of its usage, by annotation.
    pub(super) usage: BTreeMap<&'static str, Text>,
    /// The API has last shown it as ready.
    pub(super) shown_ready: bool,
    pub(super) outbox: Outbox,
}

impl Hosted {
    /// What its status says. `host`: its node's address.
    pub(super) fn status<'a>(&'a self, uid: &'a str, host: &'a str) -> StatusOf<'a> {
        StatusOf {
            uid,
            generation: self.generation,
            life: &self.life,
            shape: &self.shape,
            addresses: self.addresses,
            host,
            resize: &self.resize,
        }
    }
}

/// A node under care.
#[derive(Debug, Default)]
pub(super) struct HollowNode {
    /// Empty before it is registered.
    pub(super) uid: Text,
    pub(super) facts: NodeFacts,
    pub(super) host: Text,
    pub(super) ranges: Vec<Range>,
    pub(super) usage: Usage,
    pub(super) pods: HashSet<Text>,
    pub(super) images: Images,
    /// It has stopped: nothing is done for its pods until it is back.
    pub(super) is_silent: bool,
    is_cordoned: bool,
    /// Extended resources that its capacity had when it was last seen.
    extended: BTreeSet<Text>,
}

/// What follows from how a node looks now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeNews {
    /// What its kubelet tells, as an event.
    pub told: Option<NodeTold>,
    /// What its kubelet changes in `status.allocatable`: quantities, absent for what goes.
    pub allocatable: BTreeMap<Text, Option<Text>>,
}

impl HollowNode {
    /// Takes note of what it looks like now.
    pub(super) fn see(&mut self, seen: &SeenNode) -> NodeNews {
        self.uid = seen.metadata.uid.clone();
        self.facts = NodeFacts::of(seen);
        self.host = seen.internal_ip().cloned().unwrap_or_else(|| NO_ADDRESS.into());
        self.ranges = seen.pod_cidrs().iter().filter_map(|cidr| Range::parse(cidr)).collect();
        let was_cordoned = std::mem::replace(&mut self.is_cordoned, seen.spec.unschedulable);
        let told = if self.is_cordoned { NodeTold::NotSchedulable } else { NodeTold::Schedulable };
        NodeNews {
            told: (was_cordoned != self.is_cordoned).then_some(told),
            allocatable: self.allocatable(seen),
        }
    }

    /// Whoever adds an extended resource to a node writes its capacity; the kubelet makes it allocatable, and takes it back
    /// when it goes (`pkg/kubelet/nodestatus/setters.go`, v1.37.2, `MachineInfo`).
    fn allocatable(&mut self, seen: &SeenNode) -> BTreeMap<Text, Option<Text>> {
        let (capacity, allocatable) = (&seen.status.capacity, &seen.status.allocatable);
        let is_extended = |name: &Text| name.contains('/') && !name.starts_with("kubernetes.io/");
        let extended: BTreeSet<Text> = capacity.keys().filter(|name| is_extended(name)).cloned().collect();
        let new = extended.iter().filter(|name| !allocatable.contains_key(*name));
        let new = new.map(|name| (name.clone(), capacity.get(name).cloned()));
        let gone = self.extended.difference(&extended).filter(|name| allocatable.contains_key(*name));
        let changes = new.chain(gone.map(|name| (name.clone(), None))).collect();
        self.extended = extended;
        changes
    }
}

/// The addresses that a pod had before this process.
pub(super) fn resumed_addresses(pod: &SeenPod) -> PodAddresses {
    if pod.spec.host_network {
        return PodAddresses::default();
    }
    let mut ips = pod.status.pod_ips.iter().map(|ip| ip.ip.parse().ok());
    PodAddresses { first: ips.next().flatten(), second: ips.next().flatten() }
}

/// Since when a pod has run, in wall-clock seconds; 0 where it does not say.
pub(super) fn start_second(pod: &SeenPod) -> i64 {
    let time = pod.status.start_time.as_deref().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    time.map_or(0, |time| time.timestamp())
}
