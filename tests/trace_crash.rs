//! A recorder that is killed at random moments: what is read back is an exact beginning of what was handed over, and at
//! most the last second is missing.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use kubereel::model::{ObjectEvent, Record, TraceTime, Verb};
use kubereel::pace::{Clock, SystemClock};
use kubereel::trace::{FLUSH_SPAN, Header, Reader, ReelThread, WriteOptions};
use serde_json::json;

/// Set in the process that writes, to the path of the reel.
const WRITER: &str = "KUBEREEL_CRASH_WRITER";

const KILLS: u64 = 50;

/// Writers at a time.
const TOGETHER: u64 = 5;

/// What a loaded machine may take to write a block, besides the second that a block spans.
const SLACK: Duration = Duration::from_millis(700);

fn record(n: u64, at: TraceTime) -> Record {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "status": {"phase": if n.is_multiple_of(3) { "Pending" } else { "Running" }},
        "metadata": {"name": format!("p{}", n % 20), "namespace": "a", "uid": format!("u{}", n % 20), "resourceVersion": n.to_string()}});
    Record::Object(ObjectEvent::new(at, Verb::Modified, object).expect("the pod has a key"))
}

/// Writes until it is killed and prints the number and time of each record that it has handed over.
#[test]
fn writer_process() {
    let Some(path) = std::env::var_os(WRITER) else { return };
    let clock = SystemClock::start();
    let thread = ReelThread::start(Path::new(&path), &Header::default(), WriteOptions::default())
        .expect("it can be created");
    let sink = thread.sink();
    let mut out = std::io::stdout();
    for n in 0_u64.. {
        let at = clock.now();
        sink.push(record(n, at));
        writeln!(out, "handed {n} {}", at.as_nanos()).and_then(|()| out.flush()).expect("somebody reads");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Starts a writer, kills it after a while and gives number and time of the last record that it handed over.
fn kill_after(path: &Path, millis: u64) -> Option<(u64, TraceTime)> {
    let mut child = Command::new(std::env::current_exe().expect("this test is a program"))
        .args(["--exact", "writer_process", "--nocapture"])
        .env(WRITER, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it can be started");
    let lines = BufReader::new(child.stdout.take().expect("it is piped"));
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().and_then(|()| child.wait()).expect("it can be killed");
    });
    let mut last = None;
    for line in lines.lines().map_while(Result::ok) {
        let mut words = line.split(' ').skip_while(|word| !word.ends_with("handed")).skip(1);
        if let (Some(Ok(n)), Some(Ok(nanos))) = (words.next().map(str::parse), words.next().map(str::parse)) {
            last = Some((n, TraceTime::from_nanos(nanos)));
        }
    }
    killer.join().expect("it has killed");
    last
}

/// Checks one reel of a killed writer and says whether a chunk was cut.
fn check(path: &Path, handed: (u64, TraceTime)) -> bool {
    let mut reader = match Reader::open(path) {
        Ok(reader) => reader,
        // Killed before the header was whole.
        Err(error) => {
            assert!(handed.1 < TraceTime::ZERO + SLACK, "{error}");
            return true;
        }
    };
    let (mut count, mut last, mut cut) = (0, TraceTime::ZERO, false);
    for got in reader.by_ref() {
        match got {
            Ok(got) => {
                assert_eq!(got, record(count, got.at()));
                last = got.at();
                count += 1;
            }
            Err(error) => {
                assert!(error.is_loss(), "{error}");
                cut = true;
            }
        }
    }
    // The writer may have handed over one more than it could print.
    assert!(count <= handed.0 + 2, "{count} records, {} were handed over", handed.0 + 1);
    let missing = handed.1.since(last);
    assert!(missing <= FLUSH_SPAN + SLACK, "the last {missing:?} are missing");
    cut
}

/// The program prints what is whole, and says with its exit code whether a part is lost.
fn program_agrees(path: &Path, cut: bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_kubereel"))
        .args(["trace", "cat"])
        .arg(path)
        .output()
        .expect("it can be started");
    let code = output.status.code();
    let message = String::from_utf8_lossy(&output.stderr);
    if Reader::open(path).is_ok() {
        assert_eq!(code, Some(if cut { 3 } else { 0 }), "{message}");
    } else {
        assert!(matches!(code, Some(1 | 3)) && !message.is_empty(), "{code:?}: {message}");
    }
}

#[test]
fn a_killed_writer_loses_at_most_the_last_second() {
    let dir = tempfile::tempdir().expect("there is room");
    let dir = dir.path();
    std::thread::scope(|scope| {
        for worker in 0..TOGETHER {
            scope.spawn(move || {
                for kill in (worker..KILLS).step_by(TOGETHER as usize) {
                    let path = dir.join(format!("{kill}.reel"));
                    // Spread over a bit more than two blocks, in no step with the second.
                    let millis = 60 + kill * 7_919 % 2_300;
                    if let Some(handed) = kill_after(&path, millis) {
                        let cut = check(&path, handed);
                        program_agrees(&path, cut);
                    }
                }
            });
        }
    });
    let reels = std::fs::read_dir(dir).expect("it is there").count();
    assert!(reels > 40, "{reels} reels");
}
