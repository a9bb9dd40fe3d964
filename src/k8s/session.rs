use std::sync::Arc;

use tokio::sync::Mutex;

use super::client::{ConnectOptions, build};
use super::error::K8sError;
use super::request::{Reply, Request, send};

/// A client that can be made anew, with credentials that are read again. The client itself follows token files and
/// exec credentials that say when they end; everything else that expires shows as 401.
#[derive(Clone)]
pub struct Session {
    current: Arc<Mutex<Current>>,
    /// Where the credentials come from; absent: they stay as they are.
    options: Option<ConnectOptions>,
}

#[derive(Clone)]
struct Current {
    client: kube::Client,
    generation: u64,
}

/// Which credentials a client has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Generation(u64);

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("options", &self.options).finish_non_exhaustive()
    }
}

impl From<kube::Client> for Session {
    /// A session that keeps its credentials.
    fn from(client: kube::Client) -> Session {
        Session { current: Arc::new(Mutex::new(Current { client, generation: 0 })), options: None }
    }
}

impl Session {
    /// A session whose credentials come from `options`.
    pub(super) fn new(client: kube::Client, options: ConnectOptions) -> Session {
        Session { options: Some(options), ..Session::from(client) }
    }

    /// Sends a request with the credentials of the moment.
    ///
    /// # Errors
    /// As [`send`].
    pub async fn send(&self, request: &Request) -> Result<Reply, K8sError> {
        send(&self.client().await.0, request).await
    }

    /// The client of the moment.
    pub(super) async fn client(&self) -> (kube::Client, Generation) {
        let current = self.current.lock().await.clone();
        (current.client, Generation(current.generation))
    }

    /// Reads the credentials again, unless somebody else did so since `refused` was handed out: a server that refuses
    /// the credentials refuses those of all watches at once.
    pub(super) async fn renew(&self, refused: Generation) -> Result<(), K8sError> {
        let Some(options) = &self.options else { return Ok(()) };
        let mut current = self.current.lock().await;
        if current.generation == refused.0 {
            current.client = build(options).await?.client;
            current.generation += 1;
        }
        Ok(())
    }
}
