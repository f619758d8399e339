//! Bytes of a state file that stay in the memory which the file was read into, instead of taking as much again.

use std::cell::RefCell;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serializer};

thread_local! {
    /// The file that this thread decodes.
    static FILE: RefCell<Bytes> = const { RefCell::new(Bytes::new()) };
}

/// Decodes a value out of `file`, with whose memory it shares its [`Bytes`].
pub(super) fn sharing<R>(file: &Bytes, decode: impl FnOnce(&[u8]) -> R) -> R {
    let before = FILE.replace(file.clone());
    let decoded = decode(file);
    FILE.set(before);
    decoded
}

/// For serde: as bytes, not as a list of numbers.
pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// For serde: shared with the file that is being decoded, or copied if they are none of it.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let part = <&serde_bytes::Bytes>::deserialize(deserializer)?;
    Ok(
        FILE.with_borrow(|file| match file.as_ptr_range().contains(&part.as_ptr()) {
            true => file.slice_ref(part),
            false => Bytes::copy_from_slice(part),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[derive(Serialize, Deserialize)]
    struct Part(#[serde(with = "super")] Bytes);

    #[test]
    fn what_is_decoded_of_a_file_shares_its_memory_and_nothing_else_does() {
        let value = [vec![1_u8; 100], vec![2; 100]].map(|bytes| Part(bytes.into()));
        let file = Bytes::from(postcard::to_stdvec(&value).unwrap());
        let decode = |file: &[u8]| postcard::from_bytes::<[Part; 2]>(file).unwrap();
        let is_part = |part: &Part| file.as_ptr_range().contains(&part.0.as_ptr());

        let of_it = sharing(&file, decode);
        let of_none = decode(&file);
        let of_another = sharing(&Bytes::from_static(b"another"), |_| decode(&file));
        for (parts, share) in [(of_it, true), (of_none, false), (of_another, false)] {
            assert_eq!(parts.each_ref().map(is_part), [share; 2]);
            assert_eq!(parts.map(|part| part.0[99]), [1, 2]);
        }
    }
}
