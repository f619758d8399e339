//! A slow link on loopback: a TCP proxy that holds a rate and a delay in each direction.
//!
//! All connections share the line. A byte leaves when those before it have left (serialisation) and arrives one
//! delay later; a connection is made one round trip late. No loss, no slow start, no headers. What the proxy has
//! read ahead is bounded, so that a peer that does not read holds the other up, as TCP does; the buffers of the
//! kernel around the proxy are its own.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// What is read and delivered at once, in bytes: 0.7 ms of 50 Mbit/s.
const CHUNK_BYTES: usize = 4096;
/// How far ahead of the line is read: more than a sleep is late, so that a line with work is never idle.
const AHEAD: Duration = Duration::from_millis(10);
/// The most that one direction of one connection holds, in bytes: several times what is on the way at 50 Mbit/s.
pub const MOST_HELD_BYTES: usize = 1 << 20;

/// How slow the link is, each way.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    pub delay: Duration,
    pub bytes_per_second: f64,
}

pub struct Proxy {
    port: u16,
    link: Arc<Link>,
}

struct Link {
    line: Line,
    /// Where the other end listens.
    target: u16,
    up: Way,
    down: Way,
    ended: AtomicBool,
}

/// One direction of the link.
struct Way {
    free_at: Mutex<Instant>,
    bytes: AtomicU64,
    most_held: AtomicU64,
}

/// What is on its way in one direction of one connection.
#[derive(Default)]
struct Queue {
    state: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// Nothing comes any more, or nobody takes it.
    closed: bool,
}

impl Proxy {
    /// Listens on a port of loopback and leads to `target`.
    pub fn start(line: Line, target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let link = Arc::new(Link {
            line,
            target,
            up: Way::new(),
            down: Way::new(),
            ended: AtomicBool::new(false),
        });
        let shared = Arc::clone(&link);
        std::thread::spawn(move || shared.accept(&listener));
        Self { port, link }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Bytes that were taken so far, both ways.
    pub fn bytes(&self) -> u64 {
        self.link.up.bytes.load(Ordering::Relaxed) + self.link.down.bytes.load(Ordering::Relaxed)
    }

    /// The most bytes that one direction of one connection held so far.
    pub fn most_held(&self) -> u64 {
        let of = |way: &Way| way.most_held.load(Ordering::Relaxed);
        of(&self.link.up).max(of(&self.link.down))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.link.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Link {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        while let Ok((near, _)) = listener.accept() {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let link = Arc::clone(&self);
            std::thread::spawn(move || link.connect(&near));
        }
    }

    fn connect(&self, near: &TcpStream) {
        std::thread::sleep(2 * self.line.delay);
        let Ok(far) = TcpStream::connect(("127.0.0.1", self.target)) else {
            return;
        };
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| self.carry(&self.up, near, &far));
            self.carry(&self.down, &far, near);
        });
    }

    /// Takes what `from` says to `to` until it has said everything or `to` is gone.
    fn carry(&self, way: &Way, from: &TcpStream, mut to: &TcpStream) {
        let queue = Queue::default();
        std::thread::scope(|scope| {
            scope.spawn(|| self.take(way, &queue, from));
            while let Some((at, chunk)) = queue.pop() {
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                if to.write_all(&chunk).is_err() {
                    break;
                }
                queue.release(chunk.len());
            }
            queue.close();
            // The reader may wait for more; a peer that is gone already is no fault.
            drop(from.shutdown(Shutdown::Read));
            drop(to.shutdown(Shutdown::Write));
        });
    }

    fn take(&self, way: &Way, queue: &Queue, mut from: &TcpStream) {
        let mut chunk = [0; CHUNK_BYTES];
        while let Ok(len @ 1..) = from.read(&mut chunk) {
            let leaves = way.put(len, self.line.bytes_per_second);
            let Some(held) = queue.push(leaves + self.line.delay, &chunk[..len]) else {
                return;
            };
            way.most_held.fetch_max(held as u64, Ordering::Relaxed);
            let ahead = leaves.saturating_duration_since(Instant::now());
            std::thread::sleep(ahead.saturating_sub(AHEAD));
        }
        queue.close();
    }
}

impl Way {
    fn new() -> Self {
        Self {
            free_at: Mutex::new(Instant::now()),
            bytes: AtomicU64::new(0),
            most_held: AtomicU64::new(0),
        }
    }

    /// Puts bytes behind what is on the line already; when the last of them has left.
    fn put(&self, len: usize, bytes_per_second: f64) -> Instant {
        self.bytes.fetch_add(len as u64, Ordering::Relaxed);
        let mut free_at = self.free_at.lock().unwrap();
        let start = free_at.max(Instant::now());
        *free_at = start + Duration::from_secs_f64(len as f64 / bytes_per_second);
        *free_at
    }
}

impl Queue {
    /// Waits for room; how many bytes are held then, `None` if nobody takes them any more.
    fn push(&self, at: Instant, chunk: &[u8]) -> Option<usize> {
        let full = |held: &mut Held| !held.closed && held.bytes + chunk.len() > MOST_HELD_BYTES;
        let state = self.state.lock().unwrap();
        let mut held = self.changed.wait_while(state, full).unwrap();
        if held.closed {
            return None;
        }
        held.chunks.push_back((at, chunk.to_vec()));
        held.bytes += chunk.len();
        self.changed.notify_all();
        Some(held.bytes)
    }

    /// The next chunk and when it arrives; `None` at the end. Its bytes count until they are released.
    fn pop(&self) -> Option<(Instant, Vec<u8>)> {
        let empty = |held: &mut Held| !held.closed && held.chunks.is_empty();
        let state = self.state.lock().unwrap();
        let mut held = self.changed.wait_while(state, empty).unwrap();
        held.chunks.pop_front()
    }

    fn release(&self, bytes: usize) {
        self.state.lock().unwrap().bytes -= bytes;
        self.changed.notify_all();
    }

    fn close(&self) {
        self.state.lock().unwrap().closed = true;
        self.changed.notify_all();
    }
}
