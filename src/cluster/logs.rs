use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::ClusterError;

/// How much of a log's end is looked at for its last lines.
const WINDOW: u64 = 1 << 20;

/// The last `lines` lines of a file, from at most its last mebibyte.
pub fn tail(path: &Path, lines: usize) -> Result<String, ClusterError> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(WINDOW)))?;
        let mut bytes = Vec::new();
        file.take(WINDOW).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(ClusterError::io("read", path))?;
    Ok(last_lines(&String::from_utf8_lossy(&bytes), lines))
}

/// The last `lines` lines of a text, without a newline at the end.
pub(super) fn last_lines(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 5), "a");
        assert_eq!(last_lines("", 5), "");
    }

    #[test]
    fn reads_only_the_end_of_a_long_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, format!("{}\nlast", "x".repeat(3 << 20))).unwrap();
        assert_eq!(tail(&path, 1).unwrap(), "last");
        assert_eq!(tail(&path, 9).unwrap().len(), 1 << 20);
    }
}
