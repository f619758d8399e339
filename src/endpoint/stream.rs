//! The two streams of a session, byte by byte: a Hello behind a login shell's noise, chunks, frames.

use std::io::{BufRead, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};
use serde::de::DeserializeOwned;

use super::PeerError;
use super::backlog::Backlog;
use super::connection::{SendOptions, Traffic};
use super::flow::Flow;
use super::pace::Pace;
use super::worth::{Sent, Worth};
use crate::protocol::codec::{self, CHUNK_HEADER_BYTES, CHUNK_INPUT_BYTES, Decoder, Encoder};
use crate::protocol::message::{Control, Message};
use crate::protocol::{ProtocolError, frame, handshake, limits};

/// Messages that are handed over at once. The thread that takes them is woken once for all of them: a tree of small files is a
/// message for each.
const BATCH_MESSAGES: usize = 64;
/// An idle writer says that it is still here this often.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Length of that message: header and one byte. No other message is that short.
const KEEP_ALIVE_BYTES: usize = frame::HEADER_BYTES + 1;

pub(super) fn read_hello<T: DeserializeOwned>(
    reader: &mut impl BufRead,
    after_magic: bool,
    traffic: &Traffic,
) -> Result<T, PeerError> {
    if after_magic {
        skip_noise(reader)?;
        let mut version = [0];
        reader.read_exact(&mut version).map_err(|e| broken(&e))?;
    }
    let mut len = [0; 4];
    reader.read_exact(&mut len).map_err(|e| broken(&e))?;
    // Read: [hello-len]. At most HELLO_BYTES; the peer chose it.
    let len = handshake::check_hello_len(u32::from_le_bytes(len) as usize)?;
    let mut json = vec![0; len as usize];
    reader.read_exact(&mut json).map_err(|e| broken(&e))?;
    traffic
        .received
        .fetch_add(u64::from(len) + 4, Ordering::Relaxed);
    traffic
        .life
        .fetch_add(u64::from(len) + 4, Ordering::Relaxed);
    Ok(handshake::decode_hello(&json)?)
}

/// Reads up to and with the magic.
fn skip_noise(reader: &mut impl BufRead) -> Result<(), PeerError> {
    let mut noise = Vec::new();
    while noise.len() < limits::NOISE_BYTES + handshake::MAGIC.len() {
        let mut byte = [0];
        if !read_or_end(reader, &mut byte)? {
            return Err(if noise.is_empty() {
                PeerError::Closed
            } else {
                PeerError::Noise(shown(&noise))
            });
        }
        noise.push(byte[0]);
        if noise.ends_with(handshake::MAGIC) {
            return Ok(());
        }
    }
    Err(PeerError::Noise(shown(&noise)))
}

fn shown(noise: &[u8]) -> String {
    noise
        .get(..noise.len().min(200))
        .unwrap_or_default()
        .escape_ascii()
        .to_string()
}

/// A direction that is written.
struct Stream<'a, W> {
    to: W,
    encoder: Encoder,
    worth: Worth,
    pace: Pace,
    chunk: Vec<u8>,
    /// Bytes of chunks so far.
    sent: u64,
    traffic: &'a Traffic,
    /// Set when nothing more is to be written.
    cut: &'a AtomicBool,
}

impl<W: Write> Stream<'_, W> {
    /// Writes `messages` in chunks. `waited` is how long there was no room for them.
    fn write(&mut self, messages: &[u8], mut waited: Duration) -> Result<(), PeerError> {
        let says_something = messages.len() != KEEP_ALIVE_BYTES;
        for input in messages.chunks(CHUNK_INPUT_BYTES) {
            self.chunk.clear();
            let start = Instant::now();
            let effort = self.worth.next(input.len());
            self.encoder.chunk(input, effort, &mut self.chunk)?;
            let ready = Instant::now();
            for piece in self.chunk.chunks(self.pace.piece_bytes()) {
                if self.cut.load(Ordering::Relaxed) {
                    return Err(PeerError::Closed);
                }
                std::thread::sleep(self.pace.wait(piece.len(), Instant::now()));
                self.to.write_all(piece).map_err(|e| broken(&e))?;
                let bytes = piece.len() as u64;
                self.traffic.sent.fetch_add(bytes, Ordering::Relaxed);
                if says_something {
                    self.traffic.life.fetch_add(bytes, Ordering::Relaxed);
                }
            }
            self.sent += self.chunk.len() as u64;
            self.worth.learn(Sent {
                compressed: effort.is_some(),
                input_bytes: input.len(),
                sent_bytes: self.chunk.len(),
                compressing: ready - start,
                sending: std::mem::take(&mut waited) + ready.elapsed(),
            });
        }
        self.to.flush().map_err(|e| broken(&e))
    }
}

/// What the thread that writes tells others, and hears from them.
#[derive(Clone, Copy)]
pub(super) struct Upkeep<'a> {
    pub(super) traffic: &'a Traffic,
    pub(super) flow: &'a Flow,
    pub(super) backlog: &'a Backlog,
    /// Set when nothing more is to be written.
    pub(super) cut: &'a AtomicBool,
}

pub(super) fn write_messages(
    to: impl Write,
    queue: &Receiver<Vec<Message>>,
    options: SendOptions,
    upkeep: Upkeep<'_>,
) -> Result<(), PeerError> {
    let Upkeep {
        traffic,
        flow,
        backlog,
        cut,
    } = upkeep;
    let mut stream = Stream {
        to,
        encoder: Encoder::new(),
        worth: Worth::new(options.compress),
        pace: Pace::new(options.bytes_per_second, Instant::now()),
        chunk: Vec::new(),
        sent: 0,
        traffic,
        cut,
    };
    let mut messages = Vec::new();
    loop {
        let mut batches = 0;
        select! {
            recv(queue) -> batch => match batch {
                Ok(batch) => {
                    encode_all(&batch, &mut messages)?;
                    batches += 1;
                }
                Err(_) => return Ok(()),
            },
            recv(flow.news()) -> _ => {}
            default(KEEP_ALIVE) => frame::encode(&Control::KeepAlive.into(), &mut messages)?,
        }
        // What waits goes along: one chunk for many small messages.
        while messages.len() < CHUNK_INPUT_BYTES
            && let Ok(batch) = queue.try_recv()
        {
            encode_all(&batch, &mut messages)?;
            batches += 1;
        }
        let start = Instant::now();
        if !messages.is_empty() {
            while let Some(read) = flow.wait_for_room(stream.sent) {
                let mut news = Vec::new();
                frame::encode(&Control::Arrived(read).into(), &mut news)?;
                stream.write(&news, Duration::ZERO)?;
            }
        }
        if let Some(read) = flow.due() {
            frame::encode(&Control::Arrived(read).into(), &mut messages)?;
        }
        stream.write(&messages, start.elapsed())?;
        backlog.remove(batches);
        messages.clear();
        messages.shrink_to(2 * CHUNK_INPUT_BYTES);
    }
}

fn encode_all(batch: &[Message], out: &mut Vec<u8>) -> Result<(), ProtocolError> {
    batch
        .iter()
        .try_for_each(|message| frame::encode(message, out))
}

pub(super) fn read_messages(
    mut from: impl Read,
    sink: &dyn Fn(Vec<Message>) -> bool,
    traffic: &Traffic,
    flow: &Flow,
) -> Result<(), PeerError> {
    let mut decoder = Decoder::new();
    let mut payload = Vec::new();
    let mut messages: Vec<u8> = Vec::new();
    loop {
        let mut header = [0; CHUNK_HEADER_BYTES];
        if !read_or_end(&mut from, &mut header)? {
            return if messages.is_empty() {
                Ok(())
            } else {
                Err(PeerError::Closed)
            };
        }
        // Read: [chunk-len]. At most CHUNK_BYTES; the peer chose it.
        let (len, coding) = codec::Decoder::header(header)?;
        payload.resize(len, 0);
        from.read_exact(&mut payload).map_err(|e| broken(&e))?;
        let bytes = (CHUNK_HEADER_BYTES + len) as u64;
        traffic.received.fetch_add(bytes, Ordering::Relaxed);
        traffic.life.fetch_add(bytes, Ordering::Relaxed);
        flow.read(bytes);
        let mut open = true;
        decoder.chunk(coding, &payload, &mut |bytes| {
            // Whole messages are read where they lie; only the begin of one that goes on is kept.
            if messages.is_empty() {
                let taken = hand_out(bytes, sink, &mut open)?;
                messages.extend_from_slice(bytes.get(taken..).unwrap_or_default());
            } else {
                messages.extend_from_slice(bytes);
                let taken = hand_out(&messages, sink, &mut open)?;
                messages.drain(..taken);
            }
            match messages.len() <= limits::CONTROL_BYTES + limits::CHUNK_BYTES {
                true => Ok(()),
                false => Err(ProtocolError::Malformed { what: "message" }),
            }
        })?;
        if !open {
            return Ok(());
        }
    }
}

/// Hands the whole messages at the start of `bytes` to `sink`, many at a time; gives how many bytes they took.
fn hand_out(
    bytes: &[u8],
    sink: &dyn Fn(Vec<Message>) -> bool,
    open: &mut bool,
) -> Result<usize, ProtocolError> {
    let mut taken = 0;
    let mut batch = Vec::new();
    let mut hand_over = |batch: &mut Vec<Message>| {
        if !batch.is_empty() {
            *open = *open && sink(std::mem::take(batch));
        }
    };
    loop {
        let next = frame::decode(bytes.get(taken..).unwrap_or_default());
        // What came before a malformed message is heard.
        let Ok(Some((message, len))) = next else {
            hand_over(&mut batch);
            return next.map(|_| taken);
        };
        taken += len;
        batch.push(message);
        if batch.len() == BATCH_MESSAGES {
            hand_over(&mut batch);
        }
    }
}

/// Fills `buffer`; `false` if the stream ends before its first byte.
fn read_or_end(from: &mut impl Read, buffer: &mut [u8]) -> Result<bool, PeerError> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|r| !r.is_empty()) {
        match from.read(rest) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(PeerError::Closed),
            Ok(read) => filled += read,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(broken(&e)),
        }
    }
    Ok(true)
}

/// A pipe that broke is a peer that is gone.
pub(super) fn broken(error: &std::io::Error) -> PeerError {
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
            PeerError::Closed
        }
        _ => PeerError::Io(error.to_string()),
    }
}
