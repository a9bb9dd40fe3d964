//! Records to MessagePack and back. In a data chunk's body each record is two MessagePack values: its type
//! (positive integer) and its named map inside a `bin`, so that a reader steps over types that it does not know.

use rmp::decode::{read_bin_len, read_int};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::TraceError;
use crate::model::{ObjectEvent, Record};

const OBJECT: u64 = 1;
const CLOCK: u64 = 2;
const SYNCED: u64 = 3;
const GAP: u64 = 4;
const ACTION: u64 = 5;
const PHASE: u64 = 6;
const NOTE: u64 = 7;

/// Appends a record to a chunk's body.
pub(super) fn encode(record: &Record, body: &mut Vec<u8>) -> Result<(), TraceError> {
    let (code, map) = match record {
        Record::Object(r) => (OBJECT, named(r)?),
        Record::Clock(r) => (CLOCK, named(r)?),
        Record::Synced(r) => (SYNCED, named(r)?),
        Record::Gap(r) => (GAP, named(r)?),
        Record::Action(r) => (ACTION, named(r)?),
        Record::Phase(r) => (PHASE, named(r)?),
        Record::Note(r) => (NOTE, named(r)?),
    };
    let written = rmp::encode::write_uint(body, code).and_then(|_| rmp::encode::write_bin(body, &map));
    written.map_err(|e| TraceError::Encode(e.to_string()))
}

/// One value as a MessagePack named map.
pub(super) fn named<T: Serialize>(value: &T) -> Result<Vec<u8>, TraceError> {
    rmp_serde::to_vec_named(value).map_err(|e| TraceError::Encode(e.to_string()))
}

/// All records of a chunk's body; unknown types are stepped over.
pub(super) fn decode_body(mut body: &[u8]) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    while !body.is_empty() {
        let code: u64 = read_int(&mut body).map_err(|e| format!("a record has no type: {e}"))?;
        let len = read_bin_len(&mut body).map_err(|e| format!("a record has no length: {e}"))? as usize;
        let (map, rest) = body.split_at_checked(len).ok_or("a record is longer than its chunk")?;
        body = rest;
        let record = match code {
            OBJECT => Record::Object(from_named::<ObjectEvent>(map)?),
            CLOCK => Record::Clock(from_named(map)?),
            SYNCED => Record::Synced(from_named(map)?),
            GAP => Record::Gap(from_named(map)?),
            ACTION => Record::Action(from_named(map)?),
            PHASE => Record::Phase(from_named(map)?),
            NOTE => Record::Note(from_named(map)?),
            _ => continue,
        };
        records.push(record);
    }
    Ok(records)
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
        vec![
            Record::Object(ObjectEvent::new(TraceTime::from_nanos(1), Verb::Added, pod).unwrap()),
            Record::Clock(ClockAnchor { at: TraceTime::from_nanos(2), wall_ns: -5 }),
            Record::Note(Note { at: TraceTime::from_nanos(3), text: "ü".into() }),
        ]
    }

    #[test]
    fn records_survive_the_way_through_bytes() {
        let mut body = Vec::new();
        for record in records() {
            encode(&record, &mut body).unwrap();
        }
        assert_eq!(decode_body(&body).unwrap(), records());
    }

    #[test]
    fn unknown_record_types_are_stepped_over() {
        let mut body = Vec::new();
        encode(&records()[1], &mut body).unwrap();
        rmp::encode::write_uint(&mut body, 200).unwrap();
        rmp::encode::write_bin(&mut body, b"anything").unwrap();
        encode(&records()[2], &mut body).unwrap();
        assert_eq!(decode_body(&body).unwrap(), records()[1..]);
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let mut map = vec![0x81, 0xa1, b'x'];
        map.extend(std::iter::repeat_n(0x91, 100_000));
        map.push(0xc0);
        assert!(from_named::<serde_json::Value>(&map).is_err());
    }
}
