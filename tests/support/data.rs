//! Public data sets that are not in the repository, because they have no licence or are not ours: beside it, in
//! `../shared/data`. Tests that want one that is not there say so and pass.

use std::path::{Path, PathBuf};

/// A file of a data set.
#[allow(clippy::print_stderr, reason = "whoever runs the tests should know what was not tested")]
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}
