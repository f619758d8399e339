//! Keeps what others name out of state directories, whichever way the file system spells them.
//!
//! A file system may take several names for one: other case, another Unicode form, ignorable characters, a trailing
//! dot, a short name. So objects are compared (device, inode), not words.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Stat, statat};
use rustix::io::Errno;

use super::Result;
use super::dir::Dir;
use super::error::DiskError;
use crate::model::path::STATE_DIR;

/// Deepest directory that is looked at, so that the way up fits a path of the kernel.
const MAX_LEVELS: usize = 1300;

/// Device and inode.
pub(super) fn object(stat: &Stat) -> (u64, u64) {
    let stat = super::Stat::of(stat);
    (stat.dev, stat.ino)
}

/// Whether `name` is the state directory's own, in any case.
pub(super) fn is_its_name(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(STATE_DIR)
}

/// Fails if `dir` is a state directory or lies in one. `path` is how it was named.
///
/// # Errors
/// It does ([`DiskError::is_in_state`]), or a directory above it cannot be looked at.
pub(super) fn check_outside(dir: &Dir, path: &Path) -> Result<()> {
    let shown = || path.as_os_str().as_bytes().to_vec();
    let look = |name: &[u8]| statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    let failed = |e| DiskError::new("look above", shown(), e);
    let mut here = object(&look(b".").map_err(failed)?);
    let mut up = Vec::new();
    for _ in 0..MAX_LEVELS {
        up.extend_from_slice(b"../");
        match look(&[&up, STATE_DIR].concat()) {
            Ok(state) if object(&state) == here => return Err(DiskError::in_state(shown())),
            Ok(_) | Err(Errno::NOENT) => {}
            Err(e) => return Err(failed(e)),
        }
        let above = object(&look(&up).map_err(failed)?);
        if above == here {
            return Ok(());
        }
        here = above;
    }
    Err(failed(Errno::NAMETOOLONG))
}

/// Fails if `name` in `dir` is another spelling of the state directory there.
///
/// # Errors
/// It is ([`DiskError::is_in_state`]), or cannot be looked at.
pub(super) fn check_name(dir: &Dir, verb: &'static str, name: &[u8]) -> Result<()> {
    if !may_fold_to_it(name) {
        return Ok(());
    }
    let look = |name: &[u8]| match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(object(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(dir.error(verb, name, e)),
    };
    match look(name)? {
        Some(found) if look(STATE_DIR)? == Some(found) => Err(DiskError::in_state(dir.join(name))),
        _ => Ok(()),
    }
}

/// Whether some file system could take `name` for the state directory. No plain name of letters can be: a name folds
/// by its case, by characters beyond ASCII, by trailing dots and blanks, or is a short name with a `~`.
pub(super) fn may_fold_to_it(name: &[u8]) -> bool {
    if name == STATE_DIR {
        return false;
    }
    let is_short = name
        .windows(2)
        .any(|w| w[0] == b'~' && w[1].is_ascii_digit());
    if name.is_ascii() && !is_short && !name.ends_with(b".") && !name.ends_with(b" ") {
        return is_its_name(name);
    }
    is_short || {
        let mut letters = STATE_DIR.iter();
        let ascii = name
            .iter()
            .filter(|b| b.is_ascii())
            .map(u8::to_ascii_lowercase);
        let mut own = ascii.filter(|b| !matches!(b, b'.' | b' '));
        own.all(|b| letters.any(|l| *l == b))
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests prepare and look at the disk by other means"
)]
mod tests {
    use super::*;
    use crate::disk::Root;
    use crate::model::RelPath;

    /// A hard link stands for a second spelling: of a directory no test can make one.
    #[test]
    fn a_name_that_is_the_state_directory_is_used_by_no_call() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join(".rsyn"), "state").unwrap();
        std::fs::hard_link(temp.path().join(".rsyn"), temp.path().join(".r\u{17f}yn")).unwrap();
        std::fs::write(temp.path().join("\u{17f}"), "another").unwrap();
        let root = Root::open(temp.path()).unwrap();
        let (top, name) = (root.top(), ".r\u{17f}yn".as_bytes());
        let errors = [
            top.open_file(name).unwrap_err(),
            top.open_dir(name).unwrap_err(),
            top.read_link(name).unwrap_err(),
            top.remove_file(name).unwrap_err(),
            top.remove_dir(name).unwrap_err(),
            top.reopen_file(name).unwrap_err(),
            top.make_dir(name, 0o700).unwrap_err(),
            top.link(name, top, b"new").unwrap_err(),
            top.rename_noreplace(name, top, b"new").unwrap_err(),
            top.rename_over(b"\xc5\xbf", top, name).unwrap_err(),
            top.exchange(b"\xc5\xbf", top, name).unwrap_err(),
            root.dir(&RelPath::new([name, b"/snap"].concat()).unwrap())
                .unwrap_err(),
        ];
        for error in errors {
            assert!(error.is_in_state(), "{error}");
        }
        assert!(top.open_file("\u{17f}".as_bytes()).is_ok());
        assert!(top.open_file(b".rsyn").is_ok(), "by its own name");
    }

    #[test]
    fn each_spelling_that_a_file_system_folds_is_looked_at() {
        for name in [
            ".RSYN",
            ".Rsyn",
            ".rſyn",
            ".r\u{200c}syn",
            ".rsyn.",
            ".rsyn ",
            "RSYN~1",
            "RS4B2C~2",
            "．ｒｓｙｎ",
            ".rsÿn",
            "\u{feff}.rsyn",
        ] {
            assert!(may_fold_to_it(name.as_bytes()), "{name}");
        }
        for name in [
            ".rsyn",
            "rsyn",
            "src",
            "größe.txt",
            ".rsyn2",
            "a.b",
            "a.txt~",
            "...",
        ] {
            let own = name == "...";
            assert_eq!(may_fold_to_it(name.as_bytes()), own, "{name}");
        }
    }
}
