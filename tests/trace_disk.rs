//! A reel on a disk that fills up, and one that is too large to be read whole.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use kubereel::model::{Note, Record, TraceTime};
use kubereel::trace::{Header, Reader, ReelFile, ReelThread, ReelWriter, TraceError, WriteOptions};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Set in the process whose files may not grow, to the path of the reel.
const WRITER: &str = "KUBEREEL_FULL_DISK_WRITER";

/// What the file may grow to, bytes.
const ROOM: u64 = 200_000;

/// Text that does not compress.
fn noise(n: u64, len: usize) -> String {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + (state % 75) as u8)
    };
    (0..len).map(letter).collect()
}

fn note(n: u64, len: usize) -> Record {
    Record::Note(Note { at: TraceTime::from_millis(n * 100), text: noise(n, len) })
}

fn hand_over() -> Result<(), TraceError> {
    let path = std::env::var_os(WRITER).expect("it is set");
    let thread = ReelThread::start(Path::new(&path), &Header::default(), WriteOptions::default())?;
    let sink = thread.sink();
    for n in 0..1_000 {
        sink.push(note(n, 2_000));
    }
    thread.seal().map(drop)
}

/// The limit ends a process with a signal unless that is ignored, which a shell does for its child.
#[test]
fn writer_process() {
    if std::env::var_os(WRITER).is_none() {
        return;
    }
    let limit = Rlimit { current: Some(ROOM), maximum: Some(ROOM) };
    setrlimit(Resource::Fsize, limit).expect("a limit can be lowered");
    let error = hand_over().expect_err("there is no room");
    writeln!(std::io::stdout(), "error: {error}").expect("somebody reads");
}

#[test]
fn a_full_disk_stops_the_writer_with_an_error_and_leaves_a_readable_reel() {
    let dir = tempfile::tempdir().expect("there is room");
    let path = dir.path().join("full.reel");
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact writer_process --nocapture"])
        .arg(std::env::current_exe().expect("this test is a program"))
        .env(WRITER, &path)
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("error: ") && said.contains("full.reel"), "{said}");
    let mut reader = Reader::open(&path).expect("the header is whole");
    let mut whole = 0;
    for record in reader.by_ref() {
        match record {
            Ok(record) => assert_eq!(record, note(whole, 2_000)),
            Err(error) => {
                assert!(matches!(error, TraceError::Cut { .. }), "{error}");
                break;
            }
        }
        whole += 1;
    }
    assert!(whole >= 50, "{whole} records in {ROOM} bytes");
}

/// Bytes that this process has read so far.
fn bytes_read() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").expect("Linux counts");
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("it is there");
    line.trim().parse().expect("it is a number")
}

/// `KUBEREEL_SEEK_MIB=1024 cargo test --release --test trace_disk` does it with a gigabyte.
#[test]
fn a_time_is_found_without_reading_the_file() {
    let mib: u64 = std::env::var("KUBEREEL_SEEK_MIB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(48);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("there is room");
    let path = dir.path().join("large.reel");
    let mut writer =
        ReelWriter::create(&path, &Header::default(), WriteOptions::default()).expect("there is room");
    let records = mib * 21;
    for n in 0..records {
        writer.push(&note(n, 64 << 10)).expect("there is room");
    }
    let unsealed = dir.path().join("unsealed.reel");
    writer.close_chunk().expect("there is room");
    std::fs::copy(&path, &unsealed).expect("there is room");
    writer.seal().expect("there is room");
    let size = std::fs::metadata(&path).expect("it is there").len();
    assert!(size > mib << 20, "{size} bytes");
    let middle = TraceTime::from_millis(records / 2 * 100);
    for path in [path, unsealed] {
        let before = bytes_read();
        let reel = ReelFile::open(&path).expect("it is whole");
        let end = TraceTime::from_nanos(middle.as_nanos() + 1);
        let found: Vec<_> = reel.between(middle, end).collect::<Result<_, _>>().expect("it is whole");
        assert_eq!(found, [note(records / 2, 64 << 10)]);
        let read = bytes_read() - before;
        assert!(read < 4 << 20, "{read} of {size} bytes read");
    }
}
