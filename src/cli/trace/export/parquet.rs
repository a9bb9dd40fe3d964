use std::io::Write;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::{Format, Out, node_and_phase};
use crate::model::Record;

/// One row an object event; `object` is the whole object as JSON.
const SCHEMA: &str = "message events {
    required int64 at_ns;
    required binary verb (string);
    required boolean inferred;
    required binary kind (string);
    optional binary namespace (string);
    required binary name (string);
    required binary uid (string);
    required binary resource_version (string);
    optional binary node (string);
    optional binary phase (string);
    required binary object (json);
}";

/// Rows are kept until their objects take this many bytes.
const GROUP_BYTES: usize = 16 << 20;

/// Rows of events, column by column.
pub(super) struct Parquet {
    file: SerializedFileWriter<Out>,
    rows: Rows,
}

/// The columns of the rows that are not yet written.
#[derive(Default)]
struct Rows {
    at: Vec<i64>,
    inferred: Vec<bool>,
    verb: Vec<ByteArray>,
    kind: Vec<ByteArray>,
    namespace: Optional,
    name: Vec<ByteArray>,
    uid: Vec<ByteArray>,
    version: Vec<ByteArray>,
    node: Optional,
    phase: Optional,
    object: Vec<ByteArray>,
    bytes: usize,
}

/// A column of values that may be absent.
#[derive(Default)]
struct Optional {
    values: Vec<ByteArray>,
    /// 1 where there is a value, for each row.
    levels: Vec<i16>,
}

impl Parquet {
    pub(super) fn new(out: Out) -> anyhow::Result<Parquet> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let file = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
        Ok(Parquet { file, rows: Rows::default() })
    }

    fn write_group(&mut self) -> anyhow::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let mut group = self.file.next_row_group()?;
        column::<Int64Type>(&mut group, &rows.at, None)?;
        column::<ByteArrayType>(&mut group, &rows.verb, None)?;
        column::<BoolType>(&mut group, &rows.inferred, None)?;
        column::<ByteArrayType>(&mut group, &rows.kind, None)?;
        optional(&mut group, &rows.namespace)?;
        column::<ByteArrayType>(&mut group, &rows.name, None)?;
        column::<ByteArrayType>(&mut group, &rows.uid, None)?;
        column::<ByteArrayType>(&mut group, &rows.version, None)?;
        optional(&mut group, &rows.node)?;
        optional(&mut group, &rows.phase)?;
        column::<ByteArrayType>(&mut group, &rows.object, None)?;
        group.close()?;
        Ok(())
    }
}

impl Format for Parquet {
    fn record(&mut self, record: &Record) -> anyhow::Result<()> {
        let Record::Object(event) = record else { return Ok(()) };
        let (node, phase) = node_and_phase(event);
        let object = event.object.to_string();
        let rows = &mut self.rows;
        rows.bytes += object.len();
        rows.at.push(event.at.as_nanos() as i64);
        rows.inferred.push(event.inferred);
        rows.verb.push(event.verb.as_str().into());
        rows.kind.push(event.key.kind.as_str().into());
        rows.namespace.push(event.key.namespace.as_deref());
        rows.name.push(event.key.name.as_str().into());
        rows.uid.push(event.uid.as_str().into());
        rows.version.push(event.rv.as_str().into());
        rows.node.push(node);
        rows.phase.push(phase);
        rows.object.push(object.into_bytes().into());
        if rows.bytes >= GROUP_BYTES { self.write_group() } else { Ok(()) }
    }

    fn end(mut self: Box<Self>) -> anyhow::Result<()> {
        if !self.rows.at.is_empty() {
            self.write_group()?;
        }
        Ok(self.file.into_inner()?.flush()?)
    }
}

impl Optional {
    fn push(&mut self, value: Option<&str>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value.map(ByteArray::from));
    }
}

fn optional(group: &mut SerializedRowGroupWriter<'_, Out>, column_of: &Optional) -> anyhow::Result<()> {
    column::<ByteArrayType>(group, &column_of.values, Some(&column_of.levels))
}

/// Writes the next column of a group.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Out>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> anyhow::Result<()> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(values, levels, None)?;
        column.close()?;
    }
    Ok(())
}
