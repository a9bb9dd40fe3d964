use std::str::FromStr;
use std::time::Duration;

/// How a node is made to fail: the value of the annotation `kubereel.dev/failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It falls silent: `stop`.
    Stop,
    /// It says that it is not ready: `not-ready`.
    NotReady,
    /// By turns it works for a while and is silent for a while: `flap:UP,DOWN`, such as `flap:2m,90s`.
    Flap {
        /// How long it works.
        up: Duration,
        /// How long it is silent.
        down: Duration,
    },
}

/// The annotation of nodes and node groups that makes them fail.
pub const FAILURE_ANNOTATION: &str = "kubereel.dev/failure";

impl FromStr for Failure {
    type Err = String;

    fn from_str(text: &str) -> Result<Failure, String> {
        let usage = || format!("{text:?} is no failure: write stop, not-ready or flap:UP,DOWN (flap:2m,90s)");
        match text {
            "stop" => return Ok(Failure::Stop),
            "not-ready" => return Ok(Failure::NotReady),
            _ => {}
        }
        let times = text.strip_prefix("flap:").and_then(|times| times.split_once(',')).ok_or_else(usage)?;
        let time = |text: &str| humantime::parse_duration(text.trim()).ok().filter(|time| !time.is_zero());
        let (up, down) = time(times.0).zip(time(times.1)).ok_or_else(usage)?;
        Ok(Failure::Flap { up, down })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_words() {
        let flap = Failure::Flap { up: Duration::from_mins(2), down: Duration::from_secs(90) };
        for (text, failure) in
            [("stop", Failure::Stop), ("not-ready", Failure::NotReady), ("flap:2m,90s", flap)]
        {
            assert_eq!(text.parse(), Ok(failure));
        }
        for bad in ["", "flap", "flap:1m", "flap:0s,1s", "explode"] {
            assert!(bad.parse::<Failure>().is_err(), "{bad}");
        }
    }
}
