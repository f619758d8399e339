//! A message as bytes: `u32` little-endian length, `u8` type, payload. `[frame]`

use super::message::{Control, Message};
use super::{ProtocolError, limits};

/// Length and type before each payload, in bytes.
pub const HEADER_BYTES: usize = 5;

const CONTROL: u8 = 1;
const WHOLE: u8 = 2;
const DATA: u8 = 3;
const SIGNATURE_DATA: u8 = 4;

/// Longest content that fits one [`Message::Whole`].
pub const WHOLE_CONTENT_BYTES: usize = limits::DATA_BYTES - 4;

/// Appends `message` to `out`.
///
/// # Errors
/// [`ProtocolError::TooLong`] for a message above its limit: the caller cuts lists and data to size.
pub fn encode(message: &Message, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    let kind = match message {
        Message::Control(control) => {
            let rest = postcard::to_extend(control, std::mem::take(out));
            *out = rest.map_err(|_| ProtocolError::Malformed {
                what: "control message",
            })?;
            CONTROL
        }
        Message::Whole { id, content } => {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(content);
            WHOLE
        }
        Message::Data(bytes) => {
            out.extend_from_slice(bytes);
            DATA
        }
        Message::SignatureData(bytes) => {
            out.extend_from_slice(bytes);
            SIGNATURE_DATA
        }
    };
    let len = check_len(out.len() - start - HEADER_BYTES, kind)?;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 4] = kind;
    Ok(())
}

/// Takes the first whole message off the front of `bytes`: the message and how many bytes it took, or `None`
/// if more bytes are needed. A length above its limit is refused before its payload is awaited.
///
/// # Errors
/// [`ProtocolError`] if the bytes are no message. The session is over then.
pub fn decode(bytes: &[u8]) -> Result<Option<(Message, usize)>, ProtocolError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let [a, b, c, d, kind] = *header;
    // Read: [frame-len]. The peer chose it.
    let len = check_len(u32::from_le_bytes([a, b, c, d]) as usize, kind)? as usize;
    let Some(payload) = rest.get(..len) else {
        return Ok(None);
    };
    let message = match kind {
        CONTROL => Message::Control(decode_control(payload)?),
        WHOLE => {
            let malformed = ProtocolError::Malformed { what: "whole file" };
            let (id, content) = payload.split_first_chunk::<4>().ok_or(malformed)?;
            Message::Whole {
                id: u32::from_le_bytes(*id),
                content: content.to_vec(),
            }
        }
        DATA => Message::Data(payload.to_vec()),
        _ => Message::SignatureData(payload.to_vec()),
    };
    Ok(Some((message, HEADER_BYTES + len)))
}

fn decode_control(payload: &[u8]) -> Result<Control, ProtocolError> {
    let malformed = ProtocolError::Malformed {
        what: "control message",
    };
    // Trailing bytes would be a second opinion about where the message ends.
    match postcard::take_from_bytes(payload) {
        Ok((control, [])) => Ok(control),
        _ => Err(malformed),
    }
}

fn check_len(len: usize, kind: u8) -> Result<u32, ProtocolError> {
    let (what, limit) = match kind {
        CONTROL => ("a control message", limits::CONTROL_BYTES),
        WHOLE | DATA | SIGNATURE_DATA => ("a data message", limits::DATA_BYTES),
        _ => {
            return Err(ProtocolError::Malformed {
                what: "message type",
            });
        }
    };
    let too_long = ProtocolError::TooLong {
        what,
        len: len as u64,
        limit: limit as u64,
    };
    if len > limit {
        return Err(too_long);
    }
    u32::try_from(len).map_err(|_| too_long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RelPath;

    fn there_and_back(message: &Message) {
        let mut bytes = vec![];
        encode(message, &mut bytes).unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(
                decode(&bytes[..cut]),
                Ok(None),
                "{cut} of {} bytes",
                bytes.len()
            );
        }
        let whole = bytes.len();
        bytes.push(7);
        assert_eq!(decode(&bytes), Ok(Some((message.clone(), whole))));
    }

    #[test]
    fn messages_survive_the_wire_and_a_part_of_one_is_none() {
        there_and_back(&Control::KeepAlive.into());
        there_and_back(&Control::Stale(vec![RelPath::new(*b"a/b").unwrap()]).into());
        there_and_back(&Message::Whole {
            id: 7,
            content: b"hello".to_vec(),
        });
        there_and_back(&Message::Data(vec![]));
        there_and_back(&Message::SignatureData(vec![1, 2, 3]));
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_its_bytes_come() {
        let mut bytes = u32::try_from(limits::DATA_BYTES + 1)
            .unwrap()
            .to_le_bytes()
            .to_vec();
        bytes.push(DATA);
        assert!(matches!(decode(&bytes), Err(ProtocolError::TooLong { .. })));
        assert!(matches!(
            decode(&[0xff, 0xff, 0xff, 0xff, CONTROL]),
            Err(ProtocolError::TooLong { .. })
        ));
    }

    #[test]
    fn a_path_that_leaves_the_root_is_no_message() {
        let mut bytes = vec![];
        encode(
            &Control::Stale(vec![RelPath::new(*b"aa/b").unwrap()]).into(),
            &mut bytes,
        )
        .unwrap();
        let at = bytes.windows(4).position(|w| w == b"aa/b").unwrap();
        bytes[at..at + 4].copy_from_slice(b"../b");
        assert_eq!(
            decode(&bytes),
            Err(ProtocolError::Malformed {
                what: "control message"
            })
        );
    }

    #[test]
    fn trailing_bytes_and_unknown_types_are_refused() {
        let mut bytes = vec![];
        encode(&Control::KeepAlive.into(), &mut bytes).unwrap();
        bytes[0] += 1;
        bytes.push(0);
        assert!(decode(&bytes).is_err());
        assert!(decode(&[0, 0, 0, 0, 99]).is_err());
    }
}
