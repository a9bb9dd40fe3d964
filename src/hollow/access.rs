//! What the pods of a node refer to, and so what its kubelet asks for: config maps, secrets, tokens. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::chance::chance;
use super::informer::Referred;
use super::seen::{Refers, SeenPod, TokenSource};
use crate::k8s::Request;
use crate::model::Text;

/// A token is never older than this, less some jitter; nor older than four fifths of its life
/// (`pkg/kubelet/token/token_manager.go`, v1.37.2, `maxTTL`, `maxJitter`, `requiresRefresh`).
const OLDEST: Duration = Duration::from_hours(24);
const JITTER: Duration = Duration::from_secs(10);

/// `expirationSeconds` where a volume does not say (`pkg/apis/core/v1/defaults.go`, v1.37.2).
const EXPIRES: u64 = 60 * 60;

/// A service account token that a pod's volume asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    account: Text,
    namespace: Text,
    pod: Text,
    uid: Text,
    source: TokenSource,
}

impl Token {
    /// The request for it.
    pub(super) fn request(&self) -> Request {
        let audiences = match self.source.audience.as_str() {
            "" => Value::Null,
            audience => json!([audience]),
        };
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
            "audiences": audiences, "expirationSeconds": self.seconds(),
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": self.pod, "uid": self.uid}}});
        let (namespace, account) = (&self.namespace, &self.account);
        Request::post(format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"), &body)
    }

    fn seconds(&self) -> u64 {
        self.source.expiration_seconds.unwrap_or(EXPIRES)
    }

    /// How long one is good for before the next is asked for.
    pub(super) fn refresh_after(&self) -> Duration {
        let life = Duration::from_secs(self.seconds()).mul_f64(0.8).min(OLDEST);
        life.saturating_sub(JITTER.mul_f64(chance(&self.uid, "token")))
    }
}

/// What follows from a pod that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Its node watches an object from now on.
    Watch(Text, Referred),
    /// Its node does not need an object any more.
    Leave(Text, Referred),
    /// A pod, by its UID, needs a token for as long as it is there.
    Ask(Text, Token),
    /// A pod needs no tokens any more.
    Release(Text),
}

/// Who needs what.
#[derive(Debug, Default)]
pub(super) struct Access {
    pods: HashMap<Text, (Text, BTreeSet<Referred>)>,
    /// How many pods of a node refer to an object.
    users: HashMap<(Text, Referred), usize>,
}

impl Access {
    /// A pod is there.
    pub(super) fn see(&mut self, pod: &SeenPod) -> Vec<Change> {
        let uid = &pod.metadata.uid;
        if pod.phase().is_terminal() {
            return self.forget(uid);
        }
        if self.pods.contains_key(uid) {
            return Vec::new();
        }
        let node = &pod.spec.node_name;
        let referred = referred(pod);
        let mut changes: Vec<Change> = tokens(pod).map(|token| Change::Ask(uid.clone(), token)).collect();
        for object in &referred {
            let users = self.users.entry((node.clone(), object.clone())).or_insert(0);
            *users += 1;
            if *users == 1 {
                changes.push(Change::Watch(node.clone(), object.clone()));
            }
        }
        self.pods.insert(uid.clone(), (node.clone(), referred));
        changes
    }

    /// A pod is gone.
    pub(super) fn forget(&mut self, uid: &str) -> Vec<Change> {
        let Some((node, referred)) = self.pods.remove(uid) else { return Vec::new() };
        let mut changes = vec![Change::Release(uid.into())];
        for object in referred {
            let key = (node.clone(), object);
            let Some(users) = self.users.get_mut(&key) else { continue };
            *users -= 1;
            if *users == 0 {
                self.users.remove(&key);
                changes.push(Change::Leave(key.0, key.1));
            }
        }
        changes
    }

    /// Forgets the pods of a node that are not among these: all of them where the node is gone.
    pub(super) fn keep_only(&mut self, listed: &HashSet<Text>, name: &str) -> Vec<Change> {
        let on_node = self.pods.iter().filter(|(uid, (node, _))| node == name && !listed.contains(*uid));
        let uids: Vec<Text> = on_node.map(|(uid, _)| uid.clone()).collect();
        uids.iter().flat_map(|uid| self.forget(uid)).collect()
    }
}

fn tokens(pod: &SeenPod) -> impl Iterator<Item = Token> {
    let sources = pod.spec.volumes.iter().flat_map(|volume| &volume.projected.sources);
    sources.filter_map(|source| {
        Some(Token {
            account: Some(pod.spec.service_account_name.clone())
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "default".into()),
            namespace: pod.metadata.namespace.clone(),
            pod: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            source: source.service_account_token.clone()?,
        })
    })
}

/// The config maps and secrets of a pod: those of its environment, its volumes and the pulls of its images
/// (`pkg/api/v1/pod/util.go`, v1.37.2, `VisitPodSecretNames` and `VisitPodConfigmapNames`).
fn referred(pod: &SeenPod) -> BTreeSet<Referred> {
    let spec = &pod.spec;
    let object = |is_secret: bool, name: &Text| Referred {
        is_secret,
        namespace: pod.metadata.namespace.clone(),
        name: name.clone(),
    };
    let containers = || spec.init_containers.iter().chain(&spec.containers);
    let env =
        containers().flat_map(|container| container.env.iter().filter_map(|env| env.value_from.as_ref()));
    let whole = containers().flat_map(|container| &container.env_from);
    let projected = spec.volumes.iter().flat_map(|volume| &volume.projected.sources);
    let refers = env.chain(whole).chain(projected).flat_map(|refers: &Refers| {
        let map = refers.config_map.as_ref().map(|map| object(false, &map.name));
        map.into_iter().chain(refers.secret.as_ref().map(|secret| object(true, &secret.name)))
    });
    let volumes = spec.volumes.iter().flat_map(|volume| {
        let map = volume.config_map.as_ref().map(|map| object(false, &map.name));
        map.into_iter().chain(volume.secret.as_ref().map(|secret| object(true, &secret.name)))
    });
    let pulls = spec.image_pull_secrets.iter().map(|secret| object(true, &secret.name));
    refers.chain(volumes).chain(pulls).filter(|object| !object.name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, phase: &str) -> SeenPod {
        let pod = json!({"metadata": {"name": uid, "namespace": "shop", "uid": uid}, "status": {"phase": phase},
            "spec": {"nodeName": "n1", "serviceAccountName": "robot", "imagePullSecrets": [{"name": "registry"}],
                "containers": [{"envFrom": [{"secretRef": {"name": "all"}}],
                    "env": [{"name": "A", "value": "x"},
                        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "b"}}}]}],
                "volumes": [{"secret": {"secretName": "tls"}}, {"emptyDir": {}},
                    {"projected": {"sources": [
                        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                        {"configMap": {"name": "kube-root-ca.crt"}}]}}]}});
        serde_json::from_value(pod).unwrap()
    }

    fn names(changes: &[Change]) -> Vec<&str> {
        let name = |change| match change {
            &Change::Watch(_, ref object) | &Change::Leave(_, ref object) => Some(object.name.as_str()),
            _ => None,
        };
        changes.iter().filter_map(name).collect()
    }

    #[test]
    fn an_object_is_watched_while_a_pod_of_the_node_needs_it() {
        let mut access = Access::default();
        let all = ["kube-root-ca.crt", "settings", "all", "registry", "tls"];
        assert_eq!(names(&access.see(&pod("a", "Pending"))), all);
        let second = access.see(&pod("b", "Running"));
        assert!(matches!(&second[..], [Change::Ask(uid, _)] if uid == "b"), "{second:?}");
        assert_eq!(access.see(&pod("b", "Running")), []);
        assert_eq!(access.forget("a"), [Change::Release("a".into())]);
        assert_eq!(
            names(&access.see(&pod("b", "Succeeded"))),
            all,
            "it has ended and needs nothing any more"
        );
        assert_eq!(access.forget("b"), []);
        access.see(&pod("c", "Pending"));
        assert_eq!(names(&access.keep_only(&HashSet::new(), "n1")), all);
    }

    #[test]
    fn tokens_are_asked_for_in_time() {
        let token = tokens(&pod("a", "Pending")).next().unwrap();
        assert_eq!(token.request().describe(), "POST /api/v1/namespaces/shop/serviceaccounts/robot/token");
        let body: Value = serde_json::from_slice(token.request().body()).unwrap();
        assert_eq!(body["spec"]["boundObjectRef"]["uid"], "a");
        assert_eq!(
            (&body["spec"]["audiences"], &body["spec"]["expirationSeconds"]),
            (&Value::Null, &json!(3607))
        );
        let after = token.refresh_after().as_secs_f64();
        assert!((2875.0..=2885.6).contains(&after), "{after}");
        let long = Token {
            source: TokenSource { expiration_seconds: Some(1 << 30), ..token.source.clone() },
            ..token
        };
        assert!(long.refresh_after() <= OLDEST && long.refresh_after() > OLDEST.saturating_sub(JITTER));
    }
}
