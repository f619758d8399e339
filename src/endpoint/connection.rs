//! A session's two streams: messages out, messages in, each direction with a thread of its own, so that
//! neither side ever writes without also reading.

use std::collections::VecDeque;
use std::io::{BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{
    Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError, bounded,
};
use serde::de::DeserializeOwned;

use super::PeerError;
use super::backlog::Backlog;
use super::flow::Flow;
use super::stream::{Upkeep, read_hello, read_messages, write_messages};
use crate::protocol::handshake::ARRIVED;
use crate::protocol::message::{Control, Message};
use crate::protocol::{ProtocolError, limits};

/// Batches of messages that wait to be written. Data messages, and several together, are at most 256 KiB: this bounds memory.
const OUTBOX: usize = 16;
/// Batches of messages that were read and wait for somebody: none is longer than a chunk and a message.
const INBOX: usize = 16;

/// How bytes are sent.
#[derive(Debug, Clone, Copy)]
pub struct SendOptions {
    /// Whether bytes are compressed where that pays.
    pub compress: bool,
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
    pub(super) life: AtomicU64,
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
    /// Set when nothing more comes from the peer.
    pub ended: Arc<AtomicBool>,
    /// What the threads tell each other of the link.
    flow: Arc<Flow>,
}

impl Terms {
    /// Of a session that begins.
    #[must_use]
    pub fn new(timeout: Duration, interrupted: Interrupted) -> Self {
        Self {
            timeout,
            traffic: Arc::default(),
            interrupted,
            ended: Arc::default(),
            flow: Arc::default(),
        }
    }

    /// The peer is one with these `features`.
    pub fn meet(&self, features: &[String]) {
        if features.iter().any(|feature| feature == ARRIVED) {
            self.flow.agree();
        }
    }

    fn patience(&self) -> Patience {
        let Self {
            timeout,
            traffic,
            interrupted,
            ..
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
    queue: Sender<Vec<Message>>,
    failure: Arc<Mutex<Option<PeerError>>>,
    patience: Patience,
    backlog: Arc<Backlog>,
}

impl Outbox {
    /// Waits until all that was queued is on its way, as long as the user may still interrupt.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn written(&self) -> Result<(), PeerError> {
        let mut wait = self.patience.start();
        self.patience.check_wish()?;
        while !self.backlog.is_over_within(STEP) {
            self.patience.check(&mut wait)?;
        }
        self.patience.check_wish()
    }

    /// The same outbox for a thread that has to end when `stop` is set, though the peer takes nothing.
    #[must_use]
    pub fn until(&self, stop: Interrupted) -> Self {
        let patience = Patience {
            interrupted: stop,
            ..self.patience.clone()
        };
        Self {
            patience,
            ..self.clone()
        }
    }

    /// Whether the wish that this outbox follows lets the work go on.
    ///
    /// # Errors
    /// [`PeerError::Interrupted`]
    pub fn check(&self) -> Result<(), PeerError> {
        self.patience.check_wish()
    }

    /// Queues a message. Blocks while the peer is slow.
    ///
    /// # Errors
    /// The connection broke, or the peer took nothing for the whole timeout.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), PeerError> {
        self.send_all(vec![message.into()])
    }

    /// As [`Self::send`] for several messages, in their order.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_all(&self, messages: Vec<Message>) -> Result<(), PeerError> {
        self.patience.check_wish()?;
        self.backlog.add();
        let queued = self.queue(messages);
        if queued.is_err() {
            self.backlog.remove(1);
        }
        queued
    }

    fn queue(&self, mut messages: Vec<Message>) -> Result<(), PeerError> {
        let mut wait = self.patience.start();
        loop {
            match self.queue.send_timeout(messages, STEP) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(back)) => messages = back,
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
    queue: Receiver<Result<Vec<Message>, PeerError>>,
    /// What is left of the batch that was taken last.
    batch: Arc<Mutex<VecDeque<Message>>>,
    patience: Patience,
}

impl Inbox {
    /// The next message; keep-alives do not come this far. A refusal of the peer is an error here.
    ///
    /// # Errors
    /// [`PeerError`]: closed, silent for the whole timeout, malformed, refused.
    pub fn receive(&self) -> Result<Message, PeerError> {
        self.patience.check_wish()?;
        let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match batch.pop_front() {
                Some(Message::Control(Control::Refused(refusal))) => {
                    return Err(PeerError::Refused(refusal));
                }
                Some(message) => return Ok(message),
                None => *batch = self.next_batch()?.into(),
            }
        }
    }

    /// A look at whether messages wait, for another thread.
    pub(super) fn waiting(&self) -> Waiting {
        Waiting {
            queue: self.queue.clone(),
            batch: Arc::clone(&self.batch),
        }
    }

    /// Whether the next message is still to come.
    pub(super) fn is_idle(&self) -> bool {
        let batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        batch.is_empty() && self.queue.is_empty()
    }

    fn next_batch(&self) -> Result<Vec<Message>, PeerError> {
        let mut wait = self.patience.start();
        loop {
            match self.queue.recv_timeout(STEP) {
                Ok(batch) => return batch,
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
            batch: Arc::clone(&self.batch),
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

/// Tells whether messages wait in an inbox.
pub(super) struct Waiting {
    queue: Receiver<Result<Vec<Message>, PeerError>>,
    batch: Arc<Mutex<VecDeque<Message>>>,
}

impl Waiting {
    /// Whether there are none, and nobody takes one just now.
    pub(super) fn is_idle(&self) -> bool {
        let is_empty = self.batch.try_lock().is_ok_and(|batch| batch.is_empty());
        is_empty && self.queue.is_empty()
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
    let (traffic, flow) = (Arc::clone(&terms.traffic), Arc::clone(&terms.flow));
    let ended = Arc::clone(&terms.ended);
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
        let hand_over = |batch| match sender.try_send(batch) {
            Ok(()) => true,
            Err(TrySendError::Disconnected(_)) => false,
            Err(TrySendError::Full(batch)) => {
                flow.set_deaf(true);
                let is_taken = sender.send(batch).is_ok();
                flow.set_deaf(false);
                is_taken
            }
        };
        let is_for_others = |message: &Message| match message {
            Message::Control(Control::KeepAlive) => false,
            Message::Control(Control::Arrived(bytes)) => {
                flow.arrived(*bytes);
                false
            }
            _ => true,
        };
        // A keep-alive has done its work when it was read; a million of them wake nobody.
        let sink = |mut batch: Vec<Message>| {
            batch.retain(is_for_others);
            batch.is_empty() || hand_over(Ok(batch))
        };
        let read = read_messages(reader, &sink, &traffic, &flow);
        // ORDER: before the last word is handed over, for which there may be no room as long as nobody takes it.
        ended.store(true, Ordering::Relaxed);
        if let Err(e) = read {
            hand_over(Err(e));
        }
    });
    let inbox = Inbox {
        queue,
        batch: Arc::default(),
        patience,
    };
    (Greeting(greeting), inbox)
}

/// Starts the thread that writes. The stream stands right behind this side's Hello.
pub fn start_writer(
    writer: impl Write + Send + 'static,
    options: SendOptions,
    terms: &Terms,
) -> (Outbox, Writer) {
    let (traffic, flow) = (Arc::clone(&terms.traffic), Arc::clone(&terms.flow));
    let (queue, messages) = bounded(OUTBOX);
    let failure = Arc::new(Mutex::new(None));
    let outbox = Outbox {
        queue,
        failure: Arc::clone(&failure),
        patience: terms.patience(),
        backlog: Arc::default(),
    };
    let (backlog, cut) = (Arc::clone(&outbox.backlog), Interrupted::default());
    let is_cut = Arc::clone(&cut);
    let thread = std::thread::spawn(move || {
        let upkeep = Upkeep {
            traffic: &traffic,
            flow: &flow,
            backlog: &backlog,
            cut: &is_cut,
        };
        if let Err(e) = write_messages(writer, &messages, options, upkeep) {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
        }
        backlog.end();
    });
    let thread = Some(thread);
    (outbox, Writer { thread, cut })
}

/// The thread that writes. Dropped before [`Writer::finish`], what is queued stays unwritten: a session that is given up
/// ends at once, however slow its link.
pub struct Writer {
    thread: Option<JoinHandle<()>>,
    cut: Interrupted,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.cut.store(true, Ordering::Relaxed);
    }
}

impl Writer {
    /// Lets everything that was queued reach the peer, then closes that direction. All clones of the outbox
    /// must be gone.
    pub fn finish(mut self, last: Outbox) {
        drop(last);
        // A writer that panicked has nothing more to send.
        drop(self.thread.take().map(JoinHandle::join));
    }
}
