use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::clocks;
use super::follow::{Follower, Start};
use super::kinds::RecordKind;
use super::preflight;
use super::redact::Redaction;
use crate::k8s::{K8sError, Session, WatchLimits, Watcher};
use crate::model::{ClockAnchor, Gap, GapReason, Note, ObjectEvent, Record, TraceTime};
use crate::pace::Clock;
use crate::trace::Sink;

/// How long nothing of the first list of a kind may come, tries included, before the recording goes on without it.
const COMES_WITHIN: Duration = Duration::from_mins(2);

/// How long the watches may take to write what they hold and end.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

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

/// What a recording keeps, and how patient it is.
#[derive(Clone, Default)]
pub struct RecordOptions {
    /// What is taken out of objects.
    pub redaction: Arc<Redaction>,
    /// Sees every event.
    pub tap: Option<Tap>,
    /// Events go to the tap alone: another process records them. What may be missing is still written.
    pub tap_only: bool,
    /// The patience of the watches.
    pub limits: WatchLimits,
}

/// Records kinds into a reel until it is stopped.
#[derive(Debug)]
pub struct Recorder {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    clock: Arc<dyn Clock>,
    sink: Sink,
    redaction: Arc<Redaction>,
}

impl Recorder {
    /// Starts to watch and waits until the first list of every kind is in the reel.
    ///
    /// # Errors
    /// [`RecordError::Forbidden`] where a required kind may not be listed, [`RecordError::Required`] where it cannot.
    pub async fn start(
        session: impl Into<Session>,
        kinds: Vec<RecordKind>,
        options: RecordOptions,
        sink: Sink,
        clock: Arc<dyn Clock>,
    ) -> Result<Recorder, RecordError> {
        let session = session.into();
        let (kinds, denied) = preflight::permitted(&session, &kinds).await?;
        let mut tasks = JoinSet::new();
        let mut starts = Vec::new();
        let (stop, stopped) = watch::channel(false);
        tasks.spawn(until(stopped.clone(), clocks::tie(clock.clone(), sink.clone())));
        for kind in kinds {
            let (tell, start) = watch::channel(Start::Listing(clock.now()));
            starts.push((kind.clone(), start));
            let stamp = clock.clone();
            let watcher =
                Watcher::new(session.clone(), kind.kind.clone(), options.limits, move || stamp.now())
                    .within(kind.scope.clone())
                    .reading(options.redaction.rules(&kind.kind));
            let follower = Follower::new(kind, clock.clone(), sink.clone(), &options);
            tasks.spawn(follower.run(watcher, tell, stopped.clone()));
        }
        let recorder = Recorder { tasks, stop, clock, sink, redaction: options.redaction };
        for kind in denied {
            recorder.not_recorded(&kind, "list and watch are not allowed");
        }
        for (kind, start) in starts {
            recorder.await_start(&kind, start).await?;
        }
        Ok(recorder)
    }

    /// Ends all watches. What they pushed is in the sink's queue by then; what may be missing at the end, too.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Err(error) = ended {
                    let detail = format!("a watch broke off: {error}");
                    self.gap(TraceTime::ZERO, GapReason::Disconnected, detail);
                }
            }
        };
        if timeout(STOPS_WITHIN, ended).await.is_err() {
            let at = self.clock.now();
            let detail = "the writer was too slow for what the watches held at the end".to_owned();
            self.gap(at, GapReason::Overflow, detail);
        }
        self.tasks.shutdown().await;
        self.sink.push(Record::Clock(ClockAnchor { at: self.clock.now(), wall_ns: self.clock.wall_ns() }));
    }

    async fn await_start(
        &self,
        kind: &RecordKind,
        mut start: watch::Receiver<Start>,
    ) -> Result<(), RecordError> {
        let name = kind.to_string();
        let why = loop {
            let state = start.borrow_and_update().clone();
            match state {
                Start::Synced => return Ok(()),
                Start::Refused(why) => break why,
                Start::Listing(came) => {
                    let patience = COMES_WITHIN.saturating_sub(self.clock.now().since(came));
                    match timeout(patience, start.changed()).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return Err(RecordError::Task { kind: name }),
                        Err(_) => break format!("nothing of its list came for {COMES_WITHIN:?}"),
                    }
                }
            }
        };
        if kind.required {
            let source = K8sError::Transport { doing: format!("list {name}"), what: why };
            return Err(RecordError::Required { kind: name, source });
        }
        self.not_recorded(kind, &why);
        Ok(())
    }

    /// A kind is missing: told now, and to whoever reads the reel.
    fn not_recorded(&self, kind: &RecordKind, why: &str) {
        tracing::warn!("{kind} are not recorded: {why}");
        let text = format!("{} not recorded: {}", kind.kind, self.redaction.message(why.to_owned()));
        self.sink.push(Record::Note(Note { at: self.clock.now(), text }));
    }

    /// Something may be missing, of whatever kind.
    fn gap(&self, from: TraceTime, reason: GapReason, detail: String) {
        tracing::error!("{detail}");
        let at = self.clock.now();
        self.sink.push(Record::Gap(Gap { at, from, kind: "*".to_owned(), reason, detail }));
    }
}

/// Runs a task until the recording is stopped.
async fn until(mut stopped: watch::Receiver<bool>, task: impl Future<Output = ()>) {
    tokio::select! {
        // A recorder that is dropped without a word stops too.
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = task => {}
    }
}
