use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use kube::client::Body;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;

use super::error::{K8sError, chain};
use super::open::{Refused, begin, open};
use crate::model::{Json, Kind, ObjectKey, Text};

/// How a patch is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 7386.
    Merge,
    /// Kubernetes strategic merge: lists merge by key.
    Strategic,
}

/// One request as a value: built by pure code, sent by [`send`] or a [`Submitter`](super::Submitter).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: http::Method,
    path: String,
    content: &'static str,
    body: Vec<u8>,
}

impl Request {
    /// GET of a path.
    pub fn get(path: String) -> Request {
        Request { method: http::Method::GET, path, content: "", body: Vec::new() }
    }

    /// POST of an object to a collection.
    pub fn post(path: String, object: &impl Serialize) -> Request {
        Request::post_bytes(path, bytes(object))
    }

    /// PUT of an object.
    pub fn put(path: String, object: &impl Serialize) -> Request {
        Request::put_bytes(path, bytes(object))
    }

    /// POST of an object that is rendered already.
    pub fn post_bytes(path: String, body: Vec<u8>) -> Request {
        Request { method: http::Method::POST, path, content: "application/json", body }
    }

    /// PUT of an object that is rendered already.
    pub fn put_bytes(path: String, body: Vec<u8>) -> Request {
        Request { method: http::Method::PUT, path, content: "application/json", body }
    }

    /// GET of one object.
    pub fn get_object(kind: &Kind, key: &ObjectKey) -> Request {
        Request::get(object_path(kind, key))
    }

    /// Asks whether we may do this to objects of a kind, in one namespace or in all.
    pub fn access_review(kind: &Kind, subresource: &str, verb: &str, namespace: Option<&str>) -> Request {
        let Kind { group, plural, .. } = kind;
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": plural, "subresource": subresource,
                "namespace": namespace.unwrap_or_default()}}});
        Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(), &review)
    }

    /// Creates an object of a kind.
    pub fn create(kind: &Kind, object: &Json) -> Request {
        Request::post(kind.path_in(object["metadata"]["namespace"].as_str()), object)
    }

    /// Patches an object, or its subresource.
    pub fn patch(
        kind: &Kind,
        key: &ObjectKey,
        subresource: Option<&str>,
        patch_type: PatchType,
        patch: &impl Serialize,
    ) -> Request {
        let mut path = object_path(kind, key);
        if let Some(subresource) = subresource {
            path = format!("{path}/{subresource}");
        }
        Request::patch_with(path, patch_type, bytes(patch))
    }

    /// Patches what is at a path, with a body that is rendered already.
    pub fn patch_with(path: String, patch_type: PatchType, body: Vec<u8>) -> Request {
        let content = match patch_type {
            PatchType::Merge => "application/merge-patch+json",
            PatchType::Strategic => "application/strategic-merge-patch+json",
        };
        Request { method: http::Method::PATCH, path, content, body }
    }

    /// Deletes an object; with a UID only that one, so that a successor of the same name is safe.
    pub fn delete(kind: &Kind, key: &ObjectKey, grace_seconds: Option<u64>, uid: Option<&str>) -> Request {
        Request::delete_at(object_path(kind, key), grace_seconds, uid)
    }

    /// Deletes what is at a path.
    pub fn delete_at(path: String, grace_seconds: Option<u64>, uid: Option<&str>) -> Request {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if let Some(grace) = grace_seconds {
            options["gracePeriodSeconds"] = grace.into();
        }
        if let Some(uid) = uid {
            options["preconditions"] = json!({"uid": uid});
        }
        Request { method: http::Method::DELETE, path, content: "application/json", body: bytes(&options) }
    }

    /// `POST /api/v1/...`, for messages.
    pub fn describe(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// What is sent.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether it creates an object.
    pub(super) fn is_creation(&self) -> bool {
        self.method == http::Method::POST
    }

    /// Whether it deletes an object.
    pub(super) fn is_deletion(&self) -> bool {
        self.method == http::Method::DELETE
    }

    /// What it posted to a collection, read back.
    pub(super) fn get_created(&self, name: &str) -> Request {
        Request::get(format!("{}/{name}", self.path))
    }

    fn to_http(&self) -> Result<http::Request<Vec<u8>>, http::Error> {
        let mut builder = http::Request::builder().method(&self.method).uri(&self.path);
        if !self.content.is_empty() {
            builder = builder.header(CONTENT_TYPE, self.content);
        }
        builder.body(self.body.clone())
    }
}

fn object_path(kind: &Kind, key: &ObjectKey) -> String {
    format!("{}/{}", kind.path_in(key.namespace.as_deref()), key.name)
}

fn bytes(value: &impl Serialize) -> Vec<u8> {
    // Values made for the API have string keys only: nothing of them can fail to be JSON.
    serde_json::to_vec(value).unwrap_or_default()
}

/// A successful answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The object that the server sent.
    pub body: Json,
}

impl Reply {
    /// The object's resourceVersion as a number: since KEP-5504 versions of one resource type may be compared.
    pub fn resource_version(&self) -> Option<u64> {
        self.body["metadata"]["resourceVersion"].as_str()?.parse().ok()
    }
}

/// What a brief answer keeps of the object that came back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Brief {
    /// Who it is.
    #[serde(default)]
    pub metadata: BriefMeta,
}

/// Identity and version of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BriefMeta {
    /// UID.
    pub uid: Text,
    /// resourceVersion.
    pub resource_version: Text,
}

/// Sends a request and keeps of the answer only which object it was, and in which version.
///
/// # Errors
/// As [`send`].
pub async fn send_brief(client: &kube::Client, request: &Request) -> Result<Brief, K8sError> {
    let broken = |what: String| K8sError::Transport { doing: request.describe(), what };
    let http = request.to_http().map_err(|e| broken(e.to_string()))?;
    let text = client.request_text(http).await.map_err(|e| K8sError::of(request.describe(), e))?;
    serde_json::from_str(&text).map_err(|e| broken(format!("the answer is not JSON: {e}")))
}

/// Sends a request and reads the whole answer, if it comes in time.
pub(super) async fn exchange(
    client: &kube::Client,
    request: &Request,
    within: Duration,
) -> Result<Reply, Refused> {
    let broken = |what: String| Refused::of(K8sError::Transport { doing: request.describe(), what });
    let http = request.to_http().map_err(|e| broken(e.to_string()))?.map(Body::from);
    let body = begin(client, http, || request.describe(), within).await?;
    let bytes = whole(body, within).await.map_err(broken)?;
    let body = serde_json::from_slice(&bytes).map_err(|e| broken(format!("the answer is not JSON: {e}")))?;
    Ok(Reply { body })
}

/// Reads a page that is not JSON, such as `/metrics`.
///
/// # Errors
/// As [`send`].
pub async fn fetch_text(client: &kube::Client, path: &str, within: Duration) -> Result<String, K8sError> {
    let broken = |what: String| K8sError::Transport { doing: format!("GET {path}"), what };
    let body = open(client, path, within).await.map_err(|refused| refused.error)?;
    let bytes = whole(body, within).await.map_err(broken)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads a body to its end, or says why that did not come.
async fn whole(body: Body, within: Duration) -> Result<Bytes, String> {
    let read = timeout(within, body.collect()).await;
    let read = read.map_err(|_| format!("the answer did not end within {within:?}"))?;
    Ok(read.map_err(|e| chain(&e))?.to_bytes())
}

/// Sends a request and reads the whole answer.
///
/// # Errors
/// [`K8sError::Api`] for every status but 2xx, [`K8sError::Transport`] where there was no answer.
pub async fn send(client: &kube::Client, request: &Request) -> Result<Reply, K8sError> {
    let broken = |what: String| K8sError::Transport { doing: request.describe(), what };
    let http = request.to_http().map_err(|e| broken(e.to_string()))?;
    let text = client.request_text(http).await.map_err(|e| K8sError::of(request.describe(), e))?;
    let body = serde_json::from_str(&text).map_err(|e| broken(format!("the answer is not JSON: {e}")))?;
    Ok(Reply { body })
}
