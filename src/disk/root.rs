//! [`Root`]: the opened top of a tree, and the only place where a path of the user is opened.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::Result;
use super::dir::{DIRECTORY, Dir};
use super::error::DiskError;
use super::stat::Stat;
use super::state_dir;
use crate::model::RelPath;

/// How many handles of parents are kept open: sorted input comes back to few of them.
const CACHED_HANDLES: usize = 24;

/// A handle and the path it was opened by.
type Cached = (Box<[u8]>, Arc<Dir>);

/// An opened root. Paths below it never leave it: no link is followed, no other file system entered.
#[derive(Debug)]
pub struct Root {
    top: Arc<Dir>,
    /// Whether the kernel resolves a whole path under these rules in one call (`openat2`).
    one_call: AtomicBool,
    /// Most recently used last.
    cache: Mutex<Vec<Cached>>,
}

impl Root {
    /// Opens the directory at `path`. Links in this path are followed: it is the user's own word.
    ///
    /// # Errors
    /// It is missing, no directory or not readable.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.as_os_str().as_bytes();
        let flags = DIRECTORY.difference(OFlags::NOFOLLOW);
        let fd = fs::openat(CWD, path, flags, Mode::empty());
        let fd = fd.map_err(|e| DiskError::new("open", shown.to_vec(), e))?;
        Ok(Self::from_dir(Dir::from_fd(fd, b"")?))
    }

    /// The tree below an opened directory.
    pub(super) fn from_dir(top: Dir) -> Self {
        Self {
            top: Arc::new(top.into_root()),
            one_call: AtomicBool::new(true),
            cache: Mutex::default(),
        }
    }

    /// Fails if the root lies in a state directory by now.
    ///
    /// # Errors
    /// It does ([`DiskError::is_in_state`]), or a directory above it cannot be looked at.
    pub fn check_outside_state(&self) -> Result<()> {
        state_dir::check_outside(&self.top, Path::new("the root"))
    }

    /// The file system.
    #[must_use]
    pub fn dev(&self) -> u64 {
        self.top.dev()
    }

    /// The inode of the root directory.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.top.ino()
    }

    /// The root directory itself.
    #[must_use]
    pub fn top(&self) -> &Arc<Dir> {
        &self.top
    }

    /// The directory at `path`; its handle may come from the cache.
    ///
    /// # Errors
    /// A component is missing, no directory or a link ([`DiskError::is_no_directory`]), or on another
    /// file system ([`DiskError::is_other_filesystem`]).
    pub fn dir(&self, path: &RelPath) -> Result<Arc<Dir>> {
        self.cached(path.as_bytes())
    }

    /// The directory that holds the entry `path`; its handle may come from the cache.
    ///
    /// # Errors
    /// As [`Root::dir`].
    pub fn parent(&self, path: &RelPath) -> Result<Arc<Dir>> {
        let bytes = path.as_bytes();
        match bytes.iter().rposition(|b| *b == b'/') {
            None => Ok(Arc::clone(&self.top)),
            Some(cut) => self.cached(&bytes[..cut]),
        }
    }

    /// The directory at `path`, opened now by its name, whatever the cache says.
    ///
    /// # Errors
    /// As [`Root::dir`].
    pub fn fresh_dir(&self, path: &RelPath) -> Result<Dir> {
        self.open_below(path.as_bytes())
    }

    /// What stands at `path`, a link not followed; `None` also if the way there is no longer there.
    ///
    /// # Errors
    /// The failed call.
    pub fn stat(&self, path: &RelPath) -> Result<Option<Stat>> {
        match self.parent(path) {
            Ok(parent) => parent.stat(path.name()),
            Err(e) if e.is_no_directory() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Opens the regular file at `path` for reading; see [`Dir::open_file`].
    ///
    /// # Errors
    /// As [`Root::dir`] and [`Dir::open_file`].
    pub fn open_file(&self, path: &RelPath) -> Result<(File, Stat)> {
        self.parent(path)?.open_file(path.name())
    }

    /// The target of the symbolic link at `path`.
    ///
    /// # Errors
    /// As [`Root::dir`] and [`Dir::read_link`].
    pub fn read_link(&self, path: &RelPath) -> Result<Box<[u8]>> {
        self.parent(path)?.read_link(path.name())
    }

    /// Forgets all cached handles: after a directory was moved they name it by its old path.
    pub fn forget_handles(&self) {
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Forgets the cached handles of `path` and what is below it, for when that directory moves.
    pub fn forget_below(&self, path: &RelPath) {
        let top = path.as_bytes();
        let is_below = |p: &[u8]| {
            p.strip_prefix(top)
                .is_some_and(|r| r.first().is_none_or(|b| *b == b'/'))
        };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|(cached, _)| !is_below(cached));
    }

    fn cached(&self, path: &[u8]) -> Result<Arc<Dir>> {
        if let Some(dir) = self.look_up(path) {
            return Ok(dir);
        }
        let dir = Arc::new(self.open_below(path)?);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_HANDLES {
            cache.remove(0);
        }
        cache.push((path.into(), Arc::clone(&dir)));
        Ok(dir)
    }

    fn look_up(&self, path: &[u8]) -> Option<Arc<Dir>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let at = cache.iter().rposition(|(cached, _)| **cached == *path)?;
        let last = cache.len() - 1;
        cache[at..].rotate_left(1);
        Some(Arc::clone(&cache[last].1))
    }

    fn open_below(&self, path: &[u8]) -> Result<Dir> {
        let may_fold = path.split(|b| *b == b'/').any(state_dir::may_fold_to_it);
        if self.one_call.load(Ordering::Relaxed) && !may_fold {
            match self.open_in_one_call(path) {
                // An old kernel, or a sandbox that does not know the call.
                Err(Errno::NOSYS | Errno::PERM) => self.one_call.store(false, Ordering::Relaxed),
                Err(Errno::AGAIN) => {}
                Err(e) => return Err(DiskError::new("open", path.to_vec(), e)),
                Ok(fd) => return self.on_same_device(Dir::from_fd(fd, path)?),
            }
        }
        self.open_by_steps(path)
    }

    #[cfg(target_os = "linux")]
    fn open_in_one_call(&self, path: &[u8]) -> rustix::io::Result<std::os::fd::OwnedFd> {
        use rustix::fs::ResolveFlags as R;
        let resolve = R::BENEATH | R::NO_SYMLINKS | R::NO_MAGICLINKS | R::NO_XDEV;
        fs::openat2(&self.top, path, DIRECTORY, Mode::empty(), resolve)
    }

    #[cfg(not(target_os = "linux"))]
    fn open_in_one_call(&self, _: &[u8]) -> rustix::io::Result<std::os::fd::OwnedFd> {
        Err(Errno::NOSYS)
    }

    /// One component at a time, none of them a link, all on one file system.
    fn open_by_steps(&self, path: &[u8]) -> Result<Dir> {
        let mut steps = path.split(|b| *b == b'/');
        let first = steps.next().unwrap_or_default();
        steps.try_fold(self.top.open_dir(first)?, |dir, name| dir.open_dir(name))
    }

    /// A subvolume is no mount point, and still another device.
    fn on_same_device(&self, dir: Dir) -> Result<Dir> {
        if dir.dev() == self.dev() {
            Ok(dir)
        } else {
            Err(DiskError::new("open", dir.path().to_vec(), Errno::XDEV))
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests prepare and look at the disk by other means"
)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    fn both_ways() -> [(tempfile::TempDir, Root); 2] {
        [true, false].map(|one_call| {
            let temp = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(temp.path().join("a/b/c")).unwrap();
            let root = Root::open(temp.path()).unwrap();
            root.one_call.store(one_call, Ordering::Relaxed);
            (temp, root)
        })
    }

    #[test]
    fn a_link_anywhere_on_the_way_is_refused() {
        for (temp, root) in both_ways() {
            symlink("a", temp.path().join("link")).unwrap();
            symlink("/", temp.path().join("a/out")).unwrap();
            for way in ["link", "link/b", "a/out", "a/out/etc"] {
                assert!(root.dir(&path(way)).unwrap_err().is_no_directory(), "{way}");
                assert_eq!(root.stat(&path(way).join(b"x").unwrap()).unwrap(), None);
            }
            assert_eq!(root.dir(&path("a/b/c")).unwrap().path(), b"a/b/c");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn another_file_system_is_refused() {
        let root = Root::open(Path::new("/")).unwrap();
        for one_call in [true, false] {
            root.one_call.store(one_call, Ordering::Relaxed);
            let refused = root.dir(&path("proc/self")).unwrap_err();
            assert!(
                refused.is_other_filesystem() || refused.is_no_directory(),
                "{refused}"
            );
        }
        assert!(root.dir(&path("proc")).unwrap_err().is_other_filesystem());
    }

    #[test]
    fn a_cached_handle_is_the_same_directory_until_forgotten() {
        for (temp, root) in both_ways() {
            let first = root.parent(&path("a/b/c")).unwrap();
            for n in 0..CACHED_HANDLES / 2 {
                std::fs::create_dir(temp.path().join(format!("d{n}"))).unwrap();
                root.dir(&path(&format!("d{n}"))).unwrap();
            }
            assert!(Arc::ptr_eq(&first, &root.dir(&path("a/b")).unwrap()));
            root.forget_handles();
            assert!(!Arc::ptr_eq(&first, &root.dir(&path("a/b")).unwrap()));
        }
    }

    #[test]
    fn a_way_that_is_gone_means_that_nothing_is_there() {
        for (temp, root) in both_ways() {
            std::fs::write(temp.path().join("file"), "").unwrap();
            for gone in ["nothing", "nothing/below", "file/below"] {
                assert_eq!(root.stat(&path(gone)).unwrap(), None, "{gone}");
            }
        }
    }

    #[test]
    fn handles_can_be_shared_by_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Root>();
        shared::<Dir>();
    }
}
