use std::collections::BTreeSet;
use std::str::FromStr;

use crate::model::Failure;

/// Which kinds of failures end a run: an action that fails so, after all its retries, is the last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnError {
    stops: BTreeSet<Failure>,
}

/// One rule of the command line: `stop`, `continue`, `refused=stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnErrorRule {
    /// For this kind; absent: for all but [`Failure::Moot`], which is how runs differ from recordings.
    kind: Option<Failure>,
    stops: bool,
}

impl FromStr for OnErrorRule {
    type Err = String;

    fn from_str(text: &str) -> Result<OnErrorRule, String> {
        let (kind, what) = match text.split_once('=') {
            Some((kind, what)) => (Some(kind.parse()?), what),
            None => (None, text),
        };
        match what {
            "stop" => Ok(OnErrorRule { kind, stops: true }),
            "continue" => Ok(OnErrorRule { kind, stops: false }),
            _ => Err(format!("{what:?} is neither `continue` nor `stop`")),
        }
    }
}

impl OnError {
    /// The rules in order: later ones overrule earlier ones. Without any, a run goes on.
    pub fn of(rules: &[OnErrorRule]) -> OnError {
        let mut stops = BTreeSet::new();
        for rule in rules {
            for kind in Failure::ALL {
                if rule.kind.map_or(kind != Failure::Moot, |meant| meant == kind) {
                    if rule.stops {
                        stops.insert(kind);
                    } else {
                        stops.remove(&kind);
                    }
                }
            }
        }
        OnError { stops }
    }

    /// Whether a failure of this kind ends the run.
    pub fn stops_on(&self, kind: Failure) -> bool {
        self.stops.contains(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops(rules: &[&str]) -> Vec<Failure> {
        let rules: Result<Vec<OnErrorRule>, _> = rules.iter().map(|rule| rule.parse()).collect();
        let on_error = OnError::of(&rules.unwrap());
        Failure::ALL.into_iter().filter(|kind| on_error.stops_on(*kind)).collect()
    }

    #[test]
    fn later_rules_overrule_earlier_ones() {
        use Failure::{Moot, NoAnswer, Refused, Server, Throttled};
        assert_eq!(stops(&[]), []);
        assert_eq!(stops(&["stop"]), [NoAnswer, Throttled, Server, Refused]);
        assert_eq!(stops(&["stop", "throttled=continue", "moot=stop"]), [NoAnswer, Server, Moot, Refused]);
        assert_eq!(stops(&["refused=stop", "continue"]), []);
        for bad in ["halt", "refused=maybe", "timeout=stop"] {
            assert!(bad.parse::<OnErrorRule>().is_err(), "{bad}");
        }
    }
}
