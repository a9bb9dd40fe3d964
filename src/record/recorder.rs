use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::kinds::RecordKind;
use super::known::Known;
use super::preflight;
use super::redact::Redaction;
use crate::k8s::{Interruption, K8sError, Step, Watcher};
use crate::model::{ClockAnchor, Gap, GapReason, Json, Note, ObjectEvent, Record, Synced, TraceTime, Verb};
use crate::pace::Clock;
use crate::trace::Sink;

/// How often trace time is tied to the wall clock.
const ANCHOR_INTERVAL: Duration = Duration::from_secs(10);

/// Sees every object event as it is recorded.
pub type Tap = Arc<dyn Fn(&ObjectEvent) + Send + Sync>;

/// Why a recording cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Pods or nodes cannot be listed.
    #[error("cannot record {kind}; the recorder needs to get, list and watch it in all namespaces")]
    Required {
        /// The kind.
        kind: String,
        /// What the server said.
        source: K8sError,
    },
    /// The server does not let us.
    #[error(
        "not allowed to list and watch {kinds}; bind a role with these rules to the recorder (`kubectl apply`):\n{role}"
    )]
    Forbidden {
        /// The kinds without which a recording is worthless.
        kinds: String,
        /// A `ClusterRole` that allows this recording.
        role: String,
    },
    /// A task died.
    #[error("the recording of {kind} broke off")]
    Task {
        /// The kind.
        kind: String,
    },
}

/// What a recording keeps.
#[derive(Clone, Default)]
pub struct RecordOptions {
    /// What is taken out of objects.
    pub redaction: Arc<Redaction>,
    /// Sees every event.
    pub tap: Option<Tap>,
}

/// Records kinds into a reel until it is stopped.
#[derive(Debug)]
pub struct Recorder {
    tasks: JoinSet<()>,
    clock: Arc<dyn Clock>,
    sink: Sink,
    redaction: Arc<Redaction>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Start {
    Listing,
    Synced,
    Refused(String),
}

struct KindRecorder {
    kind: RecordKind,
    clock: Arc<dyn Clock>,
    sink: Sink,
    options: RecordOptions,
    known: Known,
    last_seen: TraceTime,
    synced: bool,
}

impl Recorder {
    /// Starts to watch and waits until the first list of every kind is in the reel.
    ///
    /// # Errors
    /// [`RecordError::Forbidden`] where a required kind may not be listed, [`RecordError::Required`] where it cannot.
    pub async fn start(
        client: &kube::Client,
        kinds: Vec<RecordKind>,
        options: RecordOptions,
        sink: Sink,
        clock: Arc<dyn Clock>,
    ) -> Result<Recorder, RecordError> {
        let (kinds, denied) = preflight::permitted(client, &kinds).await?;
        for kind in denied {
            not_recorded(&kind, "list and watch are not allowed", &options.redaction, &sink, &*clock);
        }
        let mut tasks = JoinSet::new();
        let mut starts = Vec::new();
        tasks.spawn(tie_clocks(clock.clone(), sink.clone()));
        for kind in kinds {
            let (tell, start) = watch::channel(Start::Listing);
            starts.push((kind.clone(), start));
            let stamp = clock.clone();
            let watcher = Watcher::new(client.clone(), kind.kind.clone(), move || stamp.now())
                .within(kind.scope.clone());
            let recorder = KindRecorder {
                kind,
                clock: clock.clone(),
                sink: sink.clone(),
                options: options.clone(),
                known: Known::default(),
                last_seen: clock.now(),
                synced: false,
            };
            tasks.spawn(recorder.run(watcher, tell));
        }
        let recorder = Recorder { tasks, clock, sink, redaction: options.redaction };
        for (kind, start) in starts {
            recorder.await_start(&kind, start).await?;
        }
        Ok(recorder)
    }

    /// Ends all watches. What they pushed so far is in the sink's queue.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }

    async fn await_start(
        &self,
        kind: &RecordKind,
        mut start: watch::Receiver<Start>,
    ) -> Result<(), RecordError> {
        let name = kind.to_string();
        let state = start.wait_for(|s| *s != Start::Listing).await;
        let state = state.map_err(|_| RecordError::Task { kind: name.clone() })?.clone();
        match state {
            Start::Refused(why) if kind.required => {
                let source = K8sError::Transport { doing: format!("list {name}"), what: why };
                Err(RecordError::Required { kind: name, source })
            }
            Start::Refused(why) => {
                not_recorded(kind, &why, &self.redaction, &self.sink, &*self.clock);
                Ok(())
            }
            Start::Synced | Start::Listing => Ok(()),
        }
    }
}

/// A kind is missing: told now, and to whoever reads the reel.
fn not_recorded(kind: &RecordKind, why: &str, redaction: &Redaction, sink: &Sink, clock: &dyn Clock) {
    tracing::warn!("{kind} are not recorded: {why}");
    let text = format!("{} not recorded: {}", kind.kind, redaction.message(why.to_owned()));
    sink.push(Record::Note(Note { at: clock.now(), text }));
}

async fn tie_clocks(clock: Arc<dyn Clock>, sink: Sink) {
    let mut ticks = tokio::time::interval(ANCHOR_INTERVAL);
    loop {
        ticks.tick().await;
        sink.push(Record::Clock(ClockAnchor { at: clock.now(), wall_ns: clock.wall_ns() }));
    }
}

impl KindRecorder {
    async fn run(mut self, mut watcher: Watcher, tell: watch::Sender<Start>) {
        loop {
            match watcher.next().await {
                Ok(step) => {
                    self.take(step);
                    if self.synced {
                        tell.send_replace(Start::Synced);
                    }
                }
                Err(error) if !self.synced => {
                    tell.send_replace(Start::Refused(error.to_string()));
                    return;
                }
                Err(error) => {
                    self.gap(GapReason::Disconnected, error.to_string());
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Listed { at, items, rv } => self.listed(at, items, rv),
            Step::Changed { at, verb, object } => {
                self.last_seen = at;
                match ObjectEvent::new(at, verb, self.options.redaction.object(&object)) {
                    Some(event) => self.push(event),
                    None => self.gap(GapReason::Unreadable, "an object without name".to_owned()),
                }
            }
            Step::Interrupted(Interruption::Expired(why)) => self.gap(GapReason::Expired, why),
            Step::Interrupted(Interruption::Disconnected(why)) => self.gap(GapReason::Disconnected, why),
            Step::Interrupted(Interruption::Unreadable(why)) => self.gap(GapReason::Unreadable, why),
        }
    }

    fn listed(&mut self, at: TraceTime, items: Vec<Json>, rv: String) {
        self.last_seen = at;
        let items = items.into_iter().map(|item| self.options.redaction.object(&item)).collect::<Vec<_>>();
        if self.synced {
            for event in self.known.relisted(at, items) {
                self.tell(event);
            }
            return;
        }
        for event in items.into_iter().filter_map(|item| ObjectEvent::new(at, Verb::Initial, item)) {
            self.push(event);
        }
        let kind = self.kind_name();
        self.sink.push(Record::Synced(Synced { at, kind, rv }));
        self.synced = true;
    }

    fn push(&mut self, event: ObjectEvent) {
        self.known.apply(&event);
        self.tell(event);
    }

    fn tell(&self, event: ObjectEvent) {
        if let Some(tap) = &self.options.tap {
            tap(&event);
        }
        self.sink.push(Record::Object(event));
    }

    fn gap(&self, reason: GapReason, detail: String) {
        tracing::warn!("{}: {reason:?}: {detail}", self.kind);
        let at = self.clock.now();
        let (from, kind) = (self.last_seen, self.kind_name());
        let detail = self.options.redaction.message(detail);
        self.sink.push(Record::Gap(Gap { at, from, kind, reason, detail }));
    }

    fn kind_name(&self) -> String {
        self.kind.kind.name()
    }
}
