//! How much a list or a text of a peer may hold. A message of a megabyte could otherwise be a list of a hundred
//! megabytes of values, or one name that long.

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::message::SnapshotLine;
use super::{ProtocolError, limits};
use crate::model::{Node, RelPath, Tombstone};

/// Names and words in an item of a list, beside what every item has.
pub trait Weight {
    /// How many bytes they are.
    fn text_bytes(&self) -> usize;
}

impl Weight for RelPath {
    fn text_bytes(&self) -> usize {
        self.as_bytes().len()
    }
}

impl Weight for Node {
    fn text_bytes(&self) -> usize {
        match self {
            Self::Symlink { target, .. } => target.len(),
            Self::File { .. } | Self::Dir { .. } | Self::Skipped(_) => 0,
        }
    }
}

impl Weight for Tombstone {
    fn text_bytes(&self) -> usize {
        self.machine.len()
    }
}

impl Weight for SnapshotLine {
    fn text_bytes(&self) -> usize {
        self.id.len() + self.label.len()
    }
}

impl<T: Weight> Weight for Option<T> {
    fn text_bytes(&self) -> usize {
        self.as_ref().map_or(0, Weight::text_bytes)
    }
}

impl<A: Weight, B: Weight> Weight for (A, B) {
    fn text_bytes(&self) -> usize {
        self.0.text_bytes() + self.1.text_bytes()
    }
}

/// What a peer may still tell of one thing: of its view, of the changes it asks for.
#[derive(Debug)]
pub struct Budget {
    what: &'static str,
    items: usize,
    text_bytes: usize,
}

impl Budget {
    /// As many items as a tree has at most, and [`limits::TOLD_BYTES`] of names and words.
    #[must_use]
    pub fn of_tree(what: &'static str) -> Self {
        Self {
            what,
            items: limits::TREE_ENTRIES,
            text_bytes: limits::TOLD_BYTES,
        }
    }

    /// Takes these items off.
    ///
    /// # Errors
    /// There is not so much left.
    pub fn take(&mut self, items: &[impl Weight]) -> Result<(), ProtocolError> {
        let text_bytes = items.iter().map(Weight::text_bytes).sum();
        let left = self.items.checked_sub(items.len());
        match left.zip(self.text_bytes.checked_sub(text_bytes)) {
            Some((items, text_bytes)) => {
                (self.items, self.text_bytes) = (items, text_bytes);
                Ok(())
            }
            None => Err(ProtocolError::TooMuch { what: self.what }),
        }
    }
}

/// A list of at most [`limits::LIST_ITEMS`].
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    struct Bounded<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a list of at most {} items", limits::LIST_ITEMS)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = from.next_element()? {
                if items.len() >= limits::LIST_ITEMS {
                    return Err(A::Error::custom("the list is too long"));
                }
                items.push(item);
            }
            Ok(items)
        }
    }
    from.deserialize_seq(Bounded(std::marker::PhantomData))
}

/// A text for people of at most [`limits::TEXT_BYTES`].
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    within(text, String::len, limits::TEXT_BYTES)
}

/// Bytes of a place that may be no path, of at most [`limits::PLACE_BYTES`].
pub(super) fn place<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let place = Vec::deserialize(from)?;
    within(place, Vec::len, limits::PLACE_BYTES)
}

fn within<T, E: Error>(value: T, len: impl Fn(&T) -> usize, limit: usize) -> Result<T, E> {
    match len(&value) <= limit {
        true => Ok(value),
        false => Err(E::custom("a text is too long")),
    }
}
