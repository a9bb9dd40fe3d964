//! Recordings of kube-scheduler-simulator's `sched-recorder`: JSON lines of whole objects
//! (`simulator/recorder/recorder.go` of `kubernetes-sigs/kube-scheduler-simulator`).

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::lines::Lines;
use super::objects::{Objects, is_wanted, key_of, wall_ns};
use super::{ImportError, Imported, Input, Origin, Output, Tally, Target, UNWANTED};

/// One line.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    /// When the recorder saw it, RFC 3339.
    #[serde(borrow)]
    time: Cow<'a, str>,
    /// `Add`, `Update` or `Delete`.
    #[serde(borrow)]
    event: Cow<'a, str>,
    /// The object; of a deletion only what names it.
    #[serde(borrow)]
    resource: &'a RawValue,
}

/// An import of such a recording.
#[derive(Debug, Clone)]
pub struct Jsonl {
    /// The recording.
    pub file: PathBuf,
}

impl Jsonl {
    /// Makes the reel.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn run(&self, target: &Target) -> Result<Imported, ImportError> {
        import(Input::open(&self.file)?, target)
    }
}

/// Makes a reel of any bytes.
///
/// # Errors
/// [`ImportError`].
pub fn import(input: Input, target: &Target) -> Result<Imported, ImportError> {
    let origin = Origin { format: "jsonl", inputs: vec![input.name.clone()], ..Origin::default() };
    let (mut lines, mut tally, mut text) = (Lines::of(input), Tally::default(), Vec::new());
    let mut reel: Option<(Output, Objects)> = None;
    while lines.next_line(&mut text, &mut tally) {
        let (line, wall) = match read(&text) {
            Ok(read) => read,
            Err(why) => {
                tally.bad(lines.place(), why);
                continue;
            }
        };
        let (out, objects) = match &mut reel {
            Some(reel) => (&mut reel.0, &mut reel.1),
            // Its first time is time 0.
            none => {
                let origin = Origin { started_wall_ns: wall, ..origin.clone() };
                let objects = Objects::new(wall, Arc::clone(&target.rules));
                let reel = none.insert((target.start(origin)?, objects));
                (&mut reel.0, &mut reel.1)
            }
        };
        match take(&line, wall, objects, out)? {
            Ok(()) => tally.used += 1,
            Err(UNWANTED) => tally.skip(lines.place(), UNWANTED),
            Err(why) => tally.bad(lines.place(), why),
        }
    }
    let Some((mut out, mut objects)) = reel else {
        let (rows, dropped) = (tally.read, tally.reasons());
        return Err(ImportError::Nothing { input: origin.inputs.join(" "), rows, dropped });
    };
    objects.complete(&mut out)?;
    out.finish(tally, Vec::new(), Vec::new())
}

fn read(text: &[u8]) -> Result<(Line<'_>, i64), &'static str> {
    let line: Line<'_> = serde_json::from_slice(text).map_err(|_| "no line of time, event and resource")?;
    let wall = wall_ns(&line.time).ok_or("a time that is none")?;
    Ok((line, wall))
}

fn take(
    line: &Line<'_>,
    wall: i64,
    objects: &mut Objects,
    out: &mut Output,
) -> Result<Result<(), &'static str>, ImportError> {
    let text = line.resource.get();
    let key = match key_of(&mut serde_json::Deserializer::from_str(text)) {
        Ok(key) if is_wanted(&key.kind) => key,
        Ok(_) => return Ok(Err(UNWANTED)),
        Err(why) => return Ok(Err(why)),
    };
    let at = objects.time(wall);
    match line.event.as_ref() {
        "Add" | "Update" => objects.read(at, key, &mut serde_json::Deserializer::from_str(text), out),
        "Delete" if objects.gone(at, &key, false, out)? => Ok(Ok(())),
        "Delete" => Ok(Err("the deletion of an object that was not seen before")),
        _ => Ok(Err("an event that is neither Add, Update nor Delete")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::testing::{made, refused};

    fn line(second: u64, event: &str, resource: &serde_json::Value) -> String {
        let time = format!("2026-11-25T10:00:{second:02}.5Z");
        serde_json::json!({"time": time, "event": event, "resource": resource}).to_string() + "\n"
    }

    fn pod(name: &str, created: &str, node: &str) -> serde_json::Value {
        serde_json::json!({"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": node}, "status": {"phase": "Pending"},
            "metadata": {"name": name, "namespace": "n", "uid": name, "creationTimestamp": created}})
    }

    #[test]
    fn adds_are_the_start_or_arrivals_and_deletions_have_the_last_state() {
        let (old, new) = (pod("old", "2026-11-25T09:00:00Z", "n1"), pod("new", "2026-11-25T10:00:05Z", ""));
        let named = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "new", "namespace": "n"}});
        let secret = serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
        let text = [
            line(0, "Add", &old),
            line(5, "Add", &new),
            line(6, "Update", &pod("new", "2026-11-25T10:00:05Z", "n1")),
            line(7, "Update", &pod("new", "2026-11-25T10:00:05Z", "n1")),
            line(8, "Delete", &named),
            line(9, "Delete", &named),
            line(9, "Add", &secret),
            line(9, "Sync", &old),
            "{\"time\": 1}\n".to_owned(),
        ];
        let made = made(|target| import(Input::of("r.jsonl", text.concat()), target));
        assert_eq!(
            made.events("Pod"),
            [
                "0 initial old n1 Pending",
                "5 added new - Pending",
                "6 modified new n1 Pending",
                "8 deleted new n1 Pending"
            ]
        );
        let rows = &made.report.rows;
        assert_eq!((rows.read, rows.used), (9, 5));
        assert_eq!(rows.dropped["the deletion of an object that was not seen before"].first, ["r.jsonl:6"]);
        assert_eq!(rows.dropped["an event that is neither Add, Update nor Delete"].first, ["r.jsonl:8"]);
        assert!(rows.dropped[UNWANTED].expected);
        assert!(refused(|target| import(Input::of("r", "x\n"), target)).contains("r:1"));
    }
}
