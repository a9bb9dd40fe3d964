//! Audit logs of API servers: what was asked of them and done, with bodies as far as the audit policy goes
//! (`tools/audit-policy.yaml` is the smallest that will do).

mod apply;
mod event;
mod merge;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use apply::{Apply, OVERTAKEN, UNSEEN};
use merge::Merged;

use super::objects::Objects;
use super::{ImportError, Imported, Input, Origin, Output, Place, Tally, Target, UNWANTED, dump};
use crate::model::ObjectKey;

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
    let mut play = Play { apply: Apply::default(), objects, early: Early::default(), tally };
    let mut next = Some((first, name));
    while let Some((entry, name)) = next {
        play.take(entry, name, &mut out)?;
        next = merged.next_entry(&mut play.tally)?.map(|(entry, name)| (entry, name.to_owned()));
    }
    let Play { apply, early, mut tally, .. } = play;
    early.give_up(&mut tally);
    out.finish(tally, lost(), remarks(has_state, &apply))
}

/// Changes that wait for their object at most.
const EARLY: usize = 1 << 10;

/// Changes whose answer came before the answer to the creation of their object: whoever watches can be that quick.
#[derive(Debug, Default)]
struct Early {
    waiting: VecDeque<(ObjectKey, Box<event::Entry>, String)>,
}

impl Early {
    /// Keeps a change; the oldest makes room.
    fn push(&mut self, key: ObjectKey, entry: Box<event::Entry>, name: String, tally: &mut Tally) {
        self.waiting.push_back((key, entry, name));
        if self.waiting.len() > EARLY
            && let Some((_, entry, name)) = self.waiting.pop_front()
        {
            tally.bad(Place { input: &name, line: entry.line }, UNSEEN);
        }
    }

    /// The changes of an object that has come.
    fn of(&mut self, key: &ObjectKey) -> Vec<(Box<event::Entry>, String)> {
        let (now, later) = self.waiting.drain(..).partition(|(own, _, _)| own == key);
        self.waiting = later;
        let now: VecDeque<_> = now;
        now.into_iter().map(|(_, entry, name)| (entry, name)).collect()
    }

    fn give_up(self, tally: &mut Tally) {
        for (_, entry, name) in self.waiting {
            tally.bad(Place { input: &name, line: entry.line }, UNSEEN);
        }
    }
}

struct Play {
    apply: Apply,
    objects: Objects,
    early: Early,
    tally: Tally,
}

impl Play {
    fn take(&mut self, entry: Box<event::Entry>, name: String, out: &mut Output) -> Result<(), ImportError> {
        let (key, took) = self.apply.apply(&entry, &mut self.objects, out)?;
        let place = Place { input: &name, line: entry.line };
        match (took, key) {
            (Ok(()), key) => {
                self.tally.used += 1;
                if let Some(key) =
                    key.filter(|_| entry.action == event::Action::Create && !self.early.waiting.is_empty())
                {
                    for (mut early, name) in self.early.of(&key) {
                        early.at = early.at.max(entry.at);
                        self.take(early, name, out)?;
                    }
                }
            }
            (Err(UNSEEN), Some(key)) => self.early.push(key, entry, name, &mut self.tally),
            (Err(why @ (UNWANTED | OVERTAKEN)), _) => self.tally.skip(place, why),
            (Err(why), _) => self.tally.bad(place, why),
        }
        Ok(())
    }
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
