//! The form of every state file: magic, kind, version, postcard, and a BLAKE3 of all that. `[sealed]`

use std::cmp::Ordering;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StateError;
use crate::disk::DiskError;

/// First bytes of every state file.
const MAGIC: &[u8; 8] = b"rsynstat";
const DIGEST_BYTES: usize = 32;
/// So much is written, or read only to be checked, at once.
const BLOCK_BYTES: usize = 256 * 1024;
/// Magic, kind, version.
pub(super) const HEADER_BYTES: usize = 8 + 4 + 4;

/// A value that is kept in a state file.
pub trait Sealed: Serialize + DeserializeOwned {
    /// Four letters that tell one kind of file from another.
    const KIND: [u8; 4];
    /// Version of the format. A change of the type's fields is a new version.
    const VERSION: u32;
}

/// Hands all that is to be written of `value` to `write`, block by block: a state file can be as large as its tree.
///
/// # Errors
/// [`StateError::Damaged`] if the value cannot be encoded, which no value of ours is unless a part of it cannot be read again;
/// what `write` returns.
pub fn seal<T: Sealed>(
    value: &T,
    file: &str,
    write: impl FnMut(&[u8]) -> Result<(), DiskError>,
) -> Result<(), StateError> {
    let mut blocks = Blocks {
        block: [MAGIC, &T::KIND[..], &T::VERSION.to_le_bytes()].concat(),
        hasher: blake3::Hasher::new(),
        write,
        failure: None,
    };
    let encoded = postcard::to_io(value, &mut blocks).map(drop);
    if let Some(failure) = blocks.failure {
        return Err(failure.into());
    }
    encoded.map_err(|_| damaged(file))?;
    blocks.hasher.update(&blocks.block);
    let digest = blocks.hasher.finalize();
    blocks.block.extend_from_slice(digest.as_bytes());
    Ok((blocks.write)(&blocks.block)?)
}

/// Gathers what is written to it.
struct Blocks<W> {
    block: Vec<u8>,
    hasher: blake3::Hasher,
    write: W,
    /// Why writing ended.
    failure: Option<DiskError>,
}

impl<W: FnMut(&[u8]) -> Result<(), DiskError>> io::Write for Blocks<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() + bytes.len() > BLOCK_BYTES {
            for whole in [&self.block, bytes] {
                self.hasher.update(whole);
                if let Err(failure) = (self.write)(whole) {
                    self.failure = Some(failure);
                    return Err(io::ErrorKind::Other.into());
                }
            }
            self.block.clear();
        } else {
            self.block.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
        let (content, digest) = bytes
            .split_last_chunk::<DIGEST_BYTES>()
            .ok_or_else(|| damaged(file))?;
        if blake3::hash(content).as_bytes() != digest {
            return Err(damaged(file));
        }
        Ok(Self {
            value: value_of::<T>(content, file)?,
            file,
            kind: PhantomData,
        })
    }

    /// The number that the value begins with.
    ///
    /// # Errors
    /// [`StateError::Damaged`] if it begins with none.
    pub fn first_number(&self) -> Result<u64, StateError> {
        first_number(self.value, self.file)
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

/// What lies behind the header, if that is of the right kind and version.
fn value_of<'a, T: Sealed>(content: &'a [u8], file: &str) -> Result<&'a [u8], StateError> {
    let (header, value) = content
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| damaged(file))?;
    let (magic, rest) = header.split_at(MAGIC.len());
    let (kind, version) = rest.split_at(4);
    if magic != MAGIC || kind != T::KIND {
        return Err(damaged(file));
    }
    let found = version.iter().rev().fold(0, |n, b| n << 8 | u32::from(*b));
    match found.cmp(&T::VERSION) {
        Ordering::Less => Err(damaged(file)),
        Ordering::Equal => Ok(value),
        Ordering::Greater => Err(StateError::Newer {
            file: file.to_owned(),
            found,
            known: T::VERSION,
        }),
    }
}

fn first_number(value: &[u8], file: &str) -> Result<u64, StateError> {
    let number = postcard::take_from_bytes(value);
    number.map(|(number, _)| number).map_err(|_| damaged(file))
}

/// The number that the value in `opened`, so many bytes, begins with, once all of it was read and is whole.
///
/// # Errors
/// As [`open`]. What cannot be read is damaged.
pub(super) fn number_checked<T: Sealed>(
    opened: &File,
    bytes: u64,
    file: &str,
) -> Result<u64, StateError> {
    let damaged = || damaged(file);
    let end = bytes.checked_sub(DIGEST_BYTES as u64).ok_or_else(damaged)?;
    let mut digest = [0; DIGEST_BYTES];
    let read = |block: &mut [u8], at| opened.read_exact_at(block, at).map_err(|_| damaged());
    read(&mut digest, end)?;
    let mut hasher = blake3::Hasher::new();
    let (mut block, mut at, mut number) = (Vec::new(), 0, None);
    while at < end || number.is_none() {
        let len = usize::try_from(end - at).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        block.resize(len, 0);
        read(&mut block, at)?;
        hasher.update(&block);
        at += len as u64;
        // Of a file that is not whole it is not told.
        let begin = || value_of::<T>(&block, file).and_then(|value| first_number(value, file));
        number = number.or_else(|| Some(begin()));
    }
    match hasher.finalize() == digest {
        true => number.unwrap_or_else(|| Err(damaged())),
        false => Err(damaged()),
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

    fn sealed<T: Sealed>(value: &T) -> Vec<u8> {
        let mut bytes = Vec::new();
        let write = |block: &[u8]| {
            bytes.extend_from_slice(block);
            Ok(())
        };
        seal(value, "t", write).unwrap();
        bytes
    }

    /// As [`open`], of a file that is read in blocks.
    fn number_in_file<T: Sealed>(bytes: &[u8]) -> Result<u64, StateError> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        number_checked::<T>(&file, bytes.len() as u64, "t")
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let bytes = sealed(&Thing(vec![1, 2, 300]));
        assert_eq!(open::<Thing>(&bytes, "t").unwrap(), Thing(vec![1, 2, 300]));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(open::<Thing>(&bad, "t").is_err(), "byte {at}");
            assert!(open::<Thing>(&bytes[..at], "t").is_err(), "cut at {at}");
            for bytes in [&bad[..], &bytes[..at]] {
                assert!(number_in_file::<Thing>(bytes).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_later_format_is_named_not_misread() {
        let bytes = sealed(&Later(vec![1]));
        let refused = [
            open::<Thing>(&bytes, "t").unwrap_err(),
            number_in_file::<Thing>(&bytes).unwrap_err(),
        ];
        for refused in refused.map(|error| error.to_string()) {
            let words = "the state file .rsyn/t has format 3; this rsyn knows up to 2";
            assert_eq!(refused, words);
        }
    }

    #[test]
    fn a_value_of_any_length_is_written_and_checked_in_blocks() {
        let around = |bytes: usize| bytes - 40..=bytes + 40;
        let lengths =
            around(BLOCK_BYTES)
                .chain(around(2 * BLOCK_BYTES))
                .chain([0, 1, 3 * BLOCK_BYTES]);
        for len in lengths {
            let thing = Thing(vec![7; len]);
            let plain = postcard::to_stdvec(&thing).unwrap();
            let bytes = sealed(&thing);
            let end = bytes.len() - DIGEST_BYTES;
            assert_eq!(bytes[HEADER_BYTES..end], plain, "{len}");
            assert_eq!(open::<Thing>(&bytes, "t").unwrap(), thing, "{len}");
            assert_eq!(number_in_file::<Thing>(&bytes).unwrap(), len as u64);
            let mut bad = bytes.clone();
            bad[end - 1] ^= 1;
            assert!(number_in_file::<Thing>(&bad).is_err(), "{len}");
        }
    }

    #[test]
    fn a_failed_write_is_told_as_it_was() {
        for fails_at in 0..4 {
            let mut calls = 0;
            let written = seal(&Thing(vec![7; 3 * BLOCK_BYTES]), "t", |_| {
                calls += 1;
                match calls > fails_at {
                    true => Err(DiskError::new(
                        "write",
                        b"t".to_vec(),
                        io::ErrorKind::StorageFull,
                    )),
                    false => Ok(()),
                }
            });
            let failure = written.unwrap_err();
            assert!(matches!(failure, StateError::Disk(_)), "{failure}");
            assert_eq!(calls, fails_at + 1);
        }
    }
}
