use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use super::codec::Records;
use super::format::{BlockType, Limits, MAGIC};
use super::parser::Block;
use super::salvage::{Salvage, Stretch};
use super::{Header, ReelWriter, Summary, TraceError, WriteOptions, codec};
use crate::model::{Gap, GapReason, Record, TraceTime};

/// What [`recover`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// What is in the new reel.
    pub summary: Summary,
    /// Data blocks that were whole.
    pub blocks: u64,
    /// Stretches of bytes that were skipped.
    pub holes: u64,
    /// Bytes skipped.
    pub lost_bytes: u64,
    /// Records lost, as far as block headers that are whole or the old summary tell.
    pub lost_records: u64,
    /// Events lost by kind; known only where the old summary is whole.
    pub lost_events: BTreeMap<String, u64>,
}

impl Recovered {
    /// Whether anything is missing.
    pub fn is_lossy(&self) -> bool {
        self.holes > 0 || self.lost_records > 0
    }
}

/// Copies every whole record of a damaged reel into a new, sealed one. Where blocks are missing
/// stands a gap record.
///
/// # Errors
/// [`TraceError`] where the input's header is lost, or where the output cannot be written.
pub fn recover(input: &Path, output: &Path, options: WriteOptions) -> Result<Recovered, TraceError> {
    let io = |doing| move |source| TraceError::Io { path: input.to_owned(), doing, source };
    // The ordinary reader judges magic and header, with its messages.
    let header = super::Reader::open(input)?.header().clone();
    let mut file = File::open(input).map_err(io("open"))?;
    file.seek(SeekFrom::Start(MAGIC.len() as u64)).map_err(io("read"))?;
    // What the level took away stays away; nothing else is taken.
    let options = WriteOptions { detail: header.detail, ..options };
    let writer = ReelWriter::create(output, &note_source(header, input), options)?;
    let mut copy = Copy {
        writer,
        found: Recovered::default(),
        records: Records::new(&Limits::default()),
        next: 0,
        last: TraceTime::ZERO,
        old: None,
    };
    let mut salvage = Salvage::after_magic(file, Limits::default());
    while let Some(stretch) = salvage.next_stretch().map_err(io("read"))? {
        copy.take(stretch)?;
    }
    copy.finish()
}

struct Copy {
    writer: ReelWriter,
    found: Recovered,
    records: Records,
    /// Sequence number of the next block.
    next: u64,
    last: TraceTime,
    /// The summary of the damaged reel.
    old: Option<Summary>,
}

impl Copy {
    fn take(&mut self, stretch: Stretch) -> Result<(), TraceError> {
        let block = match stretch {
            Stretch::Block(block) => block,
            Stretch::Hole(hole) => {
                self.found.holes += 1;
                self.found.lost_bytes += hole.len;
                self.found.lost_records += hole.records;
                return Ok(());
            }
        };
        let header = block.header;
        if header.sequence != self.next {
            let lost = format!(
                "blocks {} to {} of the original are lost",
                self.next,
                header.sequence.saturating_sub(1)
            );
            self.gap(header.first, lost)?;
        }
        self.next = header.sequence.saturating_add(1);
        match header.kind {
            BlockType::Data | BlockType::More => {
                self.found.blocks += 1;
                self.copy_records(&block)?;
                self.last = header.last;
            }
            BlockType::Summary => {
                self.old = block.unpack().and_then(|body| codec::from_named(&body)).ok();
            }
            BlockType::Header | BlockType::Unknown(_) => {}
        }
        Ok(())
    }

    fn copy_records(&mut self, block: &Block) -> Result<(), TraceError> {
        let mut bad = 0;
        if let Err(what) = self.records.feed(block) {
            self.found.lost_records += u64::from(block.header.records);
            return self.gap(block.header.last, format!("{} records: {what}", block.header.records));
        }
        for record in self.records.by_ref() {
            match record {
                Ok(record) => {
                    self.last = record.at();
                    self.writer.push(&record)?;
                }
                Err(_) => bad += 1,
            }
        }
        self.found.lost_records += bad;
        if bad > 0 {
            self.gap(self.last, format!("{bad} records of the original cannot be read"))
        } else {
            Ok(())
        }
    }

    fn gap(&mut self, at: TraceTime, detail: String) -> Result<(), TraceError> {
        let gap = Gap { at, from: self.last, kind: "*".to_owned(), reason: GapReason::Unreadable, detail };
        self.writer.push(&Record::Gap(gap))
    }

    fn finish(mut self) -> Result<Recovered, TraceError> {
        self.found.summary = self.writer.seal()?;
        for (kind, verbs) in self.old.iter().flat_map(|old| &old.events) {
            let count = |verbs: &BTreeMap<String, u64>| verbs.values().sum::<u64>();
            let lost = count(verbs).saturating_sub(self.found.summary.events.get(kind).map_or(0, count));
            if lost > 0 {
                self.found.lost_events.insert(kind.clone(), lost);
            }
        }
        let lost_events = self.found.lost_events.values().sum();
        self.found.lost_records = self.found.lost_records.max(lost_events);
        Ok(self.found)
    }
}

fn note_source(mut header: Header, input: &Path) -> Header {
    header.labels.insert("recovered-from".to_owned(), input.display().to_string());
    header
}
