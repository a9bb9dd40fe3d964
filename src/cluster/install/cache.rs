//! `<cache>/bin/<version>/<component>`, with `<component>.json` beside it.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tracing::info;

use super::{Origin, Program, Source, blocking};
use crate::cluster::dirs::write_private;
use crate::cluster::{ClusterError, Component, Dirs, Version};

/// Programs that are not whole yet. Whoever holds the lock may remove what an interrupted install left.
const STAGED: &str = ".staged-";

/// What is written beside a cached program.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: Version,
    component: Component,
    source: Origin,
    sha256: String,
    size: u64,
}

fn record_path(program: &Path) -> PathBuf {
    program.with_extension("json")
}

/// Keeps other installs of the same version away while it lives.
pub(super) async fn lock(dirs: &Dirs, version: &Version) -> Result<File, ClusterError> {
    let folder = dirs.bin(version);
    let path = folder.join(".lock");
    let version = version.clone();
    let work = move || {
        fs::create_dir_all(&folder).map_err(ClusterError::io("create", &folder))?;
        let path = folder.join(".lock");
        let file = File::create(&path).map_err(ClusterError::io("create", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                info!("waiting for another install of {version}");
                file.lock().map_err(ClusterError::io("lock", &path))?;
            }
            Err(TryLockError::Error(error)) => return Err(ClusterError::io("lock", &path)(error)),
        }
        remove_leftovers(&folder);
        Ok(file)
    };
    blocking(&path, work).await
}

fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(STAGED) {
            let path = entry.path();
            // Only space is lost if it stays.
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

/// The cached program, if its size is the recorded one and it came from the source asked for.
pub(super) fn lookup(
    dirs: &Dirs,
    version: &Version,
    component: Component,
    source: &Source,
) -> Result<Option<Program>, ClusterError> {
    let path = dirs.bin(version).join(component.name());
    let record_path = record_path(&path);
    let (text, size) = match fs::read(&record_path).and_then(|t| Ok((t, fs::metadata(&path)?.len()))) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ClusterError::io("read", &record_path)(error)),
    };
    let wanted = |origin| match source {
        Source::Auto => true,
        Source::Release => origin == Origin::Release,
        Source::Go => origin == Origin::Go,
        Source::Folder(_) => false,
    };
    // A record that does not parse is as good as none: the program is got again.
    let record = serde_json::from_slice::<Record>(&text).ok();
    Ok(record.filter(|r| r.size == size && wanted(r.source)).map(|r| Program {
        component,
        version: version.clone(),
        path,
        origin: r.source,
        sha256: Some(r.sha256),
    }))
}

/// Compares a cached program with its recorded checksum.
pub(super) async fn verify(program: Program) -> Result<Program, ClusterError> {
    let path = program.path.clone();
    let work = move || {
        let path = &program.path;
        let mut file = File::open(path).map_err(ClusterError::io("read", path))?;
        let (got, _) = copy_hashed(&mut file, &mut io::sink()).map_err(ClusterError::io("read", path))?;
        match &program.sha256 {
            Some(expected) if *expected != got => Err(ClusterError::Checksum {
                what: path.display().to_string(),
                expected: expected.clone(),
                got,
            }),
            _ => Ok(program),
        }
    };
    blocking(&path, work).await
}

/// Copies a program into the cache.
pub(super) async fn copy(
    dirs: &Dirs,
    version: &Version,
    component: Component,
    from: &Path,
    origin: Origin,
) -> Result<Program, ClusterError> {
    let (dirs, version, from) = (dirs.clone(), version.clone(), from.to_owned());
    let path = from.clone();
    let work = move || {
        let mut staged = stage(&dirs, &version)?;
        let mut file = File::open(&from).map_err(ClusterError::io("read", &from))?;
        let target = dirs.bin(&version).join(component.name());
        let (sha256, size) =
            copy_hashed(&mut file, staged.as_file_mut()).map_err(ClusterError::io("write", &target))?;
        commit(&dirs, &version, component, origin, staged, sha256, size)
    };
    blocking(&path, work).await
}

/// A file in the cache that does not count yet.
pub(super) fn stage(dirs: &Dirs, version: &Version) -> Result<NamedTempFile, ClusterError> {
    let folder = dirs.bin(version);
    tempfile::Builder::new()
        .prefix(STAGED)
        .tempfile_in(&folder)
        .map_err(ClusterError::io("write in", &folder))
}

/// Makes a staged file count: program first, record last, each by a rename.
pub(super) fn commit(
    dirs: &Dirs,
    version: &Version,
    component: Component,
    origin: Origin,
    staged: NamedTempFile,
    sha256: String,
    size: u64,
) -> Result<Program, ClusterError> {
    let path = dirs.bin(version).join(component.name());
    fs::set_permissions(staged.path(), fs::Permissions::from_mode(0o755))
        .and_then(|()| staged.persist(&path).map_err(|e| e.error))
        .map_err(ClusterError::io("write", &path))?;
    let record = Record { version: version.clone(), component, source: origin, sha256, size };
    let record_path = record_path(&path);
    let text =
        serde_json::to_vec_pretty(&record).map_err(|e| ClusterError::io("write", &record_path)(e.into()))?;
    write_private(&record_path, &text)?;
    Ok(Program { component, version: version.clone(), path, origin, sha256: Some(record.sha256) })
}

/// Copies everything, and says its SHA-256 and length.
pub(super) fn copy_hashed(from: &mut impl Read, to: &mut impl Write) -> io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
        size += count as u64;
    }
    to.flush()?;
    Ok((hex::encode(hash.finalize()), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(root: &Path) -> Dirs {
        Dirs { cache: root.join("cache"), state: root.join("state") }
    }

    #[tokio::test]
    async fn what_was_copied_is_found_and_what_was_changed_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (dirs, version) = (dirs(dir.path()), Version::default());
        let from = dir.path().join("program");
        fs::write(&from, "abc").unwrap();
        let lock = lock(&dirs, &version).await.unwrap();
        let component = Component::Scheduler;
        let stored = copy(&dirs, &version, component, &from, Origin::Go).await.unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(stored.sha256.as_deref(), Some(abc));
        drop(lock);

        let found = |source| lookup(&dirs, &version, component, &source).unwrap();
        assert_eq!(found(Source::Auto).as_ref(), Some(&stored));
        assert_eq!(found(Source::Go).as_ref(), Some(&stored));
        assert_eq!(found(Source::Release), None);
        assert!(verify(stored.clone()).await.is_ok());

        fs::write(&stored.path, "abd").unwrap();
        assert!(matches!(verify(stored.clone()).await, Err(ClusterError::Checksum { .. })));
        fs::write(&stored.path, "ab").unwrap();
        assert_eq!(found(Source::Auto), None);
    }

    #[tokio::test]
    async fn an_install_keeps_others_of_its_version_away() {
        let dir = tempfile::tempdir().unwrap();
        let (dirs, version) = (dirs(dir.path()), Version::default());
        let held = lock(&dirs, &version).await.unwrap();
        let other = File::open(dirs.bin(&version).join(".lock")).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        assert!(other.try_lock().is_ok());
    }

    #[tokio::test]
    async fn leftovers_of_an_interrupted_install_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (dirs, version) = (dirs(dir.path()), Version::default());
        drop(lock(&dirs, &version).await.unwrap());
        let left = stage(&dirs, &version).unwrap().into_temp_path().keep().unwrap();
        assert!(left.exists());
        let _lock = lock(&dirs, &version).await.unwrap();
        assert!(!left.exists());
    }
}
