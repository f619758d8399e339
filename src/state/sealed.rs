//! The form of every state file: magic, kind, version, postcard, and a BLAKE3 of all that. `[sealed]`

use std::cmp::Ordering;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StateError;
use crate::model::encoding::append;

/// First bytes of every state file.
const MAGIC: &[u8; 8] = b"rsynstat";
const DIGEST_BYTES: usize = 32;
/// Magic, kind, version.
pub(super) const HEADER_BYTES: usize = 8 + 4 + 4;

/// A value that is kept in a state file.
pub trait Sealed: Serialize + DeserializeOwned {
    /// Four letters that tell one kind of file from another.
    const KIND: [u8; 4];
    /// Version of the format. A change of the type's fields is a new version.
    const VERSION: u32;
}

/// The bytes to write.
///
/// # Errors
/// [`StateError::Damaged`] if the value cannot be encoded, which no value of ours is.
pub fn seal<T: Sealed>(value: &T, file: &str) -> Result<Vec<u8>, StateError> {
    let header = [MAGIC, &T::KIND[..], &T::VERSION.to_le_bytes()].concat();
    let mut bytes = append(header, value, DIGEST_BYTES).map_err(|_| damaged(file))?;
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    Ok(bytes)
}

/// The value that was written.
///
/// # Errors
/// [`StateError::Damaged`] if a single bit differs from what was written, [`StateError::Newer`] if a later
/// version wrote it.
pub fn open<T: Sealed>(bytes: &[u8], file: &str) -> Result<T, StateError> {
    Checked::new(bytes, file)?.value()
}

/// A state file that is whole and of the right kind and version. Its value waits to be decoded.
pub struct Checked<'a, T> {
    value: &'a [u8],
    file: &'a str,
    kind: PhantomData<T>,
}

impl<'a, T: Sealed> Checked<'a, T> {
    /// Compares the digest and looks at the header.
    ///
    /// # Errors
    /// As [`open`].
    pub fn new(bytes: &'a [u8], file: &'a str) -> Result<Self, StateError> {
        let damaged = || damaged(file);
        let (content, digest) = bytes
            .split_last_chunk::<DIGEST_BYTES>()
            .ok_or_else(damaged)?;
        if blake3::hash(content).as_bytes() != digest {
            return Err(damaged());
        }
        let (header, value) = content
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or_else(damaged)?;
        let (magic, rest) = header.split_at(MAGIC.len());
        let (kind, version) = rest.split_at(4);
        if magic != MAGIC || kind != T::KIND {
            return Err(damaged());
        }
        let found = version.iter().rev().fold(0, |n, b| n << 8 | u32::from(*b));
        match found.cmp(&T::VERSION) {
            Ordering::Less => Err(damaged()),
            Ordering::Equal => Ok(Self {
                value,
                file,
                kind: PhantomData,
            }),
            Ordering::Greater => Err(StateError::Newer {
                file: file.to_owned(),
                found,
                known: T::VERSION,
            }),
        }
    }

    /// The number that the value begins with.
    ///
    /// # Errors
    /// [`StateError::Damaged`] if it begins with none.
    pub fn first_number(&self) -> Result<u64, StateError> {
        let number = postcard::take_from_bytes(self.value);
        number
            .map(|(number, _)| number)
            .map_err(|_| damaged(self.file))
    }

    /// The whole value.
    ///
    /// # Errors
    /// [`StateError::Damaged`] if it is none.
    pub fn value(&self) -> Result<T, StateError> {
        match postcard::take_from_bytes(self.value) {
            Ok((value, [])) => Ok(value),
            _ => Err(damaged(self.file)),
        }
    }
}

/// The number that the value in a file with this begin seems to begin with. Nothing says that the file is whole.
pub(super) fn number_claimed(begin: &[u8]) -> Option<u64> {
    let number = postcard::take_from_bytes(begin.get(HEADER_BYTES..)?);
    number.ok().map(|(number, _)| number)
}

fn damaged(file: &str) -> StateError {
    StateError::Damaged {
        file: file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Thing(Vec<u32>);
    impl Sealed for Thing {
        const KIND: [u8; 4] = *b"thng";
        const VERSION: u32 = 2;
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Later(Vec<u32>);
    impl Sealed for Later {
        const KIND: [u8; 4] = *b"thng";
        const VERSION: u32 = 3;
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let bytes = seal(&Thing(vec![1, 2, 300]), "t").unwrap();
        assert_eq!(open::<Thing>(&bytes, "t").unwrap(), Thing(vec![1, 2, 300]));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(open::<Thing>(&bad, "t").is_err(), "byte {at}");
            assert!(open::<Thing>(&bytes[..at], "t").is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_later_format_is_named_not_misread() {
        let bytes = seal(&Later(vec![1]), "t").unwrap();
        let refused = open::<Thing>(&bytes, "t").unwrap_err().to_string();
        assert_eq!(
            refused,
            "the state file .rsyn/t has format 3; this rsyn knows up to 2"
        );
    }
}
