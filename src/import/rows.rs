//! Tables: comma-separated values with a line of names first (RFC 4180), in bounded memory.

use csv_core::ReadRecordResult;

use super::{ImportError, Input, Place, Tally};

/// A row of more bytes than this is dropped; an unbalanced quote makes the rest of a file one row.
const ROW_BYTES: usize = 1 << 20;

/// A row of more fields than this is dropped.
const FIELDS: usize = 1 << 10;

/// A table that is read row by row.
#[derive(Debug)]
pub struct Rows {
    input: Input,
    parser: csv_core::Reader,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    columns: Vec<String>,
    /// Line ends before what comes next.
    passed: u64,
    /// Line at which the row that was read last begins.
    line: u64,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Where it is.
    pub place: Place<'a>,
    bytes: &'a [u8],
    ends: &'a [usize],
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column(usize);

/// What the parser came to.
enum Read {
    /// A row with this many fields.
    Row(usize),
    /// A row that is too long.
    Long,
    End,
}

impl Rows {
    /// Reads the line of names.
    ///
    /// # Errors
    /// [`ImportError::Io`], [`ImportError::Format`] where there is no such line.
    pub fn open(input: Input, delimiter: u8) -> Result<Rows, ImportError> {
        let parser = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        let (bytes, ends) = (vec![0; ROW_BYTES], vec![0; FIELDS]);
        let mut rows = Rows { input, parser, bytes, ends, columns: Vec::new(), passed: 0, line: 1 };
        let read = rows.read();
        let fail = |what: &str| ImportError::Format { input: rows.input.name.clone(), what: what.to_owned() };
        let fields = match read {
            Ok(Read::Row(fields)) => fields,
            Ok(Read::Long) => {
                return Err(fail("its first line is no line of column names: it is over 1 MiB"));
            }
            Ok(Read::End) => return Err(fail("is empty; a table begins with a line of column names")),
            Err(source) => {
                return Err(ImportError::Io { input: rows.input.name, doing: "read", source });
            }
        };
        let row = rows.row(fields);
        // A byte-order mark is no part of the first name.
        let names = (0..fields).map(|at| row.text(Column(at)).trim_start_matches('\u{feff}').to_owned());
        rows.columns = names.collect();
        Ok(rows)
    }

    /// The columns of these names.
    ///
    /// # Errors
    /// [`ImportError::Columns`] with all that are missing.
    pub fn columns<const N: usize>(&self, names: [&str; N]) -> Result<[Column; N], ImportError> {
        let found = names.map(|name| self.column(name));
        if found.iter().all(Option::is_some) {
            return Ok(found.map(|column| column.unwrap_or(Column(0))));
        }
        let missing = names.iter().zip(found).filter(|(_, found)| found.is_none());
        Err(ImportError::Columns {
            input: self.input.name.clone(),
            missing: missing.map(|(name, _)| (*name).to_owned()).collect(),
            found: self.columns.clone(),
        })
    }

    /// The column of a name.
    pub fn column(&self, name: &str) -> Option<Column> {
        self.columns.iter().position(|own| own.trim() == name).map(Column)
    }

    /// The next row. Rows with too few or too many fields, or too long, are counted and passed over; where the input
    /// breaks off, it ends.
    pub fn next_row<'a>(&'a mut self, tally: &mut Tally) -> Option<Row<'a>> {
        loop {
            let read = self.read();
            let place = Place { input: &self.input.name, line: self.line };
            match read {
                Ok(Read::End) => return None,
                Ok(Read::Row(fields)) => {
                    tally.read += 1;
                    if fields == self.columns.len() {
                        return Some(self.row(fields));
                    }
                    let why = if fields < self.columns.len() { "too few fields" } else { "too many fields" };
                    tally.bad(place, why);
                }
                Ok(Read::Long) => {
                    tally.read += 1;
                    tally.bad(place, "a row of over 1 MiB or 1,024 fields (an open quote?)");
                }
                Err(error) => {
                    tally.cut =
                        Some(format!("{} breaks off after line {}: {error}", place.input, place.line));
                    return None;
                }
            }
        }
    }

    fn row(&self, fields: usize) -> Row<'_> {
        let place = Place { input: &self.input.name, line: self.line };
        Row { place, bytes: &self.bytes, ends: &self.ends[..fields] }
    }

    /// The parser ends a row with the first byte of its line end, and passes over empty lines.
    fn skip_line_ends(&mut self) -> std::io::Result<()> {
        while let Some(byte @ (b'\r' | b'\n')) = self.input.reader.fill_buf()?.first() {
            self.passed += u64::from(*byte == b'\n');
            self.input.reader.consume(1);
        }
        Ok(())
    }

    fn read(&mut self) -> std::io::Result<Read> {
        let (mut written, mut fields, mut is_long) = (0, 0, false);
        self.skip_line_ends()?;
        self.line = self.passed + 1;
        loop {
            let available = self.input.reader.fill_buf()?;
            let room = if is_long {
                (&mut self.bytes[..], &mut self.ends[..])
            } else {
                (&mut self.bytes[written..], &mut self.ends[fields..])
            };
            let (result, consumed, wrote, ended) = self.parser.read_record(available, room.0, room.1);
            self.passed += memchr::memchr_iter(b'\n', &available[..consumed]).count() as u64;
            self.input.reader.consume(consumed);
            (written, fields) = (written + wrote, fields + ended);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => is_long = true,
                ReadRecordResult::Record if is_long => return Ok(Read::Long),
                ReadRecordResult::Record => return Ok(Read::Row(fields)),
                ReadRecordResult::End => return Ok(Read::End),
            }
        }
    }
}

impl<'a> Row<'a> {
    /// A field without white space around it; what is no UTF-8 reads as empty.
    pub fn text(&self, column: Column) -> &'a str {
        let start = if column.0 == 0 { 0 } else { self.ends.get(column.0 - 1).copied().unwrap_or(0) };
        let end = self.ends.get(column.0).copied().unwrap_or(start);
        self.bytes
            .get(start..end)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
            .trim()
    }

    /// A number that is not negative; empty is `None`.
    ///
    /// # Errors
    /// What is wrong with it, for the tally.
    pub fn number(&self, column: Column) -> Result<Option<f64>, &'static str> {
        let text = self.text(column);
        if text.is_empty() || text.eq_ignore_ascii_case("nan") {
            return Ok(None);
        }
        match text.parse::<f64>() {
            Ok(number) if number < 0.0 => Err("a negative number"),
            // What times and amounts are computed with stays exact below.
            Ok(number) if number < 1e15 => Ok(Some(number)),
            _ => Err("a field that is no number"),
        }
    }

    /// A number, 0 where the field is empty.
    ///
    /// # Errors
    /// As [`Row::number`].
    pub fn amount(&self, column: Column) -> Result<f64, &'static str> {
        Ok(self.number(column)?.unwrap_or(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: impl Into<Vec<u8>>) -> (Vec<(u64, String)>, Tally) {
        let mut rows = Rows::open(Input::of("t.csv", text), b',').unwrap();
        let [name] = rows.columns(["name"]).unwrap();
        let (mut tally, mut found) = (Tally::default(), Vec::new());
        while let Some(row) = rows.next_row(&mut tally) {
            found.push((row.place.line, row.text(name).to_owned()));
        }
        (found, tally)
    }

    #[test]
    fn marks_line_ends_and_quotes_are_no_part_of_values() {
        let (found, tally) = all("\u{feff}name,n\r\na,1\r\n\"b, c\",2\r\n\r\nd,3");
        let names: Vec<_> = found.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["a", "b, c", "d"]);
        assert_eq!([found[0].0, found[1].0, found[2].0], [2, 3, 5]);
        assert_eq!((tally.read, tally.is_loss()), (3, false));
    }

    #[test]
    fn rows_of_a_wrong_length_are_counted_with_their_lines() {
        let (found, tally) = all("name,n\na,1\nb\nc,3,4\nd,4\n");
        assert_eq!(found.len(), 2);
        assert_eq!(tally.dropped["too few fields"].first, ["t.csv:3"]);
        assert_eq!(tally.dropped["too many fields"].first, ["t.csv:4"]);
    }

    #[test]
    fn an_open_quote_costs_one_row_and_bounded_memory() {
        let text = format!("name,n\na,1\n\"{}", "x\n".repeat(3 << 20));
        let (found, tally) = all(text);
        assert_eq!(found.len(), 1);
        assert_eq!(tally.dropped.values().map(|d| d.count).sum::<u64>(), 1);
        assert_eq!(tally.dropped.values().next().unwrap().first, ["t.csv:3"]);
    }

    #[test]
    fn a_gzip_stream_that_breaks_off_says_where() {
        use std::io::Write as _;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        packed.write_all(format!("name,n\n{}", "a,1\n".repeat(10_000)).as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        let (found, tally) = all(&packed[..packed.len() / 2]);
        assert!(found.len() > 1000 && found.len() < 10_000, "{}", found.len());
        assert!(tally.cut.unwrap().starts_with("t.csv breaks off after line "));
    }

    #[test]
    fn missing_columns_are_named_together() {
        let rows = Rows::open(Input::of("t.csv", "a,b\n"), b',').unwrap();
        let error = rows.columns(["a", "x", "y"]).unwrap_err().to_string();
        assert_eq!(error, "t.csv: has no column x, y; its first line has: a, b");
        assert!(Rows::open(Input::of("t.csv", ""), b',').is_err());
    }

    #[test]
    fn numbers_are_not_negative_and_finite() {
        let mut rows = Rows::open(Input::of("t.csv", "a,b,c,d,e\n1.5,-1,,x,inf\n"), b',').unwrap();
        let columns = rows.columns(["a", "b", "c", "d", "e"]).unwrap();
        let row = rows.next_row(&mut Tally::default()).unwrap();
        let numbers = columns.map(|column| row.number(column));
        assert_eq!(numbers[0], Ok(Some(1.5)));
        assert_eq!(numbers[2], Ok(None));
        assert!([1, 3, 4].iter().all(|at| numbers[*at].is_err()));
    }
}
