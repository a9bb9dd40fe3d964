//! The events of several logs, in order of their answers: rotated files, files of several API servers.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::path::PathBuf;

use super::event::{Entry, No, events_of};
use crate::import::lines::Lines;
use crate::import::{ImportError, Input, Place, Tally};

/// Events that are read ahead of each log. A log is in order of when its server got round to writing, which differs
/// from the order of answers by some milliseconds.
const AHEAD: usize = 256;

/// Hashes of the last requests: what a log has twice (a batch that was sent again) counts once.
const REMEMBERED: usize = 1 << 14;

/// Events of logs by time.
#[derive(Debug, Default)]
pub struct Merged {
    /// Logs that begin later, the next one last: each with the time of its first event.
    later: Vec<(i64, PathBuf)>,
    open: Vec<Source>,
    heap: BinaryHeap<Reverse<Item>>,
    seen: std::collections::HashSet<u64, foldhash::fast::FixedState>,
    order: VecDeque<u64>,
}

/// A log that is being read.
#[derive(Debug)]
struct Source {
    name: String,
    lines: Option<Lines>,
    /// Events of a line that are still to be taken, last first.
    rest: Vec<Vec<u8>>,
    /// How many of its events wait in the heap.
    ahead: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct Item {
    at: i64,
    source: usize,
    entry: Box<Entry>,
}

impl Ord for Item {
    fn cmp(&self, other: &Item) -> std::cmp::Ordering {
        (self.at, self.source, self.entry.line).cmp(&(other.at, other.source, other.entry.line))
    }
}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Item) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Merged {
    /// The logs of these files; one that has no event is counted when it is looked into.
    ///
    /// # Errors
    /// [`ImportError::Io`].
    pub fn of_files(paths: &[PathBuf], tally: &mut Tally) -> Result<Merged, ImportError> {
        let mut merged = Merged::default();
        for path in paths {
            // Standard input cannot be looked into and read again.
            if path.as_os_str() == "-" || paths.len() == 1 {
                merged.open(Input::open(path)?, tally);
            } else if let Some(first) = first_time(Input::open(path)?) {
                merged.later.push((first, path.clone()));
            } else {
                // Read in full, so that what is wrong with it is told.
                merged.open(Input::open(path)?, tally);
            }
        }
        merged.later.sort_by(|a, b| b.cmp(a));
        Ok(merged)
    }

    /// Reads one more log, from now on.
    pub fn open(&mut self, input: Input, tally: &mut Tally) {
        let (name, lines) = (input.name.clone(), Some(Lines::of(input)));
        self.open.push(Source { name, lines, rest: Vec::new(), ahead: 0 });
        self.fill(self.open.len() - 1, tally);
    }

    /// The next event, and the name of its log.
    ///
    /// # Errors
    /// [`ImportError::Io`].
    pub fn next_entry(&mut self, tally: &mut Tally) -> Result<Option<(Box<Entry>, &str)>, ImportError> {
        loop {
            while let Some((first, _)) = self.later.last()
                && self.heap.peek().is_none_or(|Reverse(item)| *first <= item.at)
            {
                if let Some((_, path)) = self.later.pop() {
                    self.open(Input::open(&path)?, tally);
                }
            }
            let Some(Reverse(item)) = self.heap.pop() else { return Ok(None) };
            self.open[item.source].ahead -= 1;
            self.fill(item.source, tally);
            let name = &self.open[item.source].name;
            if !self.seen.insert(item.entry.id) {
                tally.skip(Place { input: name, line: item.entry.line }, "an event that came before");
                continue;
            }
            self.order.push_back(item.entry.id);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.seen.remove(&oldest);
            }
            return Ok(Some((item.entry, &self.open[item.source].name)));
        }
    }

    fn fill(&mut self, number: usize, tally: &mut Tally) {
        let source = &mut self.open[number];
        while source.ahead < AHEAD {
            let Some(entry) = source.next_entry(tally) else { return };
            source.ahead += 1;
            self.heap.push(Reverse(Item { at: entry.at, source: number, entry: Box::new(entry) }));
        }
    }
}

impl Source {
    fn next_entry(&mut self, tally: &mut Tally) -> Option<Entry> {
        loop {
            let text = match self.rest.pop() {
                Some(text) => text,
                None => self.line(tally)?,
            };
            let place = self.lines.as_ref()?.place();
            match Entry::read(text, place.line) {
                Ok(entry) => return Some(entry),
                Err((No::Use(why), _)) => tally.skip(place, why),
                Err((No::Sense(why), _)) => tally.bad(place, why),
            }
        }
    }

    /// The first event of the next line; the others wait.
    fn line(&mut self, tally: &mut Tally) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        if !self.lines.as_mut()?.next_line(&mut text, tally) {
            self.lines = None;
            return None;
        }
        let mut events = events_of(text);
        tally.read += events.len() as u64 - 1;
        events.reverse();
        let first = events.pop();
        self.rest = events;
        first
    }
}

/// The time of a log's first event.
fn first_time(input: Input) -> Option<i64> {
    let mut source =
        Source { name: String::new(), lines: Some(Lines::of(input)), rest: Vec::new(), ahead: 0 };
    source.next_entry(&mut Tally::default()).map(|entry| entry.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(millis: u64, id: &str) -> String {
        format!(
            r#"{{"kind":"Event","auditID":"{id}","stage":"ResponseComplete","verb":"create","objectRef":{{"resource":"pods"}},"responseStatus":{{"code":201}},"stageTimestamp":"2026-11-25T10:00:{:02}.{:03}Z"}}"#,
            millis / 1000,
            millis % 1000
        ) + "\n"
    }

    /// Seconds and milliseconds of the events, in the order in which they come.
    fn times(files: &[String]) -> (Vec<i64>, Tally) {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..files.len()).map(|n| dir.path().join(n.to_string())).collect();
        files.iter().zip(&paths).for_each(|(text, path)| std::fs::write(path, text).unwrap());
        let mut tally = Tally::default();
        let mut merged = Merged::of_files(&paths, &mut tally).unwrap();
        let mut times = Vec::new();
        while let Some((entry, _)) = merged.next_entry(&mut tally).unwrap() {
            times.push(entry.at / 1_000_000 % 60_000);
        }
        (times, tally)
    }

    #[test]
    fn rotated_and_parallel_logs_come_in_one_order() {
        let many =
            |from: u64| (0..600).map(|n| line(from + 2 * n, &format!("{from}-{n}"))).collect::<String>();
        let later = line(30_000, "z");
        let (found, tally) = times(&[later, many(1), many(0)]);
        assert_eq!(found.len(), 1201);
        assert!(found.is_sorted());
        assert!(!tally.is_loss());
    }

    #[test]
    fn neighbours_out_of_order_are_put_right_and_what_comes_twice_counts_once() {
        let log = [line(5, "a"), line(3, "b"), line(3, "b"), "nonsense\n".to_owned(), line(9, "c")].concat();
        let (found, tally) = times(&[log]);
        assert_eq!(found, [3, 5, 9]);
        assert_eq!(tally.dropped["an event that came before"].count, 1);
        assert_eq!(tally.dropped.values().filter(|d| !d.expected).map(|d| d.count).sum::<u64>(), 1);
        let (none, tally) = times(&["{}\n".to_owned(), String::new()]);
        assert!(none.is_empty() && tally.is_loss());
    }
}
