//! Which programs have files open or mapped: one pass over `/proc` for all files that are asked about.
//!
//! What the system does not show is not known: of processes of other users, unless this one is root, their locks alone;
//! nothing where there is no `/proc`. Processes of rsyn itself do not count.
#![expect(clippy::disallowed_methods, reason = "this is the door to the disk")]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Dir;

/// A use that is over after this time does not count where there is time to look twice.
const MOMENT: Duration = Duration::from_millis(20);

/// What a program does with a file, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// It has it open or mapped for reading, or holds a lock on it.
    Reads,
    /// It has it open or mapped for writing.
    Writes,
}

/// A program that has a file open or mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub program: String,
    /// Its process id; 0 if it is one of another pid namespace.
    pub pid: u32,
    /// The most that it does with the file.
    pub does: Use,
}

/// What is looked for, and what was found.
struct Search<'a> {
    dev: u64,
    /// The device of the file system as mappings and locks name it.
    own_dev: String,
    wanted: &'a HashSet<u64>,
    found: HashMap<u64, User>,
}

/// The program that does most with each of the files with the inodes `wanted` on the file system of `dir`.
#[must_use]
pub fn users(dir: &Dir, wanted: &HashSet<u64>) -> HashMap<u64, User> {
    let mut search = Search {
        dev: dir.dev(),
        own_dev: own_dev(dir),
        wanted,
        found: HashMap::new(),
    };
    if !wanted.is_empty() {
        search.look();
    }
    search.found
}

/// As [`users`], but for those that are done a moment later: a child that was just forked holds what its parent has open until it
/// runs its own program.
#[must_use]
pub fn lasting_users(dir: &Dir, wanted: &HashSet<u64>) -> HashMap<u64, User> {
    let found = users(dir, wanted);
    if found.is_empty() {
        return found;
    }
    std::thread::sleep(MOMENT);
    users(dir, &found.into_keys().collect())
}

impl Search<'_> {
    fn look(&mut self) {
        let rsyn = program_of(Path::new("/proc/self"));
        for process in read_dir(Path::new("/proc")) {
            let Some(pid) = number(&process).filter(|pid| *pid != std::process::id()) else {
                continue;
            };
            for (ino, does) in self.used_by(&process) {
                self.note(ino, pid, does, rsyn);
            }
        }
        for (ino, pid) in self.locked() {
            self.note(ino, pid, Use::Reads, rsyn);
        }
    }

    fn note(&mut self, ino: u64, pid: u32, does: Use, rsyn: Option<(u64, u64)>) {
        let is_more = self.found.get(&ino).is_none_or(|user| does > user.does);
        let process = PathBuf::from(format!("/proc/{pid}"));
        let is_own = pid == std::process::id() || rsyn.is_some() && program_of(&process) == rsyn;
        if is_more && !is_own {
            let program = name_of(&process);
            self.found.insert(ino, User { program, pid, does });
        }
    }

    /// What a process has open, and what it has mapped.
    fn used_by(&self, process: &Path) -> Vec<(u64, Use)> {
        let opened = read_dir(&process.join("fd"));
        let opened = opened.filter_map(|fd| self.opened(process, &fd));
        opened.chain(self.mapped(process)).collect()
    }

    /// The file behind a descriptor. Only one whose inode fits is looked at, for a look at a file of a dead server may wait
    /// for it forever.
    fn opened(&self, process: &Path, fd: &Path) -> Option<(u64, Use)> {
        let target = fs::read_link(fd).ok()?;
        if !target.as_os_str().as_bytes().starts_with(b"/") {
            return None;
        }
        let info = fs::read_to_string(process.join("fdinfo").join(fd.file_name()?)).ok()?;
        let field = |name| info.lines().find_map(|line| line.strip_prefix(name));
        let told = field("ino:").and_then(|ino| ino.trim().parse().ok());
        if told.is_some_and(|ino: u64| !self.wanted.contains(&ino)) {
            return None;
        }
        let flags = u32::from_str_radix(field("flags:")?.trim(), 8).ok()?;
        let found = fs::metadata(fd).ok()?;
        let is_wanted = found.dev() == self.dev && self.wanted.contains(&found.ino());
        let does = use_of(flags)?;
        is_wanted.then_some((found.ino(), does))
    }

    fn mapped(&self, process: &Path) -> Vec<(u64, Use)> {
        let maps = fs::read(process.join("maps")).unwrap_or_default();
        let lines = maps.split(|byte| *byte == b'\n');
        lines.filter_map(|line| self.mapping(line)).collect()
    }

    /// A line of `maps`: addresses, permissions, offset, device, inode, path.
    fn mapping(&self, line: &[u8]) -> Option<(u64, Use)> {
        let mut fields = line.split(|byte| *byte == b' ').filter(|f| !f.is_empty());
        let permissions = fields.nth(1)?;
        let dev = fields.nth(1)?;
        let ino = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let is_wanted = self.wanted.contains(&ino) && dev == self.own_dev.as_bytes();
        let writes = permissions.get(1) == Some(&b'w') && permissions.get(3) == Some(&b's');
        let does = if writes { Use::Writes } else { Use::Reads };
        is_wanted.then_some((ino, does))
    }

    /// Files with a lock, and whose it is. Those of all users are told.
    fn locked(&self) -> Vec<(u64, u32)> {
        let text = fs::read_to_string("/proc/locks").unwrap_or_default();
        let lock = |line: &str| {
            let mut fields = line.split_whitespace().skip(4);
            let pid = fields.next()?.parse::<i64>().ok()?;
            let (dev, ino) = fields.next()?.rsplit_once(':')?;
            let ino = ino.parse().ok().filter(|ino| self.wanted.contains(ino))?;
            let pid = u32::try_from(pid).unwrap_or(0);
            (dev == self.own_dev).then_some((ino, pid))
        };
        text.lines().filter_map(lock).collect()
    }
}

/// What flags of `open` permit; `None` for a handle that permits nothing.
fn use_of(flags: u32) -> Option<Use> {
    const ACCESS: u32 = 0o3;
    const PATH_ONLY: u32 = 0o10_000_000;
    match (flags & PATH_ONLY, flags & ACCESS) {
        (0, 0) => Some(Use::Reads),
        (0, _) => Some(Use::Writes),
        _ => None,
    }
}

/// Reads the device of `dir` as `/proc` writes it; on btrfs `stat` tells another number.
fn own_dev(dir: &Dir) -> String {
    let info = format!("/proc/self/fdinfo/{}", dir.as_fd().as_raw_fd());
    let info = fs::read_to_string(info).unwrap_or_default();
    let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut fields = mounts.lines().map(|line| line.split(' '));
    let told = mount.and_then(|mount| {
        let mut line = fields.find_map(|mut f| (f.next() == Some(mount.trim())).then_some(f))?;
        line.nth(1)?.split_once(':')
    });
    let number = |text: &str| text.parse().ok();
    let told = told.and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
    let dev = dir.dev();
    let (major, minor) = told.unwrap_or((rustix::fs::major(dev), rustix::fs::minor(dev)));
    format!("{major:02x}:{minor:02x}")
}

/// The entries of a directory of `/proc`; none if it is closed to this user, or gone.
fn read_dir(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(path).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

fn number(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.parse().ok()
}

/// Which program a process runs.
fn program_of(process: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(process.join("exe")).ok()?;
    Some((found.dev(), found.ino()))
}

fn name_of(process: &Path) -> String {
    let name = fs::read(process.join("comm")).unwrap_or_default();
    match name.trim_ascii() {
        [] => "another program".to_owned(),
        name => name.escape_ascii().to_string(),
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::disk::Root;

    /// A shell that has `file` open as `how` says, until it is dropped.
    struct Program(Child);

    impl Program {
        fn start(script: &str) -> Self {
            let mut child = Command::new("sh")
                .args(["-c", &format!("{script}; echo; exec sleep 60")])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut said = [0];
            std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
            Self(child)
        }
    }

    impl Drop for Program {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn a_file_is_in_use_as_long_as_a_program_has_it_open_under_any_name() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        for name in ["written", "read", "idle"] {
            fs::write(at(name), name).unwrap();
        }
        fs::hard_link(at("written"), at("again")).unwrap();
        let ino = |name: &str| fs::metadata(at(name)).unwrap().ino();
        let wanted = HashSet::from(["written", "read", "idle"].map(ino));
        let root = Root::open(temp.path()).unwrap();
        let look = || users(root.top(), &wanted);
        assert_eq!(look(), HashMap::new());

        let own = fs::File::options().write(true).open(at("idle")).unwrap();
        let path = |name: &str| at(name).display().to_string();
        let program = Program::start(&format!("exec 7>>'{}' 8<'{}'", path("again"), path("read")));
        fs::rename(at("written"), at("renamed")).unwrap();
        let found = look();
        let does = |name: &str| found.get(&ino(name)).map(|user| user.does);
        assert_eq!(does("renamed"), Some(Use::Writes));
        assert_eq!(does("read"), Some(Use::Reads));
        assert_eq!(does("idle"), None, "this process itself does not count");
        let user = &found[&ino("again")];
        assert_eq!(user.pid, program.0.id());
        assert!(["sh", "sleep"].contains(&&*user.program), "{user:?}");
        drop((own, program));
        assert_eq!(look(), HashMap::new());
    }

    #[test]
    fn a_mapping_counts_by_what_it_permits() {
        let temp = tempfile::tempdir().unwrap();
        let root = Root::open(temp.path()).unwrap();
        let wanted = HashSet::from([42]);
        let search = Search {
            dev: root.dev(),
            own_dev: "fd:01".to_owned(),
            wanted: &wanted,
            found: HashMap::new(),
        };
        let of = |line: &str| search.mapping(line.as_bytes());
        for (line, does) in [
            ("7f00-7f10 rw-s 00000000 fd:01 42   /a b", Some(Use::Writes)),
            ("7f00-7f10 r--s 00000000 fd:01 42   /a", Some(Use::Reads)),
            ("7f00-7f10 rw-p 00000000 fd:01 42   /a", Some(Use::Reads)),
            ("7f00-7f10 rw-s 00000000 fd:02 42   /a", None),
            ("7f00-7f10 rw-s 00000000 fd:01 43   /a", None),
            ("7f00-7f10 rw-p 00000000 00:00 0", None),
            ("", None),
        ] {
            assert_eq!(of(line).map(|(_, does)| does), does, "{line}");
        }
    }
}
