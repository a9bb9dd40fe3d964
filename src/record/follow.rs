use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::kinds::RecordKind;
use super::known::Known;
use super::recorder::{RecordOptions, Tap};
use super::redact::Redaction;
use crate::k8s::{Interruption, Step, Watcher};
use crate::model::{Gap, GapReason, Json, Note, ObjectEvent, Record, Synced, TraceTime, Verb};
use crate::pace::Clock;
use crate::trace::Sink;

/// How often a recorder that waits for the writer looks again.
const RETRY: Duration = Duration::from_millis(2);

/// A wait for the writer that is worth a word: what arrives meanwhile is stamped late.
const HELD_UP: Duration = Duration::from_secs(1);

/// How far the recording of a kind has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// The first list is not complete; something of it came at this time.
    Listing(TraceTime),
    /// It is in the reel.
    Synced,
    /// The server does not give it.
    Refused(String),
}

/// Follows one kind into the reel.
pub(super) struct Follower {
    kind: RecordKind,
    clock: Arc<dyn Clock>,
    sink: Sink,
    tap: Option<Tap>,
    tap_only: bool,
    redaction: Arc<Redaction>,
    known: Known,
    /// Up to when nothing is missing.
    complete: TraceTime,
    away: Option<Away>,
    synced: bool,
}

/// The watch is interrupted, and it is open whether anything is missing.
#[derive(Debug)]
struct Away {
    /// Up to when nothing is missing.
    from: TraceTime,
    reason: GapReason,
    detail: String,
}

impl Follower {
    pub(super) fn new(
        kind: RecordKind,
        clock: Arc<dyn Clock>,
        sink: Sink,
        options: &RecordOptions,
    ) -> Follower {
        let (known, complete) = (Known::new(kind.kind.clone()), clock.now());
        let RecordOptions { redaction, tap, tap_only, .. } = options.clone();
        Follower { kind, clock, sink, tap, tap_only, redaction, known, complete, away: None, synced: false }
    }

    /// Follows the kind until it is stopped, or refused before the first list. What is open by then is a gap.
    pub(super) async fn run(
        mut self,
        mut watcher: Watcher,
        start: watch::Sender<Start>,
        mut stopped: watch::Receiver<bool>,
    ) {
        loop {
            let step = tokio::select! {
                biased;
                // A recorder that is dropped without a word stops too.
                _ = stopped.wait_for(|stopped| *stopped) => break,
                step = watcher.next() => step,
            };
            match step {
                Ok(step) => {
                    let came = !matches!(step, Step::Interrupted(_));
                    self.take(step).await;
                    self.report(came, &start);
                }
                Err(error) if !self.synced => {
                    start.send_replace(Start::Refused(error.to_string()));
                    return;
                }
                Err(error) => self.interrupted(GapReason::Disconnected, error.to_string()),
            }
        }
        self.close_gap(self.clock.now());
    }

    /// Tells who waits for the first list how far it is.
    fn report(&self, came: bool, start: &watch::Sender<Start>) {
        start.send_if_modified(|state| match state {
            Start::Listing(_) if self.synced => {
                *state = Start::Synced;
                true
            }
            Start::Listing(last) if came => {
                *last = self.clock.now();
                true
            }
            _ => false,
        });
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::ListStarted => self.known.list_started(),
            Step::Listed { at, object } => self.listed(at, object).await,
            Step::ListDone { at, rv } => self.list_done(at, rv).await,
            Step::Changed { at, verb, object } => self.changed(at, verb, object).await,
            Step::Complete { at } => self.all_here(at),
            Step::Interrupted(Interruption::Expired(why)) => self.interrupted(GapReason::Expired, why),
            Step::Interrupted(Interruption::Disconnected(why)) => {
                self.interrupted(GapReason::Disconnected, why);
            }
            Step::Interrupted(Interruption::Unreadable(why)) => self.interrupted(GapReason::Unreadable, why),
        }
    }

    async fn listed(&mut self, at: TraceTime, object: Json) {
        let new = if self.synced { Verb::Added } else { Verb::Initial };
        match ObjectEvent::new(at, new, self.redaction.names(object)) {
            Some(event) => {
                for event in self.known.listed(event, new) {
                    self.tell(event).await;
                }
            }
            None => {
                self.interrupted(GapReason::Unreadable, "the list holds an object without name".to_owned());
            }
        }
    }

    async fn list_done(&mut self, at: TraceTime, rv: String) {
        for event in self.known.list_done(at) {
            self.tell(event).await;
        }
        if self.synced {
            self.close_gap(at);
        } else {
            // What happened before the first list is not part of the recording.
            self.away = self.away.take().filter(|away| away.reason == GapReason::Unreadable);
            self.close_gap(at);
            if !self.tap_only {
                self.sink.push(Record::Synced(Synced { at, kind: self.kind_name(), rv }));
            }
            self.synced = true;
        }
        self.complete = at;
    }

    async fn changed(&mut self, at: TraceTime, verb: Verb, object: Json) {
        self.all_here(at);
        match ObjectEvent::new(at, verb, self.redaction.names(object)) {
            Some(event) => {
                self.known.changed(&event);
                let held = self.tell(event).await;
                if held >= HELD_UP {
                    self.note(&format!(
                        "the disk held the recorder up for {held:.1?}: what arrived then is stamped late"
                    ));
                }
            }
            None => self.gap(at, at, GapReason::Unreadable, "an object without name".to_owned()),
        }
    }

    /// Nothing is missing up to `at`: an interruption is over, without loss.
    fn all_here(&mut self, at: TraceTime) {
        if let Some(away) = self.away.take() {
            let seconds = at.since(away.from).as_secs_f64();
            self.note(&format!(
                "the watch goes on after {seconds:.1} s; nothing is missing, but what happened then is stamped late"
            ));
        }
        self.complete = at;
    }

    fn interrupted(&mut self, reason: GapReason, detail: String) {
        tracing::warn!("{}: {detail}", self.kind);
        let detail = self.redaction.message(detail);
        match &mut self.away {
            // What cannot be had again weighs more than that the connection was away as well.
            Some(away) if reason == GapReason::Disconnected || away.reason != GapReason::Disconnected => {}
            Some(away) => (away.reason, away.detail) = (reason, detail),
            None => {
                self.note(&format!("the watch is interrupted: {detail}"));
                self.away = Some(Away { from: self.complete, reason, detail });
            }
        }
    }

    /// What happened while the watch was away is lost, but for what a list shows.
    fn close_gap(&mut self, at: TraceTime) {
        if let Some(Away { from, reason, detail }) = self.away.take() {
            self.gap(from, at, reason, detail);
        }
    }

    fn gap(&self, from: TraceTime, at: TraceTime, reason: GapReason, detail: String) {
        tracing::warn!("{}: changes of {:.1} s may be missing", self.kind.kind, at.since(from).as_secs_f64());
        self.sink.push(Record::Gap(Gap { at, from, kind: self.kind_name(), reason, detail }));
    }

    fn note(&self, text: &str) {
        let text = format!("{}: {text}", self.kind.kind);
        self.sink.push(Record::Note(Note { at: self.clock.now(), text }));
    }

    /// Puts an event into the reel; returns how long the writer made it wait. A watch that is not read is held up by
    /// the server, or closed and taken up again where it was: waiting loses nothing, a full queue would.
    async fn tell(&self, event: ObjectEvent) -> Duration {
        if let Some(tap) = &self.tap {
            tap(&event);
        }
        let mut held = Duration::ZERO;
        if self.tap_only {
            return held;
        }
        if !self.sink.has_room() {
            let from = self.clock.now();
            while !self.sink.has_room() {
                tokio::time::sleep(RETRY).await;
            }
            held = self.clock.now().since(from);
        }
        self.sink.push(Record::Object(event));
        held
    }

    fn kind_name(&self) -> String {
        self.kind.kind.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::POD;
    use crate::pace::ManualClock;
    use crate::trace::{Header, Reader, ReelThread, WriteOptions};
    use serde_json::json;

    fn pod(name: &str, rv: u32) -> Json {
        json!({"apiVersion": "v1", "kind": "Pod",
               "metadata": {"name": name, "uid": format!("u-{name}"), "resourceVersion": rv.to_string()}})
        .into()
    }

    fn at(millis: u64) -> TraceTime {
        TraceTime::from_millis(millis)
    }

    fn list(millis: u64, objects: &[Json]) -> Vec<Step> {
        let listed = objects.iter().map(|object| Step::Listed { at: at(millis), object: object.clone() });
        let done = Step::ListDone { at: at(millis), rv: "9".to_owned() };
        std::iter::once(Step::ListStarted).chain(listed).chain([done]).collect()
    }

    fn changed(millis: u64, verb: Verb, object: Json) -> Step {
        Step::Changed { at: at(millis), verb, object }
    }

    fn cut() -> Step {
        Step::Interrupted(Interruption::Disconnected("reset".to_owned()))
    }

    fn expired() -> Step {
        Step::Interrupted(Interruption::Expired("too old".to_owned()))
    }

    /// What a recording of these steps holds, in short. It ends at 60 s.
    async fn reel(steps: Vec<Step>) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.reel");
        let thread = ReelThread::start(&path, &Header::default(), WriteOptions::default()).unwrap();
        let clock = Arc::new(ManualClock::default());
        let kind = RecordKind::required(POD);
        let mut follower = Follower::new(kind, clock.clone(), thread.sink(), &RecordOptions::default());
        for step in steps {
            follower.take(step).await;
        }
        follower.close_gap(at(60_000));
        drop(follower);
        thread.seal().unwrap();
        Reader::open(&path).unwrap().map(|record| short(&record.unwrap())).collect()
    }

    fn short(record: &Record) -> String {
        let seconds = |at: TraceTime| at.as_secs_f64();
        match record {
            Record::Object(event) => {
                let inferred = if event.inferred { "inferred " } else { "" };
                format!("{inferred}{} {}", event.verb.as_str(), event.key.name)
            }
            Record::Gap(gap) => format!("{:?} {}..{}", gap.reason, seconds(gap.from), seconds(gap.at)),
            Record::Note(note) if note.text.contains("goes on") => "goes on".to_owned(),
            Record::Note(note) if note.text.contains("interrupted") => "interrupted".to_owned(),
            Record::Synced(_) => "synced".to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_interruption_without_loss_is_no_gap() {
        let mut steps = list(1, &[pod("a", 1)]);
        steps.extend([
            cut(),
            cut(),
            changed(5_000, Verb::Modified, pod("a", 2)),
            Step::Complete { at: at(6_000) },
        ]);
        let expected = ["initial a", "synced", "interrupted", "goes on", "modified a"];
        assert_eq!(reel(steps).await, expected);
    }

    #[tokio::test]
    async fn an_expiry_is_a_gap_from_the_last_time_that_all_was_known_to_the_end_of_the_list() {
        let mut steps = list(1_000, &[pod("a", 1), pod("b", 1)]);
        steps.push(Step::Complete { at: at(2_000) });
        steps.extend([cut(), expired()]);
        steps.extend(list(7_000, &[pod("b", 3), pod("c", 2)]));
        steps.push(changed(8_000, Verb::Deleted, pod("c", 4)));
        let expected = [
            "initial a",
            "initial b",
            "synced",
            "interrupted",
            "inferred modified b",
            "inferred added c",
            "inferred deleted a",
            "Expired 2..7",
            "deleted c",
        ];
        assert_eq!(reel(steps).await, expected);
    }

    #[tokio::test]
    async fn a_recording_that_ends_while_the_server_is_away_says_what_it_may_have_missed() {
        let mut steps = list(1_000, &[]);
        steps.extend([Step::Complete { at: at(30_000) }, cut()]);
        assert_eq!(reel(steps).await, ["synced", "interrupted", "Disconnected 30..60"]);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_a_gap_even_if_the_connection_breaks_too() {
        let mut steps = list(1_000, &[pod("a", 1)]);
        steps.extend([Step::Interrupted(Interruption::Unreadable("<html>".to_owned())), cut()]);
        steps.extend(list(2_000, &[pod("a", 1)]));
        steps.push(changed(3_000, Verb::Added, json!({"kind": "Pod"}).into()));
        let expected = ["initial a", "synced", "interrupted", "Unreadable 1..2", "Unreadable 3..3"];
        assert_eq!(reel(steps).await, expected);
    }

    #[tokio::test]
    async fn trouble_before_the_first_list_is_complete_is_none_of_the_recordings() {
        let mut steps = vec![Step::ListStarted, Step::Listed { at: at(1), object: pod("a", 1) }, cut()];
        steps.extend(list(9_000, &[pod("a", 1), pod("b", 1)]));
        assert_eq!(reel(steps).await, ["initial a", "interrupted", "initial b", "synced"]);
    }
}
