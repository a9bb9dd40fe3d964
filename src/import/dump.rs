//! Dumps of a cluster: `kubectl get -A -o json` or `-o yaml`, lists, folders of `must-gather`. One state, without history but for
//! what objects say of themselves, in whole seconds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::documents::each_object;
use super::objects::{Objects, is_wanted, wall_ns};
use super::{ImportError, Imported, Input, Origin, Output, Place, Tally, Target, UNWANTED};
use crate::model::{Json, ObjectKey, Phase, PodView};

/// An import of a dump.
#[derive(Debug, Clone)]
pub struct Dump {
    /// Files, and folders that are looked through for `.json`, `.yaml` and `.yml` files, also with `.gz` after it.
    pub paths: Vec<PathBuf>,
    /// Pods created so shortly before the youngest pod arrive at their times; all others are there at the start.
    pub arrivals: Option<Duration>,
}

impl Dump {
    /// Makes the reel.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn run(&self, target: &Target) -> Result<Imported, ImportError> {
        let files = files(&self.paths)?;
        let inputs = files.iter().map(|path| Input::open(path)).collect::<Result<_, _>>()?;
        // The state has no time of its own: a dump is as old as its file.
        let taken = files.iter().filter_map(|path| modified(path)).min().unwrap_or(0);
        import(inputs, taken, self.arrivals, target)
    }
}

/// The inputs of some files and folders.
///
/// # Errors
/// [`ImportError::Io`].
pub fn open(paths: &[PathBuf]) -> Result<Vec<Input>, ImportError> {
    files(paths)?.iter().map(|path| Input::open(path)).collect()
}

fn modified(path: &Path) -> Option<i64> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(modified.as_nanos()).ok()
}

/// The files of some paths, those of folders by name.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ImportError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), ImportError> {
    let failed = |source| ImportError::Io { input: folder.display().to_string(), doing: "list", source };
    let mut entries = std::fs::read_dir(folder)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
        })
        .map_err(failed)?;
    entries.sort();
    for path in entries {
        let name = path.to_string_lossy();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        if path.is_dir() && !path.is_symlink() {
            walk(&path, files)?;
        } else if [".json", ".yaml", ".yml"].iter().any(|ending| name.ends_with(ending)) {
            files.push(path);
        }
    }
    Ok(())
}

/// Makes a reel of any bytes; `taken` is when the state was, in nanoseconds since the Unix epoch.
///
/// # Errors
/// [`ImportError`].
pub fn import(
    inputs: Vec<Input>,
    taken: i64,
    arrivals: Option<Duration>,
    target: &Target,
) -> Result<Imported, ImportError> {
    let mut options = std::collections::BTreeMap::new();
    options.extend(
        arrivals.map(|within| ("import.arrivals".to_owned(), humantime::format_duration(within).to_string())),
    );
    let names = inputs.iter().map(|input| input.name.clone()).collect();
    let origin = Origin { format: "dump", inputs: names, options, ..Origin::default() };
    let mut tally = Tally::default();
    let lost = vec!["what happened before: a dump has one state, and times of whole seconds".to_owned()];
    let Some(within) = arrivals else {
        let mut out = target.start(Origin { started_wall_ns: taken, ..origin })?;
        // All that a dump has was there before it was taken.
        let mut objects = Objects::new(i64::MAX, Arc::clone(&target.rules));
        state(inputs, &mut objects, &mut out, &mut tally)?;
        objects.complete(&mut out)?;
        return out.finish(tally, lost, Vec::new());
    };
    let (context, pods) = sorted(inputs, &mut tally)?;
    let youngest = pods.iter().filter_map(created).max().unwrap_or(taken);
    let start = youngest.saturating_sub(i64::try_from(within.as_nanos()).unwrap_or(i64::MAX));
    let mut out = target.start(Origin { started_wall_ns: start, ..origin })?;
    let mut objects = Objects::new(start, Arc::clone(&target.rules));
    let (old, young): (Vec<_>, Vec<_>) =
        pods.into_iter().partition(|pod| created(pod).is_none_or(|at| at < start));
    for object in context.into_iter().chain(old) {
        first(&mut objects, object, start, &mut out)?;
    }
    objects.complete(&mut out)?;
    let mut stages: Vec<_> = young.iter().flat_map(stages).collect();
    stages.sort_by_key(|(at, _)| *at);
    for (wall, pod) in stages {
        if let Some(key) = ObjectKey::of(&pod) {
            let (at, text) = (objects.time(wall), &pod);
            // It was an object when it was read.
            let _ = objects.read(at, key, text, &mut out)?;
        }
    }
    out.finish(tally, lost, Vec::new())
}

/// Writes the state of a dump.
///
/// # Errors
/// [`ImportError::Trace`].
pub fn state(
    inputs: Vec<Input>,
    objects: &mut Objects,
    out: &mut Output,
    tally: &mut Tally,
) -> Result<(), ImportError> {
    for input in inputs {
        each_object(input, tally, &mut |place, object, tally| {
            let Some(key) = wanted(place, &object, tally) else { return Ok(()) };
            if objects.last(&key).is_some() {
                tally.bad(place, "an object that was there already");
                return Ok(());
            }
            let at = objects.time(i64::MIN);
            match objects.read(at, key, &object, out)? {
                Ok(()) => tally.used += 1,
                Err(why) => tally.bad(place, why),
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The nodes of a dump.
///
/// # Errors
/// [`ImportError::Io`]; [`ImportError::Options`] where it has none.
pub fn nodes(paths: &[PathBuf], tally: &mut Tally) -> Result<Vec<Json>, ImportError> {
    let (context, _) = sorted(open(paths)?, tally)?;
    let nodes: Vec<_> = context.into_iter().filter(|object| object["kind"] == "Node").collect();
    if nodes.is_empty() {
        let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(ImportError::Options(format!("{}: has no nodes", names.join(" "))));
    }
    Ok(nodes)
}

/// The key of an object that a reel has; others are counted.
fn wanted(place: Place<'_>, object: &Json, tally: &mut Tally) -> Option<ObjectKey> {
    match ObjectKey::of(object) {
        Some(key) if is_wanted(&key.kind) => Some(key),
        Some(_) => {
            tally.skip(place, UNWANTED);
            None
        }
        None => {
            tally.bad(place, "an object without apiVersion, kind or name");
            None
        }
    }
}

/// Everything but pods, and the pods.
fn sorted(inputs: Vec<Input>, tally: &mut Tally) -> Result<(Vec<Json>, Vec<Json>), ImportError> {
    let (mut context, mut pods) = (Vec::new(), Vec::new());
    for input in inputs {
        each_object(input, tally, &mut |place, object, tally| {
            if let Some(key) = wanted(place, &object, tally) {
                tally.used += 1;
                if key.kind == "Pod" { pods.push(object) } else { context.push(object) }
            }
            Ok(())
        })?;
    }
    Ok((context, pods))
}

/// An object of the start, whatever it says about its age.
fn first(objects: &mut Objects, mut object: Json, start: i64, out: &mut Output) -> Result<(), ImportError> {
    if created(&object).is_some_and(|at| at >= start)
        && let Some(metadata) = object.as_object_mut().and_then(|fields| fields.get_mut("metadata"))
        && let Some(fields) = metadata.as_object_mut()
    {
        fields.remove("creationTimestamp");
    }
    if let Some(key) = ObjectKey::of(&object) {
        let _ = objects.read(objects.time(start), key, &object, out)?;
    }
    Ok(())
}

fn created(object: &Json) -> Option<i64> {
    wall_ns(object["metadata"]["creationTimestamp"].as_str()?)
}

/// What a pod was from when on, as far as it says so itself.
fn stages(pod: &Json) -> Vec<(i64, Json)> {
    let view = PodView(pod);
    let Some(born) = created(pod) else { return Vec::new() };
    let time = |value: &Json| value.as_str().and_then(wall_ns);
    let mut at = born;
    let mut stages = Vec::new();
    let mut push = |time: Option<i64>, pod: Json| {
        // A stage without a time, or before the last, came right after it.
        at = time.unwrap_or(at).max(at);
        stages.push((at, pod));
    };
    let mut pending = pod.clone();
    if let Some(spec) =
        pending.as_object_mut().and_then(|pod| pod.get_mut("spec")).and_then(Json::as_object_mut)
    {
        spec.remove("nodeName");
    }
    if let Some(metadata) =
        pending.as_object_mut().and_then(|pod| pod.get_mut("metadata")).and_then(Json::as_object_mut)
    {
        metadata.remove("deletionTimestamp");
        metadata.remove("deletionGracePeriodSeconds");
    }
    pending.set(&["status"], json!({"phase": "Pending"}).into());
    push(Some(born), pending.clone());
    if let Some(node) = view.node_name() {
        let mut bound = pending;
        bound.set(&["spec", "nodeName"], node.into());
        let scheduled =
            view.condition("PodScheduled").and_then(|condition| time(&condition["lastTransitionTime"]));
        push(scheduled.or_else(|| time(&pod["status"]["startTime"])), bound.clone());
        if view.phase() != Phase::Pending {
            bound.set(&["status"], json!({"phase": "Running"}).into());
            push(started(pod), bound);
        }
    }
    let asked = time(&pod["metadata"]["deletionTimestamp"]).map(|by| {
        let grace = view.deletion_grace_seconds().unwrap_or(0);
        by.saturating_sub(i64::try_from(grace).unwrap_or(0).saturating_mul(1_000_000_000))
    });
    let end = if view.phase().is_terminal() { finished(pod) } else { None };
    push(asked.or(end), pod.clone());
    stages
}

/// When the first container started.
fn started(pod: &Json) -> Option<i64> {
    let states = pod["status"]["containerStatuses"].items().iter().map(|status| &status["state"]);
    let times = states.flat_map(|state| [&state["running"]["startedAt"], &state["terminated"]["startedAt"]]);
    times.filter_map(|time| wall_ns(time.as_str()?)).min()
}

/// When the last container ended.
fn finished(pod: &Json) -> Option<i64> {
    let statuses = pod["status"]["containerStatuses"].items().iter();
    statuses.filter_map(|status| wall_ns(status["state"]["terminated"]["finishedAt"].as_str()?)).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::testing::made;

    const POD: &str = "apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: n, uid: NAME, creationTimestamp: '2026-11-25T10:00:00Z'}
spec: {nodeName: n1, containers: [{name: c, resources: {requests: {cpu: '1'}}}]}
status:
  phase: Succeeded
  conditions: [{type: PodScheduled, status: 'True', lastTransitionTime: '2026-11-25T10:00:03Z'}]
  containerStatuses:
  - {name: c, state: {terminated: {exitCode: 0, startedAt: '2026-11-25T10:00:05Z', finishedAt: '2026-11-25T10:00:09Z'}}}
";

    fn inputs() -> Vec<Input> {
        let old =
            POD.replace("NAME", "old").replace("T10:00:00Z", "T08:00:00Z").replace("Succeeded", "Running");
        let text = format!("{}---\n{old}", POD.replace("NAME", "young"));
        let secret = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"}}"#;
        vec![Input::of("pods.yaml", text), Input::of("secret.json", secret)]
    }

    #[test]
    fn a_state_is_all_there_at_the_start() {
        let made = made(|target| import(inputs(), 5, None, target));
        assert_eq!(made.events("Pod"), ["0 initial young n1 Succeeded", "0 initial old n1 Running"]);
        assert_eq!((made.report.rows.read, made.report.rows.used), (3, 2));
        assert_eq!(made.header.started_wall_ns, 5);
        assert!(!made.report.rows.is_loss());
    }

    #[test]
    fn young_pods_arrive_as_they_say() {
        let made = made(|target| import(inputs(), 0, Some(Duration::from_mins(1)), target));
        assert_eq!(
            made.events("Pod"),
            [
                "0 initial old n1 Running",
                "60 added young - Pending",
                "63 modified young n1 Pending",
                "65 modified young n1 Running",
                "69 modified young n1 Succeeded",
            ]
        );
        assert_eq!(made.report.options["import.arrivals"], "1m");
    }

    #[test]
    fn folders_are_looked_through_and_what_is_there_twice_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("namespaces")).unwrap();
        for name in ["namespaces/pods.yaml", "again.yml", "notes.txt"] {
            std::fs::write(dir.path().join(name), POD).unwrap();
        }
        let dump = Dump { paths: vec![dir.path().to_owned()], arrivals: None };
        let made = made(|target| dump.run(target));
        assert_eq!(made.events("Pod").len(), 1);
        assert_eq!(made.report.rows.dropped["an object that was there already"].count, 1);
        assert!(made.header.started_wall_ns > 0);
    }
}
