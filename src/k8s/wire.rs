//! What the server sends on a list or a watch, taken apart. The only place that decodes objects on the way in.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::de::StrRead;
use serde_json::value::RawValue;

use super::recent::{Recent, Seen, Uids};
use crate::model::{Json, Kind, Reading, Rules, Text, Texts, Verb};

/// Set on the bookmark that ends the initial events of a streaming list (`InitialEventsAnnotationKey` in
/// `k8s.io/apimachinery/pkg/apis/meta/v1/types.go`, v0.37.2).
const LIST_END: &str = "k8s.io/initial-events-end";

/// What a watcher keeps of an object.
pub trait Watched: Sized + Send + 'static {
    /// Its resourceVersion, if it has one.
    fn version(&self) -> Option<&str>;

    /// The same for an item of a list, which lists leave without `apiVersion` and `kind`.
    #[must_use]
    fn typed(self, _: &Kind) -> Self {
        self
    }
}

impl Watched for Json {
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

/// Reads objects of one kind as they come.
pub(super) trait ReadObjects<T>: Send + Sync {
    /// Reads an object.
    fn object(&mut self, bytes: &[u8]) -> Result<T, String>;
    /// Reads a line of a watch; says what is wrong with one that cannot be read.
    fn line(&mut self, bytes: &[u8]) -> Result<Line<T>, String>;
}

/// Keeps of each object what its type has room for; the rest is passed over.
pub(super) struct Parts;

#[derive(Deserialize)]
struct PartLine<'a> {
    #[serde(rename = "type")]
    event: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

impl<T: DeserializeOwned> ReadObjects<T> for Parts {
    fn object(&mut self, bytes: &[u8]) -> Result<T, String> {
        serde_json::from_slice(bytes).map_err(|e| e.to_string())
    }

    fn line(&mut self, bytes: &[u8]) -> Result<Line<T>, String> {
        let line: PartLine<'_> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let object = line.object.get().as_bytes();
        match verb_of(line.event) {
            Some(verb) => Ok(Line::Change { verb, object: self.object(object)? }),
            None => other_line(line.event, &serde_json::from_slice(object).map_err(|e| e.to_string())?),
        }
    }
}

fn verb_of(event: &str) -> Option<Verb> {
    match event {
        "ADDED" => Some(Verb::Added),
        "MODIFIED" => Some(Verb::Modified),
        "DELETED" => Some(Verb::Deleted),
        _ => None,
    }
}

/// A line that is no change of an object.
fn other_line<T>(event: &str, object: &Json) -> Result<Line<T>, String> {
    match event {
        "BOOKMARK" => {
            let rv = version(object).ok_or("a bookmark without resourceVersion")?.to_owned();
            let ends_list = object["metadata"]["annotations"][LIST_END] == "true";
            Ok(Line::Bookmark { rv, ends_list })
        }
        "ERROR" => Ok(Line::Error {
            code: object["code"].as_u64().and_then(|code| code.try_into().ok()).unwrap_or(500),
            message: object["message"].as_str().unwrap_or("unknown error").to_owned(),
        }),
        other => Err(format!("an event of the unknown type {other:?}")),
    }
}

/// Reads whole objects of one kind, each beside one that it is likely to resemble.
pub(super) struct Objects {
    rules: Arc<dyn Rules>,
    recent: Recent,
}

impl Objects {
    /// A reader that leaves out what the rules say.
    pub(super) fn new(rules: Arc<dyn Rules>) -> Objects {
        Objects { rules, recent: Recent::default() }
    }

    /// Reads what holds an object, and gives the text of the object's `spec` too.
    fn read<T>(
        &self,
        bytes: &[u8],
        uids: Uids,
        read: impl Fn(Reading<'_>, &mut Deserializer<StrRead<'_>>) -> serde_json::Result<T>,
    ) -> Result<(T, Option<Arc<str>>), String> {
        // Looked at once as a whole, not text by text.
        let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        let like = self.recent.like(uids);
        let read = |text: &str, texts: &Texts| {
            let reading = Reading { like: &like.object, rules: &*self.rules, texts: Some(texts) };
            let mut from = Deserializer::from_str(text);
            read(reading, &mut from).and_then(|value| from.end().map(|()| value)).map_err(|e| e.to_string())
        };
        let texts = Texts::new("spec", like.spec.clone());
        let value = read(&texts.cut(text), &texts);
        if !texts.is_lost() {
            return Ok((value?, texts.read()));
        }
        let texts = Texts::new("spec", None);
        Ok((read(text, &texts)?, texts.read()))
    }
}

impl ReadObjects<Json> for Objects {
    fn object(&mut self, bytes: &[u8]) -> Result<Json, String> {
        let uids = self.recent.uids(bytes);
        let (object, spec) = self.read(bytes, uids, |reading, from| reading.deserialize(from))?;
        let seen = Seen { object, spec };
        self.recent.keep(uids, &seen);
        Ok(seen.object)
    }

    fn line(&mut self, bytes: &[u8]) -> Result<Line, String> {
        let uids = self.recent.uids(bytes);
        let read = self.read(bytes, uids, |reading, from| RawLine(reading).deserialize(from));
        let ((event, object), spec) = read?;
        let Some(verb) = verb_of(&event) else { return other_line(&event, &object) };
        if verb == Verb::Deleted {
            self.recent.forget(uids);
            return Ok(Line::Change { verb, object });
        }
        let seen = Seen { object, spec };
        self.recent.keep(uids, &seen);
        Ok(Line::Change { verb, object: seen.object })
    }
}

/// `{"type": …, "object": …}`.
struct RawLine<'a>(Reading<'a>);

impl<'de> DeserializeSeed<'de> for RawLine<'_> {
    type Value = (Text, Json);

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(Text, Json), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RawLine<'_> {
    type Value = (Text, Json);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event of a watch")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<(Text, Json), A::Error> {
        let (mut event, mut object) = (None, None);
        while let Some(key) = from.next_key::<Text>()? {
            match key.as_str() {
                "type" => event = Some(from.next_value()?),
                "object" => object = Some(from.next_value_seed(self.0)?),
                _ => drop(from.next_value::<IgnoredAny>()?),
            }
        }
        let event = event.ok_or_else(|| Error::missing_field("type"))?;
        Ok((event, object.ok_or_else(|| Error::missing_field("object"))?))
    }
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

    fn line(text: &str) -> Result<Line, String> {
        Objects::new(Arc::new(())).line(text.as_bytes())
    }

    #[test]
    fn lines_are_changes_bookmarks_or_errors() {
        let object = r#"{"kind":"Pod","metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}"#;
        let of = |event: &str, object: &str| line(&format!(r#"{{"type":"{event}","object":{object}}}"#));
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
        for broken in
            [r#"{"type":"ADDED","object":{"kind":"#, "<html>502 Bad Gateway</html>", r#"{"type":"ADDED"}"#]
        {
            assert!(line(broken).is_err());
        }
        assert!(line(&format!(r#"{{"type":"ADDED","object":{object}}}}}"#)).is_err());
    }

    #[test]
    fn a_spec_as_before_is_recognised_at_the_top_alone() {
        let mut objects = Objects::new(Arc::new(()));
        let first = r#"{"metadata":{"uid":"u"},"spec":{"a":[1]},"status":1}"#;
        let inside =
            r#"{"metadata":{"uid":"u","spec":{"a":[1]}},"note":"\"spec\":{\"a\":[1]}","spec":{"a":[2]}}"#;
        let both = r#"{"metadata":{"uid":"u","spec":{"a":[1]}},"spec":{"a":[1]}}"#;
        let (number, longer) = (first.replace("{\"a\":[1]}", "1"), first.replace("{\"a\":[1]}", "12"));
        let (number, longer) = (number.as_str(), longer.as_str());
        for text in [first, first, inside, first, both, first, number, longer, first] {
            let plain: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(objects.object(text.as_bytes()).unwrap().to_string(), plain.to_string());
        }
    }

    #[test]
    fn a_page_may_hold_nothing() {
        let page: Page =
            serde_json::from_str(r#"{"metadata":{"resourceVersion":"3"},"items":null}"#).unwrap();
        assert_eq!((page.metadata.version.as_str(), page.metadata.token.as_str()), ("3", ""));
        assert!(page.items.is_none());
    }
}
