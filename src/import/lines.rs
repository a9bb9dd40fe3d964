use std::io::BufRead;

use super::{Input, Place, Tally};

/// A longer line is dropped. The API server takes objects of 1.5 MiB, and an audit event holds two.
const LINE_BYTES: usize = 16 << 20;

/// A text that is read line by line, in bounded memory.
#[derive(Debug)]
pub struct Lines {
    input: Input,
    line: u64,
}

impl Lines {
    /// The lines of an input.
    pub fn of(input: Input) -> Lines {
        Lines { input, line: 0 }
    }

    /// Where the line that was read last is.
    pub fn place(&self) -> Place<'_> {
        Place { input: &self.input.name, line: self.line }
    }

    /// Reads the next line that is not empty into `text`, without its end and a byte-order mark. Lines that are too
    /// long are counted and passed over; where the input breaks off, it ends.
    pub fn next_line(&mut self, text: &mut Vec<u8>, tally: &mut Tally) -> bool {
        loop {
            text.clear();
            match self.read(text) {
                Ok(0) => return false,
                Ok(_) if text.len() > LINE_BYTES => {
                    tally.read += 1;
                    tally.bad(self.place(), "a line of over 16 MiB");
                }
                Ok(_) => {
                    if self.line == 1 && text.starts_with("\u{feff}".as_bytes()) {
                        text.drain(..3);
                    }
                    text.truncate(text.trim_ascii_end().len());
                    if !text.is_empty() {
                        tally.read += 1;
                        return true;
                    }
                }
                Err(error) => {
                    let Place { input, line } = self.place();
                    tally.cut = Some(format!("{input} breaks off after line {line}: {error}"));
                    return false;
                }
            }
        }
    }

    /// Bytes of the next line, its end included; of one that is too long, text has a byte too many.
    fn read(&mut self, text: &mut Vec<u8>) -> std::io::Result<usize> {
        let mut bytes = 0;
        loop {
            let available = self.input.reader.fill_buf()?;
            let end = memchr::memchr(b'\n', available).map(|at| at + 1);
            let part = &available[..end.unwrap_or(available.len())];
            if text.len() <= LINE_BYTES {
                text.extend_from_slice(&part[..part.len().min(LINE_BYTES + 1 - text.len())]);
            }
            let len = part.len();
            self.input.reader.consume(len);
            bytes += len;
            self.line += u64::from(end.is_some() || (len == 0 && bytes > 0));
            if end.is_some() || len == 0 {
                return Ok(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_no_ends_no_marks_and_a_greatest_length() {
        let long = "x".repeat(LINE_BYTES + 1);
        let text = format!("\u{feff}a\r\n\n{long}\nb\n  \nc");
        let (mut lines, mut tally, mut line) =
            (Lines::of(Input::of("t", text)), Tally::default(), Vec::new());
        let mut found = Vec::new();
        while lines.next_line(&mut line, &mut tally) {
            found.push((lines.place().line, String::from_utf8(line.clone()).unwrap()));
        }
        assert_eq!(found, [(1, "a".to_owned()), (4, "b".to_owned()), (6, "c".to_owned())]);
        assert_eq!(tally.dropped["a line of over 16 MiB"].first, ["t:3"]);
        assert_eq!(tally.read, 4);
    }
}
