//! What an event is: keys, object events, views of pods and nodes, trace time. Pure values, no I/O, no clock.

mod amounts;
mod event;
mod failure;
mod fit;
mod json;
mod kind;
mod node;
mod pod;
mod quantity;
mod record;
mod requests;
mod selector;
mod time;

pub use amounts::{Amounts, allocatable, amounts};
pub use event::{ObjectEvent, ObjectKey, Verb};
pub use failure::Failure;
pub use fit::{Machine, Wants};
pub(crate) use json::spliced;
pub use json::{Fate, Json, Map, Reading, Rule, Rules, Text, Texts};
pub use kind::{CONTEXT_KINDS, EVENT, Kind, NODE, POD};
pub use node::{NodeView, ReadyStatus, Taint, is_lifecycle_taint};
pub use pod::{ContainerEnd, DisruptionReason, ID_ANNOTATION, Phase, PodView, is_id};
pub use quantity::parse_quantity_milli;
pub use record::{
    ActionKind, ActionReport, ClockAnchor, Gap, GapReason, Note, PhaseMark, Record, RunPhase, Synced,
};
pub use requests::Requests;
pub use selector::{Selector, tolerates, wants_node};
pub use time::TraceTime;
