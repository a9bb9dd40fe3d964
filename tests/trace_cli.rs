//! `kubereel trace` as a process: what it writes reads back, pipes work, and exit codes tell loss.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use kubereel::model::{Record, Verb};
use kubereel::trace::Reader;
use serde_json::Value;

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/conformance").join(name)
}

fn trace(args: &[&str], reel: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubereel"));
    command.args(["--quiet", "trace"]).args(args).arg(reel).args(more);
    command.output().expect("the program can be started")
}

fn records(path: &Path) -> Vec<Record> {
    Reader::open(path).expect("it is a reel").collect::<Result<_, _>>().expect("it is whole")
}

#[test]
fn a_slice_starts_with_the_state_and_stands_alone() {
    let dir = tempfile::tempdir().expect("there is room");
    let out = dir.path().join("slice.reel");
    let text = out.to_string_lossy();
    let done = trace(&["slice"], &case("life.reel"), &["--from", "21ms", "--to", "23ms", "-o", &text]);
    assert_eq!(done.status.code(), Some(0));
    let verbs: Vec<_> = records(&out)
        .iter()
        .map(|record| match record {
            Record::Object(event) => (event.at.as_nanos() / 1_000_000, event.verb, event.key.name.clone()),
            other => panic!("{other:?} was not in the original"),
        })
        .collect();
    let expected = [
        (21, Verb::Initial, "web-0"),
        (21, Verb::Initial, "web-1"),
        (21, Verb::Initial, "web-2"),
        (21, Verb::Modified, "web-2"),
        (22, Verb::Modified, "web-2"),
    ];
    assert_eq!(verbs, expected.map(|(at, verb, name)| (at, verb, name.into())));
}

#[test]
fn a_reel_of_whole_objects_is_rewritten_without_loss() {
    let dir = tempfile::tempdir().expect("there is room");
    let out = dir.path().join("new.reel");
    let done = trace(&["filter"], &case("whole-objects.reel"), &["-o", &out.to_string_lossy()]);
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(records(&out), records(&case("whole-objects.reel")));
    assert_eq!(trace(&["check"], &out, &[]).status.code(), Some(0));
}

#[test]
fn loss_is_exit_code_3_and_recover_makes_it_whole() {
    let dir = tempfile::tempdir().expect("there is room");
    let out = dir.path().join("mended.reel");
    let hurt = case("damaged.reel");
    for command in ["cat", "info", "check"] {
        assert_eq!(trace(&[command], &hurt, &[]).status.code(), Some(3), "{command}");
    }
    let mended = trace(&["recover"], &hurt, &["-o", &out.to_string_lossy()]);
    assert_eq!(mended.status.code(), Some(3));
    let said = String::from_utf8_lossy(&mended.stdout);
    assert!(said.contains("Pod: ") && said.contains("events lost"), "{said}");
    assert_eq!(trace(&["check"], &out, &[]).status.code(), Some(0));
}

#[test]
fn pipes_work_and_a_closed_one_is_success() {
    let mut first = Command::new(env!("CARGO_BIN_EXE_kubereel"))
        .args(["--quiet", "trace", "filter"])
        .arg(case("life.reel"))
        .args(["--name", "web-2", "-o", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let second = Command::new(env!("CARGO_BIN_EXE_kubereel"))
        .args(["trace", "export", "-", "--to", "csv"])
        .stdin(first.stdout.take().expect("it is piped"))
        .output()
        .expect("the program can be started");
    assert!(first.wait().expect("it ends").success() && second.status.success());
    assert_eq!(String::from_utf8_lossy(&second.stdout).lines().count(), 7);

    let mut cat = Command::new(env!("CARGO_BIN_EXE_kubereel"))
        .args(["trace", "cat"])
        .arg(case("life.reel"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    drop(cat.stdout.take());
    assert!(cat.wait().expect("it ends").success());
}

/// What a command prints, line by line as JSON.
fn json_lines(done: &Output) -> Vec<Value> {
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8_lossy(&done.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("it prints JSON")).collect()
}

#[test]
fn every_sample_passes_its_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let samples: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "reel")).collect();
    assert!(!samples.is_empty());
    for sample in samples {
        let done = trace(&["check"], &sample, &[]);
        assert_eq!(
            done.status.code(),
            Some(0),
            "{}: {}",
            sample.display(),
            String::from_utf8_lossy(&done.stdout)
        );
    }
}

#[test]
fn filters_pick_records_and_state_at_puts_objects_together() {
    let cat = |more: &[&str]| json_lines(&trace(&["cat"], &case("life.reel"), more));
    let web_2 = cat(&["--kind", "Pod", "--namespace", "shop", "--name", "web-2"]);
    assert_eq!(web_2.len(), 6);
    assert_eq!(cat(&["--uid", "uid-web-2"]), web_2);
    let deleted = cat(&["--verb", "deleted"]);
    assert_eq!(deleted.len(), 6);
    assert!(deleted.iter().all(|record| record["verb"] == "deleted"));
    assert_eq!(cat(&["--from", "20ms", "--to", "30ms"]), web_2);
    assert!(cat(&["--kind", "Node"]).is_empty());

    let state = cat(&["--state-at", "21ms"]);
    let phases: Vec<_> = state
        .iter()
        .map(|record| {
            let object = &record["object"];
            let text = |value: &Value| value.as_str().expect("it is text").to_owned();
            (text(&object["metadata"]["name"]), text(&object["status"]["phase"]))
        })
        .collect();
    let expected = [("web-0", "Pending"), ("web-1", "Pending"), ("web-2", "Running")];
    assert_eq!(phases, expected.map(|(name, phase)| (name.to_owned(), phase.to_owned())));
}

#[test]
fn reels_are_merged_in_order_of_time() {
    let dir = tempfile::tempdir().expect("there is room");
    let reel = |name: &str| dir.path().join(name);
    for (name, from, to) in [("a.reel", "0ms", "30ms"), ("b.reel", "30ms", "1m")] {
        let text = reel(name).to_string_lossy().into_owned();
        let done = trace(&["filter"], &case("life.reel"), &["--from", from, "--to", to, "-o", &text]);
        assert_eq!(done.status.code(), Some(0));
    }
    let out = reel("both.reel");
    let done = trace(
        &["merge"],
        &reel("b.reel"),
        &[&*reel("a.reel").to_string_lossy(), "-o", &out.to_string_lossy()],
    );
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(records(&out), records(&case("life.reel")));
    assert_eq!(trace(&["check"], &out, &[]).status.code(), Some(0));
}

#[test]
fn a_timeline_has_nodes_as_tracks_and_pods_as_slices() {
    let done = trace(&["export", "--to", "chrome"], &case("life.reel"), &[]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let timeline: Value = serde_json::from_slice(&done.stdout).expect("it is one JSON value");
    let events = timeline["traceEvents"].as_array().expect("it is a list of events");
    let of = |phase: &str| events.iter().filter(|event| event["ph"] == phase).collect::<Vec<_>>();
    let tracks: Vec<_> = of("M")
        .iter()
        .filter(|event| event["name"] == "thread_name")
        .map(|e| e["args"]["name"].clone())
        .collect();
    assert_eq!(tracks, ["node-1"]);
    let slices = of("X");
    let names: BTreeSet<_> =
        slices.iter().map(|slice| slice["name"].as_str().expect("it has a name")).collect();
    assert_eq!(
        names,
        (0..6).map(|n| format!("shop/web-{n}")).collect::<Vec<_>>().iter().map(String::as_str).collect()
    );
    assert!(
        slices.iter().all(|slice| slice["ts"].is_number() && slice["dur"].is_number() && slice["tid"] == 1)
    );
}

#[test]
fn a_parquet_file_holds_every_event_with_its_object() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;
    let dir = tempfile::tempdir().expect("there is room");
    let out = dir.path().join("life.parquet");
    let done = trace(&["export", "--to", "parquet"], &case("life.reel"), &["-o", &out.to_string_lossy()]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let reader = SerializedFileReader::new(std::fs::File::open(&out).expect("it was written"));
    let reader = reader.expect("it is a parquet file");
    let rows: Vec<_> =
        reader.get_row_iter(None).expect("it has rows").map(|row| row.expect("a row")).collect();
    let events: Vec<_> = records(&case("life.reel"))
        .into_iter()
        .filter_map(|record| if let Record::Object(event) = record { Some(event) } else { None })
        .collect();
    assert_eq!(rows.len(), events.len());
    for (row, event) in rows.iter().zip(&events) {
        assert_eq!(row.get_long(0).expect("at_ns"), event.at.as_nanos() as i64);
        assert_eq!(row.get_string(1).expect("verb"), event.verb.as_str());
        assert_eq!(
            row.get_string(4).expect("namespace"),
            event.key.namespace.as_deref().expect("pods have one")
        );
        assert_eq!(row.get_string(9).ok().map(String::as_str), event.object["status"]["phase"].as_str());
        assert_eq!(row.get_string(10).expect("object"), &event.object.to_string());
    }
}
