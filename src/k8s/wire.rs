//! What the server sends on a list or a watch, taken apart. The only place that decodes objects on the way in.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::{Json, Kind, Verb};

/// Set on the bookmark that ends the initial events of a streaming list (`InitialEventsAnnotationKey` in
/// `k8s.io/apimachinery/pkg/apis/meta/v1/types.go`, v0.37.2).
const LIST_END: &str = "k8s.io/initial-events-end";

/// What a watcher makes of an object's text.
pub trait Decode: Sized + Send {
    /// Reads an object; says what is wrong with one that cannot be read.
    ///
    /// # Errors
    /// What does not fit.
    fn decode(bytes: &[u8]) -> Result<Self, String>;
    /// Its resourceVersion, if it has one.
    fn version(&self) -> Option<&str>;
    /// The same for an item of a list, which lists leave without `apiVersion` and `kind`.
    #[must_use]
    fn typed(self, kind: &Kind) -> Self;
}

impl Decode for Json {
    fn decode(bytes: &[u8]) -> Result<Json, String> {
        object(bytes)
    }

    fn version(&self) -> Option<&str> {
        version(self)
    }

    fn typed(self, kind: &Kind) -> Json {
        kind.typed(self)
    }
}

/// A line of a watch.
#[derive(Debug)]
pub(super) enum Line<T = Json> {
    /// An object changed.
    Change { verb: Verb, object: T },
    /// Everything up to this version has been sent.
    Bookmark { rv: String, ends_list: bool },
    /// The server gives up; `code` is an HTTP status.
    Error { code: u16, message: String },
}

#[derive(Deserialize)]
struct RawLine<'a> {
    #[serde(rename = "type")]
    event: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Reads a line of a watch; says what is wrong with one that cannot be read.
pub(super) fn line<T: Decode>(bytes: &[u8]) -> Result<Line<T>, String> {
    let raw: RawLine<'_> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let bytes = raw.object.get().as_bytes();
    let change = |verb| Ok(Line::Change { verb, object: T::decode(bytes)? });
    match raw.event {
        "ADDED" => change(Verb::Added),
        "MODIFIED" => change(Verb::Modified),
        "DELETED" => change(Verb::Deleted),
        "BOOKMARK" => {
            let object = object(bytes)?;
            let rv = version(&object).ok_or("a bookmark without resourceVersion")?.to_owned();
            Ok(Line::Bookmark { rv, ends_list: object["metadata"]["annotations"][LIST_END] == "true" })
        }
        "ERROR" => {
            let object = object(bytes)?;
            Ok(Line::Error {
                code: object["code"].as_u64().and_then(|code| code.try_into().ok()).unwrap_or(500),
                message: object["message"].as_str().unwrap_or("unknown error").to_owned(),
            })
        }
        other => Err(format!("an event of the unknown type {other:?}")),
    }
}

/// Reads an object.
pub(super) fn object(bytes: &[u8]) -> Result<Json, String> {
    serde_json::from_slice(bytes).map_err(|e| e.to_string())
}

/// An object's resourceVersion.
pub(super) fn version(object: &Json) -> Option<&str> {
    object["metadata"]["resourceVersion"].as_str()
}

/// A page of a list; its items are decoded one by one, since all of them take ten times the memory of their text.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    pub(super) metadata: PageMetadata,
    /// Absent in lists of nothing from some servers.
    #[serde(default)]
    pub(super) items: Option<Vec<Box<RawValue>>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct PageMetadata {
    #[serde(default, rename = "resourceVersion")]
    pub(super) version: String,
    #[serde(default, rename = "continue")]
    pub(super) token: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_changes_bookmarks_or_errors() {
        let object = r#"{"kind":"Pod","metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}"#;
        let of =
            |event: &str, object: &str| line::<Json>(format!(r#"{{"type":"{event}","object":{object}}}"#).as_bytes());
        assert!(
            matches!(of("DELETED", object), Ok(Line::Change { verb: Verb::Deleted, object }) if version(&object) == Some("7"))
        );
        assert!(matches!(of("BOOKMARK", object), Ok(Line::Bookmark { rv, ends_list: true }) if rv == "7"));
        let status = r#"{"kind":"Status","code":410,"message":"too old"}"#;
        assert!(
            matches!(of("ERROR", status), Ok(Line::Error { code: 410, message }) if message == "too old")
        );
        assert!(of("BOOKMARK", "{}").unwrap_err().contains("resourceVersion"));
        assert!(of("RENAMED", object).unwrap_err().contains("RENAMED"));
        assert!(line::<Json>(br#"{"type":"ADDED","object":{"kind":"#).is_err());
        assert!(line::<Json>(b"<html>502 Bad Gateway</html>").is_err());
    }

    #[test]
    fn a_page_may_hold_nothing() {
        let page: Page =
            serde_json::from_str(r#"{"metadata":{"resourceVersion":"3"},"items":null}"#).unwrap();
        assert_eq!((page.metadata.version.as_str(), page.metadata.token.as_str()), ("3", ""));
        assert!(page.items.is_none());
    }
}
