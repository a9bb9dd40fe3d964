//! The oracle: what a reel says about a cluster, held against what the API server says.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use kubereel::k8s::{Request, send};
use kubereel::model::{Gap, Json, Kind, ObjectKey, Record, TraceTime, Verb};
use kubereel::trace::Reader;

use crate::shake::Taken;

type Objects = BTreeMap<ObjectKey, Json>;

/// The objects of a kind at one version, as the API server lists them.
pub struct Listed {
    kind: Kind,
    version: u64,
    objects: Objects,
}

/// What a recorder leaves out.
fn comparable(mut object: Json) -> Json {
    let metadata = object.as_object_mut().and_then(|fields| fields.get_mut("metadata"));
    if let Some(metadata) = metadata.and_then(Json::as_object_mut) {
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
        let list = send(client, &Request::get(kind.path())).await?.body;
        let version = number(list["metadata"]["resourceVersion"].as_str().unwrap_or_default());
        let items = list["items"].items().iter().map(|item| comparable(kind.typed(item.clone())));
        let objects = items.filter_map(|item| Some((ObjectKey::of(&item)?, item))).collect();
        Ok(Listed { kind: kind.clone(), version, objects })
    }

    /// Where the reel says something else, object by object.
    pub fn differences(&self, reel: &Path) -> anyhow::Result<Vec<String>> {
        let said = self.said_by(reel)?;
        anyhow::ensure!(!self.objects.is_empty(), "there are no {} to compare", self.kind);
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
                objects.insert(event.key, comparable(event.object));
            }
        }
        Ok(objects)
    }
}

/// Marks of loss in a reel, and what it must hold or excuse by them.
pub struct Marks {
    /// Where changes may be missing.
    pub gaps: Vec<Gap>,
    /// Remarks.
    pub notes: Vec<String>,
    started: i64,
    /// Kind and version of every event.
    events: HashSet<(String, String)>,
}

impl Marks {
    /// Reads a reel.
    pub fn of(reel: &Path) -> anyhow::Result<Marks> {
        let reader = Reader::open(reel)?;
        let started = reader.header().started_wall_ns;
        let mut marks = Marks { gaps: Vec::new(), notes: Vec::new(), started, events: HashSet::new() };
        for record in reader {
            match record? {
                Record::Object(event) => {
                    marks.events.insert((event.key.kind.to_string(), event.rv.to_string()));
                }
                Record::Gap(gap) => marks.gaps.push(gap),
                Record::Note(note) => marks.notes.push(note.text),
                _ => {}
            }
        }
        Ok(marks)
    }

    /// Changes that the API server took, that are not in the reel, and that no gap covers: lost and not marked.
    pub fn lost_unmarked(&self, taken: &[Taken]) -> Vec<String> {
        let missing = taken.iter().filter(|t| !self.events.contains(&(t.kind.clone(), t.version.clone())));
        let unmarked = missing.filter(|t| !self.gaps.iter().any(|gap| self.covers(gap, t)));
        unmarked.map(|t| format!("{} at version {}", t.kind, t.version)).collect()
    }

    /// Whether a change falls into a gap, give or take the way of an answer.
    fn covers(&self, gap: &Gap, taken: &Taken) -> bool {
        const WAY: i64 = 1_000_000_000;
        let wall = |at: TraceTime| self.started + i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
        let within = wall(gap.from) - WAY <= taken.wall_ns && taken.wall_ns <= wall(gap.at) + WAY;
        within && (gap.kind == "*" || gap.kind == taken.kind)
    }
}
