//! Which records a command is about.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::args::parse_duration;
use crate::model::{Record, TraceTime, Verb};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum VerbName {
    Initial,
    Added,
    Modified,
    Deleted,
}

/// Filters; all that are given must hold, and each may be given several times.
#[derive(Debug, Default, Args)]
pub(super) struct Selection {
    /// Only objects of this kind: Pod, Node, ReplicaSet.apps.
    #[arg(long)]
    kind: Vec<String>,
    /// Only objects in this namespace.
    #[arg(long, short)]
    namespace: Vec<String>,
    /// Only objects of this name.
    #[arg(long)]
    name: Vec<String>,
    /// Only objects of this UID.
    #[arg(long)]
    uid: Vec<String>,
    /// Only events of this verb.
    #[arg(long, value_enum)]
    verb: Vec<VerbName>,
    /// Only from this time of the trace on: 90s, 1h30m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    from: Option<Duration>,
    /// Only before this time of the trace.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    to: Option<Duration>,
}

impl Selection {
    /// Everything of these kinds and namespaces.
    pub(super) fn of_objects(kind: Vec<String>, namespace: Vec<String>) -> Selection {
        Selection { kind, namespace, ..Selection::default() }
    }

    /// The span of time that is asked for.
    pub(super) fn span(&self) -> (TraceTime, TraceTime) {
        let time = |duration: Duration| TraceTime::ZERO + duration;
        (self.from.map_or(TraceTime::ZERO, time), self.to.map_or(TraceTime::from_nanos(u64::MAX), time))
    }

    /// Whether only a part of the time is asked for.
    pub(super) fn has_span(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// Whether only some objects are asked for.
    fn has_objects(&self) -> bool {
        let texts = [&self.kind, &self.namespace, &self.name, &self.uid];
        texts.iter().any(|texts| !texts.is_empty()) || !self.verb.is_empty()
    }

    /// Whether the record is asked for. Records that are about no object are, unless objects are named.
    pub(super) fn takes(&self, record: &Record) -> bool {
        self.takes_time(record)
            && if is_object(record) { self.takes_object(record) } else { !self.has_objects() }
    }

    /// The same, but what says how complete a trace is stays whatever objects are named.
    pub(super) fn keeps(&self, record: &Record) -> bool {
        self.takes_time(record) && (!is_object(record) || self.takes_object(record))
    }

    fn takes_time(&self, record: &Record) -> bool {
        let (from, to) = self.span();
        (from..to).contains(&record.at()) || to.as_nanos() == u64::MAX && record.at() == to
    }

    fn takes_object(&self, record: &Record) -> bool {
        let Record::Object(event) = record else { return false };
        let is_one = |texts: &[String], text: &str| texts.is_empty() || texts.iter().any(|one| one == text);
        let verb = match event.verb {
            Verb::Initial => VerbName::Initial,
            Verb::Added => VerbName::Added,
            Verb::Modified => VerbName::Modified,
            Verb::Deleted => VerbName::Deleted,
        };
        is_one(&self.kind, &event.key.kind)
            && is_one(&self.namespace, event.key.namespace.as_deref().unwrap_or_default())
            && is_one(&self.name, &event.key.name)
            && is_one(&self.uid, &event.uid)
            && (self.verb.is_empty() || self.verb.contains(&verb))
    }
}

fn is_object(record: &Record) -> bool {
    matches!(record, Record::Object(_))
}
