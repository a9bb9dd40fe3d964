//! The modes in which time does not wait for decisions: open (trace time divided by the speed, whatever the target makes of
//! it) and flood (as fast as the target takes it).

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::engine::{Due, Engine};
use super::plan::{Action, TimedAction};
use crate::k8s::Answer;
use crate::model::TraceTime;
use crate::pace::{Stop, Timeline, dispatch};

/// How long after the start signal the first action is due: the dispatcher is up by then.
pub(super) const LEAD: Duration = Duration::from_millis(200);

/// In flood, requests that wait for an answer or for a submitter at most: those ready to go are built ahead of their turn.
const AHEAD: usize = 1024;

/// In flood, the pause of the dispatcher once it is so far ahead.
const NAP: Duration = Duration::from_micros(200);

/// In flood, how long a deletion waits for the scheduler to have decided on its pod.
const DECIDES_WITHIN: Duration = Duration::from_mins(1);

/// Pause between two looks whether all actions have been answered.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

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

/// Plays all actions; returns whether all went out and were answered.
pub(super) async fn play(
    engine: &Engine,
    time: &OpenTime,
    line: Timeline,
    actions: Vec<TimedAction>,
    stop: &Stop,
) -> bool {
    let line = *time.0.get_or_init(|| line);
    let (pacing, stopping) = (engine.clone(), stop.clone());
    let dispatcher = tokio::task::spawn_blocking(move || {
        let items = actions.into_iter().map(|timed| (line.due(timed.at), timed));
        dispatch(&*pacing.clock.clone(), &stopping, items, |run, timed| {
            hand_over(&pacing, Due { trace: timed.at, run }, &timed.action);
        })
    });
    dispatcher.await.unwrap_or(false) && answered(engine, stop).await
}

/// Plays all actions as fast as the target takes them, in their order, but for those that would undo what came before: a
/// pod is deleted once the scheduler has decided on it, and a node leaves after that. Hollow nodes run their pods in real
/// time. Returns whether all actions went out and were answered.
pub(super) async fn flood(
    engine: &Engine,
    time: &OpenTime,
    line: Timeline,
    actions: Vec<TimedAction>,
    stop: &Stop,
) -> bool {
    time.0.get_or_init(|| line);
    let (load, relief) = by_effect(actions);
    let (flooding, stopping) = (engine.clone(), stop.clone());
    let flooded = tokio::task::spawn_blocking(move || {
        for timed in load {
            while flooding.submitter.open_requests() >= AHEAD && !stopping.is_stopped() {
                std::thread::sleep(NAP);
            }
            if stopping.is_stopped() {
                return false;
            }
            hand_over(&flooding, now(&flooding, &timed), &timed.action);
        }
        true
    });
    if !flooded.await.unwrap_or(false) {
        return false;
    }
    for timed in relief {
        if let Action::DeletePod { id, .. } = &timed.action {
            engine.world.until(DECIDES_WITHIN, |w| stop.is_stopped() || w.is_decided(id)).await;
        }
        if stop.is_stopped() {
            return false;
        }
        hand_over(engine, now(engine, &timed), &timed.action);
    }
    answered(engine, stop).await
}

/// Waits until every action has been answered, however long the target takes: each is given up at some time. Says whether
/// that came.
async fn answered(engine: &Engine, stop: &Stop) -> bool {
    while engine.tally.unanswered() > 0 {
        if stop.is_stopped() {
            return false;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    true
}

/// In flood an action is due when its turn comes.
fn now(engine: &Engine, timed: &TimedAction) -> Due {
    Due { trace: timed.at, run: engine.clock.now() }
}

/// Actions that load the scheduler, and those that take away: deletions, and whatever comes after one about its object.
fn by_effect(actions: Vec<TimedAction>) -> (Vec<TimedAction>, Vec<TimedAction>) {
    let mut gone = HashSet::new();
    actions.into_iter().partition(|timed| {
        let takes_away = matches!(
            timed.action,
            Action::DeletePod { .. } | Action::DeleteNode { .. } | Action::DeleteContext { .. }
        );
        let key = timed.action.key();
        if takes_away {
            gone.insert(key);
            return false;
        }
        !gone.contains(&key)
    })
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
        engine.tally.begin();
        engine.submitter.submit(&key, request, move |answer: Answer| {
            // Lateness is that of the first request; later ones of the same action wait for it.
            if n == 0 || answer.result.is_err() {
                reporter.report(kind, &about, due, &answer);
            }
            if let (Some(id), Err(_)) = (id, &answer.result) {
                reporter.world.state().refused(&id);
            }
            reporter.tally.end();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Json, ObjectKey};
    use crate::replay::plan::Submission;

    #[test]
    fn a_flood_takes_away_last_and_keeps_the_order_of_each_object() {
        let key =
            |name: &str| ObjectKey { kind: "Pod".into(), namespace: Some("n".into()), name: name.into() };
        let create = |name: &str| {
            let object = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n"}});
            Action::CreatePod(Submission { id: name.to_owned(), object: Json::from(object) })
        };
        let delete = |name: &str| Action::DeletePod { id: name.to_owned(), key: key(name), grace: None };
        let actions = [create("a"), delete("a"), create("b"), create("a"), delete("b"), create("c")];
        let timed = |(n, action)| TimedAction { at: TraceTime::from_millis(n), action };
        let (load, relief) = by_effect((0..).zip(actions).map(timed).collect());
        let at =
            |some: Vec<TimedAction>| some.iter().map(|t| t.at.as_nanos() / 1_000_000).collect::<Vec<_>>();
        assert_eq!((at(load), at(relief)), (vec![0, 2, 5], vec![1, 3, 4]));
    }
}
