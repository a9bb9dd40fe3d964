use std::io::{self, Write};

use super::{Format, Out, node_and_phase};
use crate::model::{ObjectEvent, Record};

/// An event a line, as RFC 4180 has it.
pub(super) struct Csv(Out);

impl Csv {
    pub(super) fn new(mut out: Out) -> io::Result<Csv> {
        writeln!(out, "at_ns,verb,inferred,kind,namespace,name,uid,resource_version,node,phase")?;
        Ok(Csv(out))
    }
}

impl Format for Csv {
    fn record(&mut self, record: &Record) -> anyhow::Result<()> {
        if let Record::Object(event) = record {
            writeln!(self.0, "{}", line(event))?;
        }
        Ok(())
    }

    fn end(mut self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.0.flush()?)
    }
}

fn line(event: &ObjectEvent) -> String {
    let (node, phase) = node_and_phase(event);
    let fields = [
        event.verb.as_str(),
        if event.inferred { "true" } else { "false" },
        &event.key.kind,
        event.key.namespace.as_deref().unwrap_or_default(),
        &event.key.name,
        &event.uid,
        &event.rv,
        node.unwrap_or_default(),
        phase.unwrap_or_default(),
    ];
    let quoted = fields.map(|field| {
        let special = field.contains(['"', ',', '\n', '\r']);
        if special { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
    });
    format!("{},{}", event.at.as_nanos(), quoted.join(","))
}
