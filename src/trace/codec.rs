//! Records to MessagePack and back. In a data block's body each record is two MessagePack values: its type
//! (positive integer) and its content inside a `bin`, so that a reader steps over types that it does not know.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::TraceError;
use super::delta::{Decoder, Encoder};
use super::format::{BlockType, Limits};
use super::pack::{self, Cursor, Token};
use super::parser::Block;
use super::squeeze::Unpacker;
use crate::model::{ObjectEvent, Record};

const OBJECT: u64 = 1;
const CLOCK: u64 = 2;
const SYNCED: u64 = 3;
const GAP: u64 = 4;
const ACTION: u64 = 5;
const PHASE: u64 = 6;
const NOTE: u64 = 7;
const FORM: u64 = 8;
const CHANGE: u64 = 9;

/// Bytes that a value of a named map may cost in memory: what a chunk may cost is divided by this.
const NODE_COST: u64 = 64;

/// The body of a block that is being filled, and what its chunk knows so far.
#[derive(Debug, Default)]
pub(super) struct BodyWriter {
    body: Vec<u8>,
    delta: Encoder,
}

impl BodyWriter {
    /// Appends a record.
    pub(super) fn push(&mut self, record: &Record) -> Result<(), TraceError> {
        let (code, map) = match record {
            Record::Object(event) => match self.delta.encode(event) {
                Some(encoded) => {
                    encoded.forms.iter().for_each(|form| self.put(FORM, form));
                    (CHANGE, encoded.change)
                }
                None => (OBJECT, named(event)?),
            },
            Record::Clock(r) => (CLOCK, named(r)?),
            Record::Synced(r) => (SYNCED, named(r)?),
            Record::Gap(r) => (GAP, named(r)?),
            Record::Action(r) => (ACTION, named(r)?),
            Record::Phase(r) => (PHASE, named(r)?),
            Record::Note(r) => (NOTE, named(r)?),
        };
        self.put(code, &map);
        Ok(())
    }

    fn put(&mut self, code: u64, content: &[u8]) {
        pack::put_uint(&mut self.body, code);
        pack::put_bin(&mut self.body, content);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// Starts the next block of the chunk.
    pub(super) fn next_block(&mut self) {
        self.body.clear();
    }

    /// Whether the chunk should be closed although it has few bytes.
    pub(super) fn is_full(&self) -> bool {
        self.delta.is_full()
    }

    /// Starts the next chunk.
    pub(super) fn reset(&mut self) {
        self.body.clear();
        self.delta.reset();
    }
}

/// One value as a MessagePack named map.
pub(super) fn named<T: Serialize>(value: &T) -> Result<Vec<u8>, TraceError> {
    rmp_serde::to_vec_named(value).map_err(|e| TraceError::Encode(e.to_string()))
}

/// The records of one chunk after another, block by block, decoded one by one; unknown types are stepped over.
///
/// After a record that cannot be read, records of other types still come; changes do not, since they build on
/// each other.
#[derive(Debug)]
pub struct Records {
    memory: u64,
    unpacker: Option<Unpacker>,
    bytes: Vec<u8>,
    at: usize,
    delta: Decoder,
    /// Why changes cannot be read any more.
    broken: Option<String>,
    /// Sequence number of the block that can go on with this chunk.
    next: Option<u64>,
}

impl Records {
    /// No records yet; chunks are refused that take about more than `limits.memory` bytes.
    pub fn new(limits: &Limits) -> Records {
        Records {
            memory: limits.memory,
            unpacker: None,
            bytes: Vec::new(),
            at: 0,
            delta: Decoder::new(limits.memory),
            broken: None,
            next: None,
        }
    }

    /// Takes the next block; of other blocks than those of data nothing comes out. What was left of the block
    /// before is dropped.
    ///
    /// # Errors
    /// A sentence, where the block cannot be unpacked or goes on with a chunk whose start was not taken. Later
    /// blocks of its chunk are refused, too.
    pub fn feed(&mut self, block: &Block) -> Result<(), String> {
        self.bytes.clear();
        self.at = 0;
        let header = block.header;
        let starts = header.kind == BlockType::Data;
        if !header.kind.is_data() {
            return Ok(());
        }
        if !starts && self.next != Some(header.sequence) {
            self.next = None;
            return Err("it goes on with a chunk whose start is lost".to_owned());
        }
        self.next = None;
        let io = |e: std::io::Error| format!("the block cannot be decompressed: {e}");
        let unpacker = match &mut self.unpacker {
            Some(unpacker) => unpacker,
            none => none.insert(Unpacker::new().map_err(io)?),
        };
        if starts {
            unpacker.start().map_err(io)?;
            self.delta.restart(self.memory);
            self.broken = None;
        }
        let unpacked = unpacker.block(&block.stored, header.decompressed_len as usize, &mut self.bytes);
        if unpacked.is_err() {
            self.bytes.clear();
        }
        unpacked?;
        self.next = header.sequence.checked_add(1);
        Ok(())
    }

    /// Steps over the next record and gives its type and where its content is.
    fn frame(&mut self) -> Result<(u64, std::ops::Range<usize>), String> {
        let mut from = Cursor::new(&self.bytes[self.at..]);
        // Without its frame a record cannot be stepped over: nothing after it can be read.
        self.at = self.bytes.len();
        let code = from.uint()?;
        let Token::Bin(content) = from.token()? else { return Err("a record has no length".to_owned()) };
        self.at = self.bytes.len() - from.remaining();
        Ok((code, self.at - content.len()..self.at))
    }

    fn decode(&mut self) -> Result<Option<Record>, String> {
        let (code, range) = self.frame()?;
        let content = &self.bytes[range];
        if matches!(code, FORM | CHANGE) {
            if let Some(why) = &self.broken {
                return if code == FORM { Ok(None) } else { Err(why.clone()) };
            }
            let change = match code {
                FORM => self.delta.define(content).map(|()| None),
                _ => self.delta.event(content).map(|event| Some(Record::Object(event))),
            };
            if let Err(why) = &change {
                self.broken = Some(format!("it builds on a change that cannot be read: {why}"));
            }
            // A form is no record: what is lost with it are the changes that need it.
            return if code == FORM { Ok(None) } else { change };
        }
        if (OBJECT..=NOTE).contains(&code) {
            Cursor::new(content).skim(usize::try_from(self.memory / NODE_COST).unwrap_or(usize::MAX))?;
        }
        Ok(Some(match code {
            OBJECT => Record::Object(from_named::<ObjectEvent>(content)?),
            CLOCK => Record::Clock(from_named(content)?),
            SYNCED => Record::Synced(from_named(content)?),
            GAP => Record::Gap(from_named(content)?),
            ACTION => Record::Action(from_named(content)?),
            PHASE => Record::Phase(from_named(content)?),
            NOTE => Record::Note(from_named(content)?),
            _ => return Ok(None),
        }))
    }
}

impl Iterator for Records {
    type Item = Result<Record, String>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.bytes.len() {
            if let Some(record) = self.decode().transpose() {
                return Some(record);
            }
        }
        None
    }
}

/// One value from a MessagePack named map; deep nesting is an error, not a crash.
pub(super) fn from_named<T: DeserializeOwned>(map: &[u8]) -> Result<T, String> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(map);
    // serde_json stops at 128 as well: nothing deeper comes from an API server.
    decoder.set_max_depth(160);
    T::deserialize(&mut decoder).map_err(|e| format!("a record cannot be read: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClockAnchor, Note, TraceTime, Verb};
    use serde_json::json;

    fn records() -> Vec<Record> {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"big": u64::MAX, "small": i64::MIN, "f": 1.5},
                         "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7"}});
        let whole = ObjectEvent::new(TraceTime::from_nanos(1), Verb::Added, pod).unwrap();
        let odd = ObjectEvent { uid: "not the object's".into(), ..whole.clone() };
        vec![
            Record::Object(whole),
            Record::Clock(ClockAnchor { at: TraceTime::from_nanos(2), wall_ns: -5 }),
            Record::Object(odd),
            Record::Note(Note { at: TraceTime::from_nanos(3), text: "ü".into() }),
        ]
    }

    fn body(records: &[Record]) -> BodyWriter {
        let mut body = BodyWriter::default();
        for record in records {
            body.push(record).unwrap();
        }
        body
    }

    fn read(body: &BodyWriter) -> Vec<Result<Record, String>> {
        let mut records = Records::new(&Limits { memory: 1 << 20, ..Limits::default() });
        records.bytes = body.bytes().to_vec();
        records.collect()
    }

    #[test]
    fn records_survive_the_way_through_bytes() {
        let back: Result<Vec<_>, _> = read(&body(&records())).into_iter().collect();
        assert_eq!(back.unwrap(), records());
    }

    #[test]
    fn unknown_record_types_are_stepped_over() {
        let mut body = body(&records()[..1]);
        body.put(200, b"anything");
        body.push(&records()[1]).unwrap();
        assert_eq!(read(&body), [Ok(records()[0].clone()), Ok(records()[1].clone())]);
    }

    #[test]
    fn after_a_bad_change_only_changes_are_lost() {
        let mut body = body(&records()[..1]);
        body.put(CHANGE, b"\xc1");
        for record in records() {
            body.push(&record).unwrap();
        }
        let back = read(&body);
        let read: Vec<bool> = back.iter().map(Result::is_ok).collect();
        assert_eq!(read, [true, false, false, true, true, true]);
    }

    #[test]
    fn records_written_before_changes_existed_are_read() {
        let Record::Object(event) = &records()[0] else { panic!("the first is an object") };
        let mut body = BodyWriter::default();
        body.put(OBJECT, &named(event).unwrap());
        assert_eq!(read(&body), [Ok(records()[0].clone())]);
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let mut map = vec![0x81, 0xa1, b'x'];
        map.extend(std::iter::repeat_n(0x91, 100_000));
        map.push(0xc0);
        assert!(from_named::<serde_json::Value>(&map).is_err());
    }

    #[test]
    fn a_record_of_too_many_values_is_an_error() {
        let mut body = BodyWriter::default();
        body.put(OBJECT, &[[0xdd, 0, 0, 0x80, 0].as_slice(), &vec![0xc0; 0x8000]].concat());
        assert!(read(&body)[0].as_ref().unwrap_err().contains("more than"));
    }
}
