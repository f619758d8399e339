//! What one direction of one run may do to the written side: the table of docs/semantics.md read a second time,
//! path by path, from three trees as they stood on the disk.
//!
//! Where files and directories clash on the way to a path the outcome depends on its neighbours; there the law
//! says only what may never happen: a version that goes without evidence.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::Tree;
use crate::support::tree::Seen;

/// The options of a run that a law depends on.
#[derive(Debug, Clone)]
pub struct Options {
    pub policy: &'static str,
    pub no_delete: bool,
    pub mirror: bool,
    pub only: Option<&'static str>,
    pub force: bool,
}

/// One direction of a run that succeeded.
pub struct Leg<'a> {
    /// Whether this machine is written.
    pub is_pull: bool,
    /// The written side before.
    pub ours: &'a Tree,
    /// The read side.
    pub theirs: &'a Tree,
    /// What both held when this machine last synced each path.
    pub agreed: &'a Tree,
    /// The written side afterwards.
    pub after: &'a Tree,
    pub options: &'a Options,
    /// What the hub lost by others since this machine last looked.
    pub buried: &'a BTreeMap<Vec<u8>, Vec<Seen>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Stays,
    BecomesTheirs,
}

/// Whether two versions are the same: the mtime is none of it.
pub fn same(a: Option<&Seen>, b: Option<&Seen>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(Seen::File(am, _, a)), Some(Seen::File(bm, _, b))) => am == bm && a == b,
        (Some(Seen::Dir(a)), Some(Seen::Dir(b))) => a == b,
        (Some(Seen::Link(a, _)), Some(Seen::Link(b, _))) => a == b,
        _ => false,
    }
}

pub fn is_excluded(path: &[u8]) -> bool {
    path.split(|b| *b == b'/')
        .any(|name| name.ends_with(b".skip"))
}

pub fn is_dir(seen: Option<&Seen>) -> bool {
    matches!(seen, Some(Seen::Dir(_)))
}

fn is_below(path: &[u8], top: &[u8]) -> bool {
    path.strip_prefix(top)
        .is_some_and(|rest| rest.starts_with(b"/"))
}

pub fn in_scope(path: &[u8], only: Option<&str>) -> bool {
    only.is_none_or(|top| path == top.as_bytes() || is_below(path, top.as_bytes()))
}

/// The directories above a path.
pub fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = (0..path.len()).filter(|at| path[*at] == b'/');
    slashes.map(|at| &path[..at])
}

fn mtime(seen: &Seen) -> i128 {
    match seen {
        Seen::File(_, mtime, _) | Seen::Link(_, mtime) => *mtime,
        Seen::Dir(_) | Seen::Special => 0,
    }
}

impl Leg<'_> {
    /// The first path that broke the law, with what was expected.
    pub fn broken(&self) -> Option<String> {
        let paths: BTreeSet<_> = [self.ours, self.theirs, self.after]
            .into_iter()
            .flat_map(BTreeMap::keys)
            .collect();
        paths.into_iter().find_map(|path| {
            let why = self.wrong(path)?;
            let shown = [self.agreed, self.ours, self.theirs, self.after]
                .map(|tree| shown(tree.get(path)));
            let [agreed, ours, theirs, after] = shown;
            Some(format!(
                "\"{}\" {why}\n  agreed {agreed}\n  ours   {ours}\n  theirs {theirs}\n  after  {after}",
                path.escape_ascii()
            ))
        })
    }

    fn wrong(&self, path: &[u8]) -> Option<String> {
        let (ours, theirs) = (self.ours.get(path), self.theirs.get(path));
        let after = self.after.get(path);
        if ours.is_none() && theirs.is_none() {
            return (!self.is_copy(path, after)).then(|| "came from nowhere".to_owned());
        }
        let allowed = self.allowed(path);
        let is_as = |outcome| match outcome {
            Outcome::Stays => after == ours,
            Outcome::BecomesTheirs => after == self.taken(ours, theirs).as_ref(),
        };
        (!allowed.iter().any(|o| is_as(*o))).then(|| format!("may only be {allowed:?}"))
    }

    /// The version of theirs as it stands on our side: with its mtime, where the content came along.
    fn taken(&self, ours: Option<&Seen>, theirs: Option<&Seen>) -> Option<Seen> {
        match (ours, theirs) {
            (Some(Seen::File(_, mtime, content)), Some(Seen::File(mode, _, new)))
                if content == new =>
            {
                Some(Seen::File(*mode, *mtime, content.clone()))
            }
            _ => theirs.cloned(),
        }
    }

    fn allowed(&self, path: &[u8]) -> Vec<Outcome> {
        use Outcome::{BecomesTheirs, Stays};
        let (ours, theirs) = (self.ours.get(path), self.theirs.get(path));
        if is_excluded(path) || same(ours, theirs) {
            return vec![Stays];
        }
        if !in_scope(path, self.options.only) {
            let is_above = self
                .options
                .only
                .is_some_and(|top| is_below(top.as_bytes(), path));
            let needed = is_above && ours.is_none() && is_dir(theirs);
            return if needed {
                vec![Stays, BecomesTheirs]
            } else {
                vec![Stays]
            };
        }
        if self.options.no_delete && theirs.is_none() {
            return vec![Stays];
        }
        if self.is_clashing(path) {
            return if self.has_evidence(path) {
                vec![Stays, BecomesTheirs]
            } else {
                vec![Stays]
            };
        }
        if self.options.mirror {
            return vec![BecomesTheirs];
        }
        self.by_the_table(path)
    }

    /// Whether directories are involved: here, or something else in the place of one above.
    fn is_clashing(&self, path: &[u8]) -> bool {
        let no_dir = |tree: &Tree, at: &[u8]| tree.get(at).is_some_and(|s| !is_dir(Some(s)));
        is_dir(self.ours.get(path))
            || is_dir(self.theirs.get(path))
            || ancestors(path).any(|up| no_dir(self.ours, up) || no_dir(self.theirs, up))
    }

    /// Whether ours may go: nobody changed it since both sides agreed on it, or theirs is a version of its own.
    fn has_evidence(&self, path: &[u8]) -> bool {
        let ours = self.ours.get(path);
        self.options.mirror
            || ours.is_none()
            || same(ours, self.agreed.get(path))
            || self.theirs.contains_key(path)
            || self.is_stale(path)
    }

    /// Whether one side holds an old copy of what the hub lost meanwhile.
    fn is_stale(&self, path: &[u8]) -> bool {
        let here = if self.is_pull { self.ours } else { self.theirs };
        let there = if self.is_pull { self.theirs } else { self.ours };
        let lost = |seen: &Seen| {
            let all = self.buried.get(path).into_iter().flatten();
            all.into_iter().any(|b| same_content(b, seen))
        };
        !self.agreed.contains_key(path)
            && !there.contains_key(path)
            && here.get(path).is_some_and(lost)
    }

    fn by_the_table(&self, path: &[u8]) -> Vec<Outcome> {
        use Outcome::{BecomesTheirs, Stays};
        let (ours, theirs) = (self.ours.get(path), self.theirs.get(path));
        let agreed = self.agreed.get(path);
        if self.is_stale(path) {
            return vec![Stays, BecomesTheirs];
        }
        let outcome = match (ours, theirs) {
            _ if same(ours, agreed) => BecomesTheirs,
            _ if same(theirs, agreed) => Stays,
            (Some(ours), Some(theirs)) => self.by_policy(ours, theirs),
            (Some(_), None) => Stays,
            (None, _) => BecomesTheirs,
        };
        vec![outcome]
    }

    fn by_policy(&self, ours: &Seen, theirs: &Seen) -> Outcome {
        let ours_wins = match self.options.policy {
            "local" => self.is_pull,
            "remote" => !self.is_pull,
            "newer" => mtime(ours) > mtime(theirs),
            _ => false,
        };
        if ours_wins {
            Outcome::Stays
        } else {
            Outcome::BecomesTheirs
        }
    }

    /// Whether a path that neither side had is one of the two copies that `both` makes.
    fn is_copy(&self, path: &[u8], after: Option<&Seen>) -> bool {
        let has = |word: &[u8]| path.windows(word.len()).any(|w| w == word);
        let is_version = |tree: &Tree| tree.values().any(|v| same(Some(v), after));
        self.options.policy == "both"
            && (has(b".local") || has(b".remote"))
            && (is_version(self.ours) || is_version(self.theirs))
    }
}

/// Whether a tombstone of `a` speaks of `b`: permission bits are no part of it.
fn same_content(a: &Seen, b: &Seen) -> bool {
    match (a, b) {
        (Seen::File(_, _, a), Seen::File(_, _, b)) => a == b,
        (Seen::Dir(_), Seen::Dir(_)) => true,
        (a, b) => same(Some(a), Some(b)),
    }
}

/// A version in one short line.
pub fn shown(seen: Option<&Seen>) -> String {
    match seen {
        None => "-".to_owned(),
        Some(Seen::File(mode, mtime, content)) => {
            let start = content[..content.len().min(24)].escape_ascii();
            format!("file {mode:o} {mtime} {} bytes \"{start}\"", content.len())
        }
        Some(other) => format!("{other:?}"),
    }
}
