//! A user who edits a tree. Each content is new, and each mtime too.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::random::Random;
use super::tree::remove;

/// Paths that users care for: few, so that they meet. What ends with `.skip` is excluded, `.log` at times.
const PATHS: [&str; 16] = [
    "a",
    "b.txt",
    "c",
    "big",
    "own.skip",
    "x.log",
    "d",
    "d/a",
    "d/b.txt",
    "d/own.skip",
    "d/e",
    "d/e/f",
    "d/x.log",
    "e",
    "e/a",
    "link",
];

/// Exclude files. With none at all these are three sets of rules: a hub remembers four.
const RULES: [&str; 2] = ["*.skip\n", "*.skip\n*.log\n"];
pub(super) const EXCLUDES: &str = RULES[0];

/// What users have made so far.
#[derive(Default)]
pub(super) struct Memory {
    made: u32,
    /// Whether big files are beyond 1 MiB: more than a message, a chunk and a buffer hold.
    large: bool,
}

impl Memory {
    pub(super) fn new(large: bool) -> Self {
        Self { made: 0, large }
    }
}

/// Whether a path is one that users or conflicts make: anything else is litter.
pub(super) fn is_known(path: &[u8]) -> bool {
    let is_copy = [".local", ".remote"]
        .iter()
        .any(|word| path.windows(word.len()).any(|w| w == word.as_bytes()));
    is_copy || path == b".rsync-exclude" || PATHS.iter().any(|known| known.as_bytes() == path)
}

/// Gives a root its first exclude file.
pub(super) fn begin(root: &Path, now_ms: i64) {
    write(&root.join(".rsync-exclude"), EXCLUDES.as_bytes(), now_ms, 0);
}

/// Writes a file with the time that is asked for.
fn write(at: &Path, content: &[u8], millis: i64, nanos: u32) {
    fs::write(at, content).unwrap();
    let millis = Duration::from_millis(u64::try_from(millis).unwrap());
    let moment = UNIX_EPOCH + millis + Duration::from_nanos(nanos.into());
    let file = fs::File::options().write(true).open(at).unwrap();
    file.set_modified(moment).unwrap();
}

/// One edit; says what it was, or `None` if the path it chose has no room for it.
pub(super) fn edit(
    root: &Path,
    memory: &mut Memory,
    random: &mut Random,
    now_ms: i64,
) -> Option<String> {
    let mut user = User {
        root,
        memory,
        random,
        now_ms,
    };
    if user.random.one_in(25) {
        let rules = *user.random.of(&RULES);
        user.put(&root.join(".rsync-exclude"), rules.as_bytes());
        return Some(format!("excludes {rules:?}"));
    }
    let path = *user.random.of(&PATHS);
    let at = root.join(path);
    let parent = at.parent()?;
    if fs::create_dir_all(parent).is_err() || !is_dir(parent) {
        return None;
    }
    user.edit(&at).map(|done| format!("{done} {path}"))
}

struct User<'a> {
    root: &'a Path,
    memory: &'a mut Memory,
    random: &'a mut Random,
    now_ms: i64,
}

fn is_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_dir())
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_file())
}

impl User<'_> {
    fn edit(&mut self, at: &Path) -> Option<String> {
        match self.random.below(12) {
            0..=5 => {
                let content = self.content(at);
                // Most editors rename a new file into place, some write into the old one.
                if !is_file(at) || self.random.one_in(2) {
                    remove(at);
                }
                self.put(at, &content);
                Some(format!("writes {}", self.memory.made))
            }
            6 | 7 => {
                fs::symlink_metadata(at).ok()?;
                remove(at);
                Some("removes".to_owned())
            }
            8 => {
                let mode = *self.random.of(&[0o755, 0o700]);
                if !is_dir(at) {
                    remove(at);
                    fs::create_dir(at).unwrap();
                }
                fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
                Some("makes the directory".to_owned())
            }
            9 => {
                remove(at);
                self.memory.made += 1;
                symlink(format!("target-{}", self.memory.made), at).unwrap();
                Some("links".to_owned())
            }
            10 if is_file(at) => {
                let mode = *self.random.of(&[0o644, 0o755, 0o600]);
                fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
                Some(format!("sets mode {mode:o} of"))
            }
            _ => self.rename(at),
        }
    }

    fn content(&mut self, at: &Path) -> Vec<u8> {
        self.memory.made += 1;
        let made = self.memory.made;
        let mut content = format!("content {made}\n").into_bytes();
        // Beyond 64 KiB deltas travel.
        if at.as_os_str().as_bytes().ends_with(b"big") {
            let words = if self.memory.large { 300_000 } else { 18_000 };
            content.extend((0..words).flat_map(|n: u32| (n % 9_973).to_le_bytes()));
        }
        content
    }

    /// Writes a file with a time that none had before.
    fn put(&self, at: &Path, content: &[u8]) {
        if is_dir(at) {
            remove(at);
        }
        write(at, content, self.now_ms, self.memory.made);
    }

    fn rename(&mut self, at: &Path) -> Option<String> {
        let to: PathBuf = self.root.join(*self.random.of(&PATHS));
        let blocked = to == at || to.starts_with(at) || at.starts_with(&to);
        if blocked || fs::symlink_metadata(at).is_err() || !is_dir(to.parent()?) || is_dir(at) {
            return None;
        }
        remove(&to);
        fs::rename(at, &to).unwrap();
        Some(format!("renames to {} from", to.file_name()?.display()))
    }
}
