use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use super::codec::Records;
use super::format::{BlockType, Limits, MAGIC};
use super::parser::Block;
use super::salvage::{Salvage, Stretch};
use super::{FLUSH_SPAN, Header, Reader, Summary, TraceError, codec};
use crate::model::TraceTime;

/// Problems that are told one by one; more are only counted.
const MAX_PROBLEMS: usize = 100;

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checked {
    /// Where the reel comes from.
    pub header: Header,
    /// What was counted, with an index made from the data.
    pub summary: Summary,
    /// Whether a summary block was found.
    pub sealed: bool,
    /// What is wrong, with the byte offset of its block; the first hundred.
    pub problems: Vec<(u64, String)>,
    /// How many problems there are.
    pub count: u64,
}

impl Checked {
    fn problem(&mut self, offset: u64, what: String) {
        self.count += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push((offset, what));
        }
    }
}

/// Reads every byte of a reel and compares what is said twice: checksums, counts, times, order and index. Goes on
/// after whatever it finds.
///
/// # Errors
/// [`TraceError`] where it is no reel that this version can read, or the file cannot be read.
pub fn check(path: &Path) -> Result<Checked, TraceError> {
    let io = |doing| move |source| TraceError::Io { path: path.to_owned(), doing, source };
    let mut checked = Checked { header: Reader::open(path)?.header().clone(), ..Checked::default() };
    let mut file = File::open(path).map_err(io("open"))?;
    file.seek(SeekFrom::Start(MAGIC.len() as u64)).map_err(io("read"))?;
    let mut salvage = Salvage::after_magic(file, Limits::default());
    let mut records = Records::new(&Limits::default());
    let (mut next, mut latest) = (0, TraceTime::ZERO);
    while let Some(stretch) = salvage.next_stretch().map_err(io("read"))? {
        match stretch {
            Stretch::Hole(hole) => {
                let lost =
                    if hole.records > 0 { format!(", with {} records", hole.records) } else { String::new() };
                checked
                    .problem(hole.offset, format!("{} bytes cannot be read{lost}: {}", hole.len, hole.what));
            }
            Stretch::Block(block) => {
                let sequence = block.header.sequence;
                if sequence != next {
                    checked
                        .problem(block.offset, format!("block {sequence} follows where block {next} should"));
                }
                next = sequence.saturating_add(1);
                match block.header.kind {
                    BlockType::Data | BlockType::More => {
                        check_data(&mut checked, &block, &mut records, &mut latest);
                    }
                    BlockType::Summary => check_summary(&mut checked, &block),
                    BlockType::Header | BlockType::Unknown(_) => {}
                }
            }
        }
    }
    Ok(checked)
}

fn check_data(checked: &mut Checked, block: &Block, source: &mut Records, latest: &mut TraceTime) {
    let (header, offset) = (block.header, block.offset);
    checked.summary.add_block(offset, &header);
    if let Err(what) = source.feed(block) {
        return checked.problem(offset, format!("{} records cannot be read: {what}", header.records));
    }
    let (mut records, mut bad) = (0_u32, 0_u32);
    let (mut first, mut last) = (None, TraceTime::ZERO);
    for record in source {
        records += 1;
        let record = match record {
            Ok(record) => record,
            Err(what) => {
                bad += 1;
                checked.problem(offset, format!("record {records} of the block: {what}"));
                continue;
            }
        };
        let at = record.at();
        first = Some(first.map_or(at, |first: TraceTime| first.min(at)));
        last = last.max(at);
        if latest.since(at) > FLUSH_SPAN {
            let back = latest.since(at).as_secs_f64();
            checked.problem(
                offset,
                format!("record {records} of the block is {back:.1} s before one that it follows"),
            );
        }
        *latest = (*latest).max(at);
        checked.summary.count(&record);
    }
    if records != header.records {
        checked.problem(offset, format!("the block says {} records and has {records}", header.records));
    }
    if bad == 0 && (first != Some(header.first) || last != header.last) && records > 0 {
        let said = format!("{} to {}", header.first, header.last);
        checked.problem(
            offset,
            format!("the block says {said} and spans {} to {last}", first.unwrap_or_default()),
        );
    }
}

fn check_summary(checked: &mut Checked, block: &Block) {
    checked.sealed = true;
    let said: Summary = match block.unpack().and_then(|body| codec::from_named(&body)) {
        Ok(said) => said,
        Err(what) => return checked.problem(block.offset, format!("the summary cannot be read: {what}")),
    };
    let found = &checked.summary;
    let compared = [
        ("counts of events", said.events == found.events),
        ("number of records", said.records == found.records),
        ("number of gaps", said.gaps == found.gaps),
        ("span", (said.first, said.last) == (found.first, found.last)),
        ("index", said.chunks == found.chunks),
    ];
    for (name, _) in compared.into_iter().filter(|(_, equal)| !equal) {
        checked.problem(block.offset, format!("the summary's {name} is not what the data says"));
    }
}
