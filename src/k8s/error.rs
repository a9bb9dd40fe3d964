use std::path::PathBuf;

/// What can go wrong on the way to an API server.
#[derive(Debug, thiserror::Error)]
pub enum K8sError {
    /// The kubeconfig cannot be used.
    #[error("kubeconfig {path}: {what}; see `kubectl config get-contexts`, choose with --kubeconfig and --context", path = path.display())]
    Kubeconfig {
        /// The file, or what stands for it.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Nobody answers.
    #[error(
        "the API server at {url} cannot be reached: {what}; is it running, and is the address in the kubeconfig right?"
    )]
    Unreachable {
        /// Its address.
        url: String,
        /// What the connection said.
        what: String,
    },
    /// The server does not know who asks.
    #[error(
        "the API server at {url} refuses the credentials of context {context:?} (401): {what}; renew them, or choose another context with --context"
    )]
    Unauthorized {
        /// Its address.
        url: String,
        /// The context in use.
        context: String,
        /// What the server said.
        what: String,
    },
    /// The server has no such kind.
    #[error(
        "the API server has no kind {name:?}{hint}; name it as `kubectl api-resources` does, plural and group: widgets.example.com"
    )]
    UnknownKind {
        /// What was asked for.
        name: String,
        /// What may be meant, or why it cannot be used.
        hint: String,
    },
    /// The server answered with an error.
    #[error("{doing}: the API server answers {status} {reason}: {message}")]
    Api {
        /// What was asked.
        doing: String,
        /// HTTP status.
        status: u16,
        /// Kubernetes reason, such as `Forbidden`.
        reason: String,
        /// Its explanation.
        message: String,
    },
    /// The connection broke, or the answer makes no sense.
    #[error("{doing}: {what}")]
    Transport {
        /// What was asked.
        doing: String,
        /// What happened.
        what: String,
    },
}

impl K8sError {
    /// HTTP status of the server's answer, where it gave one.
    pub fn status(&self) -> Option<u16> {
        match self {
            K8sError::Api { status, .. } => Some(*status),
            K8sError::Unauthorized { .. } => Some(401),
            _ => None,
        }
    }

    /// Sorts a client error.
    pub(super) fn of(doing: impl Into<String>, error: kube::Error) -> K8sError {
        let doing = doing.into();
        match error {
            kube::Error::Api(status) => {
                K8sError::Api { doing, status: status.code, reason: status.reason, message: status.message }
            }
            other => K8sError::Transport { doing, what: chain(&other) },
        }
    }
}

/// An error with its causes: the outermost alone ("client error (Connect)") says nothing.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let next = inner.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = inner.source();
    }
    text
}
