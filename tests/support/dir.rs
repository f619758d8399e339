//! A directory that a test fills and reads. Each step panics with its path where it fails.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::tree::{self, Touch, Tree};

/// A directory, there or not.
#[derive(Debug, Clone)]
pub struct Dir(pub PathBuf);

impl Dir {
    /// The path of an entry; names are bytes.
    pub fn at(&self, path: impl AsRef<[u8]>) -> PathBuf {
        self.0.join(OsStr::from_bytes(path.as_ref()))
    }

    /// A directory inside.
    pub fn dir(&self, path: &str) -> Self {
        Self(self.0.join(path))
    }

    /// Its own path, as text.
    pub fn text_path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Writes a file, and makes the directories above it.
    pub fn write(&self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) {
        let full = self.at(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, content).unwrap_or_else(|e| panic!("{}: {e}", full.display()));
    }

    /// Writes at the end of the same file.
    pub fn append(&self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) {
        use std::io::Write;
        let mut file = fs::File::options()
            .append(true)
            .open(self.at(path))
            .unwrap();
        file.write_all(content.as_ref()).unwrap();
    }

    /// Makes a directory and those above it.
    pub fn mkdir(&self, path: impl AsRef<[u8]>) {
        fs::create_dir_all(self.at(path)).unwrap();
    }

    /// Makes a symbolic link.
    pub fn link(&self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) {
        symlink(OsStr::from_bytes(target.as_ref()), self.at(path)).unwrap();
    }

    /// Makes a FIFO.
    pub fn fifo(&self, path: impl AsRef<[u8]>) {
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, self.at(path), kind, 0o644.into(), 0).unwrap();
    }

    /// Sets permission bits.
    pub fn chmod(&self, path: impl AsRef<[u8]>, mode: u32) {
        fs::set_permissions(self.at(path), Permissions::from_mode(mode)).unwrap();
    }

    /// Sets the mtime of a file, in nanoseconds since 1970.
    pub fn set_mtime(&self, path: impl AsRef<[u8]>, nanos: u64) {
        let file = fs::File::options().write(true).open(self.at(path)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos))
            .unwrap();
    }

    /// Removes an entry, with all in it.
    pub fn remove(&self, path: impl AsRef<[u8]>) {
        let full = self.at(path);
        let is_dir = fs::symlink_metadata(&full).unwrap().is_dir();
        let removed = if is_dir {
            fs::remove_dir_all(&full)
        } else {
            fs::remove_file(&full)
        };
        removed.unwrap();
    }

    /// The content of a file.
    #[track_caller]
    pub fn read(&self, path: impl AsRef<[u8]>) -> Vec<u8> {
        let full = self.at(path);
        fs::read(&full).unwrap_or_else(|e| panic!("{}: {e}", full.display()))
    }

    /// The content of a file, as text.
    #[track_caller]
    pub fn text(&self, path: impl AsRef<[u8]>) -> String {
        String::from_utf8(self.read(path)).unwrap()
    }

    /// Whether an entry is there; a dangling link is.
    pub fn has(&self, path: impl AsRef<[u8]>) -> bool {
        fs::symlink_metadata(self.at(path)).is_ok()
    }

    /// Names in a directory, sorted.
    pub fn names(&self, path: impl AsRef<[u8]>) -> Vec<String> {
        let entries = fs::read_dir(self.at(path)).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The synchronised tree: everything but the state directory.
    pub fn tree(&self) -> Tree {
        tree::tree(&self.0)
    }

    /// Everything, with what a mere look must not change.
    pub fn touch(&self) -> Touch {
        tree::touch(&self.0)
    }
}

/// Makes everything below writable, so that it can be removed.
pub fn make_removable(path: &Path) {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return;
    };
    if !meta.is_dir() {
        return;
    }
    drop(fs::set_permissions(path, Permissions::from_mode(0o700)));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        make_removable(&entry.path());
    }
}
