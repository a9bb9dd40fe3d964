//! Objects of JSON and YAML texts: documents one after the other, each an object or a list of objects. Streams: memory
//! follows the largest object, not the list.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{ImportError, Input, Place, Tally};
use crate::model::{Json, Map, Text};

/// An object of more bytes than this is refused.
const OBJECT_BYTES: u64 = 64 << 20;

/// Nesting of a YAML document; JSON has a limit of 128 already.
const DEPTH: usize = 128;

/// What is handed over: an object and where it is. In JSON the place is its number, in YAML the line at which its document
/// begins.
pub type Take<'t> = dyn FnMut(Place<'_>, Json, &mut Tally) -> Result<(), ImportError> + 't;

/// Hands over all objects of a text. What is wrong with documents is counted; a JSON text that breaks off ends there.
///
/// # Errors
/// Those of `take`.
pub fn each_object(mut input: Input, tally: &mut Tally, take: &mut Take<'_>) -> Result<(), ImportError> {
    let is_json = match first_byte(&mut input.reader) {
        Ok(byte) => matches!(byte, Some(b'{' | b'[')),
        Err(error) => {
            tally.cut = Some(format!("{} cannot be read: {error}", input.name));
            return Ok(());
        }
    };
    if is_json { json(input, tally, take) } else { yaml(input, tally, take) }
}

/// The first byte that is neither white space nor a byte-order mark; what comes before is passed over.
fn first_byte(reader: &mut (impl BufRead + ?Sized)) -> io::Result<Option<u8>> {
    loop {
        let available = reader.fill_buf()?;
        let mark = if available.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
        let blank = available[mark..].len() - available[mark..].trim_ascii_start().len();
        let (first, len) = (available.get(mark + blank).copied(), available.len());
        if first.is_some() || len == 0 {
            // YAML counts its lines from the start.
            reader.consume(mark);
            return Ok(first);
        }
        reader.consume(len);
    }
}

fn json(input: Input, tally: &mut Tally, take: &mut Take<'_>) -> Result<(), ImportError> {
    let since = Rc::new(Cell::new(0));
    let reader = BufReader::new(Meter { reader: input.reader, since: Rc::clone(&since) });
    let mut text = serde_json::Deserializer::from_reader(reader);
    let mut found =
        Found { name: &input.name, line: None, count: 0, since: &since, tally, take, failed: None };
    while text.end().is_err() {
        if let Err(error) = (Document { found: &mut found }).deserialize(&mut text) {
            if let Some(failed) = found.failed {
                return Err(failed);
            }
            let after = found.count;
            found.tally.cut = Some(format!("{} breaks off after {after} objects: {error}", input.name));
            return Ok(());
        }
    }
    Ok(())
}

fn yaml(input: Input, tally: &mut Tally, take: &mut Take<'_>) -> Result<(), ImportError> {
    let since = Rc::new(Cell::new(0));
    let mut parts =
        Parts { reader: input.reader, line: 0, text: Vec::new(), given: 0, at: At::Start, is_blank: true };
    while parts.at != At::End {
        let begins = parts.begin();
        since.set(0);
        let mut found = Found {
            name: &input.name,
            line: Some(begins),
            count: 0,
            since: &since,
            tally,
            take,
            failed: None,
        };
        let meter = Meter { reader: &mut parts, since: Rc::clone(&since) };
        let parsed = serde_saphyr::with_deserializer_from_reader_with_options(meter, options(), |text| {
            Document { found: &mut found }.deserialize(text)
        });
        if let Some(error) = found.failed.take() {
            return Err(error);
        }
        if parsed.is_err() && !parts.is_blank {
            let why = if since.get() > OBJECT_BYTES {
                "an object of over 64 MiB"
            } else {
                "a document that is no object"
            };
            tally.read += 1;
            tally.bad(Place { input: &input.name, line: begins }, why);
        }
        if let Err(error) = parts.skip() {
            tally.cut = Some(format!("{} breaks off after line {}: {error}", input.name, parts.line));
            return Ok(());
        }
    }
    Ok(())
}

/// Dumps are large: what is bounded is the depth, and by [`Meter`] the size of an object.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: None,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_depth: DEPTH,
        },
    }
}

/// Counts what is read since the last object, and ends what is too much.
struct Meter<R> {
    reader: R,
    since: Rc<Cell<u64>>,
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.since.get() > OBJECT_BYTES {
            return Err(io::Error::other("an object of over 64 MiB"));
        }
        let read = self.reader.read(into)?;
        self.since.set(self.since.get() + read as u64);
        Ok(read)
    }
}

/// Where in a stream of documents a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Inside,
    Separator,
    End,
}

/// The documents of a YAML stream, one after the other, each as a text of its own: what is wrong with one costs no other.
struct Parts {
    reader: Box<dyn BufRead + Send>,
    /// Lines read.
    line: u64,
    /// The last of them, and how much of it was given away.
    text: Vec<u8>,
    given: usize,
    at: At,
    /// Whether the document has had nothing but white space and comments.
    is_blank: bool,
}

impl Parts {
    /// Starts with the next document; the line at which it begins.
    fn begin(&mut self) -> u64 {
        (self.at, self.is_blank) = (At::Inside, true);
        self.line + 1
    }

    /// Passes over what is left of the document.
    fn skip(&mut self) -> io::Result<()> {
        while self.at == At::Inside {
            self.next_line()?;
        }
        Ok(())
    }

    fn next_line(&mut self) -> io::Result<()> {
        self.text.clear();
        self.given = 0;
        let read = self.reader.by_ref().take(OBJECT_BYTES).read_until(b'\n', &mut self.text)?;
        self.line += u64::from(self.text.ends_with(b"\n") || read > 0 && read < OBJECT_BYTES as usize);
        if read == 0 {
            self.at = At::End;
        } else if self.text.starts_with(b"---") && self.text[3..].first().is_none_or(u8::is_ascii_whitespace)
        {
            self.at = At::Separator;
            self.text.clear();
        } else {
            let content = self.text.trim_ascii_start();
            self.is_blank &= content.is_empty() || content.starts_with(b"#");
        }
        Ok(())
    }
}

impl Read for &mut Parts {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() {
            if self.at != At::Inside {
                return Ok(0);
            }
            self.next_line()?;
        }
        let len = into.len().min(self.text.len() - self.given);
        into[..len].copy_from_slice(&self.text[self.given..self.given + len]);
        self.given += len;
        Ok(len)
    }
}

/// What hands objects over.
struct Found<'f, 't> {
    name: &'f str,
    /// The line of the document, if objects are not to be numbered.
    line: Option<u64>,
    count: u64,
    since: &'f Cell<u64>,
    tally: &'f mut Tally,
    take: &'f mut Take<'t>,
    /// What `take` failed with.
    failed: Option<ImportError>,
}

impl Found<'_, '_> {
    fn give<E: Error>(&mut self, object: Json) -> Result<(), E> {
        self.since.set(0);
        self.count += 1;
        self.tally.read += 1;
        let place = Place { input: self.name, line: self.line.unwrap_or(self.count) };
        (self.take)(place, object, self.tally).map_err(|error| {
            self.failed = Some(error);
            E::custom("stopped")
        })
    }
}

/// A document: an object, a list of the API with its items, or an array.
struct Document<'d, 'f, 't> {
    found: &'d mut Found<'f, 't>,
}

impl<'de> DeserializeSeed<'de> for Document<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of the API or a list of them")
    }

    /// An empty document.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        while from.next_element_seed(Document { found: self.found })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let mut entries: Vec<(Text, Json)> = Vec::new();
        let mut untyped: Option<Vec<Json>> = None;
        while let Some(key) = from.next_key::<String>()? {
            if key == "items" {
                let items = Items { found: self.found, untyped: untyped.get_or_insert_default() };
                from.next_value_seed(items)?;
            } else {
                entries.push((key.into(), from.next_value()?));
            }
        }
        let whole = Json::Object(Map::from(entries));
        let Some(untyped) = untyped else { return self.found.give(whole) };
        // Items of a typed list, such as a `PodList`, say what they are by the list.
        let kind = whole["kind"].as_str().unwrap_or_default();
        let kind = kind.strip_suffix("List").unwrap_or(kind);
        for mut item in untyped {
            item.set(&["kind"], kind.into());
            item.set(&["apiVersion"], whole["apiVersion"].clone());
            self.found.give(item)?;
        }
        Ok(())
    }
}

/// The items of a list. Those that do not say what they are wait for the list to say it.
struct Items<'d, 'f, 't> {
    found: &'d mut Found<'f, 't>,
    untyped: &'d mut Vec<Json>,
}

impl<'de> DeserializeSeed<'de> for Items<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of a list")
    }

    /// An empty list, as Go writes it.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        while let Some(item) = from.next_element::<Json>()? {
            if item["kind"].is_null() {
                self.untyped.push(item);
            } else {
                self.found.give(item)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(text: impl Into<Vec<u8>>) -> (Vec<String>, Tally) {
        let (mut found, mut tally) = (Vec::new(), Tally::default());
        each_object(Input::of("t", text), &mut tally, &mut |place, object, _| {
            let text = |field: &str| object[field].as_str().unwrap_or("-").to_owned();
            let name = object["metadata"]["name"].as_str().unwrap_or("-");
            found.push(format!("{} {}/{} {name}", place.line, text("apiVersion"), text("kind")));
            Ok(())
        })
        .unwrap();
        (found, tally)
    }

    const TYPED: &str = r#"{"metadata":{"name":"a"},"apiVersion":"v1","kind":"Pod"}"#;

    #[test]
    fn json_is_objects_lists_and_arrays_one_after_the_other() {
        let untyped = r#"{"kind":"NodeList","apiVersion":"v1","items":[{"metadata":{"name":"n"}}]}"#;
        let empty = r#"{"kind":"PodList","apiVersion":"v1","items":null}"#;
        let list = format!(r#"{{"apiVersion":"v1","items":[{TYPED},{TYPED}],"kind":"List"}}"#);
        let (found, tally) = objects(format!("\u{feff} {TYPED}\n[{TYPED}]{list}{untyped}{empty}\n"));
        assert_eq!(found, ["1 v1/Pod a", "2 v1/Pod a", "3 v1/Pod a", "4 v1/Pod a", "5 v1/Node n"]);
        assert_eq!((tally.read, tally.is_loss()), (5, false));
    }

    #[test]
    fn json_that_breaks_off_keeps_what_came_before() {
        for rest in ["{\"kind\":", "x", &"[".repeat(100_000), "\u{0}"] {
            let (found, tally) = objects(format!("{TYPED}{rest}"));
            assert_eq!(found.len(), 1, "{rest:.9}");
            assert!(tally.cut.unwrap().starts_with("t breaks off after 1 objects"), "{rest:.9}");
        }
    }

    #[test]
    fn a_bad_yaml_document_costs_no_other() {
        let deep = "a: ".to_owned() + &"[".repeat(300);
        let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n";
        let list = "apiVersion: v1\nitems:\n- metadata:\n    name: b\nkind: PodList\n";
        let (found, tally) =
            objects(format!("# head\n---\n{pod}---\n{deep}\n---\n\n---\n{list}---\r\n{pod}"));
        assert_eq!(found, ["3 v1/Pod a", "12 v1/Pod b", "18 v1/Pod a"]);
        assert_eq!(tally.dropped["a document that is no object"].first, ["t:8"]);
    }

    #[test]
    fn numbers_and_text_stay_what_they_are() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {a: '1', b: \"true\"}}\nspec: {priority: 5}\n";
        let mut found = None;
        each_object(Input::of("t", text), &mut Tally::default(), &mut |_, object, _| {
            found = Some(object);
            Ok(())
        })
        .unwrap();
        let found = found.unwrap();
        assert_eq!(found["metadata"]["labels"], serde_json::json!({"a": "1", "b": "true"}));
        assert_eq!(found["spec"]["priority"], 5);
    }
}
