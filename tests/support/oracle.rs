//! The oracle: what a reel says about a cluster, held against what the API server says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kubereel::k8s::{Request, send};
use kubereel::model::{Gap, Kind, ObjectKey, Record, Verb};
use kubereel::trace::Reader;
use serde_json::Value;

type Objects = BTreeMap<ObjectKey, Value>;

/// The objects of a kind at one version, as the API server lists them.
pub struct Listed {
    kind: Kind,
    version: u64,
    objects: Objects,
}

/// What a recorder leaves out.
fn comparable(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    object
}

fn number(text: &str) -> u64 {
    text.parse().expect("a resourceVersion is a number")
}

impl Listed {
    /// Asks for them.
    pub async fn now(client: &kube::Client, kind: &Kind) -> anyhow::Result<Listed> {
        let mut list = send(client, &Request::get(kind.path())).await?.body;
        let version = number(list["metadata"]["resourceVersion"].as_str().unwrap_or_default());
        let items = match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        let items = items.into_iter().map(|item| comparable(kind.typed(item)));
        let objects = items.filter_map(|item| Some((ObjectKey::of(&item)?, item))).collect();
        Ok(Listed { kind: kind.clone(), version, objects })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Where the reel says something else, object by object.
    pub fn differences(&self, reel: &Path) -> anyhow::Result<Vec<String>> {
        let said = self.said_by(reel)?;
        let keys: BTreeSet<_> = said.keys().chain(self.objects.keys()).collect();
        let differs = |key: &&&ObjectKey| said.get(key) != self.objects.get(key);
        let tell = |key: &ObjectKey| match (said.get(key), self.objects.get(key)) {
            (None, _) => format!("{key} is not in the reel"),
            (_, None) => format!("{key} is only in the reel"),
            (Some(said), Some(is)) => format!("{key}:\n  reel   {said}\n  server {is}"),
        };
        Ok(keys.iter().filter(differs).map(|key| tell(key)).collect())
    }

    /// The state of the reel at the version of the list.
    fn said_by(&self, reel: &Path) -> anyhow::Result<Objects> {
        let mut objects = Objects::new();
        for record in Reader::open(reel)? {
            let Record::Object(event) = record? else { continue };
            if event.key.kind != self.kind.name() || number(&event.rv) > self.version {
                continue;
            }
            if event.verb == Verb::Deleted {
                objects.remove(&event.key);
            } else {
                objects.insert(event.key, comparable(Value::clone(&event.object)));
            }
        }
        Ok(objects)
    }
}

/// The gaps that a reel tells of, and its notes.
pub fn marks(reel: &Path) -> anyhow::Result<(Vec<Gap>, Vec<String>)> {
    let (mut gaps, mut notes) = (Vec::new(), Vec::new());
    for record in Reader::open(reel)? {
        match record? {
            Record::Gap(gap) => gaps.push(gap),
            Record::Note(note) => notes.push(note.text),
            _ => {}
        }
    }
    Ok((gaps, notes))
}
