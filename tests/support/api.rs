//! Requests to a control plane, from tests.

use std::path::Path;

use kubereel::k8s::{ConnectOptions, K8sError, Request, Target, connect, discover, send};
use kubereel::model::Json;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A connection to a cluster of a sandbox.
pub struct Api {
    runtime: Runtime,
    target: Target,
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

    pub fn get(&self, path: &str) -> Value {
        let reply = self.runtime.block_on(send(&self.target.client, &Request::get(path.to_owned())));
        reply.unwrap_or_else(|e| panic!("{e}")).body.to_value()
    }

    /// What is no object.
    pub fn text(&self, path: &str) -> String {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        self.runtime.block_on(self.target.client.request_text(request)).unwrap_or_else(|e| panic!("{e}"))
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
}
