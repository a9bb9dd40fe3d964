use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BLOCK_HEADER_LEN, BlockHeader, BlockType};
use crate::model::{Record, TraceTime};

/// What is in a sealed reel. Derived data: a reader works without it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Records of all types.
    pub records: u64,
    /// Object events by kind, then by verb.
    pub events: BTreeMap<String, BTreeMap<String, u64>>,
    /// Gap records.
    pub gaps: u64,
    /// Time of the first record.
    pub first: TraceTime,
    /// Time of the last record.
    pub last: TraceTime,
    /// Where the data chunks are.
    pub chunks: Vec<ChunkEntry>,
}

/// One chunk of data: a block of type data and those that go on with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkEntry {
    /// Byte offset of its first block.
    pub offset: u64,
    /// Bytes of all its blocks.
    pub len: u64,
    /// Records.
    pub records: u32,
    /// Least time of its records.
    pub first: TraceTime,
    /// Greatest time of its records.
    pub last: TraceTime,
}

impl Summary {
    /// Counts one more record.
    pub fn count(&mut self, record: &Record) {
        if self.records == 0 {
            self.first = record.at();
        }
        self.records += 1;
        self.last = self.last.max(record.at());
        match record {
            Record::Object(event) => {
                // Nearly always both are known: no text is copied.
                let counted =
                    self.events.get_mut(event.key.kind.as_str()).and_then(|v| v.get_mut(event.verb.as_str()));
                if let Some(count) = counted {
                    *count += 1;
                } else {
                    let verbs = self.events.entry(event.key.kind.to_string()).or_default();
                    verbs.insert(event.verb.as_str().to_owned(), 1);
                }
            }
            Record::Gap(_) => self.gaps += 1,
            _ => {}
        }
    }

    /// Whether the chunk list can be used on a file of this many bytes: a stranger may have written it.
    pub(super) fn is_index(&self, file_len: u64) -> bool {
        self.chunks.iter().all(|chunk| chunk.offset.checked_add(chunk.len).is_some_and(|end| end <= file_len))
    }

    /// Takes note of a block of data that starts at `offset`; one that goes on belongs to the last chunk.
    pub(super) fn add_block(&mut self, offset: u64, header: &BlockHeader) {
        let len = (BLOCK_HEADER_LEN as u64) + u64::from(header.stored_len);
        match self.chunks.last_mut().filter(|_| header.kind == BlockType::More) {
            Some(chunk) => {
                chunk.len += len;
                chunk.records = chunk.records.saturating_add(header.records);
                chunk.first = chunk.first.min(header.first);
                chunk.last = chunk.last.max(header.last);
            }
            None => self.chunks.push(ChunkEntry {
                offset,
                len,
                records: header.records,
                first: header.first,
                last: header.last,
            }),
        }
    }
}
