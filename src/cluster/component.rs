use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ClusterError;

/// One program of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Component {
    /// `etcd`.
    Etcd,
    /// `kube-apiserver`.
    ApiServer,
    /// `kube-controller-manager`.
    ControllerManager,
    /// `kube-scheduler`.
    Scheduler,
}

impl Component {
    /// All four, in the order in which they start.
    pub const ALL: [Component; 4] =
        [Component::Etcd, Component::ApiServer, Component::ControllerManager, Component::Scheduler];

    /// The order in which they stop: each before what it talks to.
    pub const STOP_ORDER: [Component; 4] =
        [Component::Scheduler, Component::ControllerManager, Component::ApiServer, Component::Etcd];

    /// The name of its program.
    pub const fn name(self) -> &'static str {
        match self {
            Component::Etcd => "etcd",
            Component::ApiServer => "kube-apiserver",
            Component::ControllerManager => "kube-controller-manager",
            Component::Scheduler => "kube-scheduler",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Component {
    type Err = ClusterError;

    /// Takes the program's name, with or without `kube-`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Component::ALL
            .into_iter()
            .find(|c| c.name() == text || c.name().strip_prefix("kube-") == Some(text))
            .ok_or_else(|| ClusterError::BadComponent { text: text.to_owned() })
    }
}

impl TryFrom<String> for Component {
    type Error = ClusterError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Component> for String {
    fn from(component: Component) -> String {
        component.name().to_owned()
    }
}
