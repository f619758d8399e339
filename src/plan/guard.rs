//! The brakes: plans that are refused before anything is changed, because they look like an accident.

use std::collections::HashMap;
use std::str::FromStr;

use super::{Plan, Side, Verb};
use crate::model::{Digest, Entry, Kind, Node, Tree};

/// How much one run may delete.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxDelete {
    /// Half of the files, where that is more than [`MaxDelete::SMALL`] of them.
    Default,
    /// At most this many entries.
    Count(u64),
    /// At most this share of the files, 0 to 100.
    Percent(f64),
}

impl MaxDelete {
    /// Up to this many deletions never trip [`MaxDelete::Default`].
    pub const SMALL: u64 = 10;
}

/// Not a limit of deletions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no limit of deletions; write a number (`25`) or a share (`10%`)")]
pub struct MaxDeleteError(String);

impl FromStr for MaxDelete {
    type Err = MaxDeleteError;
    fn from_str(text: &str) -> Result<Self, MaxDeleteError> {
        let wrong = || MaxDeleteError(text.to_owned());
        match text.strip_suffix('%') {
            Some(number) => match number.parse::<f64>() {
                Ok(share) if (0.0..=100.0).contains(&share) => Ok(Self::Percent(share)),
                _ => Err(wrong()),
            },
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
        }
    }
}

/// Why a plan was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Guard {
    /// It would delete too much.
    #[error("this would delete {deletes} of {total} files on the {} side", side.name())]
    TooManyDeletes {
        /// Files and links that would go, moved ones not counted.
        deletes: u64,
        /// Files and links there now.
        total: u64,
        /// The side that would lose them.
        side: Side,
    },
    /// The disk cannot hold much of what would come.
    #[error("the disk on the {} side cannot hold {unheld} of {total} names and links", side.name())]
    WrongDisk {
        /// Entries that it cannot hold.
        unheld: u64,
        /// Entries of the other side.
        total: u64,
        /// The side with that disk.
        side: Side,
    },
    /// A side is empty, though it was not at the last sync.
    #[error("the {} side is empty, but at the last sync it was not", side.name())]
    Emptied {
        /// The empty side.
        side: Side,
    },
}

fn is_content(node: &Node) -> bool {
    matches!(node.kind(), Kind::File | Kind::Symlink)
}

fn has_content(tree: &Tree) -> bool {
    tree.entries().any(|e| is_content(&e.node))
}

/// Whether no file and no link is in a tree, though one was in `base`. Directories may be left, and what is excluded.
fn is_emptied(tree: &Tree, base: &Tree) -> bool {
    !has_content(tree) && has_content(base)
}

/// Checks that a plan does not begin to fill `ours`, the emptied tree of the side that is written: what the other side still
/// has of `base` would stay deleted, and then look like deletions that were meant.
///
/// # Errors
/// [`Guard::Emptied`].
pub fn check_written(plan: &Plan, ours: &Tree, theirs: &Tree, base: &Tree) -> Result<(), Guard> {
    let is_left = |entry: &Entry| theirs.get(&entry.path).is_some_and(is_content);
    let mut agreed = base.entries().filter(|e| is_content(&e.node));
    match !has_content(ours) && agreed.any(is_left) {
        true => Err(Guard::Emptied {
            side: plan.direction.written(),
        }),
        false => Ok(()),
    }
}

/// More entries than this that a disk cannot hold make it the wrong one.
const MOST_UNHELD: u64 = 100;
/// Up to this many never do.
const FEW_UNHELD: u64 = 10;

/// Checks that the disk of the written side can hold most of `theirs`.
///
/// # Errors
/// [`Guard::WrongDisk`].
pub fn check_disk(plan: &Plan, theirs: &Tree) -> Result<(), Guard> {
    let unheld = plan.unheld;
    if unheld <= FEW_UNHELD {
        return Ok(());
    }
    let total = theirs.entries().count() as u64;
    match unheld > MOST_UNHELD || unheld * 2 > total {
        true => Err(Guard::WrongDisk {
            unheld,
            total,
            side: plan.direction.written(),
        }),
        false => Ok(()),
    }
}

/// Checks what a plan would do to `ours`, the tree of the side that is written.
///
/// # Errors
/// [`Guard`] for the first brake that holds.
pub fn check(
    plan: &Plan,
    ours: &Tree,
    theirs: &Tree,
    base: &Tree,
    limit: MaxDelete,
) -> Result<(), Guard> {
    if plan.count(Verb::Delete) > 0 && is_emptied(theirs, base) {
        return Err(Guard::Emptied {
            side: plan.direction.read(),
        });
    }
    let deletes = deletions(plan);
    let total = ours.entries().filter(|e| is_content(&e.node)).count() as u64;
    let refused = match limit {
        MaxDelete::Default => deletes > MaxDelete::SMALL && deletes * 2 > total,
        MaxDelete::Count(most) => deletes > most,
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share of fewer than 2^52 files"
        )]
        MaxDelete::Percent(share) => deletes as f64 * 100.0 > share * total as f64,
    };
    if refused {
        return Err(Guard::TooManyDeletes {
            deletes,
            total,
            side: plan.direction.written(),
        });
    }
    Ok(())
}

/// Files and links that a plan deletes and does not put elsewhere: a move is no deletion.
#[must_use]
pub fn deletions(plan: &Plan) -> u64 {
    let deleted = plan.actions.iter().filter(|a| a.verb == Verb::Delete);
    let gone = deleted.filter_map(|a| a.old.as_ref()?.digest());
    let mut put: HashMap<Digest, u64> = gone.clone().map(|digest| (digest, 0)).collect();
    for digest in plan.actions.iter().filter_map(|a| a.new.as_ref()?.digest()) {
        if let Some(times) = put.get_mut(&digest) {
            *times += 1;
        }
    }
    let lost = gone.filter(
        |digest| match put.get_mut(digest).filter(|left| **left > 0) {
            Some(left) => {
                *left -= 1;
                false
            }
            None => true,
        },
    );
    lost.count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mode, Mtime, RelPath};
    use crate::plan::{Direction, Input, Options, Policy, reconcile};
    use std::collections::{BTreeMap, BTreeSet};

    fn files(range: std::ops::Range<u32>, dir: &str) -> Vec<Entry> {
        let make = |i: u32| Entry {
            path: RelPath::new(format!("{dir}{i}").into_bytes()).unwrap(),
            node: Node::File {
                size: 1,
                digest: Digest::of(&i.to_le_bytes()),
                mode: Mode::from(0o644),
                mtime: Mtime { secs: 0, nanos: 0 },
            },
        };
        range.map(make).collect()
    }

    fn verdict(ours: &Tree, theirs: &Tree, limit: MaxDelete) -> Result<(), Guard> {
        let none = BTreeMap::new();
        let input = Input {
            base: ours,
            local: ours,
            remote: theirs,
            unnamed: &BTreeSet::new(),
            local_tombstones: &none,
            remote_tombstones: &none,
            holds: &crate::plan::Holds::new(),
        };
        let options = Options {
            direction: Direction::Pull,
            policies: &Policy::Default,
            choices: &BTreeMap::new(),
            mirror: false,
            delete: true,
            only: &[],
            forgets: &|_, _| true,
            folding: crate::model::Folding::NONE,
            holds: crate::model::Abilities::ALL,
        };
        check(&reconcile(&input, &options), ours, theirs, ours, limit)
    }

    #[test]
    fn more_than_half_of_the_tree_is_refused_and_half_is_not() {
        let ours = Tree::from_unsorted(files(0..40, "f"));
        assert_eq!(
            verdict(
                &ours,
                &Tree::from_unsorted(files(0..20, "f")),
                MaxDelete::Default
            ),
            Ok(())
        );
        let refused = verdict(
            &ours,
            &Tree::from_unsorted(files(0..19, "f")),
            MaxDelete::Default,
        );
        assert_eq!(
            refused,
            Err(Guard::TooManyDeletes {
                deletes: 21,
                total: 40,
                side: Side::Local
            })
        );
    }

    #[test]
    fn a_few_deletions_are_never_refused_by_default() {
        let ours = Tree::from_unsorted(files(0..11, "f"));
        assert_eq!(
            verdict(
                &ours,
                &Tree::from_unsorted(files(0..1, "f")),
                MaxDelete::Default
            ),
            Ok(())
        );
    }

    #[test]
    fn moves_are_not_deletions() {
        let ours = Tree::from_unsorted(files(0..40, "f"));
        let theirs = Tree::from_unsorted(files(0..40, "g"));
        assert_eq!(verdict(&ours, &theirs, MaxDelete::Count(0)), Ok(()));
    }

    #[test]
    fn an_emptied_side_is_refused_whatever_the_limit() {
        let ours = Tree::from_unsorted(files(0..3, "f"));
        let refused = verdict(&ours, &Tree::default(), MaxDelete::Percent(100.0));
        assert_eq!(refused, Err(Guard::Emptied { side: Side::Remote }));
    }

    #[test]
    fn limits_are_numbers_or_shares() {
        assert_eq!("25".parse(), Ok(MaxDelete::Count(25)));
        assert_eq!("12.5%".parse(), Ok(MaxDelete::Percent(12.5)));
        for wrong in ["", "-1", "101%", "x%", "10 %"] {
            assert!(wrong.parse::<MaxDelete>().is_err(), "{wrong}");
        }
    }
}
