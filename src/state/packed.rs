//! [`Packed`]: a value of a state file that stays as it lies there until somebody asks for it: most sessions find that nothing
//! changed, and need none of them.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::part::Part;
use super::{Result, StateError};
use crate::model::encoding::encode;

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

#[cfg(test)]
mod tests {
    use super::*;

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
