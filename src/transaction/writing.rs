//! [`Writing`]: where a staged file is written. A large one that is made of what lies here already is written on a thread of
//! its own, so that reading and hashing do not wait for the pages that it needs. What comes over a wire is slower than that anyway.

use std::io;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::sparse_file::SparseFile;
use crate::disk::{DiskError, NewFile, Result};

/// Content of which at least so much is still to come is worth a thread, in bytes.
const LARGE_BYTES: u64 = 8 * 1024 * 1024;
/// Pieces that may wait for the thread.
const WAITING: usize = 4;

/// Bytes of which the first ones are in use. The rest is room that need not be made again.
#[derive(Debug, Default)]
pub(super) struct Piece {
    bytes: Vec<u8>,
    used: usize,
}

impl Piece {
    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// Room for `len` bytes after those in use. [`Self::fill`] says that they are there.
    pub(super) fn room(&mut self, len: usize) -> &mut [u8] {
        let end = self.used + len;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.used..end]
    }

    /// Takes the first `len` bytes of the room into use.
    pub(super) fn fill(&mut self, len: usize) {
        self.used = self.bytes.len().min(self.used + len);
    }

    /// Without its bytes.
    pub(super) fn emptied(mut self) -> Self {
        self.used = 0;
        self
    }
}

/// A thread that writes pieces in order and gives them back.
#[derive(Debug)]
struct Worker {
    pieces: Sender<Piece>,
    emptied: Receiver<Piece>,
    thread: JoinHandle<Result<SparseFile>>,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Writing(Place);

#[derive(Debug)]
enum Place {
    Here(Box<SparseFile>),
    There(Worker),
    /// A call failed or the file is finished: nothing more is written.
    Closed,
}

impl Writing {
    /// Writes `file` from its beginning.
    pub(super) fn new(file: NewFile) -> Self {
        Self(Place::Here(Box::new(SparseFile::new(file))))
    }

    /// Reads what is there before anything is written.
    ///
    /// # Errors
    /// The failed read.
    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.0 {
            Place::Here(file) => file.read_at(bytes, offset),
            _ => Ok(0),
        }
    }

    /// Takes the first `bytes` of the content as written.
    pub(super) fn go_on_at(&mut self, bytes: u64) {
        if let Place::Here(file) = &mut self.0 {
            file.go_on_at(bytes);
        }
    }

    /// Says that `bytes` are still to come, and that the caller is to read them from a disk.
    pub(super) fn expect_copies(&mut self, bytes: u64) {
        if bytes >= LARGE_BYTES {
            self.move_out();
        }
    }

    /// Whether the caller writes himself what he appends.
    pub(super) fn is_here(&self) -> bool {
        matches!(self.0, Place::Here(_))
    }

    /// Appends `bytes`, which stay with the caller.
    ///
    /// # Errors
    /// A failed write, of these bytes or of earlier ones.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.0 {
            Place::Here(file) => file.append(bytes),
            _ => {
                let mut piece = Piece::default();
                piece.room(bytes.len()).copy_from_slice(bytes);
                piece.fill(bytes.len());
                self.append_piece(piece).map(drop)
            }
        }
    }

    /// Appends `piece`. Returns an empty one for the next bytes.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(super) fn append_piece(&mut self, piece: Piece) -> Result<Piece> {
        match &mut self.0 {
            Place::Here(file) => {
                file.append(piece.bytes())?;
                Ok(piece.emptied())
            }
            Place::There(worker) => match worker.pieces.send(piece) {
                Ok(()) => Ok(worker.emptied.try_recv().unwrap_or_default()),
                // The thread ends before its time only where a write fails.
                Err(_) => Err(self.close().err().unwrap_or_else(closed)),
            },
            Place::Closed => Err(closed()),
        }
    }

    /// Waits until all is written and gives the file, as long as its content.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(super) fn finish(&mut self) -> Result<NewFile> {
        self.close()?.finish()
    }

    /// Waits until all is written. Nothing can be appended any more.
    pub(super) fn close(&mut self) -> Result<Box<SparseFile>> {
        match std::mem::replace(&mut self.0, Place::Closed) {
            Place::Here(file) => Ok(file),
            Place::There(worker) => {
                drop(worker.pieces);
                let written = worker.thread.join();
                written.unwrap_or_else(|_| Err(closed())).map(Box::new)
            }
            Place::Closed => Err(closed()),
        }
    }

    /// Moves the rest of the work to a thread. Where the system gives none, it goes on here.
    fn move_out(&mut self) {
        if !matches!(self.0, Place::Here(_)) {
            return;
        }
        let (give, take) = bounded::<Box<SparseFile>>(1);
        let (pieces, next) = bounded::<Piece>(WAITING);
        let (back, emptied) = bounded::<Piece>(WAITING);
        let work = move || {
            let mut file = take.recv().map_err(|_| closed())?;
            for piece in next {
                file.append(piece.bytes())?;
                drop(back.try_send(piece.emptied()));
            }
            Ok(*file)
        };
        let Ok(thread) = std::thread::Builder::new().spawn(work) else {
            return;
        };
        let worker = Worker {
            pieces,
            emptied,
            thread,
        };
        if let Place::Here(file) = std::mem::replace(&mut self.0, Place::There(worker)) {
            drop(give.send(file));
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // What was appended is for the next attempt, once it is written.
        drop(self.close());
    }
}

/// The error of a file that can no longer be written, where the cause was told before.
fn closed() -> DiskError {
    let why = io::Error::other("the file is closed after an error");
    DiskError::new("write", b"a staged file".to_vec(), why)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::disk::Dir;

    fn dir() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let root = crate::disk::Root::open(temp.path()).unwrap();
        let dir = root.top().make_dir(b"new", 0o700);
        dir.unwrap();
        let dir = root.top().open_dir(b"new").unwrap();
        (temp, dir)
    }

    #[test]
    fn a_thread_writes_the_same_bytes_in_the_same_order() {
        let pieces: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![n; 1000 + usize::from(n)]).collect();
        let whole = pieces.concat();
        for still_to_come in [0, LARGE_BYTES] {
            let (_temp, dir) = dir();
            let mut writing = Writing::new(dir.create_file(b"file").unwrap());
            writing.expect_copies(still_to_come);
            assert_eq!(writing.is_here(), still_to_come == 0);
            for (n, bytes) in pieces.iter().enumerate() {
                if n % 3 == 0 {
                    writing.append(bytes).unwrap();
                } else {
                    let mut piece = Piece::default();
                    piece.room(bytes.len()).copy_from_slice(bytes);
                    piece.fill(bytes.len());
                    assert_eq!(writing.append_piece(piece).unwrap().len(), 0);
                }
            }
            writing.finish().unwrap();
            let found = crate::disk::durable::read(&dir, b"file", u64::MAX).unwrap();
            assert_eq!(found.unwrap(), whole);
        }
    }

    /// A file on a disk without room.
    #[expect(
        clippy::disallowed_methods,
        reason = "a device of the system, for which disk/ has no use"
    )]
    fn full() -> NewFile {
        let full = File::options().write(true).open("/dev/full").unwrap();
        NewFile::new(full, b"full".to_vec())
    }

    #[test]
    fn a_write_that_fails_on_the_thread_is_told_and_nothing_passes_for_written() {
        let mut writing = Writing::new(full());
        writing.expect_copies(LARGE_BYTES);
        let told = (0..100).find_map(|_| writing.append(&[7; 5000]).err());
        let told = told.expect("a disk that is full").to_string();
        assert!(told.contains("No space left"), "{told}");
        assert!(writing.append(b"more").is_err());
        assert!(writing.finish().is_err());
    }

    #[test]
    fn a_write_that_fails_last_is_told_at_the_end() {
        let mut writing = Writing::new(full());
        writing.expect_copies(LARGE_BYTES);
        writing.append(&[7; 5000]).unwrap();
        assert!(writing.finish().is_err());
    }
}
