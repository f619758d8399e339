//! A link between two ends in this process. It carries one plain message a chunk, however the writer's timing grouped
//! them and whether it compressed them, so that a cut after so many bytes lies at the same place each time.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::protocol::codec::{CHUNK_HEADER_BYTES, CHUNK_INPUT_BYTES, Decoder};
use crate::protocol::handshake::MAGIC;
use crate::protocol::message::{Control, Message};
use crate::protocol::{ProtocolError, frame};

/// A Hello tells of free space and the like, in digits: it counts as so many bytes, whatever its length.
const HELLO_WEIGHT: usize = 64;
/// Coding of a chunk that is not compressed.
const PLAIN: u8 = 0;

/// Makes one direction. With `cut`, it ends after so many bytes, and what is written later is lost: the flag
/// says whether that happened.
pub(super) fn link(after_magic: bool, cut: Option<usize>) -> (Tail, Head, Arc<AtomicBool>) {
    let (to, from) = unbounded();
    let was_cut = Arc::new(AtomicBool::new(false));
    let tail = Tail {
        to: Some(to),
        left: cut,
        was_cut: Arc::clone(&was_cut),
        hello_at: Some(if after_magic { MAGIC.len() + 1 } else { 0 }),
        raw: vec![],
        decoder: Decoder::new(),
        messages: vec![],
    };
    let head = Head {
        from,
        bytes: vec![],
        read: 0,
    };
    (tail, head, was_cut)
}

/// The end that is written into.
pub(super) struct Tail {
    /// `None` once cut.
    to: Option<Sender<Vec<u8>>>,
    left: Option<usize>,
    was_cut: Arc<AtomicBool>,
    /// Where the Hello begins; `None` once it passed.
    hello_at: Option<usize>,
    raw: Vec<u8>,
    decoder: Decoder,
    messages: Vec<u8>,
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.raw.extend_from_slice(bytes);
        self.forward().map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tail {
    fn forward(&mut self) -> Result<(), ProtocolError> {
        if let Some(at) = self.hello_at {
            let Some(len) = self.raw.get(at..at + 4) else {
                return Ok(());
            };
            let end = at + 4 + u32::from_le_bytes(len.try_into().unwrap()) as usize;
            if self.raw.len() < end {
                return Ok(());
            }
            let hello: Vec<_> = self.raw.drain(..end).collect();
            self.hello_at = None;
            self.send(hello, HELLO_WEIGHT);
        }
        while let Some(header) = self.raw.first_chunk::<CHUNK_HEADER_BYTES>() {
            let (len, coding) = Decoder::header(*header)?;
            if self.raw.len() < CHUNK_HEADER_BYTES + len {
                break;
            }
            let chunk: Vec<_> = self.raw.drain(..CHUNK_HEADER_BYTES + len).collect();
            self.decoder
                .chunk(coding, &chunk[CHUNK_HEADER_BYTES..], &mut |bytes| {
                    self.messages.extend_from_slice(bytes);
                    Ok(())
                })?;
        }
        while let Some((message, len)) = frame::decode(&self.messages)? {
            let bytes: Vec<_> = self.messages.drain(..len).collect();
            // Only time makes one, or the size of chunks.
            if let Message::Control(Control::KeepAlive | Control::Arrived(_)) = message {
                continue;
            }
            for part in bytes.chunks(CHUNK_INPUT_BYTES) {
                let len = u32::try_from(part.len()).unwrap();
                let chunk = [&len.to_le_bytes()[..], &[PLAIN], part].concat();
                let weight = chunk.len();
                self.send(chunk, weight);
            }
        }
        Ok(())
    }

    /// Sends a unit that counts as `weight` bytes, or what of it the cut leaves.
    fn send(&mut self, mut unit: Vec<u8>, weight: usize) {
        let is_last = self.left.is_some_and(|left| left < weight);
        if let Some(left) = &mut self.left {
            unit.truncate(unit.len() * (*left).min(weight) / weight);
            *left = left.saturating_sub(weight);
        }
        if let Some(to) = &self.to {
            // An end that reads no more is gone.
            drop(to.send(unit));
        }
        if is_last {
            self.to = None;
            self.was_cut.store(true, Ordering::Relaxed);
        }
    }
}

/// The end that is read from.
pub(super) struct Head {
    from: Receiver<Vec<u8>>,
    bytes: Vec<u8>,
    read: usize,
}

impl Read for Head {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.bytes.len() {
            let Ok(next) = self.from.recv() else {
                return Ok(0);
            };
            (self.bytes, self.read) = (next, 0);
        }
        let taken = (&self.bytes[self.read..]).read(buffer)?;
        self.read += taken;
        Ok(taken)
    }
}
