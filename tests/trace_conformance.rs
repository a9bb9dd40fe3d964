//! The cases in `traces/conformance/`: what our reader, the second reader and the JSON beside each case say is the
//! same. `KUBEREEL_REGENERATE=1 cargo test --test trace_conformance` writes the cases anew.

use std::path::{Path, PathBuf};
use std::process::Command;

use kubereel::model::{
    ActionKind, ActionReport, ClockAnchor, Gap, GapReason, Note, ObjectEvent, ObjectKey, PhaseMark, Record,
    RunPhase, Synced, TraceTime, Verb,
};
use kubereel::trace::{
    BLOCK_HEADER_LEN, BlockHeader, BlockType, Detail, Header, Reader, ReelWriter, WriteOptions,
};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/conformance")
}

fn at(millis: u64) -> TraceTime {
    TraceTime::from_millis(millis)
}

fn pod(millis: u64, verb: Verb, name: &str, rv: &str, phase: &str) -> Record {
    let mut status = json!({"phase": phase, "conditions": [{"type": "PodScheduled", "status": "True"}]});
    if phase != "Pending" {
        status["startTime"] = "2026-11-24T10:00:05Z".into();
        let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-24T10:00:07Z"});
        status["conditions"].as_array_mut().expect("it is an array").push(ready);
    }
    let object = json!({"apiVersion": "v1", "kind": "Pod", "status": status,
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": rv,
                     "creationTimestamp": "2026-11-24T10:00:04Z", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "registry.example/web:1", "resources": {"requests": {"cpu": "500m"}}}],
                 "nodeName": "node-1"}});
    Record::Object(ObjectEvent::new(at(millis), verb, object).expect("the pod has a key"))
}

/// Every record type, and every field that may be absent both ways.
fn all_types() -> Vec<Record> {
    let key = ObjectKey { kind: "Pod".into(), namespace: Some("shop".into()), name: "web-1".into() };
    let action = |status, error: &str| {
        Record::Action(ActionReport {
            seq: 3,
            action: ActionKind::CreatePod,
            key: key.clone(),
            trace_at: at(5),
            due: at(6),
            sent: at(7),
            answered: at(9),
            status,
            error: error.into(),
            retries: 0,
        })
    };
    let facts = [("created".to_owned(), 7)].into();
    vec![
        Record::Clock(ClockAnchor { at: at(0), wall_ns: 1_795_514_400_000_000_000 }),
        pod(1, Verb::Initial, "web-1", "7", "Pending"),
        Record::Synced(Synced { at: at(2), kind: "Pod".into(), rv: "8".into() }),
        Record::Gap(Gap {
            at: at(4),
            from: at(2),
            kind: "*".into(),
            reason: GapReason::Overflow,
            detail: "3 lost".into(),
        }),
        action(201, ""),
        action(0, "connection refused"),
        Record::Phase(PhaseMark { at: at(8), phase: RunPhase::WarmUp, facts }),
        Record::Note(Note { at: at(9), text: "für Leute".into() }),
    ]
}

/// Forms, holes, shared slots, changes of arrays, deletion and return.
fn life() -> Vec<Record> {
    let mut records = Vec::new();
    for n in 0..6_u64 {
        let name = format!("web-{n}");
        for (step, (verb, phase)) in [
            (Verb::Added, "Pending"),
            (Verb::Modified, "Running"),
            (Verb::Modified, "Succeeded"),
            (Verb::Modified, "Pending"),
            (Verb::Deleted, "Pending"),
            (Verb::Added, "Pending"),
        ]
        .into_iter()
        .enumerate()
        {
            records.push(pod(
                n * 10 + step as u64,
                verb,
                &name,
                &(100 + n * 10 + step as u64).to_string(),
                phase,
            ));
        }
    }
    records
}

/// Values at the borders of their types, custom resources, versions that are no numbers, inferred events.
fn values() -> Vec<Record> {
    let things = [
        json!({"ints": [0, -1, 127, 128, -129, 32_768, 2_147_483_648_i64, i64::MIN, i64::MAX, u64::MAX], "float": [0.5, -0.0, 1.0, 1e300]}),
        json!({"texts": ["", "ü", "2026-11-24T10:00:05Z", "2026-02-30T10:00:05Z", "line\nbreak"], "none": null, "bool": [true, false]}),
        json!({"ids": ["39a84127-37ca-4de5-8291-11472f5f6efb", "39A84127-37ca-4de5-8291-11472f5f6efb",
            "containerd://6f1f3c0b2a9e4d7c8b5a6e1d0c9f8b7a6d5e4c3b2a190817263544536271809f", "ü00112233445566778899aabbccddeeff0"],
            "times": ["2026-11-24T10:00:05Z", "2026-11-24T10:00:04Z", "1970-01-01T00:00:00Z", "2105-12-31T23:59:59Z", "2106-01-01T00:00:00Z"]}),
        json!({"empty": [{}, [], ""], "deep": [[[[{"a": {"b": {"c": [1, {"d": 2}]}}}]]]]}),
    ];
    let versions = ["10", "9", "", "007", "v1"];
    let event = |(n, spec): (usize, &Value)| {
        let object = json!({"apiVersion": "example.com/v1", "kind": "Thing", "spec": spec,
            "metadata": {"name": "thing", "uid": format!("u{}", n % 2), "resourceVersion": versions[n % 5]}});
        let mut event = ObjectEvent::new(at(n as u64), Verb::Modified, object).expect("the thing has a key");
        event.inferred = n % 2 == 1;
        Record::Object(event)
    };
    let mut records: Vec<_> = things.iter().cycle().take(12).enumerate().map(event).collect();
    // One whose fields do not follow from its object is written whole.
    if let Record::Object(event) = &mut records[4] {
        event.uid = "another".into();
    }
    records
}

fn header(name: &str) -> Header {
    Header { id: format!("conformance-{name}"), writer: "kubereel".into(), ..Header::default() }
}

fn write(name: &str, records: &[Record], seal: bool, detail: Detail) -> Vec<u8> {
    let path = std::env::temp_dir().join(format!("kubereel-{}-{name}.reel", std::process::id()));
    let options = WriteOptions { overwrite: true, detail, ..WriteOptions::default() };
    let mut writer = ReelWriter::create(&path, &header(name), options).expect("the folder can be written");
    for record in records {
        writer.push(record).expect("the folder can be written");
    }
    if seal {
        writer.seal().expect("the folder can be written");
    } else {
        writer.flush().expect("the folder can be written");
    }
    let bytes = std::fs::read(&path).expect("it was written");
    std::fs::remove_file(&path).expect("it was written");
    bytes
}

/// A block with any body, as a later version or another program may write it.
fn block(kind: BlockType, sequence: u64, records: u32, body: &[u8]) -> Vec<u8> {
    let stored = zstd::bulk::compress(body, 3).expect("memory suffices");
    let header = BlockHeader {
        kind,
        stored_len: stored.len() as u32,
        decompressed_len: body.len() as u32,
        records,
        sequence,
        first: at(0),
        last: at(9),
        body_crc: crc32c::crc32c(&stored),
    };
    [header.encode().as_slice(), &stored].concat()
}

/// Unknown block types, record types, fields, and bytes after the last value.
fn later_version() -> Vec<u8> {
    let mut bytes = kubereel::trace::MAGIC.to_vec();
    let map = |value: &Value| rmp_serde::to_vec_named(value).expect("JSON is MessagePack");
    bytes.extend(block(
        BlockType::Header,
        0,
        1,
        &map(&json!({"id": "later", "requires": ["delta"], "news": {"a": 1}})),
    ));
    bytes.extend(block(BlockType::Unknown(77), 1, 9, b"anything"));
    let mut body = Vec::new();
    let mut put = |code: u8, content: &[u8]| {
        body.extend([0xcc, code, 0xc5]);
        body.extend((content.len() as u16).to_be_bytes());
        body.extend(content);
    };
    put(7, &map(&json!({"at": 1, "text": "known", "unknown": [1, 2]})));
    put(99, b"not even MessagePack \xc1");
    let mut form = vec![0, 0x91, 0x90];
    form.extend(map(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})));
    form.extend([0x90, 0xc1, 0xc1]);
    put(8, &form);
    put(9, &[5, 1, 0, 7, 1, 0xc1]);
    bytes.extend(block(BlockType::Data, 2, 2, &body));
    bytes
}

/// Records written whole, as before changes existed.
fn whole_objects() -> Vec<u8> {
    let mut bytes = kubereel::trace::MAGIC.to_vec();
    let header = rmp_serde::to_vec_named(&header("whole-objects")).expect("a header is a map");
    bytes.extend(block(BlockType::Header, 0, 1, &header));
    let mut body = Vec::new();
    for record in life() {
        let Record::Object(event) = record else { continue };
        let content = rmp_serde::to_vec_named(&event).expect("an event is a map");
        body.extend([1, 0xc5]);
        body.extend((content.len() as u16).to_be_bytes());
        body.extend(content);
    }
    bytes.extend(block(BlockType::Data, 1, life().len() as u32, &body));
    bytes
}

/// A block that goes on with a chunk that is not there.
fn without_start() -> Vec<u8> {
    let mut bytes = kubereel::trace::MAGIC.to_vec();
    let header = rmp_serde::to_vec_named(&header("chunk-without-start")).expect("a header is a map");
    bytes.extend(block(BlockType::Header, 0, 1, &header));
    bytes.extend(block(BlockType::More, 1, 0, &[]));
    bytes
}

/// Name, bytes, and the exit code of a reader.
fn cases() -> Vec<(&'static str, Vec<u8>, i32)> {
    let seconds: Vec<_> =
        (0..5).map(|n| pod(n * 1_500, Verb::Modified, "web-1", &n.to_string(), "Running")).collect();
    let whole = write("life", &life(), true, Detail::Lossless);
    let several = write("several-blocks", &seconds, true, Detail::Lossless);
    let minutes: Vec<_> =
        (0..6).map(|n| pod(n * 25_000, Verb::Modified, "web-1", &n.to_string(), "Running")).collect();
    let chunks = write("several-chunks", &minutes, true, Detail::Lossless);
    let mut damaged = several.clone();
    let middle = several.len() / 3;
    damaged[middle] ^= 0xff;
    let mut unknown = kubereel::trace::MAGIC.to_vec();
    let requires =
        rmp_serde::to_vec_named(&json!({"requires": ["time-travel"]})).expect("JSON is MessagePack");
    unknown.extend(block(BlockType::Header, 0, 1, &requires));
    vec![
        ("all-types", write("all-types", &all_types(), true, Detail::Lossless), 0),
        ("values", write("values", &values(), true, Detail::Lossless), 0),
        ("lifecycle", write("lifecycle", &life(), true, Detail::Lifecycle), 0),
        ("unsealed", write("unsealed", &all_types(), false, Detail::Lossless), 0),
        ("empty", write("empty", &[], true, Detail::Lossless), 0),
        ("cut-in-body", several[..several.len() - 300].to_vec(), 3),
        (
            "cut-in-block-header",
            several[..several.len() / 2 / BLOCK_HEADER_LEN * BLOCK_HEADER_LEN].to_vec(),
            3,
        ),
        ("requires-unknown", unknown, 1),
        ("later-version", later_version(), 0),
        ("whole-objects", whole_objects(), 0),
        ("life", whole, 0),
        ("several-blocks", several, 0),
        ("several-chunks", chunks, 0),
        ("chunk-without-start", without_start(), 3),
        ("damaged", damaged, 3),
    ]
}

/// What a program prints, line by line as JSON, and its exit code.
fn lines(command: &mut Command) -> (Vec<Value>, Option<i32>) {
    let output = command.output().expect("the program can be started");
    let text = String::from_utf8(output.stdout).expect("it prints UTF-8");
    (
        text.lines().map(|line| serde_json::from_str(line).expect("it prints JSON")).collect(),
        output.status.code(),
    )
}

fn cat(path: &Path) -> (Vec<Value>, Option<i32>) {
    lines(Command::new(env!("CARGO_BIN_EXE_kubereel")).args(["trace", "cat"]).arg(path))
}

#[test]
fn the_cases_read_as_the_json_beside_them() {
    if std::env::var_os("KUBEREEL_REGENERATE").is_some() {
        for (name, bytes, code) in cases() {
            std::fs::write(folder().join(format!("{name}.reel")), bytes).expect("the folder can be written");
            let (records, got) = cat(&folder().join(format!("{name}.reel")));
            assert_eq!(got, Some(code), "{name}");
            let beside = json!({"exit": code, "records": records});
            let text = serde_json::to_string_pretty(&beside).expect("JSON is text") + "\n";
            std::fs::write(folder().join(format!("{name}.json")), text).expect("the folder can be written");
        }
    }
    for (name, beside) in beside() {
        let (records, code) = cat(&folder().join(format!("{name}.reel")));
        assert_eq!(json!({"exit": code, "records": records}), beside, "{name}");
    }
}

/// The JSON files by the names of their cases.
fn beside() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder()).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path).expect("the file can be read");
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, serde_json::from_str(&text).expect("the file is JSON")));
        }
    }
    assert!(found.len() >= 13, "{} cases", found.len());
    found
}

#[test]
fn the_cases_that_are_written_read_back_as_what_was_written() {
    for (name, records) in
        [("all-types", all_types()), ("values", values()), ("life", life()), ("whole-objects", life())]
    {
        let reader = Reader::open(&folder().join(format!("{name}.reel"))).expect("the case is a reel");
        let back: Vec<_> = reader.collect::<Result<_, _>>().expect("the case is whole");
        assert_eq!(back, records, "{name}");
    }
}

/// `KUBEREEL_PYTHON` names a Python with msgpack and zstandard; `make conformance` sets it. Without it the
/// comparison is left out, which CI does not allow.
#[test]
fn the_second_reader_agrees() {
    let Some(python) = std::env::var_os("KUBEREEL_PYTHON") else {
        assert!(std::env::var_os("CI").is_none(), "KUBEREEL_PYTHON must be set in CI");
        return;
    };
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/reel_reader.py");
    for (name, expected) in beside() {
        let path = folder().join(format!("{name}.reel"));
        let (records, code) = lines(Command::new(&python).arg(&reader).arg(path));
        let with_absent: Vec<_> = records.into_iter().map(canonical).collect();
        assert_eq!(json!({"exit": code, "records": with_absent}), expected, "{name}");
    }
}

/// Our reader prints absent fields as empty where it knows them, and leaves unknown ones out.
fn canonical(mut record: Value) -> Value {
    let fields = record.as_object_mut().expect("a record is a map");
    fields.remove("unknown");
    record
}
