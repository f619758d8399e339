//! The hash of a staged file, made while its content passes. Of a large file on a thread of its own, so that hashing and
//! writing do not wait for each other.

use std::thread::JoinHandle;

use blake3::Hasher;
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::model::Digest;

/// Content of at least this many bytes is worth a thread.
const LARGE_BYTES: u64 = 8 * 1024 * 1024;
/// Pieces that may wait for the thread.
const WAITING: usize = 4;

/// A thread that takes pieces in order and gives their buffers back.
struct Worker {
    pieces: Sender<Vec<u8>>,
    emptied: Receiver<Vec<u8>>,
    thread: JoinHandle<Box<Hasher>>,
}

/// Where the content is hashed.
enum Place {
    Here(Box<Hasher>),
    There(Worker),
    /// The thread panicked: nothing is known of the content.
    Lost,
}

/// Hashes the content of one file as it passes.
pub(super) struct Passing(Place);

impl std::fmt::Debug for Passing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passing")
    }
}

impl Default for Passing {
    fn default() -> Self {
        Self(Place::Here(Box::default()))
    }
}

impl Passing {
    /// Takes the next bytes, of which `left` and more are still to come. Returns an empty buffer for those after them.
    pub(super) fn pass(&mut self, bytes: Vec<u8>, left: u64) -> Vec<u8> {
        if left >= LARGE_BYTES {
            self.move_out();
        }
        match &mut self.0 {
            Place::Here(hasher) => {
                hasher.update(&bytes);
                emptied(bytes)
            }
            Place::There(worker) => {
                // A thread that is gone shows at the end.
                drop(worker.pieces.send(bytes));
                worker.emptied.try_recv().map(emptied).unwrap_or_default()
            }
            Place::Lost => emptied(bytes),
        }
    }

    /// As [`Self::pass`] for bytes that stay with the caller.
    pub(super) fn pass_borrowed(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Place::Here(hasher) => drop(hasher.update(bytes)),
            _ => drop(self.pass(bytes.to_vec(), 0)),
        }
    }

    /// Moves the rest of the work to a thread. Where the system gives none, it goes on here.
    fn move_out(&mut self) {
        let Place::Here(hasher) = &mut self.0 else {
            return;
        };
        let (give, take) = bounded::<Box<Hasher>>(1);
        let (pieces, next) = bounded::<Vec<u8>>(WAITING);
        let (back, emptied) = bounded::<Vec<u8>>(WAITING);
        let work = move || {
            let mut hasher = take.recv().unwrap_or_default();
            for piece in next {
                hasher.update(&piece);
                drop(back.try_send(piece));
            }
            hasher
        };
        if let Ok(thread) = std::thread::Builder::new().spawn(work) {
            drop(give.send(std::mem::take(hasher)));
            self.0 = Place::There(Worker {
                pieces,
                emptied,
                thread,
            });
        }
    }

    /// The digest of all that passed; `None` if a thread panicked over it.
    pub(super) fn finish(&mut self) -> Option<Digest> {
        let hasher = match std::mem::replace(&mut self.0, Place::Lost) {
            Place::Here(hasher) => hasher,
            Place::There(worker) => {
                drop(worker.pieces);
                worker.thread.join().ok()?
            }
            Place::Lost => return None,
        };
        Some(hasher.finalize().into())
    }
}

fn emptied(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_sees_the_same_bytes_in_the_same_order() {
        let pieces: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![n; 1000 + usize::from(n)]).collect();
        let whole = pieces.concat();
        for left in [0, LARGE_BYTES] {
            let mut passing = Passing::default();
            for (n, piece) in pieces.iter().enumerate() {
                if n % 3 == 0 {
                    passing.pass_borrowed(piece);
                } else {
                    assert!(passing.pass(piece.clone(), left).is_empty());
                }
            }
            assert_eq!(passing.finish(), Some(Digest::of(&whole)));
        }
    }
}
