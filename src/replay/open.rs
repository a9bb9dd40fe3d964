//! Open mode: trace time divided by the speed, whatever the target makes of it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::engine::{Due, Engine};
use super::plan::{Action, TimedAction};
use crate::k8s::Answer;
use crate::model::TraceTime;
use crate::pace::{Stop, Timeline, dispatch};

/// How long after the start signal the first action is due: the dispatcher is up by then.
const LEAD: Duration = Duration::from_millis(200);

/// The time line of an open run, unset until the play starts.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenTime(Arc<OnceLock<Timeline>>);

impl OpenTime {
    /// Trace time on the run clock; before the play it stands at `origin`.
    pub(super) fn trace_time(&self, now: TraceTime, origin: TraceTime) -> TraceTime {
        self.0.get().map_or(origin, |line| line.trace_time(now))
    }

    /// When a trace instant is due on the run clock.
    pub(super) fn due(&self, at: TraceTime) -> TraceTime {
        self.0.get().map_or(TraceTime::ZERO, |line| line.due(at))
    }
}

/// Plays all actions; returns whether all went out.
pub(super) async fn play(
    engine: &Engine,
    time: &OpenTime,
    origin: TraceTime,
    speed: f64,
    actions: Vec<TimedAction>,
    stop: &Stop,
) -> bool {
    let line = Timeline { start: engine.clock.now() + LEAD, origin, speed };
    let line = *time.0.get_or_init(|| line);
    let (engine, stop) = (engine.clone(), stop.clone());
    let dispatcher = tokio::task::spawn_blocking(move || {
        let items = actions.into_iter().map(|timed| (line.due(timed.at), timed));
        dispatch(&*engine.clock.clone(), &stop, items, |run, timed| {
            hand_over(&engine, Due { trace: timed.at, run }, &timed.action);
        })
    });
    dispatcher.await.unwrap_or(false)
}

/// Sends what an action asks for.
pub(super) fn hand_over(engine: &Engine, due: Due, action: &Action) {
    let (kind, key) = (action.kind(), action.key());
    engine.prepare(action);
    let requests = engine.requests(action);
    if requests.is_empty() {
        engine.report_moot(kind, &key, due);
    }
    for (n, request) in requests.into_iter().enumerate() {
        let (reporter, about, id) = (engine.clone(), key.clone(), action.submits().map(str::to_owned));
        engine.submitter.submit(&key, request, move |answer: Answer| {
            // Lateness is that of the first request; later ones of the same action wait for it.
            if n == 0 || answer.result.is_err() {
                reporter.report(kind, &about, due, &answer);
            }
            if let (Some(id), Err(_)) = (id, &answer.result) {
                reporter.world.state().refused(&id);
            }
        });
    }
}
