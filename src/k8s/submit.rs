use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::error::K8sError;
use super::request::{Reply, Request, send};
use crate::model::{ObjectKey, TraceTime};

type Stamp = Arc<dyn Fn() -> TraceTime + Send + Sync>;
type Done = Box<dyn FnOnce(Answer) + Send>;

struct Job {
    request: Request,
    done: Done,
}

/// How a request went.
#[derive(Debug)]
pub struct Answer {
    /// When it left.
    pub sent: TraceTime,
    /// When the answer was there.
    pub answered: TraceTime,
    /// The answer.
    pub result: Result<Reply, K8sError>,
}

/// Sends requests on a fixed number of lanes. Requests for one object keep their order (they share a lane);
/// others overtake each other. When the server is slow, requests wait in their lane: nothing is dropped.
#[derive(Debug, Clone)]
pub struct Submitter {
    lanes: Vec<UnboundedSender<Job>>,
    open: Arc<AtomicUsize>,
}

impl Submitter {
    /// Starts the lanes on the current runtime. They end when the last clone is dropped and their work is done.
    pub fn start(client: &kube::Client, lanes: usize, stamp: &Stamp) -> Submitter {
        let open = Arc::new(AtomicUsize::new(0));
        let lanes = (0..lanes.max(1))
            .map(|_| {
                let (lane, jobs) = unbounded_channel();
                tokio::spawn(work(client.clone(), jobs, stamp.clone(), open.clone()));
                lane
            })
            .collect();
        Submitter { lanes, open }
    }

    /// Requests whose answer has not been dealt with yet.
    pub fn open_requests(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Queues a request for an object and calls `done` with its answer, on a runtime thread.
    pub fn submit(&self, key: &ObjectKey, request: Request, done: impl FnOnce(Answer) + Send + 'static) {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let lane = &self.lanes[(hash % self.lanes.len() as u64) as usize];
        self.open.fetch_add(1, Ordering::SeqCst);
        // A closed lane means that the runtime is going down: nobody waits for answers any more.
        let _ = lane.send(Job { request, done: Box::new(done) });
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

async fn work(client: kube::Client, mut jobs: UnboundedReceiver<Job>, stamp: Stamp, open: Arc<AtomicUsize>) {
    while let Some(job) = jobs.recv().await {
        let sent = stamp();
        let result = send(&client, &job.request).await;
        (job.done)(Answer { sent, answered: stamp(), result });
        open.fetch_sub(1, Ordering::SeqCst);
    }
}
