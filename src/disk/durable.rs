//! Small state files that are either the old or the new version after a power cut.
//!
//! Left to others: what is inside, and whether it is valid.

use std::fs::File;
use std::io::{Read, Write};

use rustix::fs::OFlags;

use super::dir::Dir;
use super::file::{NewFile, sync_fd};
use super::{DiskError, Result};

/// What is between the name of a state file and the random end of its temporary name.
const TEMP_MARK: &[u8] = b".tmp-";

/// Replaces the file `name` by one with `bytes`, 0600; when it returns, a power cut changes nothing.
///
/// # Errors
/// The first failed call; the old file is still there unless only the last sync failed.
pub fn replace(dir: &Dir, name: &[u8], bytes: &[u8]) -> Result<()> {
    replace_with(dir, name, |file| file.write_all(bytes))
}

/// As [`replace`], by a file with what `write` writes.
///
/// # Errors
/// As [`replace`], and what `write` returns.
pub fn replace_with<E: From<DiskError>>(
    dir: &Dir,
    name: &[u8],
    write: impl FnOnce(&mut NewFile) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let temp = temp_name(dir, name)?;
    let written =
        write_new_with(dir, &temp, write).and_then(|()| Ok(dir.rename_over(&temp, dir, name)?));
    if let Err(e) = written {
        // Best effort: the first failure is the one to tell; `sweep` finds what stays.
        drop(dir.remove_file(&temp));
        return Err(e);
    }
    Ok(dir.sync()?)
}

/// Creates the file `name` with `bytes`, 0600, content synced, its directory not.
///
/// # Errors
/// The first failed call; something stands there.
pub fn write_new(dir: &Dir, name: &[u8], bytes: &[u8]) -> Result<()> {
    write_new_with(dir, name, |file| file.write_all(bytes))
}

fn write_new_with<E: From<DiskError>>(
    dir: &Dir,
    name: &[u8],
    write: impl FnOnce(&mut NewFile) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut file = dir.create_file(name)?;
    write(&mut file)?;
    Ok(file.sync()?)
}

/// Creates the file `name`, which must not be there yet, with `bytes` and these permission bits: all of it or, after a
/// crash, nothing. When it returns, a power cut changes nothing.
///
/// # Errors
/// Something stands there ([`super::DiskError::is_taken`]), or a call failed.
pub fn create(dir: &Dir, name: &[u8], bytes: &[u8], mode: u16) -> Result<()> {
    if let Some(file) = dir.create_nameless(name)? {
        let file = fill(file, bytes, mode)?;
        match dir.give_name(&file, name) {
            Err(e) if e.is_missing() => {}
            other => return other.and_then(|()| dir.sync()),
        }
    }
    let temp = temp_name(dir, name)?;
    let named = fill(dir.create_file(&temp)?, bytes, mode)
        .and_then(|_| dir.rename_noreplace(&temp, dir, name));
    if let Err(e) = named {
        // Best effort, as in `replace`.
        drop(dir.remove_file(&temp));
        return Err(e);
    }
    dir.sync()
}

fn fill(mut file: NewFile, bytes: &[u8], mode: u16) -> Result<NewFile> {
    file.write_all(bytes)?;
    file.set_mode(mode)?;
    file.sync()?;
    Ok(file)
}

/// The content of the file `name`; `None` if it is not there.
///
/// # Errors
/// It is no regular file, not readable, or longer than `limit_bytes`.
pub fn read(dir: &Dir, name: &[u8], limit_bytes: u64) -> Result<Option<Vec<u8>>> {
    Ok(open(dir, name, limit_bytes)?.map(|(_, bytes)| bytes))
}

/// As [`read`], with the file that it was read from: whoever replaces it later leaves that one as it is.
///
/// # Errors
/// As [`read`].
pub fn open(dir: &Dir, name: &[u8], limit_bytes: u64) -> Result<Option<(File, Vec<u8>)>> {
    let (file, stat) = match dir.open_own_file(name) {
        Ok(opened) => opened,
        Err(e) if e.is_missing() => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::with_capacity(room_for(stat.size.min(limit_bytes)));
    let limited = (&file)
        .take(limit_bytes.saturating_add(1))
        .read_to_end(&mut bytes);
    let len = limited.map_err(|e| dir.error("read", name, e))?;
    if len as u64 > limit_bytes {
        let why = format!("longer than the {limit_bytes} bytes it may have");
        return Err(dir.error("read", name, std::io::Error::other(why)));
    }
    Ok(Some((file, bytes)))
}

/// A large file is given more room than it needs, of which the rest is never touched: what is beyond 32 MiB the allocator of
/// glibc takes from the system and gives back at once (`DEFAULT_MMAP_THRESHOLD_MAX`, mallopt(3)); what is smaller stays with
/// the process, beside all that comes later.
fn room_for(bytes: u64) -> usize {
    const LARGE: usize = 1024 * 1024;
    const GIVEN_BACK: usize = 33 * 1024 * 1024;
    match usize::try_from(bytes).unwrap_or(0) {
        bytes @ ..LARGE => bytes,
        bytes => bytes.max(GIVEN_BACK),
    }
}

/// Appends `bytes` in one write to the log `name`, made 0600 if missing, and syncs it.
///
/// # Errors
/// The first failed call.
pub fn append(dir: &Dir, name: &[u8], bytes: &[u8]) -> Result<()> {
    dir.mutate("write", name)?;
    let mut file = dir.open_state_file(name, OFlags::WRONLY | OFlags::APPEND)?;
    file.write_all(bytes)
        .map_err(|e| dir.error("write", name, e))?;
    sync_fd(&file).map_err(|e| dir.error("sync", name, e))
}

/// Removes temporary files that a crash during [`replace`] left in `dir`. Returns how many.
///
/// # Errors
/// The directory cannot be listed or a file not removed.
pub fn sweep(dir: &Dir) -> Result<usize> {
    let mut swept = 0;
    for entry in dir.list()? {
        if is_temp(&entry.name) {
            dir.remove_file(&entry.name)?;
            swept += 1;
        }
    }
    Ok(swept)
}

fn is_temp(name: &[u8]) -> bool {
    let tail = TEMP_MARK.len() + 16;
    name.len() > tail && name[name.len() - tail..].starts_with(TEMP_MARK)
}

/// Random, so that two writers without a common lock do not share a temporary file.
fn temp_name(dir: &Dir, name: &[u8]) -> Result<Vec<u8>> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)
        .map_err(|e| dir.error("create", name, std::io::Error::other(e.to_string())))?;
    let mut temp = [name, TEMP_MARK].concat();
    temp.extend_from_slice(format!("{:016x}", u64::from_le_bytes(random)).as_bytes());
    Ok(temp)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests prepare and look at the disk by other means"
)]
mod tests {
    use super::*;
    use crate::disk::{Root, fault};

    #[test]
    fn a_crash_at_any_call_of_replace_leaves_the_old_or_the_new_version() {
        for at in 0.. {
            let temp = tempfile::tempdir().unwrap();
            let root = Root::open(temp.path()).unwrap();
            replace(root.top(), b"state", b"old").unwrap();
            let (result, calls) = fault::crash_at(at, || replace(root.top(), b"state", b"new"));
            let content = read(root.top(), b"state", 100).unwrap().unwrap();
            assert!(content == b"old" || content == b"new");
            assert!(result.is_err() || content == b"new");
            sweep(root.top()).unwrap();
            assert_eq!(root.top().list().unwrap().len(), 1);
            if calls <= at {
                assert!(result.is_ok() && at >= 5);
                break;
            }
        }
    }

    #[test]
    fn a_crash_at_any_call_of_create_leaves_the_whole_file_or_none() {
        for at in 0.. {
            let temp = tempfile::tempdir().unwrap();
            let root = Root::open(temp.path()).unwrap();
            let (result, calls) =
                fault::crash_at(at, || create(root.top(), b"state", b"new", 0o644));
            let content = read(root.top(), b"state", 100).unwrap();
            assert!(content.as_deref().is_none_or(|bytes| bytes == b"new"));
            assert!(result.is_err() || content.is_some());
            if calls <= at {
                assert!(result.is_ok() && at >= 5);
                let again = create(root.top(), b"state", b"other", 0o644).unwrap_err();
                assert!(again.is_taken());
                assert_eq!(root.top().stat(b"state").unwrap().unwrap().mode, 0o644);
                assert_eq!(root.top().list().unwrap().len(), 1);
                break;
            }
        }
    }

    #[test]
    fn a_state_file_that_is_too_long_is_refused_and_a_missing_one_is_none() {
        let temp = tempfile::tempdir().unwrap();
        let root = Root::open(temp.path()).unwrap();
        std::fs::write(temp.path().join("state"), [7; 101]).unwrap();
        assert!(read(root.top(), b"state", 100).is_err());
        assert_eq!(read(root.top(), b"state", 101).unwrap().unwrap().len(), 101);
        assert_eq!(read(root.top(), b"other", 100).unwrap(), None);
    }

    #[test]
    fn a_log_only_grows() {
        let temp = tempfile::tempdir().unwrap();
        let root = Root::open(temp.path()).unwrap();
        append(root.top(), b"log", b"one\n").unwrap();
        append(root.top(), b"log", b"two\n").unwrap();
        assert_eq!(
            std::fs::read(temp.path().join("log")).unwrap(),
            b"one\ntwo\n"
        );
    }
}
