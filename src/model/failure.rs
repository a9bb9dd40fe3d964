use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a request that did not succeed failed, by the HTTP status of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// No answer came: the connection broke, or nothing came in time.
    NoAnswer,
    /// 429: the server wants fewer requests.
    Throttled,
    /// 5xx: the server, or what it stands on, is in trouble.
    Server,
    /// 404 and 409: the object is not there, or is there already. In a replay that is no fault: the run has decided
    /// otherwise than the recording, so that what the trace speaks of is gone, or still there.
    Moot,
    /// Any other status: the server does not take this request, however often it is made.
    Refused,
}

impl Failure {
    /// All kinds.
    pub const ALL: [Failure; 5] =
        [Failure::NoAnswer, Failure::Throttled, Failure::Server, Failure::Moot, Failure::Refused];

    /// The kind of failure of a status, 0 where there was no answer; `None` for success.
    pub fn of_status(status: u16) -> Option<Failure> {
        match status {
            200..300 => None,
            0 => Some(Failure::NoAnswer),
            429 => Some(Failure::Throttled),
            500.. => Some(Failure::Server),
            404 | 409 => Some(Failure::Moot),
            _ => Some(Failure::Refused),
        }
    }

    /// As on the command line and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::NoAnswer => "no-answer",
            Failure::Throttled => "throttled",
            Failure::Server => "server",
            Failure::Moot => "moot",
            Failure::Refused => "refused",
        }
    }

    /// Whether the same request may succeed a moment later.
    pub fn may_pass(self) -> bool {
        matches!(self, Failure::NoAnswer | Failure::Throttled | Failure::Server)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Failure {
    type Err = String;

    fn from_str(text: &str) -> Result<Failure, String> {
        Failure::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known = Failure::ALL.map(Failure::as_str).join(", ");
            format!("{text:?} is no kind of failure; there are {known}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_kinds() {
        use Failure::{Moot, NoAnswer, Refused, Server, Throttled};
        let kinds = [0, 200, 201, 403, 404, 409, 422, 429, 500, 503, 504].map(Failure::of_status);
        let expected = [
            Some(NoAnswer),
            None,
            None,
            Some(Refused),
            Some(Moot),
            Some(Moot),
            Some(Refused),
            Some(Throttled),
            Some(Server),
            Some(Server),
            Some(Server),
        ];
        assert_eq!(kinds, expected);
        for kind in Failure::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("timeout".parse::<Failure>().unwrap_err().contains("no-answer"));
    }
}
