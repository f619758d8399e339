//! Parts of a state file that stay as they lie there until somebody asks for them: most sessions find that nothing changed, and
//! need none of them.

use std::marker::PhantomData;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::part::Part;
use super::{Result, StateError};
use crate::model::encoding::encode;
use crate::model::{Digest, Tree};

/// A value in postcard, with its length before it, so that a reader can pass over it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Packed<T> {
    bytes: Part,
    #[serde(skip)]
    value: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Packed<T> {
    /// Packs `value`.
    pub(super) fn of(value: &T) -> Self {
        // What cannot be encoded, and no value of ours is that, is damaged when it is asked for.
        let bytes = Part::Here(encode(value).unwrap_or_default());
        let value = PhantomData;
        Self { bytes, value }
    }

    /// The value.
    ///
    /// # Errors
    /// [`StateError::Damaged`], by the name of `file`, if it is none, or cannot be read again.
    pub(super) fn open(&self, file: &str) -> Result<T> {
        let damaged = || StateError::Damaged {
            file: file.to_owned(),
        };
        let bytes = self.bytes.read().map_err(|_| damaged())?;
        match postcard::take_from_bytes(&bytes) {
            Ok((value, [])) => Ok(value),
            _ => Err(damaged()),
        }
    }
}

/// A tree that can be compared with another one as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PackedTree {
    view: Digest,
    entries: Packed<Tree>,
    /// What was unpacked, for whoever asks next.
    #[serde(skip)]
    unpacked: OnceLock<Tree>,
}

impl PackedTree {
    /// Packs `tree`.
    pub(super) fn of(tree: &Tree) -> Self {
        Self {
            view: tree.view_digest(),
            entries: Packed::of(tree),
            unpacked: OnceLock::new(),
        }
    }

    /// Whether it is `tree`, by all that [`Tree::view_digest`] sees.
    pub(super) fn is(&self, tree: &Tree) -> bool {
        self.view == tree.view_digest()
    }

    /// The tree. If it is `known`, that one is shared and nothing has to be unpacked.
    ///
    /// # Errors
    /// As [`Packed::open`].
    pub(super) fn open(&self, known: &Tree, file: &str) -> Result<Tree> {
        if self.is(known) {
            return Ok(known.clone());
        }
        match self.unpacked.get() {
            Some(tree) => Ok(tree.clone()),
            None => {
                let tree = self.entries.open(file)?;
                Ok(self.unpacked.get_or_init(|| tree).clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Entry, Mode, Node, RelPath};

    fn tree(names: &[&str]) -> Tree {
        let entry = |name: &&str| Entry {
            path: RelPath::new(name.as_bytes()).unwrap(),
            node: Node::Dir {
                mode: Mode::from(0o755),
            },
        };
        names.iter().map(entry).collect()
    }

    #[test]
    fn a_tree_is_unpacked_unless_it_is_at_hand() {
        let packed = PackedTree::of(&tree(&["a", "b"]));
        let (same, other) = (tree(&["a", "b"]), tree(&["a"]));

        let shared = packed.open(&same, "file").unwrap();
        assert!(shared.shares_with(&same));
        let unpacked = packed.open(&other, "file").unwrap();
        assert!(!unpacked.shares_with(&other));
        assert_eq!(unpacked, same);
        let again = packed.open(&other, "file").unwrap();
        assert!(again.shares_with(&unpacked));
    }

    #[test]
    fn what_cannot_be_unpacked_is_damaged() {
        let whole = encode(&vec![1_u32, 2]).unwrap();
        let packed: Packed<Vec<u32>> = Packed {
            bytes: Part::Here([&whole[..], &[0]].concat()),
            value: PhantomData,
        };
        let damaged = packed.open("file");
        assert!(matches!(damaged, Err(StateError::Damaged { file }) if file == "file"));
    }
}
