//! [`Site`]: where a root is, or would be made. It is found once; the handle that was checked is the handle that is
//! used, so nothing that is renamed or linked afterwards leads elsewhere.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::dir::{DIRECTORY, Dir};
use super::error::DiskError;
use super::space::space;
use super::{Result, Root, state_dir};

/// Flags to open a directory that is only gone through, or made something in.
const ON_THE_WAY: OFlags = DIRECTORY.union(passing());

#[cfg(any(target_os = "linux", target_os = "android"))]
const fn passing() -> OFlags {
    OFlags::PATH
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn passing() -> OFlags {
    OFlags::empty()
}

/// Where a root is, or would be made.
#[derive(Debug)]
pub enum Site {
    /// It is there, and opened.
    There(Root),
    /// Nothing is there yet.
    Free(Vacancy),
}

/// A name at which nothing stands, in an opened directory.
#[derive(Debug)]
pub struct Vacancy {
    /// The directory above; `None` if that is missing as well.
    parent: Option<Dir>,
    name: Box<[u8]>,
    /// The whole path, for messages.
    shown: PathBuf,
}

impl Site {
    /// Finds what `path` names. Links are followed: it is the user's own word.
    ///
    /// # Errors
    /// It is no directory, cannot be opened, or lies in a state directory ([`DiskError::is_in_state`]).
    pub fn find(path: &Path) -> Result<Self> {
        match Root::open(path) {
            Err(e) if e.is_missing() => {}
            found => return outside_state(found?, path).map(Self::There),
        }
        let name = path.file_name().ok_or_else(|| no_name(path))?;
        let above = path.parent().filter(|p| !p.as_os_str().is_empty());
        let flags = ON_THE_WAY.difference(OFlags::NOFOLLOW);
        let parent = fs::openat(CWD, above.unwrap_or(Path::new(".")), flags, Mode::empty());
        Vacancy::below(directory(parent, path)?, name, path).map(Self::Free)
    }

    /// Finds what `path` names inside the directory `top`; `None` if it is outside. Below `top` each component is
    /// opened by its name in the directory before, and a link is outside.
    ///
    /// # Errors
    /// As [`Site::find`].
    pub fn find_below(top: &Path, path: &Path) -> Result<Option<Self>> {
        let top = Root::open(top)?;
        let Some(below) = components_below(&top, path) else {
            return Ok(None);
        };
        let Some((name, above)) = below.split_last() else {
            return outside_state(top, path).map(|root| Some(Self::There(root)));
        };
        let mut parent = Some(top.top().reopened()?);
        for step in above {
            let opened = parent.as_ref().map(|dir| openat(dir, step, ON_THE_WAY));
            parent = match opened {
                None | Some(Err(Errno::NOENT)) => None,
                Some(Err(e)) if is_link_or_file(e) => return Ok(None),
                Some(opened) => directory(opened, path)?,
            };
        }
        let opened = parent.as_ref().map(|dir| openat(dir, name, DIRECTORY));
        match opened {
            None | Some(Err(Errno::NOENT)) => {}
            Some(Err(e)) if is_link_or_file(e) => return Ok(None),
            Some(opened) => {
                let fd = opened.map_err(|e| DiskError::new("open", bytes(path), e))?;
                let root = Root::from_dir(Dir::from_fd(fd, b"")?);
                return outside_state(root, path).map(|root| Some(Self::There(root)));
            }
        }
        let vacancy = Vacancy::below(parent, OsStr::from_bytes(name), path)?;
        Ok(Some(Self::Free(vacancy)))
    }
}

impl Vacancy {
    fn below(parent: Option<Dir>, name: &OsStr, path: &Path) -> Result<Self> {
        let name = name.as_bytes();
        if let Some(parent) = &parent {
            state_dir::check_outside(parent, path)?;
        }
        match state_dir::is_its_name(name) {
            true => Err(DiskError::in_state(bytes(path))),
            false => Ok(Self {
                parent,
                name: name.into(),
                shown: path.to_owned(),
            }),
        }
    }

    /// The whole path, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shown
    }

    /// Whether a directory could be made here.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.parent
            .as_ref()
            .is_some_and(|parent| parent.check_writable().is_ok())
    }

    /// Bytes free where it would be made; 0 if that cannot be known.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        let space = self.parent.as_ref().and_then(|dir| space(dir).ok());
        space.map_or(0, |space| space.free_bytes)
    }

    /// Makes the directory with `mode`, less the umask, or takes one that came meanwhile, and opens it.
    ///
    /// # Errors
    /// The directory above is missing ([`DiskError::is_missing`]), something else stands there, or the name means
    /// the state directory.
    pub fn make(&self, mode: u32) -> Result<Root> {
        let failed = |e| DiskError::new("make the directory", bytes(&self.shown), e);
        let parent = self.parent.as_ref().ok_or_else(|| failed(Errno::NOENT))?;
        let made = fs::mkdirat(parent, &*self.name, Mode::from_raw_mode(mode));
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(failed(e)),
        }
        let fd = openat(parent, &self.name, DIRECTORY);
        let fd = fd.map_err(|e| DiskError::new("open", bytes(&self.shown), e))?;
        let opened = outside_state(Root::from_dir(Dir::from_fd(fd, b"")?), &self.shown);
        if made.is_ok() && opened.as_ref().is_err_and(DiskError::is_in_state) {
            self.remove();
        }
        opened
    }

    /// Removes the directory again if it is empty.
    pub fn remove(&self) {
        if let Some(parent) = &self.parent {
            drop(parent.remove_dir(&self.name));
        }
    }
}

/// The components of `path` below `top`; `None` if it does not lead through that very directory, or climbs.
fn components_below(top: &Root, path: &Path) -> Option<Vec<Vec<u8>>> {
    let is_top = |prefix: &Path| {
        fs::statat(CWD, prefix, fs::AtFlags::empty())
            .is_ok_and(|s| state_dir::object(&s) == (top.dev(), top.ino()))
    };
    let mut prefix = PathBuf::new();
    let mut components = path.components();
    while !is_top(&prefix) {
        prefix.push(components.next()?);
    }
    components
        .filter(|c| *c != Component::CurDir)
        .map(|c| match c {
            Component::Normal(name) => Some(name.as_bytes().to_vec()),
            _ => None,
        })
        .collect()
}

fn outside_state(root: Root, path: &Path) -> Result<Root> {
    state_dir::check_outside(root.top(), path)?;
    Ok(root)
}

/// The opened directory; `None` if nothing is there.
fn directory(opened: rustix::io::Result<OwnedFd>, path: &Path) -> Result<Option<Dir>> {
    match opened {
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(DiskError::new("open", bytes(path), e)),
        Ok(fd) => Dir::from_fd(fd, path.as_os_str().as_bytes()).map(Some),
    }
}

fn openat(dir: &Dir, name: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    fs::openat(dir, name, flags, Mode::empty())
}

fn is_link_or_file(e: Errno) -> bool {
    e == Errno::NOTDIR || e == Errno::LOOP
}

fn no_name(path: &Path) -> DiskError {
    DiskError::new("make the directory", bytes(path), Errno::NOENT)
}

fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests prepare and look at the disk by other means"
)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn served() -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().join("served");
        std::fs::create_dir_all(top.join("a/b")).unwrap();
        std::fs::create_dir_all(top.join("a/.rsyn/snap/1/old")).unwrap();
        std::fs::create_dir_all(temp.path().join("outside/inner")).unwrap();
        (temp, top)
    }

    #[test]
    fn no_link_and_no_climb_leads_out_of_the_served_directory() {
        let (temp, top) = served();
        symlink(temp.path().join("outside"), top.join("link")).unwrap();
        symlink("nowhere", top.join("dangling")).unwrap();
        std::fs::write(top.join("file"), "").unwrap();
        for below in [
            "link",
            "link/inner",
            "link/new",
            "dangling",
            "dangling/new",
            "file",
            "file/new",
            "a/../../outside",
            "../outside",
            "../outside/new",
            "a/..",
            "..",
        ] {
            let found = Site::find_below(&top, &top.join(below)).unwrap();
            assert!(found.is_none(), "{below}: {found:?}");
        }
        let elsewhere = Site::find_below(&top, &temp.path().join("outside/inner")).unwrap();
        assert!(elsewhere.is_none());
        for below in ["", ".", "a", "a/b", "./a/./b/"] {
            let found = Site::find_below(&top, &top.join(below)).unwrap();
            assert!(matches!(found, Some(Site::There(_))), "{below}");
        }
        for below in ["new", "a/new", "no/new"] {
            let found = Site::find_below(&top, &top.join(below)).unwrap();
            assert!(matches!(found, Some(Site::Free(_))), "{below}");
        }
    }

    #[test]
    fn the_served_directory_is_known_under_each_of_its_names() {
        let (temp, top) = served();
        let alias = temp.path().join("alias");
        symlink(&top, &alias).unwrap();
        for (restrict, asked) in [(&top, &alias), (&alias, &top), (&alias, &alias)] {
            let found = Site::find_below(restrict, &asked.join("a/b")).unwrap();
            let Some(Site::There(root)) = found else {
                panic!("{restrict:?} {asked:?}")
            };
            assert_eq!(root.ino(), Root::open(&top.join("a/b")).unwrap().ino());
        }
    }

    #[test]
    fn a_vacancy_is_made_where_it_was_found_whatever_came_there_since() {
        let (temp, top) = served();
        let outside = temp.path().join("outside");
        let Some(Site::Free(late)) = Site::find_below(&top, &top.join("a/late")).unwrap() else {
            panic!()
        };
        symlink(&outside, top.join("a/late")).unwrap();
        assert!(late.make(0o700).unwrap_err().is_no_directory());
        let Some(Site::Free(moved)) = Site::find_below(&top, &top.join("a/moved")).unwrap() else {
            panic!()
        };
        std::fs::rename(top.join("a"), top.join("z")).unwrap();
        symlink(&outside, top.join("a")).unwrap();
        moved.make(0o700).unwrap();
        assert!(top.join("z/moved").is_dir());
        assert!(!outside.join("moved").exists());
    }

    #[test]
    fn nothing_in_a_state_directory_is_a_site() {
        let (temp, top) = served();
        symlink(top.join("a/.rsyn/snap"), temp.path().join("kept")).unwrap();
        for below in [
            ".rsyn",
            ".RSYN",
            "a/.rsyn",
            "a/.rsyn/snap",
            "a/.rsyn/snap/1/old",
            "a/.rsyn/new",
            "a/.rsyn/snap/new/deeper",
            "a/b/.rsyn",
            "a/b/.Rsyn",
        ] {
            let path = top.join(below);
            let [own, peers] = [
                Site::find(&path),
                Site::find_below(&top, &path).map(|s| s.unwrap()),
            ];
            // What cannot be made is found out when it is made.
            let missing_above = matches!(&own, Ok(Site::Free(v)) if v.parent.is_none());
            assert!(missing_above || own.unwrap_err().is_in_state(), "{below}");
            let missing_above = matches!(&peers, Ok(Site::Free(v)) if v.parent.is_none());
            assert!(missing_above || peers.unwrap_err().is_in_state(), "{below}");
        }
        let through_link = Site::find(&temp.path().join("kept"));
        assert!(through_link.unwrap_err().is_in_state());
    }
}
