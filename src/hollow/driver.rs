use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::fleet::{Fleet, HollowRequest, Instants, Outcome};
use super::lease::wall;
use crate::k8s::{Answer, Submitter};
use crate::model::{ObjectEvent, TraceTime};
use crate::pace::Clock;

/// Tells the trace time at which the run stands.
pub type TraceNow = Arc<dyn Fn() -> TraceTime + Send + Sync>;

/// Hears how each request of a hollow node went.
pub type Report = Arc<dyn Fn(&HollowRequest, &Answer) + Send + Sync>;

/// The longest nap: trace time may jump or run fast.
const NAP: Duration = Duration::from_millis(20);

/// Runs a fleet on its own: obligations are met as trace time passes.
#[derive(Debug)]
pub struct Driver {
    fleet: Arc<Mutex<Fleet>>,
    wake: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Driver {
    /// Starts on the current runtime.
    pub fn start(
        fleet: Arc<Mutex<Fleet>>,
        submitter: Submitter,
        clock: Arc<dyn Clock>,
        now: TraceNow,
        report: Report,
    ) -> Driver {
        let wake = Arc::new(Notify::new());
        let task = tokio::spawn(drive(fleet.clone(), wake.clone(), submitter, clock, now, report));
        Driver { fleet, wake, task }
    }

    /// Takes note of a pod event that happened at `now` in trace time.
    pub fn observe(&self, event: &ObjectEvent, now: TraceTime) {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner).observe(event, now);
        self.wake.notify_one();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn drive(
    fleet: Arc<Mutex<Fleet>>,
    wake: Arc<Notify>,
    submitter: Submitter,
    clock: Arc<dyn Clock>,
    now: TraceNow,
    report: Report,
) {
    let fleet_of = fleet.clone();
    loop {
        let fired = {
            let mut fleet = fleet.lock().unwrap_or_else(PoisonError::into_inner);
            let fired = fleet.fire_next(Instants { trace: now(), wall: wall(&*clock) });
            // Under the lock: whoever finds nothing owed finds the request submitted.
            fired.map(|request| {
                let (fleet, wake, now) = (fleet_of.clone(), wake.clone(), now.clone());
                let report = report.clone();
                let (key, http) = (request.key.clone(), request.request.clone());
                submitter.submit(&key, http, move |answer| {
                    let mut fleet = fleet.lock().unwrap_or_else(PoisonError::into_inner);
                    fleet.answered(&request, outcome(&answer), now());
                    drop(fleet);
                    report(&request, &answer);
                    wake.notify_one();
                });
            })
        };
        if fired.is_none() {
            let _ = tokio::time::timeout(NAP, wake.notified()).await;
        }
    }
}

/// How an answer looks to the fleet.
pub(super) fn outcome(answer: &Answer) -> Outcome {
    match &answer.result {
        Ok(_) => Outcome::Done,
        Err(error) => Outcome::of(error.status()),
    }
}
