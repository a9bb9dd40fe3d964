use std::collections::BTreeMap;

use crate::model::{GapReason, Record, TraceTime, Verb};

/// What a reel that is being written holds so far.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Records of all types.
    pub records: u64,
    /// Bytes in the file.
    pub bytes: u64,
    /// Records that wait for the writer.
    pub queued: u64,
    /// Time of the last record that the writer took.
    pub last: TraceTime,
    /// Object events by kind, then by verb.
    pub events: BTreeMap<String, BTreeMap<String, u64>>,
    /// Gap records by kind and reason.
    pub gaps: BTreeMap<(String, GapReason), u64>,
}

impl Progress {
    /// Objects of each kind that are there now: those that came, less those that went.
    pub fn objects(&self) -> impl Iterator<Item = (&str, u64)> {
        self.events.iter().map(|(kind, verbs)| {
            let of = |verb: Verb| verbs.get(verb.as_str()).copied().unwrap_or(0);
            (kind.as_str(), (of(Verb::Initial) + of(Verb::Added)).saturating_sub(of(Verb::Deleted)))
        })
    }

    /// All object events.
    pub fn event_count(&self) -> u64 {
        self.events.values().flat_map(BTreeMap::values).sum()
    }

    /// All gaps.
    pub fn gap_count(&self) -> u64 {
        self.gaps.values().sum()
    }

    /// Adds what another reel of the same recording holds; the last time stays this one's.
    pub fn add(&mut self, other: &Progress) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.queued += other.queued;
        for (kind, verbs) in &other.events {
            let own = self.events.entry(kind.clone()).or_default();
            for (verb, count) in verbs {
                *own.entry(verb.clone()).or_default() += count;
            }
        }
        for (gap, count) in &other.gaps {
            *self.gaps.entry(gap.clone()).or_default() += count;
        }
    }

    pub(super) fn note_gap(&mut self, record: &Record) {
        if let Record::Gap(gap) = record {
            *self.gaps.entry((gap.kind.clone(), gap.reason)).or_default() += 1;
        }
    }
}
