use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{ImportError, Report, Survey, Tally};
use crate::model::{Json, Note, ObjectEvent, Record, Rules, Synced, TraceTime, Verb};
use crate::trace::{ClusterInfo, Detail, Durability, Header, ReelWriter, Summary, WriteOptions};

/// Where a reel goes, and what its header says besides what the importer knows.
#[derive(Clone)]
pub struct Target {
    /// The file.
    pub path: PathBuf,
    /// Replace it if it exists.
    pub overwrite: bool,
    /// How much of each object to keep.
    pub detail: Detail,
    /// The command line.
    pub command: Vec<String>,
    /// What is left out of whole objects, and what the header says about it.
    pub rules: Arc<dyn Rules>,
    /// The same in words.
    pub redaction: Vec<String>,
}

impl Target {
    /// A file that is not there yet; objects stay whole.
    pub fn new(path: PathBuf) -> Target {
        Target {
            path,
            overwrite: false,
            detail: Detail::Lossless,
            command: Vec::new(),
            rules: Arc::new(()),
            redaction: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What a reel is made of.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The importer, such as `openb`.
    pub format: &'static str,
    /// Wall clock at time 0, nanoseconds since the Unix epoch; 0 where the source has no calendar.
    pub started_wall_ns: i64,
    /// Names of the inputs.
    pub inputs: Vec<String>,
    /// What the importer was asked for, by name.
    pub options: BTreeMap<String, String>,
    /// What names the content, if it was seen as a whole before the first event: the same content and options give the
    /// same reel, byte for byte.
    pub digest: Option<String>,
}

/// A reel that is being written, and the survey of what is in it.
#[derive(Debug)]
pub struct Output {
    writer: ReelWriter,
    origin: Origin,
    survey: Survey,
    /// Number of the last event: made-up objects have it for a version.
    events: u64,
}

impl Target {
    /// Writes the header.
    ///
    /// # Errors
    /// As [`ReelWriter::create`].
    pub fn start(&self, origin: Origin) -> Result<Output, ImportError> {
        let options = WriteOptions {
            overwrite: self.overwrite,
            detail: self.detail,
            durability: Durability::WhenSealed,
            ..WriteOptions::default()
        };
        let mut labels = origin.options.clone();
        labels.insert("import.format".to_owned(), origin.format.to_owned());
        let names = origin.inputs.join(" ");
        labels.insert("import.inputs".to_owned(), names);
        let header = Header {
            id: id(&origin),
            writer: concat!("kubereel ", env!("CARGO_PKG_VERSION")).to_owned(),
            command: self.command.clone(),
            started_wall_ns: origin.started_wall_ns,
            cluster: ClusterInfo { context: format!("import {}", origin.format), ..ClusterInfo::default() },
            redaction: self.redaction.clone(),
            labels,
            ..Header::default()
        };
        let writer = ReelWriter::create(&self.path, &header, options)?;
        Ok(Output { writer, origin, survey: Survey::default(), events: 0 })
    }
}

fn id(origin: &Origin) -> String {
    let Some(digest) = &origin.digest else { return uuid::Uuid::new_v4().to_string() };
    let mut hasher = Sha256::new();
    hasher.update(digest);
    for (name, value) in &origin.options {
        hasher.update(format!("{}\0{name}\0{value}\0", origin.format));
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

impl Output {
    /// Writes an event.
    ///
    /// # Errors
    /// [`ImportError::Trace`].
    pub fn event(&mut self, event: ObjectEvent) -> Result<(), ImportError> {
        self.survey.observe(&event);
        self.events += 1;
        Ok(self.writer.push(&Record::Object(event))?)
    }

    /// Writes an event about an object that no API server gave a version.
    ///
    /// # Errors
    /// As [`Output::event`]; [`ImportError::Format`] where the object has no name.
    pub fn made(&mut self, at: TraceTime, verb: Verb, mut object: Json) -> Result<(), ImportError> {
        object.set(&["metadata", "resourceVersion"], (self.events + 1).to_string().as_str().into());
        match ObjectEvent::new(at, verb, object) {
            Some(event) => self.event(event),
            None => Err(ImportError::Format {
                input: self.origin.format.to_owned(),
                what: "an object without kind or name cannot be written".to_owned(),
            }),
        }
    }

    /// Says that the first state of these kinds is complete.
    ///
    /// # Errors
    /// [`ImportError::Trace`].
    pub fn synced(&mut self, at: TraceTime, kinds: &[&str]) -> Result<(), ImportError> {
        for kind in kinds {
            let synced = Synced { at, kind: (*kind).to_owned(), rv: self.events.to_string() };
            self.writer.push(&Record::Synced(synced))?;
        }
        Ok(())
    }

    /// Writes any other record.
    ///
    /// # Errors
    /// [`ImportError::Trace`].
    pub fn record(&mut self, record: &Record) -> Result<(), ImportError> {
        Ok(self.writer.push(record)?)
    }

    /// Writes the report and seals the reel.
    ///
    /// # Errors
    /// [`ImportError::Nothing`] where not one event was written, [`ImportError::Trace`]; the reel is then unsealed.
    pub fn finish(
        mut self,
        tally: Tally,
        lost: Vec<String>,
        remarks: Vec<String>,
    ) -> Result<(Report, Summary), ImportError> {
        if self.events == 0 {
            let (rows, dropped) = (tally.read, tally.reasons());
            return Err(ImportError::Nothing { input: self.origin.inputs.join(" "), rows, dropped });
        }
        let report = Report::new(self.origin, tally, self.survey.load(), lost, remarks);
        let note = Note { at: self.survey.last(), text: report.to_note() };
        self.writer.push(&Record::Note(note))?;
        Ok((report, self.writer.seal()?))
    }
}
