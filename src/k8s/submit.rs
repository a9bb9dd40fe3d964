use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::error::K8sError;
use super::queue::Queue;
use super::request::{Reply, Request};
use super::retry::{Outage, Patience, persist};
use crate::model::{ObjectKey, TraceTime};

#[cfg(test)]
mod tests;

type Stamp = Arc<dyn Fn() -> TraceTime + Send + Sync>;
type Done = Box<dyn FnOnce(Answer) + Send>;

struct Job {
    key: ObjectKey,
    request: Request,
    patience: Patience,
    queued: TraceTime,
    done: Done,
}

/// How a request went.
#[derive(Debug)]
pub struct Answer {
    /// When it left, for the first time.
    pub sent: TraceTime,
    /// When the answer was there.
    pub answered: TraceTime,
    /// How often it was made again.
    pub retries: u32,
    /// The last answer.
    pub result: Result<Reply, K8sError>,
}

/// Sends requests, a bounded number at a time, in the order in which they were handed over; requests about one object
/// wait for each other's answers. When the server is slow, requests wait: nothing is dropped, and `sent` shows it.
#[derive(Debug, Clone)]
pub struct Submitter {
    queue: UnboundedSender<Job>,
    stamp: StampOf,
    patience: Patience,
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct StampOf(Stamp);

impl std::fmt::Debug for StampOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StampOf")
    }
}

#[derive(Debug, Default)]
struct Shared {
    open: AtomicUsize,
    longest_wait: AtomicU64,
    outage: Outage,
}

impl Submitter {
    /// Starts on the current runtime, with at most so many requests on their way. It ends when the last clone is dropped
    /// and its work is done. Each request gets one try; see [`Submitter::patient`].
    pub fn start(client: &kube::Client, at_once: usize, stamp: &Stamp) -> Submitter {
        let (queue, jobs) = unbounded_channel();
        let shared = Arc::new(Shared::default());
        let work = work(client.clone(), jobs, at_once.max(1), stamp.clone(), shared.clone());
        // A task that has used up its share is woken again in another order than it was told to wait in.
        tokio::spawn(tokio::task::unconstrained(work));
        Submitter { queue, stamp: StampOf(stamp.clone()), patience: Patience::none(), shared }
    }

    /// The same submitter for requests that are made again while they may pass.
    #[must_use]
    pub fn patient(self, patience: Patience) -> Submitter {
        Submitter { patience, ..self }
    }

    /// Requests whose answer has not been dealt with yet.
    pub fn open_requests(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// How long a request has waited at most because so many others were on their way, since this was asked last.
    /// Waiting for an earlier request about the same object does not count.
    pub fn take_longest_wait(&self) -> Duration {
        Duration::from_nanos(self.shared.longest_wait.swap(0, Ordering::SeqCst))
    }

    /// Queues a request about an object and calls `done` with its answer, on a runtime thread.
    pub fn submit(&self, key: &ObjectKey, request: Request, done: impl FnOnce(Answer) + Send + 'static) {
        self.shared.open.fetch_add(1, Ordering::SeqCst);
        let (patience, queued) = (self.patience.clone(), (self.stamp.0)());
        let job = Job { key: key.clone(), request, patience, queued, done: Box::new(done) };
        // A closed queue means that the runtime is going down: nobody waits for answers any more.
        let _ = self.queue.send(job);
    }

    /// Queues a request and waits for its answer; `None` when the runtime is going down.
    pub async fn call(&self, key: &ObjectKey, request: Request) -> Option<Answer> {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.submit(key, request, move |answer| {
            // The caller may have stopped waiting.
            let _ = tell.send(answer);
        });
        told.await.ok()
    }
}

/// One task sends everything, so that requests leave in order: each is polled for the first time, which hands it to its
/// connection, before the next one is.
async fn work(
    client: kube::Client,
    mut jobs: UnboundedReceiver<Job>,
    at_once: usize,
    stamp: Stamp,
    shared: Arc<Shared>,
) {
    let (mut queue, mut flying) = (Queue::<Job>::default(), FuturesUnordered::new());
    // Since when there has been a request that could leave, were not all submitters busy.
    let mut blocked = None;
    let mut is_open = true;
    while is_open || !flying.is_empty() {
        while flying.len() < at_once
            && let Some((key, job)) = queue.pop()
        {
            if let Some(since) = blocked {
                shared.note_wait(stamp().since(job.queued.max(since)));
            }
            flying.push(carry_out(&client, key, job, &stamp, &shared.outage));
        }
        if !queue.is_ready() {
            blocked = None;
        } else if blocked.is_none() {
            blocked = Some(stamp());
        }
        tokio::select! {
            Some((key, answer, done)) = flying.next(), if !flying.is_empty() => {
                queue.done(key);
                done(answer);
                shared.open.fetch_sub(1, Ordering::SeqCst);
            }
            job = jobs.recv(), if is_open => match job {
                Some(job) => queue.push(job.key.clone(), job),
                None => is_open = false,
            },
        }
    }
}

impl Shared {
    fn note_wait(&self, waited: Duration) {
        self.longest_wait.fetch_max(waited.as_nanos() as u64, Ordering::SeqCst);
    }
}

async fn carry_out(
    client: &kube::Client,
    key: ObjectKey,
    job: Job,
    stamp: &Stamp,
    outage: &Outage,
) -> (ObjectKey, Answer, Done) {
    let sent = stamp();
    let (result, retries) = persist(client, &job.request, &job.patience, outage, &**stamp).await;
    (key, Answer { sent, answered: stamp(), retries, result }, job.done)
}
