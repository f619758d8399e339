//! A session's two streams: messages out, messages in, each direction with a thread of its own, so that
//! neither side ever writes without also reading.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};
use serde::de::DeserializeOwned;

use super::PeerError;
use super::pace::Pace;
use crate::protocol::codec::{self, CHUNK_HEADER_BYTES, CHUNK_INPUT_BYTES, Decoder, Encoder};
use crate::protocol::message::{Control, Message};
use crate::protocol::{ProtocolError, frame, handshake, limits};

/// Messages that wait to be written. Data messages are at most 256 KiB: this bounds memory.
const OUTBOX: usize = 16;
/// Messages that were read and wait for somebody.
const INBOX: usize = 16;
/// An idle writer says that it is still here this often.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Length of that message: header and one byte. No other message is that short.
const KEEP_ALIVE_BYTES: usize = frame::HEADER_BYTES + 1;

/// How bytes are sent.
#[derive(Debug, Clone, Copy)]
pub struct SendOptions {
    /// zstd level; `None` never compresses.
    pub level: Option<i32>,
    /// Bytes per second on the wire; `None` is no limit.
    pub bytes_per_second: Option<u64>,
}

/// Bytes on the wire so far.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Sent, compressed.
    pub sent: AtomicU64,
    /// Received, compressed.
    pub received: AtomicU64,
    /// Received, and sent other than keep-alives: what shows that the peer lives.
    life: AtomicU64,
}

impl Traffic {
    fn life(&self) -> u64 {
        self.life.load(Ordering::Relaxed)
    }
}

/// Set when the user wants to stop.
pub type Interrupted = Arc<AtomicBool>;

/// What both threads of a session share.
#[derive(Clone)]
pub struct Terms {
    /// How long a peer may be silent.
    pub timeout: Duration,
    /// Bytes so far.
    pub traffic: Arc<Traffic>,
    /// Set when the user wants to stop.
    pub interrupted: Interrupted,
}

impl Terms {
    fn patience(&self) -> Patience {
        let Self {
            timeout,
            traffic,
            interrupted,
        } = self.clone();
        Patience {
            timeout,
            traffic,
            interrupted,
        }
    }
}

/// A wait is looked at this often: has the user interrupted, has the peer moved?
const STEP: Duration = Duration::from_millis(100);

/// Tells a slow peer from a silent one: as long as bytes move in either direction, waiting goes on.
#[derive(Clone)]
struct Patience {
    timeout: Duration,
    traffic: Arc<Traffic>,
    interrupted: Interrupted,
}

/// A wait that goes on.
struct Wait {
    moved: u64,
    since: Instant,
}

impl Patience {
    fn start(&self) -> Wait {
        Wait {
            moved: self.traffic.life(),
            since: Instant::now(),
        }
    }

    /// A stream that flows never waits, so the user's wish is looked at before each message, too.
    fn check_wish(&self) -> Result<(), PeerError> {
        match self.interrupted.load(Ordering::Relaxed) {
            true => Err(PeerError::Interrupted),
            false => Ok(()),
        }
    }

    fn check(&self, wait: &mut Wait) -> Result<(), PeerError> {
        self.check_wish()?;
        let moved = self.traffic.life();
        if moved != wait.moved {
            *wait = Wait {
                moved,
                since: Instant::now(),
            };
        }
        if wait.since.elapsed() >= self.timeout {
            Err(PeerError::Silent(self.timeout))
        } else {
            Ok(())
        }
    }
}

/// The sending half. Any thread may have one.
#[derive(Clone)]
pub struct Outbox {
    queue: Sender<Message>,
    failure: Arc<Mutex<Option<PeerError>>>,
    patience: Patience,
}

impl Outbox {
    /// Queues a message. Blocks while the peer is slow.
    ///
    /// # Errors
    /// The connection broke, or the peer took nothing for the whole timeout.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), PeerError> {
        self.patience.check_wish()?;
        let mut message = message.into();
        let mut wait = self.patience.start();
        loop {
            match self.queue.send_timeout(message, STEP) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(back)) => message = back,
                Err(SendTimeoutError::Disconnected(_)) => {
                    let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    return Err(failure.clone().unwrap_or(PeerError::Closed));
                }
            }
            self.patience.check(&mut wait)?;
        }
    }
}

/// The receiving half.
pub struct Inbox {
    queue: Receiver<Result<Message, PeerError>>,
    patience: Patience,
}

impl Inbox {
    /// The next message that is no keep-alive. A refusal of the peer is an error here.
    ///
    /// # Errors
    /// [`PeerError`]: closed, silent for the whole timeout, malformed, refused.
    pub fn receive(&self) -> Result<Message, PeerError> {
        self.patience.check_wish()?;
        let mut wait = self.patience.start();
        loop {
            match self.queue.recv_timeout(STEP) {
                Ok(Ok(Message::Control(Control::KeepAlive))) => {}
                Ok(Ok(Message::Control(Control::Refused(refusal)))) => {
                    return Err(PeerError::Refused(refusal));
                }
                Ok(other) => return other,
                Err(RecvTimeoutError::Timeout) => self.patience.check(&mut wait)?,
                Err(RecvTimeoutError::Disconnected) => return Err(PeerError::Closed),
            }
        }
    }

    /// As [`Inbox::control`], but the user cannot interrupt it: the peer has been told to commit, and only its
    /// answer says what became of that.
    ///
    /// # Errors
    /// As [`Inbox::control`].
    pub fn verdict(&self, wanted: &'static str) -> Result<Control, PeerError> {
        let interrupted = Interrupted::default();
        let patience = Patience {
            interrupted,
            ..self.patience.clone()
        };
        let deaf = Self {
            queue: self.queue.clone(),
            patience,
        };
        deaf.control(wanted)
    }

    /// As [`Inbox::receive`], for a control message.
    ///
    /// # Errors
    /// Also if data comes instead.
    pub fn control(&self, wanted: &'static str) -> Result<Control, PeerError> {
        match self.receive()? {
            Message::Control(control) => Ok(control),
            other => Err(unexpected(&other, wanted)),
        }
    }
}

/// A message that has no place where it came.
#[must_use]
pub fn unexpected(got: &Message, wanted: &'static str) -> PeerError {
    ProtocolError::Unexpected {
        got: got.name(),
        wanted,
    }
    .into()
}

/// A Hello and what was printed before it.
#[derive(Debug)]
pub struct Greeting<T>(Receiver<Result<T, PeerError>>);

impl<T> Greeting<T> {
    /// Waits for it.
    ///
    /// # Errors
    /// The stream ended, had no magic, or the Hello is malformed; or nothing came within `limit`.
    pub fn wait(&self, limit: Duration) -> Result<T, PeerError> {
        match self.0.recv_timeout(limit) {
            Ok(greeting) => greeting,
            Err(RecvTimeoutError::Timeout) => Err(PeerError::Silent(limit)),
            Err(RecvTimeoutError::Disconnected) => Err(PeerError::Closed),
        }
    }
}

/// Starts the thread that reads: first a Hello (behind the magic, if `after_magic`), then messages.
pub fn start_reader<T: DeserializeOwned + Send + 'static>(
    reader: impl Read + Send + 'static,
    after_magic: bool,
    terms: &Terms,
) -> (Greeting<T>, Inbox) {
    let patience = terms.patience();
    let traffic = Arc::clone(&terms.traffic);
    let (greeting_sender, greeting) = bounded(1);
    let (sender, queue) = bounded(INBOX);
    std::thread::spawn(move || {
        let mut reader = BufReader::with_capacity(limits::NOISE_BYTES, reader);
        let hello = read_hello(&mut reader, after_magic, &traffic);
        let go_on = hello.is_ok();
        // Nobody may be waiting any more; then the session is over anyway.
        if greeting_sender.send(hello).is_err() || !go_on {
            return;
        }
        let sink = |message| sender.send(message).is_ok();
        if let Err(e) = read_messages(reader, &sink, &traffic) {
            sink(Err(e));
        }
    });
    (Greeting(greeting), Inbox { queue, patience })
}

/// Starts the thread that writes. The stream stands right behind this side's Hello.
pub fn start_writer(
    writer: impl Write + Send + 'static,
    options: SendOptions,
    terms: &Terms,
) -> (Outbox, Writer) {
    let traffic = Arc::clone(&terms.traffic);
    let (queue, messages) = bounded(OUTBOX);
    let failure = Arc::new(Mutex::new(None));
    let outbox = Outbox {
        queue,
        failure: Arc::clone(&failure),
        patience: terms.patience(),
    };
    let thread = std::thread::spawn(move || {
        if let Err(e) = write_messages(writer, &messages, options, &traffic) {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
        }
    });
    (outbox, Writer(thread))
}

/// The thread that writes.
pub struct Writer(JoinHandle<()>);

impl Writer {
    /// Lets everything that was queued reach the peer, then closes that direction. All clones of the outbox
    /// must be gone.
    pub fn finish(self, last: Outbox) {
        drop(last);
        // A writer that panicked has nothing more to send.
        drop(self.0.join());
    }
}

fn read_hello<T: DeserializeOwned>(
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

fn write_messages(
    mut to: impl Write,
    queue: &Receiver<Message>,
    options: SendOptions,
    traffic: &Traffic,
) -> Result<(), PeerError> {
    let mut encoder = Encoder::new(options.level);
    let mut worth = Worth::default();
    let mut pace = Pace::new(options.bytes_per_second, Instant::now());
    let (mut messages, mut chunk) = (Vec::new(), Vec::new());
    loop {
        match queue.recv_timeout(KEEP_ALIVE) {
            Ok(message) => frame::encode(&message, &mut messages)?,
            Err(RecvTimeoutError::Timeout) => {
                frame::encode(&Control::KeepAlive.into(), &mut messages)?;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        let says_something = messages.len() != KEEP_ALIVE_BYTES;
        // What waits goes along: one chunk for many small messages.
        while messages.len() < CHUNK_INPUT_BYTES
            && let Ok(message) = queue.try_recv()
        {
            frame::encode(&message, &mut messages)?;
        }
        for input in messages.chunks(CHUNK_INPUT_BYTES) {
            chunk.clear();
            let compress = worth.next(input.len());
            encoder.chunk(input, compress, &mut chunk)?;
            if compress {
                worth.learn(input.len(), chunk.len());
            }
            for piece in chunk.chunks(pace.piece_bytes()) {
                std::thread::sleep(pace.wait(piece.len(), Instant::now()));
                to.write_all(piece).map_err(|e| broken(&e))?;
                traffic
                    .sent
                    .fetch_add(piece.len() as u64, Ordering::Relaxed);
                if says_something {
                    traffic
                        .life
                        .fetch_add(piece.len() as u64, Ordering::Relaxed);
                }
            }
        }
        messages.clear();
        messages.shrink_to(2 * CHUNK_INPUT_BYTES);
        to.flush().map_err(|e| broken(&e))?;
    }
}

/// Decides whether compression is worth the time: after a chunk that did not shrink, the next ones go plain,
/// twice as many each time, up to [`Worth::MOST_PLAIN_BYTES`].
#[derive(Default)]
struct Worth {
    plain_left: usize,
    plain_next: usize,
}

impl Worth {
    const MOST_PLAIN_BYTES: usize = 16 * 1024 * 1024;
    /// Smaller chunks say little about what follows.
    const TELLING_BYTES: usize = 16 * 1024;

    fn next(&mut self, len: usize) -> bool {
        let plain = self.plain_left > 0 && len >= Self::TELLING_BYTES;
        if plain {
            self.plain_left = self.plain_left.saturating_sub(len);
        }
        !plain
    }

    fn learn(&mut self, input: usize, output: usize) {
        if input < Self::TELLING_BYTES {
            return;
        }
        // Less than 5 % gained.
        if output * 20 > input * 19 {
            self.plain_next =
                (self.plain_next * 2).clamp(CHUNK_INPUT_BYTES, Self::MOST_PLAIN_BYTES);
            self.plain_left = self.plain_next;
        } else {
            self.plain_next = 0;
        }
    }
}

fn read_messages(
    mut from: impl Read,
    sink: &dyn Fn(Result<Message, PeerError>) -> bool,
    traffic: &Traffic,
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
        traffic
            .received
            .fetch_add((CHUNK_HEADER_BYTES + len) as u64, Ordering::Relaxed);
        traffic
            .life
            .fetch_add((CHUNK_HEADER_BYTES + len) as u64, Ordering::Relaxed);
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

/// Hands the whole messages at the start of `bytes` to `sink`; gives how many bytes they took.
fn hand_out(
    bytes: &[u8],
    sink: &dyn Fn(Result<Message, PeerError>) -> bool,
    open: &mut bool,
) -> Result<usize, ProtocolError> {
    let mut taken = 0;
    while let Some((message, len)) = frame::decode(bytes.get(taken..).unwrap_or_default())? {
        taken += len;
        *open = *open && sink(Ok(message));
    }
    Ok(taken)
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
