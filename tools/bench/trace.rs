//! What an event takes in a reel and how fast reels are written and read, next to other ways to keep the same
//! events, in one run on one core: `cargo bench --bench trace -- [EVENTS] [EVENTS A SECOND]`.

#![allow(clippy::print_stdout, missing_docs, reason = "a program for people")]

mod life;

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use anyhow::Context;
use kubereel::model::{Json, ObjectEvent, Record};
use kubereel::trace::{Detail, Header, Reader, ReelWriter, WriteOptions};

/// The program's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: u64 = 20_261_124;

/// Events that are made before their writing is measured: memory stays small, and making them is not counted.
const BATCH: usize = 100;

fn main() -> anyhow::Result<()> {
    let numbers: Vec<f64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let events = numbers.first().map_or(100_000, |n| *n as usize);
    let rate = numbers.get(1).copied().unwrap_or(2_000.0);
    let dir = tempfile::tempdir_in("target")?;
    let raw = life::Events::new(SEED, rate).take(events).map(|(_, line)| line.len()).sum::<usize>();
    println!("{events} pod events, {} B each as JSON, {rate} a second, seed {SEED}\n", raw / events);
    println!("{:<34} {:>8} {:>10} {:>10} {:>10} {:>10}", "", "B/event", "write/s", "CPU", "read/s", "CPU");
    for (name, detail, level, managed_fields) in [
        ("reel, lossless, zstd 3", Detail::Lossless, 3, false),
        ("reel, lossless, zstd 9", Detail::Lossless, 9, false),
        ("reel, with managedFields, zstd 3", Detail::Lossless, 3, true),
        ("reel, lifecycle, zstd 3", Detail::Lifecycle, 3, false),
    ] {
        let path = dir.path().join(format!("{detail:?}-{level}-{managed_fields}.reel"));
        let options = WriteOptions { level, detail, ..WriteOptions::default() };
        let mut writer = ReelWriter::create(&path, &Header::default(), options)?;
        let written = measure(events, rate, |event, _| {
            let mut event = event.clone();
            let metadata = event.object.as_object_mut().and_then(|fields| fields.get_mut("metadata"));
            if let Some(metadata) = metadata.and_then(Json::as_object_mut).filter(|_| !managed_fields) {
                metadata.remove("managedFields");
            }
            Ok(writer.push(&Record::Object(event))?)
        })?;
        let sealing = Watch::start();
        writer.seal()?;
        let written = written.plus(sealing.stop());
        let read = Watch::start();
        for _ in 0..READS {
            let mut count = 0;
            for record in Reader::open(&path)? {
                record?;
                count += 1;
            }
            anyhow::ensure!(count == events, "{count} of {events} events came back");
        }
        row(name, events, &path, written, Some(read.stop().by(READS)));
    }
    peers(events, rate, dir.path())
}

/// The same events kept in other ways.
fn peers(events: usize, rate: f64, dir: &Path) -> anyhow::Result<()> {
    let path = dir.join("lines.json.gz");
    let mut out = flate2::write::GzEncoder::new(File::create(&path)?, flate2::Compression::default());
    let written = measure(events, rate, |_, line| Ok(writeln!(out, "{line}")?))?;
    out.finish()?;
    let watch = Watch::start();
    let mut text = String::new();
    // A file at a time would not fit: lines are parsed from a bounded buffer.
    let mut input = std::io::BufReader::new(flate2::read::GzDecoder::new(File::open(&path)?));
    while std::io::BufRead::read_line(&mut input, &mut text)? > 0 {
        serde_json::from_str::<serde_json::Value>(&text)?;
        text.clear();
    }
    row("JSON lines, gzip 6", events, &path, written, Some(watch.stop()));

    let path = dir.join("named.msgpack.zst");
    let mut out = zstd::Encoder::new(BufWriter::new(File::create(&path)?), 3)?;
    let written = measure(events, rate, |event, _| Ok(out.write_all(&rmp_serde::to_vec_named(event)?)?))?;
    out.finish()?.flush()?;
    let watch = Watch::start();
    let mut input = rmp_serde::Deserializer::new(zstd::Decoder::new(File::open(&path)?)?);
    for _ in 0..events {
        <ObjectEvent as serde::Deserialize>::deserialize(&mut input)?;
    }
    row("named MessagePack, zstd 3", events, &path, written, Some(watch.stop()));

    // What KWOK records: one YAML document an event, with the object inside. A tenth is enough to see.
    let events = events / 10;
    let path = dir.join("kwok.yaml");
    let mut out = BufWriter::new(File::create(&path)?);
    let written = measure(events, rate, |event, _| {
        let patch = serde_json::json!({"apiVersion": "action.kwok.x-k8s.io/v1alpha1", "kind": "ResourcePatch",
            "resource": {"version": "v1", "resource": "pods"}, "durationNanosecond": event.at,
            "target": {"name": event.key.name, "namespace": event.key.namespace}, "method": "patch",
            "template": event.object});
        Ok(write!(out, "---\n{}", serde_saphyr::to_string(&patch)?)?)
    })?;
    out.flush()?;
    row("YAML as KWOK writes it", events, &path, written, None);
    Ok(())
}

/// Times that each reel is read: one reading takes too short to be measured.
const READS: u32 = 5;

/// Makes events in batches and measures only what `take` does with them.
fn measure(
    events: usize,
    rate: f64,
    mut take: impl FnMut(&ObjectEvent, &str) -> anyhow::Result<()>,
) -> anyhow::Result<Spent> {
    let mut source = life::Events::new(SEED, rate).take(events);
    let mut spent = Spent::default();
    loop {
        let batch: Vec<_> = source.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return Ok(spent);
        }
        let watch = Watch::start();
        for (event, line) in &batch {
            take(event, line)?;
        }
        spent = spent.plus(watch.stop());
    }
}

/// Seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    wall: f64,
    cpu: f64,
}

impl Spent {
    fn by(self, times: u32) -> Spent {
        Spent { wall: self.wall / f64::from(times), cpu: self.cpu / f64::from(times) }
    }

    fn plus(self, other: Spent) -> Spent {
        Spent { wall: self.wall + other.wall, cpu: self.cpu + other.cpu }
    }
}

struct Watch {
    clock: kubereel::pace::SystemClock,
    cpu: f64,
}

impl Watch {
    fn start() -> Watch {
        Watch { clock: kubereel::pace::SystemClock::start(), cpu: cpu_seconds().unwrap_or_default() }
    }

    fn stop(&self) -> Spent {
        let wall = kubereel::pace::Clock::now(&self.clock).as_secs_f64();
        Spent { wall, cpu: cpu_seconds().unwrap_or_default() - self.cpu }
    }
}

/// What this thread has had of a core, in seconds: on a busy machine the wall clock says little.
fn cpu_seconds() -> anyhow::Result<f64> {
    let mut text = String::new();
    File::open("/proc/thread-self/schedstat")?.read_to_string(&mut text)?;
    let nanos: f64 = text.split(' ').next().context("schedstat is empty")?.parse()?;
    Ok(nanos / 1e9)
}

fn row(name: &str, events: usize, path: &Path, write: Spent, read: Option<Spent>) {
    let bytes = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let per = |seconds: f64| format!("{:.0}", events as f64 / seconds);
    let size = bytes as f64 / events as f64;
    let (read_wall, read_cpu) = read.map_or_else(Default::default, |read| (per(read.wall), per(read.cpu)));
    println!(
        "{name:<34} {size:>8.1} {:>10} {:>10} {read_wall:>10} {read_cpu:>10}",
        per(write.wall),
        per(write.cpu)
    );
}
