use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::status::Status;
use super::store::{Store, StoreError};

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_mins(1);

/// Uploads sealed files one after the other, and tries again for as long as it takes. A file leaves the disk only when
/// the store has shown that it has all of it.
#[derive(Debug)]
pub(super) struct Uploader {
    queue: UnboundedSender<PathBuf>,
    ending: watch::Sender<bool>,
    task: JoinHandle<()>,
    status: Arc<Status>,
}

impl Uploader {
    pub(super) fn start(store: Arc<Store>, status: Arc<Status>) -> Uploader {
        let (queue, files) = unbounded_channel();
        let (ending, is_ending) = watch::channel(false);
        let task = tokio::spawn(upload_all(store, files, is_ending, status.clone()));
        Uploader { queue, ending, task, status }
    }

    pub(super) fn add(&self, path: PathBuf, bytes: u64) {
        self.status.upload_waits(&path, bytes);
        // The task ends only when the queue does.
        let _ = self.queue.send(path);
    }

    /// Goes on trying for a while; what is left then stays on the disk.
    pub(super) async fn finish(self, patience: Duration) -> Vec<PathBuf> {
        let Uploader { queue, ending, mut task, status } = self;
        drop(queue);
        ending.send_replace(true);
        if tokio::time::timeout(patience, &mut task).await.is_err() {
            task.abort();
        }
        status.waiting()
    }
}

async fn upload_all(
    store: Arc<Store>,
    mut files: UnboundedReceiver<PathBuf>,
    mut ending: watch::Receiver<bool>,
    status: Arc<Status>,
) {
    while let Some(path) = files.recv().await {
        let mut backoff = FIRST_BACKOFF;
        while let Err(error) = upload(&store, &path, &status).await {
            status.upload_failed();
            tracing::warn!("{}: not uploaded yet: {error}", path.display());
            let hurried = *ending.borrow();
            tokio::select! {
                () = tokio::time::sleep(if hurried { FIRST_BACKOFF } else { backoff }) => {}
                // The end is near: no time to wait for a minute.
                _ = ending.wait_for(|ending| *ending), if !hurried => {}
            }
            backoff = (backoff * 2).min(LAST_BACKOFF);
        }
    }
}

async fn upload(store: &Store, path: &Path, status: &Status) -> Result<(), StoreError> {
    match store.upload(path).await {
        Ok(url) => {
            tracing::info!("{}: uploaded to {url}", path.display());
            status.upload_over(path, true);
            if let Err(error) = tokio::fs::remove_file(path).await {
                tracing::warn!("{}: is uploaded, but cannot be removed: {error}", path.display());
            }
            Ok(())
        }
        // Another recorder with the same spool was faster.
        Err(StoreError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
            status.upload_over(path, false);
            Ok(())
        }
        Err(error) => Err(error),
    }
}
