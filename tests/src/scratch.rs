//! Temporary directories.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::reaper;

/// A temporary directory that is removed when dropped, and by the [`reaper`] when the test binary
/// ends without dropping it. Its path is short, because unix socket paths end at 107 octets.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
}

impl Scratch {
    /// An empty directory `/tmp/bindproxy-PURPOSE-XXXXXX`.
    #[must_use]
    pub fn new(purpose: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix(&format!("bindproxy-{purpose}-"))
            .tempdir()
            .expect("make a temporary directory");
        reaper::remove_directory(directory.path());
        Self { directory }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the directory.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file into the directory and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("make the file's directory");
        }
        std::fs::write(&path, content).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        reaper::forget_directory(self.path());
    }
}
