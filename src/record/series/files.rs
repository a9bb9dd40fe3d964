//! Where the files of a recording are, when the next one begins, and which old ones go. Pure but for listing a folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::DateTime;

const EXTENSION: &str = ".reel";

/// The length of `-20261124T125032Z-000001`.
const MARK: usize = 1 + 16 + 1 + 6;

/// The files of a recording that is cut into several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNames {
    folder: PathBuf,
    stem: String,
}

impl FileNames {
    /// Files beside `out`, named after it: `prod.reel` gives `prod-20261124T125032Z-000001.reel`.
    pub fn beside(out: &Path) -> FileNames {
        let folder = out.parent().filter(|parent| !parent.as_os_str().is_empty());
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        FileNames::within(folder.unwrap_or(Path::new(".")), &name)
    }

    /// Files in a folder, named after `name`.
    pub fn within(folder: &Path, name: &str) -> FileNames {
        let stem = name.strip_suffix(EXTENSION).unwrap_or(name);
        FileNames { folder: folder.to_owned(), stem: stem.to_owned() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one file, by the wall clock at its start and its number in the recording.
    pub(super) fn path(&self, wall_ns: i64, number: u64) -> PathBuf {
        let time = DateTime::from_timestamp_nanos(wall_ns).format("%Y%m%dT%H%M%SZ");
        self.folder.join(format!("{}-{time}-{number:06}{EXTENSION}", self.stem))
    }

    /// Whether a file name is one that [`FileNames::path`] makes.
    fn is_ours(&self, name: &str) -> bool {
        let mark = name.strip_prefix(&self.stem).and_then(|rest| rest.strip_suffix(EXTENSION));
        mark.is_some_and(|mark| {
            mark.len() == MARK
                && mark.bytes().enumerate().all(|(at, byte)| match at {
                    0 | 17 => byte == b'-',
                    9 => byte == b'T',
                    16 => byte == b'Z',
                    _ => byte.is_ascii_digit(),
                })
        })
    }

    /// The files that are there and that nobody writes, oldest first, with their sizes.
    pub(super) fn existing(&self) -> io::Result<Vec<(PathBuf, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if self.is_ours(&entry.file_name().to_string_lossy()) && !is_being_written(&entry.path()) {
                found.push((entry.path(), entry.metadata()?.len()));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// A writer holds a lock on its file.
fn is_being_written(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

/// When a file is sealed and the next one begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotation {
    /// At this many bytes.
    pub size: Option<u64>,
    /// After this time.
    pub every: Option<Duration>,
}

impl Rotation {
    /// Whether there is more than one file at all.
    pub fn is_on(&self) -> bool {
        self.size.is_some() || self.every.is_some()
    }

    pub(super) fn is_due(&self, bytes: u64, age: Duration) -> bool {
        self.size.is_some_and(|size| bytes >= size) || self.every.is_some_and(|every| age >= every)
    }
}

/// How many sealed files stay in the folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// At most so many files.
    pub files: Option<usize>,
    /// At most so many bytes in all.
    pub bytes: Option<u64>,
}

impl Retention {
    /// Those of the files, given oldest first, that have to go. The newest stays whatever its size.
    pub(super) fn superfluous<'f>(&self, files: &'f [(PathBuf, u64)]) -> &'f [(PathBuf, u64)] {
        let mut bytes = 0;
        let stays = |(kept, (_, size)): &(usize, &(PathBuf, u64))| {
            bytes += size;
            *kept == 0
                || (self.files.is_none_or(|most| *kept < most) && self.bytes.is_none_or(|most| bytes <= most))
        };
        let kept = files.iter().rev().enumerate().take_while(stays).count();
        &files[..files.len() - kept]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_are_recognized() {
        let names = FileNames::beside(Path::new("/data/prod.reel"));
        let path = names.path(1_795_524_632_000_000_000, 7);
        assert_eq!(path, Path::new("/data/prod-20261124T125032Z-000007.reel"));
        assert!(names.is_ours("prod-20261124T125032Z-000007.reel"));
        for other in [
            "prod.reel",
            "prod-mine.reel",
            "prod-20261124T125032Z-000007.reel.tmp",
            "x-20261124T125032Z-000007.reel",
        ] {
            assert!(!names.is_ours(other), "{other}");
        }
        assert_eq!(FileNames::beside(Path::new("prod")).folder(), Path::new("."));
    }

    #[test]
    fn only_whole_files_of_the_recording_exist() {
        let dir = tempfile::tempdir().unwrap();
        let names = FileNames::within(dir.path(), "prod");
        let sealed = names.path(1_000_000_000, 1);
        fs::write(&sealed, "abc").unwrap();
        fs::write(dir.path().join("prod.reel"), "mine").unwrap();
        let open = File::create(names.path(2_000_000_000, 2)).unwrap();
        open.lock().unwrap();
        assert_eq!(names.existing().unwrap(), [(sealed, 3)]);
    }

    #[test]
    fn a_file_is_full_by_size_or_age() {
        let rotation = Rotation { size: Some(100), every: Some(Duration::from_mins(1)) };
        assert!(!rotation.is_due(99, Duration::from_secs(59)));
        assert!(rotation.is_due(100, Duration::ZERO) && rotation.is_due(0, Duration::from_mins(1)));
        assert!(!Rotation::default().is_due(u64::MAX, Duration::MAX));
    }

    #[test]
    fn the_oldest_go_first_and_the_newest_never() {
        let files: Vec<_> = (1..=4).map(|n| (PathBuf::from(format!("{n}")), 10)).collect();
        let gone = |files: &[(PathBuf, u64)], retention: Retention| retention.superfluous(files).len();
        assert_eq!(gone(&files, Retention::default()), 0);
        assert_eq!(gone(&files, Retention { files: Some(3), bytes: None }), 1);
        assert_eq!(gone(&files, Retention { files: None, bytes: Some(25) }), 2);
        assert_eq!(gone(&files, Retention { files: Some(0), bytes: Some(1) }), 3);
        assert_eq!(gone(&[], Retention { files: Some(0), bytes: None }), 0);
    }
}
