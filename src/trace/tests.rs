//! Whole files: what is written is read back, and whatever happens to the bytes, nothing is invented.

use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::model::{Note, ObjectEvent, Record, TraceTime, Verb};

fn pod(n: u64) -> Record {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c"}]},
                        "metadata": {"name": format!("p{n}"), "namespace": "a", "uid": format!("u{n}")}});
    Record::Object(ObjectEvent::new(TraceTime::from_millis(n * 400), Verb::Added, object).unwrap())
}

/// The last record of the first chunk of the sample.
const SECOND_CHUNK: TraceTime = TraceTime::from_millis(2_000);

/// Twelve records over 4.4 s, so several blocks.
fn sample() -> Vec<Record> {
    (0..11)
        .map(pod)
        .chain([Record::Note(Note { at: TraceTime::from_millis(4_400), text: "end".into() })])
        .collect()
}

fn write(dir: &TempDir, records: &[Record], seal: bool) -> PathBuf {
    let path = dir.path().join("t.reel");
    let header = Header { id: "id-1".into(), writer: "test".into(), ..Header::default() };
    let mut writer =
        ReelWriter::create(&path, &header, WriteOptions { overwrite: true, ..Default::default() }).unwrap();
    for record in records {
        writer.push(record).unwrap();
        if record.at() == SECOND_CHUNK {
            writer.close_chunk().unwrap();
        }
    }
    if seal {
        writer.seal().unwrap();
    } else {
        writer.flush().unwrap();
    }
    path
}

/// What a reader gets out of these bytes: the records, and whether it saw the proper end.
fn read(bytes: &[u8]) -> Result<(Vec<Record>, Result<Ending, TraceError>), TraceError> {
    let mut reader = Reader::new(bytes, Path::new("mem.reel"), Limits::default())?;
    let mut records = Vec::new();
    for record in reader.by_ref() {
        match record {
            Ok(record) => records.push(record),
            Err(error) => return Ok((records, Err(error))),
        }
    }
    let ending = reader.ending().cloned().unwrap();
    Ok((records, Ok(ending)))
}

#[test]
fn a_sealed_reel_reads_back_whole_with_its_summary() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, &sample(), true);
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(reader.header().id, "id-1");
    let records: Vec<_> = reader.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(records, sample());
    let Some(Ending::Sealed(summary)) = reader.ending() else { panic!("not sealed") };
    assert_eq!(summary.records, 12);
    assert_eq!(summary.events["Pod"]["added"], 11);
    assert_eq!(summary.chunks.iter().map(|chunk| chunk.records).collect::<Vec<_>>(), [6, 6]);
}

#[test]
fn an_unsealed_reel_is_fully_readable_and_says_so() {
    let dir = TempDir::new().unwrap();
    let bytes = std::fs::read(write(&dir, &sample(), false)).unwrap();
    let (records, ending) = read(&bytes).unwrap();
    assert_eq!(records, sample());
    assert_eq!(ending.unwrap(), Ending::Open);
}

#[test]
fn cut_at_every_byte_a_reel_yields_a_prefix_and_never_claims_to_be_sealed() {
    let dir = TempDir::new().unwrap();
    let bytes = std::fs::read(write(&dir, &sample(), true)).unwrap();
    let all = sample();
    let mut cut = 0;
    for len in 0..bytes.len() {
        let Ok((records, ending)) = read(&bytes[..len]) else { continue };
        assert_eq!(records, all[..records.len()], "cut at {len}");
        match ending {
            Ok(Ending::Sealed(_)) => assert_eq!(records.len(), all.len(), "cut at {len}"),
            Ok(Ending::Open) => {}
            Err(error) => {
                assert!(matches!(error, TraceError::Cut { .. }), "cut at {len}: {error}");
                cut += 1;
            }
        }
    }
    assert!(cut > bytes.len() / 2);
}

#[test]
fn with_any_byte_flipped_nothing_is_invented() {
    let dir = TempDir::new().unwrap();
    let bytes = std::fs::read(write(&dir, &sample(), true)).unwrap();
    let all = sample();
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x5a;
        let Ok((records, ending)) = read(&bad) else { continue };
        assert_eq!(records, all[..records.len()], "flipped at {at}");
        // Only the reserved bytes of the footer carry nothing.
        assert!(ending.is_err() || records.len() == all.len(), "flipped at {at}");
    }
}

#[test]
fn recover_keeps_all_but_the_rest_of_the_hurt_chunk_and_marks_the_hole() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, &sample(), true);
    let mut bytes = std::fs::read(&path).unwrap();
    let Ok((_, Ok(Ending::Sealed(summary)))) = read(&bytes) else { panic!("not sealed") };
    let (hurt, next) = (summary.chunks[0], summary.chunks[1]);
    let second_block = bytes[..next.offset as usize].windows(16).rposition(|w| w == format::SYNC).unwrap();
    bytes[second_block + BLOCK_HEADER_LEN + 3] ^= 0xff;
    std::fs::write(&path, &bytes).unwrap();
    let out = dir.path().join("out.reel");
    let found = recover(&path, &out, WriteOptions::default()).unwrap();
    assert!(found.is_lossy());
    let (records, ending) = read(&std::fs::read(&out).unwrap()).unwrap();
    assert!(matches!(ending, Ok(Ending::Sealed(_))));
    let gaps = records.iter().filter(|r| matches!(r, Record::Gap(_))).count();
    let lost = 12 - (records.len() - gaps);
    assert_eq!((gaps, lost as u64, found.lost_events["Pod"]), (1, found.lost_records, found.lost_records));
    assert!((1..hurt.records as usize).contains(&lost), "{lost} lost");
}

#[test]
fn a_block_without_the_start_of_its_chunk_is_refused_and_the_next_chunk_is_not() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, &sample(), true);
    let mut bytes = std::fs::read(&path).unwrap();
    let Ok((_, Ok(Ending::Sealed(summary)))) = read(&bytes) else { panic!("not sealed") };
    bytes[summary.chunks[0].offset as usize + BLOCK_HEADER_LEN + 3] ^= 0xff;
    std::fs::write(&path, &bytes).unwrap();
    let found = recover(&path, &dir.path().join("out.reel"), WriteOptions::default()).unwrap();
    assert_eq!(found.lost_events["Pod"], 6);
    let checked = check(&path).unwrap();
    assert!(checked.problems.iter().any(|(_, what)| what.contains("whose start is lost")), "{checked:?}");
    assert_eq!(checked.summary.events["Pod"]["added"], 5);
}

#[test]
fn strangers_are_told_apart() {
    assert!(matches!(read(b""), Err(TraceError::Empty { .. })));
    assert!(matches!(read(b"apiVersion: v1\n"), Err(TraceError::NotAReel { .. })));
    let mut newer = MAGIC.to_vec();
    newer[7] = 9;
    assert!(matches!(read(&newer), Err(TraceError::Version { found: 9, .. })));
}

#[test]
fn a_header_that_requires_the_unknown_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("r.reel");
    let header = Header { requires: vec!["time-travel".into()], ..Header::default() };
    ReelWriter::create(&path, &header, WriteOptions::default()).unwrap().seal().unwrap();
    let error = Reader::open(&path).unwrap_err();
    assert!(error.to_string().contains("time-travel"), "{error}");
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, &[], true);
    let error = ReelWriter::create(&path, &Header::default(), WriteOptions::default()).unwrap_err();
    assert!(matches!(error, TraceError::Exists { .. }));
    assert!(Reader::open(&path).is_ok());
}

#[test]
fn the_thread_writes_what_the_sinks_push() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("thread.reel");
    let thread = ReelThread::start(&path, &Header::default(), WriteOptions::default()).unwrap();
    let sink = thread.sink();
    for record in sample() {
        sink.push(record);
    }
    assert_eq!(thread.seal().unwrap().records, 12);
    assert_eq!(read(&std::fs::read(&path).unwrap()).unwrap().0, sample());
}

#[test]
fn a_recording_that_was_given_up_is_not_sealed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("given-up.reel");
    let thread = ReelThread::start(&path, &Header::default(), WriteOptions::default()).unwrap();
    thread.sink().push(pod(1));
    thread.abandon();
    let (records, ending) = read(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((records.len(), ending.unwrap()), (1, Ending::Open));
}

mod arbitrary {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{ClockAnchor, Gap, GapReason};

    fn any_record() -> impl Strategy<Value = Record> {
        let text = "[a-c]{0,8}";
        prop_oneof![
            4 => (0..6_u64, 0..4_usize, text, any::<bool>()).prop_map(|(n, verb, phase, deep)| {
                let spec = if deep { json!({"list": [1, {"a": phase}], "none": null}) } else { json!(phase) };
                let object = json!({"apiVersion": "v1", "kind": "Pod", "spec": spec, "status": {"phase": phase},
                    "metadata": {"name": format!("p{n}"), "uid": format!("u{n}"), "resourceVersion": n.to_string()}});
                let verb = [Verb::Initial, Verb::Added, Verb::Modified, Verb::Deleted][verb];
                Record::Object(ObjectEvent::new(TraceTime::ZERO, verb, object).unwrap())
            }),
            1 => text.prop_map(|text| Record::Note(Note { at: TraceTime::ZERO, text })),
            1 => any::<i64>().prop_map(|wall_ns| Record::Clock(ClockAnchor { at: TraceTime::ZERO, wall_ns })),
            1 => text.prop_map(|detail| {
                let (at, reason) = (TraceTime::ZERO, GapReason::Expired);
                Record::Gap(Gap { at, from: at, kind: "Pod".into(), reason, detail })
            }),
        ]
    }

    fn at(record: Record, at: TraceTime) -> Record {
        match record {
            Record::Object(event) => Record::Object(ObjectEvent { at, ..event }),
            Record::Note(note) => Record::Note(Note { at, ..note }),
            Record::Clock(clock) => Record::Clock(ClockAnchor { at, ..clock }),
            Record::Gap(gap) => Record::Gap(Gap { at, from: at, ..gap }),
            other => other,
        }
    }

    /// What a writer may be told between two records.
    #[derive(Debug, Clone, Copy)]
    enum Then {
        GoOn,
        Flush,
        CloseChunk,
    }

    proptest! {
        #[test]
        fn any_records_in_any_blocks_at_any_level_read_back(
            records in prop::collection::vec(
                (any_record(), 0..40_000_u64, prop::sample::select(vec![Then::GoOn, Then::Flush, Then::CloseChunk])), 0..40),
            level in -5..=19_i32, seal: bool,
        ) {
            let dir = TempDir::new().unwrap();
            let path = dir.path().join("t.reel");
            let options = WriteOptions { level, ..WriteOptions::default() };
            let mut writer = ReelWriter::create(&path, &Header::default(), options).unwrap();
            let (mut millis, mut written) = (0, Vec::new());
            for (record, step, then) in records {
                millis += step;
                written.push(at(record, TraceTime::from_millis(millis)));
                writer.push(written.last().unwrap()).unwrap();
                match then {
                    Then::GoOn => {}
                    Then::Flush => writer.flush().unwrap(),
                    Then::CloseChunk => writer.close_chunk().unwrap(),
                }
            }
            if seal { drop(writer.seal().unwrap()) } else { writer.flush().unwrap() }
            let (back, ending) = read(&std::fs::read(&path).unwrap()).unwrap();
            prop_assert_eq!(&back, &written);
            prop_assert_eq!(matches!(ending, Ok(Ending::Sealed(_))), seal);
            let file = ReelFile::open(&path).unwrap();
            let parallel = file.map_chunks(2, |records| records.collect::<Result<Vec<_>, _>>()).unwrap();
            prop_assert_eq!(parallel.concat(), written.clone());
            let middle = TraceTime::from_millis(millis / 2);
            let later: Vec<_> = file.between(middle, TraceTime::from_nanos(u64::MAX)).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(later, written.into_iter().filter(|r| r.at() >= middle).collect::<Vec<_>>());
            prop_assert!(check(&path).unwrap().problems.is_empty());
        }
    }
}
