use std::collections::VecDeque;

use super::{FLUSH_SPAN, State};
use crate::model::{Record, TraceTime};

/// A part of the time that stands alone: it starts with the objects that existed then, and its times stay those of the
/// whole. Records go in with [`Window::take`] and come out with [`Window::next_record`]. Memory follows the number of
/// live objects.
#[derive(Debug)]
pub struct Window {
    from: TraceTime,
    to: TraceTime,
    /// The objects before the start, until they have been told.
    before: Option<State>,
    told: VecDeque<Record>,
    over: bool,
}

impl Window {
    /// The records from `from` on and before `to`.
    pub fn new(from: TraceTime, to: TraceTime) -> Window {
        Window { from, to, before: Some(State::default()), told: VecDeque::new(), over: false }
    }

    /// Takes the next record of the whole.
    pub fn take(&mut self, record: Record) {
        let at = record.at();
        if at < self.from {
            // A late record of another source: its change is part of the state, told at the start.
            match &mut self.before {
                Some(state) => state.apply(&record),
                None => self.told.push_back(record),
            }
            return;
        }
        self.tell_state();
        if at < self.to {
            self.told.push_back(record);
        }
        // Records of several sources may be out of order by less than a chunk.
        self.over = at >= self.to && at.since(self.to) >= FLUSH_SPAN;
    }

    /// Nothing more comes: the state is told now if the whole ended before the start.
    pub fn finish(&mut self) {
        self.tell_state();
        self.over = true;
    }

    /// The next record of the part, if one is complete.
    pub fn next_record(&mut self) -> Option<Record> {
        self.told.pop_front()
    }

    /// Whether what follows in the whole is past the end.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The part of these records.
    pub fn of<E>(
        mut self,
        mut records: impl Iterator<Item = Result<Record, E>>,
    ) -> impl Iterator<Item = Result<Record, E>> {
        std::iter::from_fn(move || {
            loop {
                if let Some(record) = self.next_record() {
                    return Some(Ok(record));
                }
                if self.over {
                    return None;
                }
                match records.next() {
                    Some(Ok(record)) => self.take(record),
                    Some(Err(error)) => return Some(Err(error)),
                    None => self.finish(),
                }
            }
        })
    }

    fn tell_state(&mut self) {
        if let Some(state) = self.before.take() {
            self.told.extend(state.into_records(self.from));
        }
    }
}
