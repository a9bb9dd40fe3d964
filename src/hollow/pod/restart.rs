//! What follows when a container exits (`pkg/api/v1/pod/util.go`, v1.37.2, `ContainerShouldRestart`; KEP-5307 and
//! KEP-5532).

use crate::hollow::seen::{SeenContainer, SeenRestartRule};

/// What happens to a container that exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::hollow) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    /// By its name; `None` where there is none.
    pub(super) fn named(name: &str) -> Option<RestartPolicy> {
        match name {
            "Always" => Some(RestartPolicy::Always),
            "OnFailure" => Some(RestartPolicy::OnFailure),
            "Never" => Some(RestartPolicy::Never),
            _ => None,
        }
    }

    fn restarts(self, code: i32) -> bool {
        match self {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => code != 0,
            RestartPolicy::Never => false,
        }
    }
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum AfterExit {
    Stays,
    Restarts,
    /// All containers of the pod start again, from the first init container on.
    RestartsAll,
}

/// A rule that goes before the policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Rule {
    codes: Vec<i32>,
    /// It is about these codes, or about all others.
    is_within: bool,
    then: AfterExit,
}

/// A container's rules and its policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Restarts {
    rules: Vec<Rule>,
    policy: RestartPolicy,
}

impl Restarts {
    /// Of a container; its pod's policy counts where it has none of its own.
    pub(super) fn of(container: &SeenContainer, is_init: bool, of_pod: RestartPolicy) -> Restarts {
        let own = RestartPolicy::named(&container.restart_policy);
        let policy = match own.unwrap_or(of_pod) {
            // An init container that succeeds is done, whatever the policy; but for a sidecar, which says so itself.
            RestartPolicy::Always if is_init && own.is_none() => RestartPolicy::OnFailure,
            policy => policy,
        };
        // Rules without a policy are not heeded; the API server does not take them.
        let rules = if own.is_some() { container.restart_policy_rules.as_slice() } else { &[] };
        Restarts { rules: rules.iter().filter_map(Rule::of).collect(), policy }
    }

    /// What follows an exit with this code.
    pub(super) fn after(&self, code: i32) -> AfterExit {
        let rule = self.rules.iter().find(|rule| rule.codes.contains(&code) == rule.is_within);
        match rule {
            Some(rule) => rule.then,
            None if self.policy.restarts(code) => AfterExit::Restarts,
            None => AfterExit::Stays,
        }
    }

    /// Whether it is meant to end: it is no server.
    pub(super) fn may_end(&self) -> bool {
        self.policy != RestartPolicy::Always
    }
}

impl Rule {
    fn of(seen: &SeenRestartRule) -> Option<Rule> {
        let codes = seen.exit_codes.as_ref()?;
        let is_within = match codes.operator.as_str() {
            "In" => true,
            "NotIn" => false,
            _ => return None,
        };
        let then = match seen.action.as_str() {
            "Restart" => AfterExit::Restarts,
            "RestartAllContainers" => AfterExit::RestartsAll,
            _ => return None,
        };
        Some(Rule { codes: codes.values.clone(), is_within, then })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_rule_that_fits_goes_before_the_policies() {
        let container = |own: Option<&str>| -> SeenContainer {
            serde_json::from_value(json!({"restartPolicy": own.unwrap_or_default(), "restartPolicyRules": [
                {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}},
                {"action": "Unheard", "exitCodes": {"operator": "In", "values": [7]}},
                {"action": "RestartAllContainers", "exitCodes": {"operator": "NotIn", "values": [0, 1, 7]}}]}))
            .unwrap()
        };
        let after =
            |own, is_init, code| Restarts::of(&container(own), is_init, RestartPolicy::Always).after(code);
        for (own, is_init, code, then) in [
            (Some("Never"), false, 42, AfterExit::Restarts),
            (Some("Never"), false, 43, AfterExit::RestartsAll),
            (Some("Never"), false, 7, AfterExit::Stays),
            (Some("OnFailure"), false, 1, AfterExit::Restarts),
            (Some("OnFailure"), false, 0, AfterExit::Stays),
            (None, false, 42, AfterExit::Restarts),
            (None, false, 0, AfterExit::Restarts),
            (None, true, 0, AfterExit::Stays),
            (Some("Never"), true, 1, AfterExit::Stays),
        ] {
            assert_eq!(after(own, is_init, code), then, "{own:?} {is_init} {code}");
        }
        assert!(!Restarts::of(&container(None), false, RestartPolicy::Always).may_end());
        assert!(Restarts::of(&container(Some("Never")), false, RestartPolicy::Always).may_end());
    }
}
