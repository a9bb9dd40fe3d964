//! The manifests of tools/deploy, and the accounts that they make.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::Sandbox;
use super::api::Api;

/// The documents of a file, such as `hollow/service.yaml`.
pub fn documents(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/deploy").join(file);
    let text = fs::read_to_string(path).unwrap();
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// The documents of a folder, in the order of its kustomization.
pub fn kustomized(folder: &str) -> Vec<Value> {
    let kustomization = documents(&format!("{folder}/kustomization.yaml")).remove(0);
    let files = kustomization["resources"].as_array().unwrap();
    files.iter().flat_map(|file| documents(&format!("{folder}/{}", file.as_str().unwrap()))).collect()
}

/// A kubeconfig of the lab for a service account alone: the file `account`.
pub fn account(sandbox: &Sandbox, api: &Api, namespace: &str, name: &str) {
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let token = api.post(&format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"), &request);
    let text = fs::read_to_string(sandbox.path("kubeconfig")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["users"][0]["user"] = json!({"token": token["status"]["token"].as_str().unwrap()});
    fs::write(sandbox.path("account"), config.to_string()).unwrap();
}
