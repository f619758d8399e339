//! Parts of a state file that stay as they lie there until somebody asks for them: most sessions find that nothing changed, and
//! need none of them. They share the memory that the file was read into.

use std::marker::PhantomData;
use std::sync::OnceLock;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Result, StateError, shared};
use crate::model::encoding::encode;
use crate::model::{Digest, Tree};

/// A value in postcard, with its length before it, so that a reader can pass over it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Packed<T> {
    #[serde(with = "shared")]
    bytes: Bytes,
    #[serde(skip)]
    value: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Packed<T> {
    /// Packs `value`.
    pub(super) fn of(value: &T) -> Self {
        // What cannot be encoded, and no value of ours is that, is damaged when it is asked for.
        let bytes = encode(value).unwrap_or_default().into();
        let value = PhantomData;
        Self { bytes, value }
    }

    /// Takes memory of its own, so that the file it shared can go.
    pub(super) fn detach(&mut self) {
        self.bytes = Bytes::copy_from_slice(&self.bytes);
    }

    /// The value.
    ///
    /// # Errors
    /// [`StateError::Damaged`], by the name of `file`, if it is none.
    pub(super) fn open(&self, file: &str) -> Result<T> {
        match postcard::take_from_bytes(&self.bytes) {
            Ok((value, [])) => Ok(value),
            _ => Err(StateError::Damaged {
                file: file.to_owned(),
            }),
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
        let mut packed = Packed::of(&vec![1_u32, 2]);
        packed.bytes = [&packed.bytes[..], &[0]].concat().into();
        let damaged = packed.open("file");
        assert!(matches!(damaged, Err(StateError::Damaged { file }) if file == "file"));
    }

    #[test]
    fn what_is_detached_shares_no_memory_and_is_the_same() {
        let file = bytes::Bytes::from(encode(&Packed::of(&vec![1_u32; 100])).unwrap());
        let mut packed: Packed<Vec<u32>> =
            shared::sharing(&file, |file| postcard::from_bytes(file).unwrap());
        let is_part = |packed: &Packed<_>| file.as_ptr_range().contains(&packed.bytes.as_ptr());
        assert!(is_part(&packed));
        packed.detach();
        assert!(!is_part(&packed));
        assert_eq!(packed.open("file").unwrap(), [1; 100]);
    }
}
