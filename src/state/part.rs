//! [`Part`]: bytes of a state file that stay in the file until somebody asks for them. Most of what is remembered of a large
//! tree is never looked at in a run, or for a moment.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use twox_hash::XxHash3_128;

/// So much is read at once of a part that is passed on.
const WINDOW_BYTES: usize = 256 * 1024;

thread_local! {
    /// The file that this thread decodes.
    static DECODED: RefCell<Option<Decoded>> = const { RefCell::new(None) };
}

/// A file while it is decoded.
struct Decoded {
    file: Arc<File>,
    /// Address of its first byte in memory.
    start: usize,
    bytes: usize,
}

/// Bytes at hand, or in a state file that was whole when it was read.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// At hand.
    Here(Vec<u8>),
    /// In a file.
    There(Place),
}

/// Where a part lies. No state file is ever written in place, so that an open one stays as it is; the sum finds
/// whatever changes it all the same.
#[derive(Debug, Clone)]
pub(super) struct Place {
    file: Arc<File>,
    offset: u64,
    bytes: usize,
    sum: u128,
}

/// Decodes a value out of `bytes`, all that `file` holds. Its [`Part`]s stay in the file.
pub(super) fn decode<R>(file: File, bytes: &[u8], decode: impl FnOnce(&[u8]) -> R) -> R {
    let decoded = Decoded {
        file: Arc::new(file),
        start: bytes.as_ptr().addr(),
        bytes: bytes.len(),
    };
    let before = DECODED.replace(Some(decoded));
    let value = decode(bytes);
    DECODED.set(before);
    value
}

impl Decoded {
    /// Where `part` lies; `None` if it is none of this file.
    fn place(&self, part: &[u8]) -> Option<Place> {
        let offset = part.as_ptr().addr().checked_sub(self.start)?;
        let is_inside = offset.checked_add(part.len())? <= self.bytes;
        is_inside.then(|| Place {
            file: Arc::clone(&self.file),
            offset: offset as u64,
            bytes: part.len(),
            sum: XxHash3_128::oneshot(part),
        })
    }
}

impl Part {
    /// How many bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Here(bytes) => bytes.len(),
            Self::There(place) => place.bytes,
        }
    }

    /// The bytes.
    ///
    /// # Errors
    /// The file cannot be read, or holds others than before.
    pub(super) fn read(&self) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Here(bytes) => Ok(bytes.into()),
            Self::There(place) => place.read().map(Cow::from),
        }
    }
}

impl Part {
    /// Hands the bytes to `take`, as they come, and whether they are the last ones. It says how many it took: the rest
    /// comes again, with more behind it.
    ///
    /// # Errors
    /// As [`Self::read`], after some were handed out; what `take` returns.
    pub(super) fn pass<E: From<io::Error>>(
        &self,
        mut take: impl FnMut(&[u8], bool) -> Result<usize, E>,
    ) -> Result<(), E> {
        match self {
            Self::Here(bytes) => take(bytes, true).map(drop),
            Self::There(place) => place.pass(take),
        }
    }
}

impl Place {
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.bytes];
        self.file.read_exact_at(&mut bytes, self.offset)?;
        match XxHash3_128::oneshot(&bytes) == self.sum {
            true => Ok(bytes),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn pass<E: From<io::Error>>(
        &self,
        mut take: impl FnMut(&[u8], bool) -> Result<usize, E>,
    ) -> Result<(), E> {
        let (mut window, mut sum, mut read) = (Vec::new(), XxHash3_128::new(), 0);
        while read < self.bytes || self.bytes == 0 {
            let start = window.len();
            let more = WINDOW_BYTES.min(self.bytes - read);
            window.resize(start + more, 0);
            let new = &mut window[start..];
            self.file.read_exact_at(new, self.offset + read as u64)?;
            sum.write(new);
            read += more;
            let is_last = read == self.bytes;
            if is_last && sum.finish_128() != self.sum {
                return Err(io::Error::from(io::ErrorKind::InvalidData).into());
            }
            let taken = take(&window, is_last)?;
            if is_last {
                break;
            }
            window.drain(..taken.min(window.len()));
        }
        Ok(())
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.read().map_err(serde::ser::Error::custom)?;
        // As bytes, not as a list of numbers.
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&serde_bytes::Bytes>::deserialize(deserializer)?;
        Ok(DECODED.with_borrow(|decoded| {
            match decoded.as_ref().and_then(|file| file.place(bytes)) {
                Some(place) => Self::There(place),
                None => Self::Here(bytes.to_vec()),
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    type Parts = [Part; 2];

    /// Two parts, the file that they were written to, and its bytes.
    fn written() -> (File, Vec<u8>) {
        let parts = [vec![1_u8; 100], vec![2; 100]].map(Part::Here);
        let bytes = postcard::to_stdvec(&parts).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (file, bytes)
    }

    #[test]
    fn a_part_is_passed_on_in_windows() {
        let bytes: Vec<u8> = (0..=250_u8).cycle().take(3 * WINDOW_BYTES + 5).collect();
        for len in [0, 1, WINDOW_BYTES - 1, WINDOW_BYTES, bytes.len()] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes[..len]).unwrap();
            let place = |sum: u128| Place {
                file: Arc::new(file.try_clone().unwrap()),
                offset: 0,
                bytes: len,
                sum,
            };
            let sum = XxHash3_128::oneshot(&bytes[..len]);
            for part in [Part::Here(bytes[..len].to_vec()), Part::There(place(sum))] {
                let (mut passed, mut ends) = (Vec::new(), 0);
                // A third of each window comes again.
                let take = |window: &[u8], is_last| {
                    let taken = if is_last {
                        window.len()
                    } else {
                        window.len() / 3 * 2
                    };
                    passed.extend_from_slice(&window[..taken]);
                    ends += usize::from(is_last);
                    io::Result::Ok(taken)
                };
                part.pass(take).unwrap();
                assert_eq!((passed == bytes[..len], ends), (true, 1), "{len}");
            }
            let other = Part::There(place(sum ^ 1));
            let mut ends = 0;
            let passed = other.pass(|window, is_last| {
                ends += usize::from(is_last);
                io::Result::Ok(window.len())
            });
            assert_eq!(passed.unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert_eq!(
                ends, 0,
                "the last ones are handed out once the sum is right"
            );
        }
    }

    fn parse(bytes: &[u8]) -> Parts {
        postcard::from_bytes(bytes).unwrap()
    }

    #[test]
    fn what_is_decoded_of_a_file_stays_there_and_nothing_else_does() {
        let (file, bytes) = written();
        let stays = |part: &Part| matches!(part, Part::There(_));

        let of_it = decode(file.try_clone().unwrap(), &bytes, parse);
        let of_another = decode(file, b"another", |_| parse(&bytes));
        let of_none = parse(&bytes);
        for (parts, there) in [(of_it, true), (of_another, false), (of_none, false)] {
            assert_eq!(parts.each_ref().map(stays), [there; 2]);
            let read = parts.each_ref().map(|part| part.read().unwrap());
            assert_eq!(read, [vec![1; 100], vec![2; 100]]);
            assert_eq!(postcard::to_stdvec(&parts).unwrap(), bytes);
        }
    }

    #[test]
    fn what_is_no_longer_there_as_it_was_is_noticed() {
        let (file, bytes) = written();
        let [first, second] = decode(file.try_clone().unwrap(), &bytes, parse);
        file.write_all_at(&[3], 50).unwrap();
        assert_eq!(first.read().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(postcard::to_stdvec(&first).is_err());
        assert_eq!(&*second.read().unwrap(), [2; 100]);
        file.set_len(150).unwrap();
        let cut = second.read().unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }
}
