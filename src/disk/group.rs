//! [`Group`]: which group a directory has, and whether what is made inside gets it.

use rustix::fs::{self, AtFlags};
use rustix::io::Errno;
use rustix::process::{Gid, getegid};

use super::Result;
use super::dir::Dir;

/// Where the system gives the group of a directory to all that is made inside, setgid or not.
const ALWAYS_PASSED_ON: bool = cfg!(not(target_os = "linux"));
const SETGID: u32 = 0o2000;

/// What a directory gives to what is made inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// The group.
    pub gid: u32,
    /// Whether a directory that is made inside gets the setgid bit, so that it passes the group on.
    pub setgid: bool,
}

impl Dir {
    /// The group that something gets which is made inside.
    ///
    /// # Errors
    /// The failed `fstat`.
    pub fn group_inside(&self) -> Result<Group> {
        let stat = fs::fstat(self).map_err(|e| self.own_error("look at", e))?;
        let setgid = stat.st_mode & SETGID == SETGID;
        let gid = match setgid || ALWAYS_PASSED_ON {
            true => stat.st_gid,
            false => getegid().as_raw(),
        };
        Ok(Group { gid, setgid })
    }

    /// The group of the object `name`, a link not followed; `None` if nothing is there.
    ///
    /// # Errors
    /// The failed call, other than for a missing object.
    pub fn group_of(&self, name: &[u8]) -> Result<Option<u32>> {
        self.leaf("look at", name)?;
        match fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.st_gid)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.error("look at", name, e)),
        }
    }

    /// Gives the object `name` another group, a link not followed. Returns whether this user may: a
    /// user can give only groups that it is in.
    ///
    /// # Errors
    /// The failed call.
    pub fn give_group(&self, name: &[u8], gid: u32) -> Result<bool> {
        const VERB: &str = "change the group of";
        self.mutate(VERB, name)?;
        let group = Some(Gid::from_raw(gid));
        match fs::chownat(self, name, None, group, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) => Ok(true),
            Err(Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                Ok(false)
            }
            Err(e) => Err(self.error(VERB, name, e)),
        }
    }
}
