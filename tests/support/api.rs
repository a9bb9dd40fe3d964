//! Requests to a control plane, from tests.

use std::path::Path;

use kubereel::k8s::{ConnectOptions, K8sError, PatchType, Request, Target, connect, discover, send};
use kubereel::model::Json;
use kubereel::pace::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A connection to a cluster of a sandbox.
pub struct Api {
    runtime: Runtime,
    target: Target,
}

/// The path at which an object of the manifests is made.
pub fn collection(object: &Value) -> String {
    let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let plural = format!("{}s", kind.to_lowercase());
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{plural}"),
    }
}

impl Api {
    pub fn connect(kubeconfig: &Path) -> Api {
        let runtime = Runtime::new().unwrap();
        let options = ConnectOptions { kubeconfig: Some(kubeconfig.to_owned()), context: None };
        let target = runtime.block_on(connect(&options)).unwrap();
        Api { runtime, target }
    }

    pub fn try_post(&self, path: &str, object: &Value) -> Result<Json, K8sError> {
        let request = Request::post(path.to_owned(), object);
        self.runtime.block_on(send(&self.target.client, &request)).map(|reply| reply.body)
    }

    /// What is no object.
    pub fn text(&self, path: &str) -> String {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        self.runtime.block_on(self.target.client.request_text(request)).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Why a stream to a container is refused, asked for as `kubectl exec` does.
    pub fn stream_refusal(&self, path: &str) -> String {
        let request = http::Request::post(path).header("Connection", "Upgrade").header("Upgrade", "SPDY/3.1");
        let request = request.header("X-Stream-Protocol-Version", "v4.channel.k8s.io").body(Vec::new());
        let answer = self.runtime.block_on(self.target.client.request_text(request.unwrap()));
        answer.unwrap_err().to_string()
    }

    pub fn post(&self, path: &str, object: &Value) -> Json {
        self.try_post(path, object).unwrap_or_else(|e| panic!("{e}\n{object:#}"))
    }

    /// Waits until a kind is served.
    pub fn await_kind(&self, name: &str) {
        while self.runtime.block_on(discover(&self.target.client, name)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    pub fn namespace(&self, name: &str) {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.post("/api/v1/namespaces", &object);
    }

    pub fn pod(&self, namespace: &str, pod: &Value) {
        self.post(&format!("/api/v1/namespaces/{namespace}/pods"), pod);
    }

    /// Any request.
    pub fn send(&self, request: &Request) -> Result<Json, K8sError> {
        self.runtime.block_on(send(&self.target.client, request)).map(|reply| reply.body)
    }

    /// What is at a path; null where nothing is.
    pub fn get(&self, path: &str) -> Json {
        self.send(&Request::get(path.to_owned())).unwrap_or_default()
    }

    /// The items of a list.
    pub fn list(&self, path: &str) -> Vec<Json> {
        self.get(path)["items"].items().to_vec()
    }

    /// Merges a patch into what is at a path.
    pub fn patch(&self, path: &str, patch: &Value) -> Json {
        let body = patch.to_string().into_bytes();
        self.send(&Request::patch_with(path.to_owned(), PatchType::Merge, body))
            .unwrap_or_else(|e| panic!("{e}"))
    }

    /// Deletes what is at a path.
    pub fn delete(&self, path: &str, grace_seconds: Option<u64>) {
        self.send(&Request::delete_at(path.to_owned(), grace_seconds, None))
            .unwrap_or_else(|e| panic!("{e}"));
    }

    /// Waits until something holds; fails after two minutes, saying what was waited for.
    pub fn until(&self, what: &str, mut holds: impl FnMut(&Api) -> bool) {
        let clock = SystemClock::start();
        while !holds(self) {
            assert!(clock.now().as_secs_f64() < 120.0, "not within two minutes: {what}");
            std::thread::sleep(std::time::Duration::from_millis(150));
        }
    }

    /// The client, for helpers that wait by themselves.
    pub fn block_on<T>(&self, work: impl AsyncFnOnce(&kube::Client) -> T) -> T {
        self.runtime.block_on(work(&self.target.client))
    }
}
