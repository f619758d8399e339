//! The names inside a directory.

use rustix::fs;

use super::dir::Dir;
use super::stat::FileKind;

/// A name in a directory, and its kind where the file system tells it with the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// One component, any bytes but `/` and NUL.
    pub name: Box<[u8]>,
    /// `None`: ask [`Dir::stat`].
    pub kind: Option<FileKind>,
}

#[cfg(target_os = "linux")]
pub(super) fn list(fd: &Dir) -> rustix::io::Result<Vec<Listed>> {
    fs::seek(fd, fs::SeekFrom::Start(0))?;
    let mut buffer: Vec<u8> = Vec::with_capacity(32 * 1024);
    let mut entries = fs::RawDir::new(fd, buffer.spare_capacity_mut());
    let mut listed = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        push(&mut listed, entry.file_name().to_bytes(), entry.file_type());
    }
    Ok(listed)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn list(fd: &Dir) -> rustix::io::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for entry in fs::Dir::read_from(fd)? {
        let entry = entry?;
        push(&mut listed, entry.file_name().to_bytes(), entry.file_type());
    }
    Ok(listed)
}

fn push(listed: &mut Vec<Listed>, name: &[u8], kind: fs::FileType) {
    if name == b"." || name == b".." {
        return;
    }
    let kind = (kind != fs::FileType::Unknown).then(|| FileKind::of(kind));
    listed.push(Listed {
        name: name.into(),
        kind,
    });
}
