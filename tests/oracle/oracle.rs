//! A tree on disk, what rsync takes of it, and what rsyn would.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::Command;

use rsyn::filter::{Origin, Rules, Sign, Warning, WarningKind};
use rsyn::model::RelPath;
use tempfile::TempDir;

use crate::source::{Source, Sources};

/// Entries to be made or found: paths below a root, those of directories end in `/`.
pub(crate) type Paths = BTreeSet<Vec<u8>>;

/// A tree on disk, gone when dropped.
pub(crate) struct Tree {
    dir: TempDir,
    paths: Paths,
}

impl Tree {
    /// Makes the entries, and the directories above them. A path that ends in `@` is a link to `.`.
    pub(crate) fn of(paths: &Paths) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("rsyn-oracle-")
            .tempdir()
            .unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        for path in paths {
            make(&root, path);
        }
        Self {
            dir,
            paths: paths.clone(),
        }
    }

    /// The same, with the directories above the entries among its paths.
    pub(crate) fn listed(paths: &Paths) -> Self {
        let mut tree = Self::of(paths);
        // No rules: rsync lists all that is there, so the two begin with one view.
        tree.paths = tree.kept_by_rsync(&Sources::default()).unwrap();
        let missing: Vec<_> = paths.difference(&tree.paths).collect();
        assert!(missing.is_empty(), "not listed: {missing:?}");
        tree
    }

    /// All entries.
    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// What rsync would transfer; `None` if it refuses the rules.
    pub(crate) fn kept_by_rsync(&self, sources: &Sources) -> Option<Paths> {
        let mut command = Command::new("rsync");
        command
            .args(["-rln", "-8", "--out-format=%n"])
            .env("LC_ALL", "C");
        if sources.from0 {
            command.arg("--from0");
        }
        command.args(
            sources
                .list
                .iter()
                .enumerate()
                .map(|(at, source)| self.argument(at, source)),
        );
        command
            .arg(self.dir.path().join("root/"))
            .arg(self.dir.path().join("nowhere/"));
        let output = command.output().unwrap();
        match output.status.code() {
            Some(0) => Some(parse_listing(&output.stdout)),
            Some(1) => None,
            _ => panic!(
                "rsync failed: {}\n{sources:?}",
                output.stderr.escape_ascii()
            ),
        }
    }

    /// The argument for one source; files are written beside the tree.
    fn argument(&self, at: usize, source: &Source) -> OsString {
        let (sign, from, value) = match source {
            Source::Option(sign, text) => (sign, "", text.clone()),
            Source::File(sign, text) => {
                let file = self.dir.path().join(format!("rules{at}"));
                std::fs::write(&file, text).unwrap();
                (sign, "-from", file.into_os_string().into_vec())
            }
        };
        let name = if *sign == Sign::Exclude {
            "exclude"
        } else {
            "include"
        };
        let mut argument = format!("--{name}{from}=").into_bytes();
        argument.extend(value);
        OsString::from_vec(argument)
    }

    /// What rsyn would take; `None` if it refuses the rules.
    ///
    /// A walk that asks for one verdict after the other and a decision on each single path must agree,
    /// and no rule decides that a warning calls unreachable.
    pub(crate) fn kept_by_rsyn(&self, sources: &Sources) -> Option<Paths> {
        let rules = sources.rules().ok()?;
        let unreachable = unreachable(&rules);
        let mut kept = Paths::new();
        for path in &self.paths {
            let (name, is_dir) = split(path);
            let parent = name.iter().rposition(|b| *b == b'/').map(|at| &path[..=at]);
            let walked = parent.is_none_or(|parent| kept.contains(parent))
                && rules.verdict(name, is_dir).included;
            let path_here = RelPath::new(name).unwrap();
            let decided = rules.decide(&path_here, is_dir);
            assert_eq!(walked, decided.included, "{path_here:?} with {sources:?}");
            if let Some(rule) = decided.rule {
                assert!(
                    !unreachable.contains(&rule.origin),
                    "{rule} is reached in {sources:?}"
                );
            }
            if walked {
                kept.insert(path.clone());
            }
        }
        Some(kept)
    }
}

/// Where the rules stand that are said to be never reached.
pub(crate) fn unreachable(rules: &Rules) -> Vec<Origin> {
    let is_unreachable = |warning: &Warning| {
        matches!(
            warning.kind,
            WarningKind::Shadowed { .. } | WarningKind::ParentExcluded { .. }
        )
    };
    let warnings = rules.warnings().into_iter().filter(is_unreachable);
    warnings.map(|warning| warning.origin).collect()
}

/// A path without the slash of a directory, and whether it had one.
pub(crate) fn split(path: &[u8]) -> (&[u8], bool) {
    path.strip_suffix(b"/")
        .map_or((path, false), |dir| (dir, true))
}

fn make(root: &Path, path: &[u8]) {
    let (name, is_dir) = split(path);
    let full = root.join(OsStr::from_bytes(name));
    std::fs::create_dir_all(full.parent().unwrap()).unwrap();
    if is_dir {
        std::fs::create_dir_all(&full).unwrap();
    } else if name.ends_with(b"@") {
        std::os::unix::fs::symlink(".", &full).unwrap();
    } else {
        std::fs::write(&full, "").unwrap();
    }
}

/// The names that `--out-format=%n` printed, without the root's own `./`.
fn parse_listing(stdout: &[u8]) -> Paths {
    let lines = stdout
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty());
    lines.map(unescape).filter(|name| name != b"./").collect()
}

/// Undoes rsync's `\#ooo` for control characters, and for a backslash that looks like such an escape.
fn unescape(line: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    let mut rest = line;
    while let [byte, after @ ..] = rest {
        match rest {
            [
                b'\\',
                b'#',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] => {
                name.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                name.push(*byte);
                rest = after;
            }
        }
    }
    name
}

/// The paths on which the two differ, as text; `None` if there are none.
pub(crate) fn disagreement(tree: &Tree, sources: &Sources) -> Option<String> {
    let (rsync, rsyn) = (tree.kept_by_rsync(sources), tree.kept_by_rsyn(sources));
    if rsync == rsyn {
        return None;
    }
    let (Some(rsync), Some(rsyn)) = (&rsync, &rsyn) else {
        let by = if rsync.is_none() { "rsync" } else { "rsyn" };
        return Some(format!("refused by {by} alone"));
    };
    let shown = |paths: Vec<&Vec<u8>>| {
        paths
            .iter()
            .map(|p| format!("  \"{}\"\n", p.escape_ascii()))
            .collect::<String>()
    };
    let (only_rsync, only_rsyn) = (rsync.difference(rsyn), rsyn.difference(rsync));
    Some(format!(
        "kept by rsync alone:\n{}kept by rsyn alone:\n{}",
        shown(only_rsync.collect()),
        shown(only_rsyn.collect())
    ))
}

/// The same disagreement with fewer sources and lines, by leaving out one after the other.
pub(crate) fn shrink(tree: &Tree, sources: Sources) -> Sources {
    let mut smallest = sources;
    while let Some(smaller) = smaller(&smallest)
        .into_iter()
        .find(|it| disagreement(tree, it).is_some())
    {
        smallest = smaller;
    }
    smallest
}

/// Each way to leave out one source or one line.
fn smaller(sources: &Sources) -> Vec<Sources> {
    let mut all = Vec::new();
    for (at, source) in sources.list.iter().enumerate() {
        let mut without = sources.clone();
        without.list.remove(at);
        all.push(without);
        let Source::File(sign, text) = source else {
            continue;
        };
        let lines: Vec<_> = text.split_inclusive(|b| b"\r\n\0".contains(b)).collect();
        for skipped in 0..lines.len() {
            let kept = lines.iter().enumerate().filter(|(at, _)| *at != skipped);
            let text = kept.flat_map(|(_, line)| line.iter().copied()).collect();
            let mut shorter = sources.clone();
            shorter.list[at] = Source::File(*sign, text);
            all.push(shorter);
        }
    }
    all
}

/// Whether rsync can be asked. Without it the test fails, unless `RSYN_SKIP` says `rsync`.
pub(crate) fn rsync_or_skip(test: &str) -> bool {
    let version = Command::new("rsync").arg("--version").output();
    // The rsync of recent macOS is openrsync, which reads rules its own way.
    if version.is_ok_and(|output| output.stdout.starts_with(b"rsync  version 3")) {
        return true;
    }
    let skip = std::env::var("RSYN_SKIP").unwrap_or_default();
    assert!(
        skip.split(',').any(|name| name == "rsync"),
        "rsync 3 is not installed, and this test compares with it: install it (`apt install rsync`, \
         `brew install rsync`) or set RSYN_SKIP=rsync to go on without"
    );
    eprintln!("SKIPPED oracle::{test}: rsync not installed");
    false
}
