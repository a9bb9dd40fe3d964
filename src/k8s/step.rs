use std::time::Duration;

use crate::model::{Json, TraceTime, Verb};

/// How long a watcher waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchLimits {
    /// A connection that brings nothing for so long is dead. Servers send a bookmark about each minute
    /// (`bookmarkFrequency` in `k8s.io/apiserver/pkg/storage/cacher/cacher.go`, v0.37.2), so this must be more.
    pub silence: Duration,
    /// After how long the server is asked to end a watch; jittered down to its half, so that the watches of a
    /// recorder do not all end at once. Whole seconds, at least one.
    pub lifetime: Duration,
}

impl Default for WatchLimits {
    /// Two bookmarks may be missed; reflectors ask for 5 to 10 minutes (`k8s.io/client-go/tools/cache/reflector.go`
    /// v0.37.2, `minWatchTimeout`).
    fn default() -> Self {
        WatchLimits { silence: Duration::from_secs(150), lifetime: Duration::from_mins(10) }
    }
}

/// What a watcher saw next.
#[derive(Debug, PartialEq)]
pub enum Step<T = Json> {
    /// A list begins: what it does not hold is not there. A list that breaks off is followed by another beginning.
    ListStarted,
    /// An object of the list.
    Listed {
        /// When its bytes arrived.
        at: TraceTime,
        /// The object.
        object: T,
    },
    /// The list is complete.
    ListDone {
        /// When its last bytes arrived.
        at: TraceTime,
        /// resourceVersion of the list.
        rv: String,
    },
    /// One change.
    Changed {
        /// When its bytes arrived.
        at: TraceTime,
        /// Added, modified or deleted.
        verb: Verb,
        /// The object.
        object: T,
    },
    /// Nothing is missing up to here: a bookmark came, or the server goes on from the last change after an
    /// interruption.
    Complete {
        /// When that was known.
        at: TraceTime,
    },
    /// The stream broke. What follows says whether anything is missing.
    Interrupted(Interruption),
}

/// Why a stream broke.
#[derive(Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The server no longer has the changes since the last one: a list follows.
    Expired(String),
    /// The connection failed; the watch goes on from the last change, late but complete, if the server still has it.
    Disconnected(String),
    /// What came made no sense and was left out: a list follows.
    Unreadable(String),
}
