//! Object events as changes: what the objects of a chunk have in common is written once.
//!
//! A *form* is a list of changes with holes; an event names its object, its form and what fills the holes. The
//! first pod of a shape becomes a form that makes the whole pod, a change of status one that sets a dozen fields.
//! Objects, forms and strings are numbered from the start of each chunk, so a chunk decodes alone.
//! `docs/trace-format.md`, "Changes", is the normative description.

mod decoder;
mod diff;
mod encoder;
mod fit;
mod form;
mod hexed;
mod memo;
mod path;
mod stamp;
#[cfg(test)]
mod tests;
mod value;

pub(super) use decoder::Decoder;
pub(super) use encoder::Encoder;

use crate::model::Verb;

/// A writer closes its chunk when the chunk costs a reader this much; about its bytes in memory.
pub(super) const COST_TO_CLOSE: u64 = 128 << 20;

/// Forms stand on forms at most this many deep.
const MAX_LINE: u32 = 16;

/// Added to a verb's number where the event was found by comparing lists.
const INFERRED: u64 = 4;

const VERBS: [Verb; 4] = [Verb::Initial, Verb::Added, Verb::Modified, Verb::Deleted];
