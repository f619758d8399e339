//! [`Dir`]: a handle of a directory. Every call takes one name inside it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::error::DiskError;
use super::file::{NewFile, open_regular, sync_fd, timestamps};
use super::list::{Listed, list};
use super::stat::{FileKind, Found, Identity, Stat};
use super::{Result, fault, mounts, state_dir};
use crate::model::Mtime;

/// Flags to open a directory itself, never what a link points at.
pub(super) const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Directories inside each other that are open at a time while a tree is removed.
const DEEPEST: usize = 32;

/// An opened directory on the file system of its root. It stays the same directory when somebody
/// renames it. Can be used from several threads.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    dev: u64,
    ino: u64,
    /// The mount it was opened in; `None` where the kernel does not tell.
    mount: Option<u64>,
    /// Whether something was mounted below its root when that was opened.
    may_hold_mounts: bool,
    /// Relative to the root, empty for the root: for messages only, never for a system call.
    path: Box<[u8]>,
    /// Listing moves the position of the handle.
    listing: Mutex<()>,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Dir {
    /// Takes a handle and learns which directory it is.
    pub(super) fn from_fd(fd: OwnedFd, path: &[u8]) -> Result<Self> {
        let failed = |e| DiskError::new("open", path.to_vec(), e).of_handle();
        let Found { stat, mount } = Found::at(&fd, b"").map_err(failed)?;
        Ok(Self {
            fd,
            dev: stat.dev,
            ino: stat.ino,
            mount,
            may_hold_mounts: true,
            path: path.into(),
            listing: Mutex::new(()),
        })
    }

    /// This directory as the top of a tree whose mounts are looked for once.
    pub(super) fn into_root(self) -> Self {
        let may_hold_mounts = mounts::lie_below(&self);
        Self {
            may_hold_mounts,
            ..self
        }
    }

    /// The file system.
    #[must_use]
    pub fn dev(&self) -> u64 {
        self.dev
    }

    /// The inode.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// Which object it is.
    ///
    /// # Errors
    /// The failed call.
    pub fn own_identity(&self) -> Result<Identity> {
        Identity::at(self, b"").map_err(|e| DiskError::new("look at", self.path.to_vec(), e))
    }

    /// Where it was when it was opened, relative to the root; empty for the root.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The names inside, in no order, without `.` and `..`.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let _one_at_a_time = self.listing.lock();
        list(self).map_err(|e| self.own_error("list", e))
    }

    /// Whether nothing is inside.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.list()?.is_empty())
    }

    /// What stands at `name`, a link not followed; `None` if nothing does. What was mounted there is a
    /// [`FileKind::Mount`], whatever its kind.
    ///
    /// # Errors
    /// The failed call, other than for a missing object.
    pub fn stat(&self, name: &[u8]) -> Result<Option<Stat>> {
        self.leaf("look at", name)?;
        let found = match self.may_hold_mounts {
            true => Found::at(self, name),
            // What is mounted from now on cannot be moved or replaced: the kernel calls it busy.
            false => Found::without_mount(self, name),
        };
        match found {
            Ok(found) => Ok(Some(self.stat_here(found))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.error("look at", name, e)),
        }
    }

    /// Which object stands at `name`; `None` if nothing does.
    ///
    /// # Errors
    /// The failed call, other than for a missing object.
    pub fn identity(&self, name: &[u8]) -> Result<Option<Identity>> {
        self.leaf("look at", name)?;
        match Identity::at(self, name) {
            Ok(identity) => Ok(Some(identity)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.error("look at", name, e)),
        }
    }

    /// What the system says about the directory itself.
    ///
    /// # Errors
    /// The failed `fstat`.
    pub fn own_stat(&self) -> Result<Stat> {
        fs::fstat(self)
            .map(|s| Stat::of(&s))
            .map_err(|e| self.own_error("look at", e))
    }

    /// Opens the directory `name` inside.
    ///
    /// # Errors
    /// It is missing, no directory, a link, or mounted there ([`DiskError::is_other_filesystem`]).
    pub fn open_dir(&self, name: &[u8]) -> Result<Self> {
        self.leaf_of_tree("open", name)?;
        let fd = fs::openat(self, name, DIRECTORY, Mode::empty());
        let dir = Self::from_fd(
            fd.map_err(|e| self.error("open", name, e))?,
            &self.join(name),
        )?;
        match self.is_elsewhere(dir.mount, dir.dev) {
            false => Ok(Self {
                may_hold_mounts: self.may_hold_mounts,
                ..dir
            }),
            true => Err(self.error("open", name, Errno::XDEV)),
        }
    }

    /// What was found at a name inside, or of a handle that was opened by it.
    pub(super) fn stat_here(&self, found: Found) -> Stat {
        let Found { mut stat, mount } = found;
        // Files can have another number than their directory on one file system (overlayfs).
        let dev = match stat.kind {
            FileKind::Dir => stat.dev,
            _ => self.dev,
        };
        if self.is_elsewhere(mount, dev) {
            stat.kind = FileKind::Mount;
        }
        stat
    }

    /// Whether something is in another mount than this directory, or on another file system: a subvolume is no mount.
    fn is_elsewhere(&self, mount: Option<u64>, dev: u64) -> bool {
        let other_mount = matches!((self.mount, mount), (Some(here), Some(there)) if here != there);
        other_mount || dev != self.dev
    }

    /// Opens a regular file for reading and says what it is. Links are not followed, the access time
    /// does not move where the system permits that.
    ///
    /// # Errors
    /// It is missing, no regular file, mounted there ([`DiskError::is_other_filesystem`]), or not readable.
    pub fn open_file(&self, name: &[u8]) -> Result<(File, Stat)> {
        self.leaf_of_tree("read", name)?;
        open_regular(self, name, false)
    }

    /// As [`Self::open_file`], and also a file that was mounted there: for what a user configures, which is not synced.
    pub(super) fn open_own_file(&self, name: &[u8]) -> Result<(File, Stat)> {
        self.leaf_of_tree("read", name)?;
        open_regular(self, name, true)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// It is missing or no link.
    pub fn read_link(&self, name: &[u8]) -> Result<Box<[u8]>> {
        self.leaf_of_tree("read", name)?;
        let target = fs::readlinkat(self, name, Vec::new());
        let target = target.map_err(|e| self.error("read", name, e))?;
        Ok(target.into_bytes().into())
    }

    /// Whether this process may create, rename and remove names inside.
    ///
    /// # Errors
    /// It may not, or the check failed.
    pub fn check_writable(&self) -> Result<()> {
        const VERB: &str = "write into";
        fault::before(VERB, || self.path.to_vec()).map_err(|e| self.own_error(VERB, e))?;
        let access = fs::Access::WRITE_OK | fs::Access::EXEC_OK;
        fs::accessat(self, ".", access, AtFlags::EACCESS).map_err(|e| self.own_error(VERB, e))
    }

    /// Creates a file that nobody else can read (0600). Fails if anything stands there.
    ///
    /// # Errors
    /// The failed call; [`DiskError::is_taken`].
    pub fn create_file(&self, name: &[u8]) -> Result<NewFile> {
        self.mutate("create", name)?;
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(self, name, flags, Mode::RUSR | Mode::WUSR);
        let fd = fd.map_err(|e| self.error("create", name, e))?;
        Ok(NewFile::new(File::from(fd), self.join(name)))
    }

    /// Opens a file of our own again to go on writing it.
    ///
    /// # Errors
    /// It is missing, a link, or not writable.
    pub fn reopen_file(&self, name: &[u8]) -> Result<NewFile> {
        self.mutate("write", name)?;
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = fs::openat(self, name, flags, Mode::empty());
        let file = NewFile::new(
            File::from(fd.map_err(|e| self.error("write", name, e))?),
            self.join(name),
        );
        match file.stat()?.kind {
            FileKind::File => Ok(file),
            _ => Err(self.error("write", name, io::Error::other("not a regular file"))),
        }
    }

    /// Makes a directory with at most the permission bits `mode`, less by the umask.
    ///
    /// # Errors
    /// The failed call; [`DiskError::is_taken`].
    pub fn make_dir(&self, name: &[u8], mode: u16) -> Result<()> {
        self.mutate("make the directory", name)?;
        fs::mkdirat(self, name, Mode::from_raw_mode(mode.into()))
            .map_err(|e| self.error("make the directory", name, e))
    }

    /// Makes a symbolic link. Its target is data.
    ///
    /// # Errors
    /// The failed call; [`DiskError::is_taken`].
    pub fn symlink(&self, name: &[u8], target: &[u8]) -> Result<()> {
        self.mutate("create", name)?;
        fs::symlinkat(target, self, name).map_err(|e| self.error("create", name, e))
    }

    /// Gives the object `name` a second name in `to`. A link itself is linked, not its target.
    ///
    /// # Errors
    /// The failed call; [`DiskError::is_taken`].
    pub fn link(&self, name: &[u8], to: &Self, to_name: &[u8]) -> Result<()> {
        self.leaf_of_tree("link", name)?;
        to.mutate("create", to_name)?;
        fs::linkat(self, name, to, to_name, AtFlags::empty())
            .map_err(|e| to.error("create", to_name, e))
    }

    /// Renames to a name that must be free.
    ///
    /// # Errors
    /// The failed call; [`DiskError::is_taken`] if something stands there.
    pub fn rename_noreplace(&self, name: &[u8], to: &Self, to_name: &[u8]) -> Result<()> {
        self.rename_with("move", name, to, to_name, RenameFlags::NOREPLACE)
    }

    /// Renames over whatever file stands there: for our own state files, never for a user's.
    ///
    /// # Errors
    /// The failed call.
    pub fn rename_over(&self, name: &[u8], to: &Self, to_name: &[u8]) -> Result<()> {
        self.rename_with("overwrite", name, to, to_name, RenameFlags::empty())
    }

    /// Lets two objects swap their names in one step.
    ///
    /// # Errors
    /// The failed call; [`io::ErrorKind::InvalidInput`] where the file system cannot do it.
    pub fn exchange(&self, name: &[u8], to: &Self, to_name: &[u8]) -> Result<()> {
        self.rename_with("replace", name, to, to_name, RenameFlags::EXCHANGE)
    }

    fn rename_with(
        &self,
        verb: &'static str,
        name: &[u8],
        to: &Self,
        to_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        self.leaf_of_tree(verb, name)?;
        to.mutate(verb, to_name)?;
        // The user knows one of the two names: the one outside of the state directory.
        let known = |e| {
            if in_state(&to.path) {
                self.error(verb, name, e)
            } else {
                to.error(verb, to_name, e)
            }
        };
        fs::renameat_with(self, name, to, to_name, flags).map_err(known)
    }

    /// Removes a name that is no directory.
    ///
    /// # Errors
    /// The failed call.
    pub fn remove_file(&self, name: &[u8]) -> Result<()> {
        self.mutate("remove", name)?;
        fs::unlinkat(self, name, AtFlags::empty()).map_err(|e| self.error("remove", name, e))
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// The failed call; [`io::ErrorKind::DirectoryNotEmpty`].
    pub fn remove_dir(&self, name: &[u8]) -> Result<()> {
        self.mutate("remove", name)?;
        fs::unlinkat(self, name, AtFlags::REMOVEDIR).map_err(|e| self.error("remove", name, e))
    }

    /// Removes the directory `name` and all below it, following no link. For our own state only.
    ///
    /// # Errors
    /// The first failed call; part of it may be gone.
    pub fn remove_tree(&self, name: &[u8]) -> Result<()> {
        let dir = self.open_dir(name)?;
        while dir.remove_inside(&dir, DEEPEST)? {}
        self.remove_dir(name)
    }

    /// Removes what is inside. A directory that is more than `depth` levels down is moved up into `top`, since each level
    /// needs a handle; gives whether that happened.
    fn remove_inside(&self, top: &Self, depth: usize) -> Result<bool> {
        let mut moved_up = false;
        for Listed { name, kind } in self.list()? {
            let is_dir = match kind {
                Some(kind) => kind == FileKind::Dir,
                None => self.stat(&name)?.is_some_and(|s| s.kind == FileKind::Dir),
            };
            if !is_dir {
                self.remove_file(&name)?;
            } else if let Some(depth) = depth.checked_sub(1) {
                moved_up |= self.open_dir(&name)?.remove_inside(top, depth)?;
                self.remove_dir(&name)?;
            } else {
                self.move_up(&name, top)?;
                moved_up = true;
            }
        }
        Ok(moved_up)
    }

    /// Moves the directory `name` to a free name in `top`.
    fn move_up(&self, name: &[u8], top: &Self) -> Result<()> {
        let mut number = 0_u64;
        loop {
            let free = format!("deep-{number}");
            match self.rename_noreplace(name, top, free.as_bytes()) {
                Err(e) if e.is_taken() => number += 1,
                other => return other,
            }
        }
    }

    /// Sets the modification time of the object `name` itself, a link not followed.
    ///
    /// # Errors
    /// The failed call.
    pub fn set_mtime(&self, name: &[u8], mtime: Mtime) -> Result<()> {
        self.mutate("set the time of", name)?;
        fs::utimensat(self, name, &timestamps(mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| self.error("set the time of", name, e))
    }

    /// Waits until the names inside are on the disk. A failure is final: do not retry.
    ///
    /// # Errors
    /// The failed `fsync`.
    pub fn sync(&self) -> Result<()> {
        fault::before("sync", || self.path.to_vec()).map_err(|e| self.own_error("sync", e))?;
        sync_fd(self).map_err(|e| self.own_error("sync", e))
    }

    /// Waits until content and attributes of the file `name` are on the disk. A failure is final.
    ///
    /// # Errors
    /// It cannot be opened, or the failed `fsync`.
    pub fn sync_file(&self, name: &[u8]) -> Result<()> {
        self.mutate("sync", name)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match fs::openat(self, name, flags, Mode::empty()) {
            // Its owner may not read it, but write.
            Err(Errno::ACCESS) => fs::openat(self, name, flags | OFlags::WRONLY, Mode::empty()),
            other => other,
        };
        fd.and_then(sync_fd)
            .map_err(|e| self.error("sync", name, e))
    }

    /// Waits until everything on this file system is on the disk. A failure is final.
    ///
    /// # Errors
    /// The failed `syncfs`.
    pub fn sync_filesystem(&self) -> Result<()> {
        const VERB: &str = "sync the file system of";
        fault::before(VERB, || self.path.to_vec()).map_err(|e| self.own_error("sync", e))?;
        sync_filesystem(self).map_err(|e| self.own_error("sync", e))
    }

    /// Opens or creates a state file for appending or locking, 0600.
    pub(super) fn open_state_file(&self, name: &[u8], flags: OFlags) -> Result<File> {
        self.leaf("open", name)?;
        let flags = flags | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = fs::openat(self, name, flags, Mode::RUSR | Mode::WUSR);
        Ok(File::from(fd.map_err(|e| self.error("open", name, e))?))
    }

    /// A name must be one component, or a handle would not confine the call.
    pub(super) fn leaf(&self, verb: &'static str, name: &[u8]) -> Result<()> {
        let bad = name.is_empty() || name == b"." || name == b".." || name.contains(&b'/');
        if bad {
            Err(self.error(verb, name, Errno::INVAL))
        } else {
            Ok(())
        }
    }

    /// A name that is used must not be another spelling of the state directory.
    fn leaf_of_tree(&self, verb: &'static str, name: &[u8]) -> Result<()> {
        self.leaf(verb, name)?;
        state_dir::check_name(self, verb, name)
    }

    pub(super) fn mutate(&self, verb: &'static str, name: &[u8]) -> Result<()> {
        self.leaf_of_tree(verb, name)?;
        fault::before(verb, || self.join(name)).map_err(|e| self.error(verb, name, e))
    }

    pub(crate) fn error(
        &self,
        verb: &'static str,
        name: &[u8],
        e: impl Into<io::Error>,
    ) -> DiskError {
        DiskError::new(verb, self.join(name), e)
    }

    pub(super) fn own_error(&self, verb: &'static str, e: impl Into<io::Error>) -> DiskError {
        DiskError::new(verb, self.path.to_vec(), e)
    }

    /// A handle of the same directory that is on its own.
    pub(super) fn reopened(&self) -> Result<Self> {
        let fd = self.fd.try_clone().map_err(|e| self.own_error("open", e))?;
        Self::from_fd(fd, &self.path)
    }

    pub(super) fn join(&self, name: &[u8]) -> Vec<u8> {
        if self.path.is_empty() {
            name.to_vec()
        } else {
            [&self.path, name].join(&b'/')
        }
    }
}

fn in_state(path: &[u8]) -> bool {
    path.split(|b| *b == b'/').next() == Some(crate::model::path::STATE_DIR)
}

#[cfg(target_os = "linux")]
fn sync_filesystem(dir: &Dir) -> rustix::io::Result<()> {
    if fault::SYNCS {
        fs::syncfs(dir)
    } else {
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
fn sync_filesystem(dir: &Dir) -> rustix::io::Result<()> {
    fs::sync();
    sync_fd(dir)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests prepare and look at the disk by other means"
)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::disk::Root;

    fn root() -> (tempfile::TempDir, Root) {
        let temp = tempfile::tempdir().unwrap();
        let root = Root::open(temp.path()).unwrap();
        (temp, root)
    }

    #[test]
    fn a_directory_lists_every_name_once_with_its_kind() {
        let (temp, root) = root();
        for n in 0..3000 {
            std::fs::write(temp.path().join(format!("a rather long name {n:04}")), "").unwrap();
        }
        std::fs::create_dir(temp.path().join("dir")).unwrap();
        symlink("nowhere", temp.path().join("link")).unwrap();
        for _ in 0..2 {
            let mut listed = root.top().list().unwrap();
            listed.sort_by(|a, b| a.name.cmp(&b.name));
            assert_eq!(listed.len(), 3002);
            assert_eq!(&*listed[2999].name, b"a rather long name 2999");
            let kinds: Vec<_> = listed[3000..].iter().map(|l| l.kind).collect();
            assert_eq!(kinds, [Some(FileKind::Dir), Some(FileKind::Symlink)]);
        }
    }

    #[test]
    fn a_name_with_a_slash_or_dots_reaches_no_system_call() {
        let (_temp, root) = root();
        for name in [&b""[..], b".", b"..", b"a/b", b"/etc"] {
            assert_eq!(
                root.top().stat(name).unwrap_err().errno(),
                Some(Errno::INVAL)
            );
            assert!(root.top().make_dir(name, 0o700).is_err());
            assert!(root.top().open_dir(name).is_err());
        }
    }

    #[test]
    fn a_link_is_neither_opened_nor_changed_through() {
        let (temp, root) = root();
        let target = temp.path().join("target");
        std::fs::write(&target, "secret").unwrap();
        symlink("target", temp.path().join("link")).unwrap();
        let top = root.top();
        assert!(top.open_file(b"link").is_err());
        assert!(top.reopen_file(b"link").is_err());
        assert!(top.set_mode(b"link", 0o777).is_err());
        let before = std::fs::metadata(&target).unwrap();
        let long_ago = Mtime { secs: 1, nanos: 2 };
        top.set_mtime(b"link", long_ago).unwrap();
        assert_eq!(top.stat(b"link").unwrap().unwrap().mtime, long_ago);
        let after = std::fs::metadata(&target).unwrap();
        assert_eq!(before.modified().unwrap(), after.modified().unwrap());
        assert_eq!(before.permissions(), after.permissions());
    }

    #[test]
    fn a_fifo_is_refused_without_waiting() {
        let (temp, root) = root();
        rustix::fs::mkfifoat(rustix::fs::CWD, temp.path().join("fifo"), Mode::RUSR).unwrap();
        assert!(root.top().open_file(b"fifo").is_err());
        assert_eq!(
            root.top().stat(b"fifo").unwrap().unwrap().kind,
            FileKind::Special
        );
    }

    #[test]
    fn a_new_file_is_private_and_never_replaces() {
        let (temp, root) = root();
        let mut file = root.top().create_file(b"new").unwrap();
        file.write_all(b"content").unwrap();
        let mode = std::fs::metadata(temp.path().join("new"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert!(root.top().create_file(b"new").unwrap_err().is_taken());
    }

    #[test]
    fn a_rename_never_replaces_and_an_exchange_swaps() {
        let (temp, root) = root();
        std::fs::write(temp.path().join("a"), "A").unwrap();
        std::fs::write(temp.path().join("b"), "B").unwrap();
        let top = root.top();
        assert!(
            top.rename_noreplace(b"a", top, b"b")
                .unwrap_err()
                .is_taken()
        );
        top.exchange(b"a", top, b"b").unwrap();
        assert_eq!(std::fs::read(temp.path().join("a")).unwrap(), b"B");
        top.rename_noreplace(b"a", top, b"c").unwrap();
        assert_eq!(std::fs::read(temp.path().join("c")).unwrap(), b"B");
        assert_eq!(top.stat(b"a").unwrap(), None);
    }

    #[test]
    fn a_tree_of_any_depth_is_removed_with_few_handles() {
        let (temp, root) = root();
        for chain in ["a", "b", "deep-0"] {
            let deep = temp
                .path()
                .join("t")
                .join(vec![chain; 5 * DEEPEST].join("/"));
            std::fs::create_dir_all(&deep).unwrap();
            std::fs::write(deep.join("file"), "").unwrap();
        }
        let top = root.top().open_dir(b"t").unwrap();
        assert!(top.remove_inside(&top, 0).unwrap(), "moved up");
        root.top().remove_tree(b"t").unwrap();
        assert!(root.top().list().unwrap().is_empty());
    }

    #[test]
    fn removing_a_tree_leaves_what_its_links_point_at() {
        let (temp, root) = root();
        std::fs::create_dir_all(temp.path().join("t/sub/deep")).unwrap();
        std::fs::write(temp.path().join("t/sub/f"), "").unwrap();
        std::fs::create_dir(temp.path().join("kept")).unwrap();
        std::fs::write(temp.path().join("kept/f"), "").unwrap();
        symlink("../../kept", temp.path().join("t/sub/link")).unwrap();
        root.top().remove_tree(b"t").unwrap();
        assert_eq!(root.top().list().unwrap().len(), 1);
        assert!(temp.path().join("kept/f").is_file());
    }
}
