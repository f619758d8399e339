//! Postcard with its room made before: a vector that grows takes up to three times what it holds while it does.

use postcard::ser_flavors::Size;
use serde::Serialize;

/// Appends `value` to `bytes`, and sees to it that `more` bytes have room after it.
///
/// # Errors
/// It cannot be encoded, which no value of ours is.
pub fn append<T: Serialize + ?Sized>(
    mut bytes: Vec<u8>,
    value: &T,
    more: usize,
) -> postcard::Result<Vec<u8>> {
    let size = postcard::serialize_with_flavor(value, Size::default())?;
    let start = bytes.len();
    bytes.reserve_exact(size + more);
    bytes.resize(start + size, 0);
    // Into its place: a vector asks itself before each byte whether it has room for it.
    postcard::to_slice(value, bytes.get_mut(start..).unwrap_or_default())?;
    Ok(bytes)
}

/// The bytes of `value`.
///
/// # Errors
/// As [`append`].
pub fn encode<T: Serialize + ?Sized>(value: &T) -> postcard::Result<Vec<u8>> {
    append(Vec::new(), value, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_appended_with_just_the_room_that_it_needs() {
        let value = (vec![7_u32; 1000], "text");
        let plain = postcard::to_stdvec(&value).unwrap();
        let encoded = encode(&value).unwrap();
        assert_eq!((&encoded, encoded.capacity()), (&plain, plain.len()));
        let appended = append(vec![1, 2], &value, 5).unwrap();
        assert_eq!(appended, [&[1, 2], &plain[..]].concat());
        assert_eq!(appended.capacity(), plain.len() + 7);
    }
}
