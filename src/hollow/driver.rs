use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::fleet::{Fleet, HollowRequest, Instants, Outcome};
use super::keeper::instants;
use crate::k8s::{Answer, Submitter};
use crate::model::{ObjectEvent, TraceTime};
use crate::pace::Clock;

/// Tells the trace time at which the run stands.
pub type TraceNow = Arc<dyn Fn() -> TraceTime + Send + Sync>;

/// Hears how each request of a hollow node went.
pub type Report = Arc<dyn Fn(&HollowRequest, &Answer) + Send + Sync>;

/// Called with how a request went.
pub(super) type Done = Box<dyn FnOnce(Outcome) + Send>;

/// The longest nap in a replay: trace time may jump or run fast.
const NAP: Duration = Duration::from_millis(20);

/// Where requests of pods go.
pub(super) trait Outlet: Send + Sync + 'static {
    /// Whether one more may be on its way.
    fn has_room(&self) -> bool;
    /// Sends a request and calls `done` once, after the answer.
    fn send(&self, request: HollowRequest, done: Done);
}

/// Through a submitter, which keeps the order of requests about one object with those of others.
struct Reported {
    submitter: Submitter,
    report: Report,
}

impl Outlet for Reported {
    fn has_room(&self) -> bool {
        true
    }

    fn send(&self, request: HollowRequest, done: Done) {
        let report = self.report.clone();
        let (key, http) = (request.key.clone(), request.request.clone());
        self.submitter.submit(&key, http, move |answer| {
            done(answer.result.as_ref().map_or_else(|e| Outcome::of(e.status()), |_| Outcome::Done));
            report(&request, &answer);
        });
    }
}

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
        Driver::with(fleet, Arc::new(Reported { submitter, report }), clock, now, NAP)
    }

    /// The same with another outlet; `nap` is the longest time for which the fleet is not looked at.
    pub(super) fn with(
        fleet: Arc<Mutex<Fleet>>,
        outlet: Arc<dyn Outlet>,
        clock: Arc<dyn Clock>,
        now: TraceNow,
        nap: Duration,
    ) -> Driver {
        let wake = Arc::new(Notify::new());
        let task = tokio::spawn(drive(fleet.clone(), wake.clone(), outlet, clock, now, nap));
        Driver { fleet, wake, task }
    }

    /// Takes note of a pod event that happened at `now` in trace time.
    pub fn observe(&self, event: &ObjectEvent, now: TraceTime) {
        self.tell(|fleet| fleet.observe(event, now));
    }

    /// Changes the fleet, and looks whether anything follows.
    pub(super) fn tell<T>(&self, change: impl FnOnce(&mut Fleet) -> T) -> T {
        let told = change(&mut self.fleet.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
        told
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
    outlet: Arc<dyn Outlet>,
    clock: Arc<dyn Clock>,
    now: TraceNow,
    nap: Duration,
) {
    loop {
        let idle = {
            let mut locked = fleet.lock().unwrap_or_else(PoisonError::into_inner);
            let fired =
                outlet.has_room().then(|| locked.fire_next(Instants { trace: now(), ..instants(&*clock) }));
            match fired.flatten() {
                // Under the lock: whoever finds nothing owed finds the request submitted.
                Some(request) => {
                    let done = done(&fleet, &wake, &now, &request);
                    outlet.send(request, done);
                    None
                }
                None if !outlet.has_room() => Some(nap),
                None => Some(locked.next_due().map_or(nap, |due| due.since(now()).min(nap))),
            }
        };
        if let Some(idle) = idle {
            let _ = tokio::time::timeout(idle, wake.notified()).await;
        }
    }
}

/// Tells the fleet how a request went, and wakes the driver.
fn done(fleet: &Arc<Mutex<Fleet>>, wake: &Arc<Notify>, now: &TraceNow, request: &HollowRequest) -> Done {
    let (fleet, wake, now, request) = (fleet.clone(), wake.clone(), now.clone(), request.waiting());
    Box::new(move |outcome| {
        fleet.lock().unwrap_or_else(PoisonError::into_inner).answered(request.as_ref(), outcome, now());
        wake.notify_one();
    })
}
