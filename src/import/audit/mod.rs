//! Audit logs of API servers: what was asked of them and done, with bodies as far as the audit policy goes
//! (`tools/audit-policy.yaml` is the smallest that will do).

mod apply;
mod event;
mod merge;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use apply::Apply;
use merge::Merged;

use super::objects::Objects;
use super::{ImportError, Imported, Input, Origin, Output, Place, Tally, Target, UNWANTED, dump};

/// An import of audit logs.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The logs, in any order: rotated ones, those of several API servers.
    pub logs: Vec<PathBuf>,
    /// A dump of the cluster as it was when the logs begin.
    pub initial: Vec<PathBuf>,
}

impl Audit {
    /// Makes the reel.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn run(&self, target: &Target) -> Result<Imported, ImportError> {
        let mut tally = Tally::default();
        let merged = Merged::of_files(&self.logs, &mut tally)?;
        let initial = dump::open(&self.initial)?;
        let names = self.logs.iter().chain(&self.initial).map(|path| path.display().to_string()).collect();
        write(merged, initial, names, tally, target)
    }
}

/// Makes a reel of any bytes.
///
/// # Errors
/// [`ImportError`].
pub fn import(logs: Vec<Input>, initial: Vec<Input>, target: &Target) -> Result<Imported, ImportError> {
    let names = logs.iter().chain(&initial).map(|input| input.name.clone()).collect();
    let (mut merged, mut tally) = (Merged::default(), Tally::default());
    for log in logs {
        merged.open(log, &mut tally);
    }
    write(merged, initial, names, tally, target)
}

fn write(
    mut merged: Merged,
    initial: Vec<Input>,
    inputs: Vec<String>,
    mut tally: Tally,
    target: &Target,
) -> Result<Imported, ImportError> {
    let has_state = !initial.is_empty();
    let Some((first, name)) = merged.next_entry(&mut tally)? else {
        let (rows, dropped) = (tally.read, tally.reasons());
        return Err(ImportError::Nothing { input: inputs.join(" "), rows, dropped });
    };
    let (start, name) = (first.at, name.to_owned());
    let mut out =
        target.start(Origin { format: "audit", started_wall_ns: start, inputs, ..Origin::default() })?;
    let mut objects = Objects::new(start, Arc::clone(&target.rules));
    dump::state(initial, &mut objects, &mut out, &mut tally)?;
    objects.complete(&mut out)?;
    let mut apply = Apply::default();
    let mut next = Some((first, name));
    while let Some((entry, name)) = next {
        take(&entry, &name, &mut apply, &mut objects, &mut out, &mut tally)?;
        next = merged.next_entry(&mut tally)?.map(|(entry, name)| (entry, name.to_owned()));
    }
    out.finish(tally, lost(), remarks(has_state, &apply))
}

fn take(
    entry: &event::Entry,
    name: &str,
    apply: &mut Apply,
    objects: &mut Objects,
    out: &mut Output,
    tally: &mut Tally,
) -> Result<(), ImportError> {
    let place = Place { input: name, line: entry.line };
    match apply.apply(entry, objects, out)? {
        Ok(()) => tally.used += 1,
        Err(UNWANTED) => tally.skip(place, UNWANTED),
        Err(why) => tally.bad(place, why),
    }
    Ok(())
}

fn lost() -> Vec<String> {
    vec![
        "the moment at which others saw a change: its time is that of the answer to who made it".to_owned(),
        "versions of objects after changes that were logged without the stored object".to_owned(),
    ]
}

fn remarks(has_state: bool, apply: &Apply) -> Vec<String> {
    let mut remarks = Vec::new();
    if !has_state {
        remarks.push(
            "the log does not say what was there when it begins: `kubectl get nodes,pods -A -o json` of that time, as --initial, does"
                .to_owned(),
        );
    }
    if !apply.slowest_binding.is_zero() {
        remarks
            .push(format!("bindings took at most {:.1?}: so exact are their times", apply.slowest_binding));
    }
    remarks
}
