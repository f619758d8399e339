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

impl Weight for String {
    fn text_bytes(&self) -> usize {
        self.len()
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

impl<T: Weight> Weight for &T {
    fn text_bytes(&self) -> usize {
        (*self).text_bytes()
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
    /// Bytes of memory, where they are bounded.
    memory_bytes: Option<usize>,
}

/// What an item of a tree takes in memory beside its names and words.
const ITEM_BYTES: usize = 112;

impl Budget {
    /// As many items as a tree has at most, and [`limits::TOLD_BYTES`] of names and words.
    #[must_use]
    pub fn of_tree(what: &'static str) -> Self {
        Self {
            what,
            items: limits::TREE_ENTRIES,
            text_bytes: limits::TOLD_BYTES,
            memory_bytes: None,
        }
    }

    /// As [`Self::of_tree`], of what takes no more than so many bytes of memory.
    #[must_use]
    pub fn of_memory(what: &'static str, bytes: usize) -> Self {
        Self {
            memory_bytes: Some(bytes),
            ..Self::of_tree(what)
        }
    }

    /// Adds bytes of memory.
    pub fn grant(&mut self, bytes: usize) {
        self.memory_bytes = self.memory_bytes.map(|left| left.saturating_add(bytes));
    }

    /// Whether these items would take more memory than is left.
    #[must_use]
    pub fn is_too_small_for(&self, items: &[impl Weight]) -> bool {
        self.memory_bytes
            .is_some_and(|left| left < memory_of(items))
    }

    /// Takes these items off.
    ///
    /// # Errors
    /// There is not so much left.
    pub fn take(&mut self, items: &[impl Weight]) -> Result<(), ProtocolError> {
        let text_bytes = items.iter().map(Weight::text_bytes).sum();
        if self.is_too_small_for(items) {
            return Err(ProtocolError::TooLarge { what: self.what });
        }
        let left = self.items.checked_sub(items.len());
        match left.zip(self.text_bytes.checked_sub(text_bytes)) {
            Some((left, text_bytes)) => {
                let memory = memory_of(items);
                self.memory_bytes = self.memory_bytes.map(|bytes| bytes - memory);
                (self.items, self.text_bytes) = (left, text_bytes);
                Ok(())
            }
            None => Err(ProtocolError::TooMuch { what: self.what }),
        }
    }
}

/// Bytes of memory that `items` take, nearly.
#[must_use]
pub fn memory_of(items: &[impl Weight]) -> usize {
    items
        .iter()
        .map(|item| item.text_bytes() + ITEM_BYTES)
        .sum()
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
