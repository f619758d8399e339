//! The receiving end of a transfer: takes whole files and deltas and stages them, verified.
//!
//! It accepts only what was asked for. Nothing here touches the tree: a staged file becomes visible only in
//! a commit.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};

use super::PeerError;
use super::connection::unexpected;
use super::crew::{Crew, Failed, Small};
use super::kept::Keeper;
use crate::delta::{Params, Signer};
use crate::disk::{Root, read_some};
use crate::model::{Digest, Mode, Mtime, Node, RelPath};
use crate::protocol::message::{Control, Message};
use crate::protocol::{ProtocolError, limits};
use crate::state::State;
use crate::transaction::{StageError, StagedFile, Staging};

use super::connection::Outbox;

/// A table with fewer entries than one in so many places is made smaller.
const SPARSE: usize = 4;

/// A file that is awaited.
#[derive(Debug, Clone)]
pub struct Awaited {
    /// What it must be.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: Mode,
    /// Its modification time.
    pub mtime: Mtime,
    /// What a delta refers to.
    pub basis: Option<Basis>,
    /// Whether it may come once more, whole: a basis that moved or remains of an earlier attempt can spoil it.
    pub once_more: bool,
}

/// The file here that a delta refers to.
#[derive(Debug, Clone)]
pub struct Basis {
    /// Where it is.
    pub path: RelPath,
    /// Of its content, as the plan has it.
    pub digest: Option<Digest>,
}

impl Basis {
    /// The file at `path`, of which the plan says that it is `old`.
    #[must_use]
    pub fn new(path: &RelPath, old: Option<&Node>) -> Self {
        Self {
            path: path.clone(),
            digest: old.and_then(Node::digest),
        }
    }
}

impl Awaited {
    /// What is awaited for `node`; `None` if it is no file.
    #[must_use]
    pub fn of(node: &Node, basis: Option<Basis>) -> Option<Self> {
        match node {
            Node::File {
                size,
                digest,
                mode,
                mtime,
            } => Some(Self {
                digest: *digest,
                size: *size,
                mode: *mode,
                mtime: *mtime,
                once_more: basis.is_some(),
                basis,
            }),
            _ => None,
        }
    }
}

impl Awaited {
    /// What it will be.
    pub(super) fn node(&self) -> Node {
        Node::File {
            size: self.size,
            digest: self.digest,
            mode: self.mode,
            mtime: self.mtime,
        }
    }
}

/// Why receiving failed.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The peer.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The staging area.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The basis of a delta.
    #[error(transparent)]
    Disk(#[from] crate::disk::DiskError),
}

/// Bytes so far, for people.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes that came.
    pub literal_bytes: AtomicU64,
    /// Bytes that were taken from a basis.
    pub matched_bytes: AtomicU64,
    /// Bytes of content that are staged.
    pub staged_bytes: AtomicU64,
}

impl Received {
    /// Counts bytes that came.
    fn count(&self, bytes: usize) {
        for counter in [&self.literal_bytes, &self.staged_bytes] {
            counter.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

/// Where received content goes.
#[derive(Clone, Copy)]
pub struct Destination<'a> {
    /// The root, for bases of deltas.
    pub root: &'a Root,
    /// The staging.
    pub staging: &'a Staging,
    /// What is counted.
    pub counters: &'a Received,
    /// Where signatures of large files are kept, if they are.
    pub signatures: Option<&'a State>,
}

/// Takes the content of awaited files into a staging.
#[derive(Default)]
pub struct Receiver {
    awaited: HashMap<u32, Awaited>,
    /// Files that were begun by an earlier attempt, and how many bytes are there. Opened when the rest comes: there can be more of
    /// them than descriptors.
    begun: HashMap<u32, u64>,
    current: Option<Current>,
    crew: Crew,
    /// Items that did not verify, to be asked for once more.
    failed: Vec<u32>,
    /// Items that the sender cannot send as planned, and why.
    changed: BTreeMap<u32, String>,
}

struct Current {
    id: u32,
    file: StagedFile,
    basis: Option<(File, u64)>,
    keeper: Option<Keeper>,
    /// The basis is not the one that the sender means: what comes is passed over, and asked for again.
    spoiled: bool,
}

impl Receiver {
    /// A receiver for the files in `awaited`, by number.
    #[must_use]
    pub fn new(awaited: HashMap<u32, Awaited>) -> Self {
        Self {
            awaited,
            ..Self::default()
        }
    }

    /// Awaits one more file.
    pub fn await_file(&mut self, id: u32, file: Awaited) {
        self.awaited.insert(id, file);
    }

    /// Goes on with what an earlier attempt left of an item; returns how many bytes of it are here. If that is not there any more
    /// when the rest comes, the item comes once more.
    ///
    /// # Errors
    /// The staging area cannot be used.
    pub fn resume(&mut self, to: &Destination<'_>, id: u32) -> Result<u64, StageError> {
        let Some(want) = self.awaited.get_mut(&id) else {
            return Ok(0);
        };
        let here = to.staging.resume_len(want.digest)?;
        match here.filter(|bytes| (1..=want.size).contains(bytes)) {
            None => Ok(0),
            Some(bytes) => {
                want.once_more = true;
                self.begun.insert(id, bytes);
                Ok(bytes)
            }
        }
    }

    /// Picks up what an earlier attempt left of an item if that is exactly `bytes`, for so many will not come.
    /// If it is not there any more, the item will not verify, and comes once more.
    ///
    /// # Errors
    /// The staging area cannot be used.
    pub fn resume_at(
        &mut self,
        to: &Destination<'_>,
        id: u32,
        bytes: u64,
    ) -> Result<(), StageError> {
        let Some(want) = self.awaited.get_mut(&id) else {
            return Ok(());
        };
        want.once_more = true;
        if bytes > 0 && to.staging.resume_len(want.digest)? == Some(bytes) {
            self.resume(to, id)?;
        }
        Ok(())
    }

    /// Whether everything that was awaited came, or changed. What did not verify is awaited again.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub fn is_done(&mut self, staging: &Staging) -> Result<bool, ReceiveError> {
        let has_all = |receiver: &Self| receiver.awaited.is_empty() && receiver.current.is_none();
        if has_all(self) {
            self.settle(staging)?;
        }
        Ok(has_all(self))
    }

    /// Goes on staging while nothing comes.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub fn catch_up(&mut self, staging: &Staging) -> Result<(), ReceiveError> {
        let failed = self.crew.catch_up(staging);
        self.take_back(failed)
    }

    /// Waits until all that came is staged.
    ///
    /// # Errors
    /// Something could not be staged, or did not verify twice.
    pub fn settle(&mut self, staging: &Staging) -> Result<(), ReceiveError> {
        let failed = self.crew.settle(staging);
        self.take_back(failed)
    }

    /// Items that did not verify. They are awaited again, whole; a second failure is an error.
    pub fn take_failed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.failed)
    }

    /// Items that the sender could not send as planned, and why.
    #[must_use]
    pub fn changed(&self) -> &BTreeMap<u32, String> {
        &self.changed
    }

    /// Takes one message of the transfer.
    ///
    /// # Errors
    /// It was not asked for, does not fit, or did not verify twice.
    pub fn take(&mut self, to: &Destination<'_>, message: Message) -> Result<(), ReceiveError> {
        match message {
            Message::Whole { id, content } if self.begun.contains_key(&id) => {
                let (mut file, spoiled) = self.open(to, id)?;
                if spoiled {
                    return self.pass_over(id, file);
                }
                append(to, &mut file, &content)?;
                self.close(id, file).map(drop)
            }
            Message::Whole { id, content } => {
                let want = self.take_awaited(id).ok_or_else(not_asked_for)?;
                to.counters.count(content.len());
                let failed = self.crew.add(to.staging, Small { id, want, content });
                self.take_back(failed)
            }
            Message::Control(Control::Start { id }) if self.current.is_none() => {
                let (file, spoiled) = self.open(to, id)?;
                let keeper = self.keeper(to, id, &file);
                self.current = Some(Current {
                    id,
                    file,
                    basis: None,
                    keeper,
                    spoiled,
                });
                Ok(())
            }
            Message::Data(bytes) => {
                let current = self.current.as_mut().ok_or_else(|| misplaced("data"))?;
                match current.spoiled {
                    true => Ok(()),
                    false => {
                        if let Some(keeper) = &mut current.keeper {
                            keeper.pass(&bytes);
                        }
                        append(to, &mut current.file, &bytes)
                    }
                }
            }
            Message::Control(Control::Copy { offset, len }) => {
                let current = self.current.as_mut().ok_or_else(|| misplaced("copy"))?;
                let basis = self.awaited.get(&current.id).and_then(|a| a.basis.as_ref());
                match current.spoiled {
                    true => Ok(()),
                    false => copy(to, current, basis, offset, len),
                }
            }
            Message::Control(Control::End) => {
                let current = self.current.take().ok_or_else(|| misplaced("end"))?;
                self.end(to, current)
            }
            Message::Control(Control::Changed { id, why }) => {
                self.current = None;
                self.take_awaited(id).ok_or_else(|| misplaced("changed"))?;
                let why = why.chars().take(limits::TEXT_BYTES).collect();
                self.changed.insert(id, why);
                Ok(())
            }
            other => Err(unexpected(&other, "content").into()),
        }
    }

    /// Opens the file of an item, and says whether what was there of it is not what the sender was told.
    fn open(&mut self, to: &Destination<'_>, id: u32) -> Result<(StagedFile, bool), ReceiveError> {
        let want = self.awaited.get(&id).ok_or_else(not_asked_for)?;
        let begun = self.begun.remove(&id);
        if let Some(bytes) = begun
            && let Some(file) = to.staging.resume(id, want.digest, want.size)?
        {
            let spoiled = file.position() != bytes;
            return Ok((file, spoiled));
        }
        let file = to.staging.file(id, want.digest, want.size)?;
        Ok((file, begun.is_some()))
    }

    /// Makes the signature of a large file that comes as a delta, from its start. What comes whole may well never change;
    /// if it does, its signature is asked for once.
    fn keeper(&self, to: &Destination<'_>, id: u32, file: &StagedFile) -> Option<Keeper> {
        let want = self.awaited.get(&id).filter(|_| file.position() == 0)?;
        let basis = want.basis.as_ref()?;
        Keeper::of(&want.node(), basis.digest, to.signatures?)
    }

    fn end(&mut self, to: &Destination<'_>, current: Current) -> Result<(), ReceiveError> {
        if current.spoiled {
            return self.pass_over(current.id, current.file);
        }
        let verified = self.close(current.id, current.file)?;
        if let (Some(digest), Some(keeper), Some(state)) = (verified, current.keeper, to.signatures)
        {
            keeper.keep(state, digest);
        }
        Ok(())
    }

    /// Takes nothing of what came of an item, and awaits it once more.
    fn pass_over(&mut self, id: u32, file: StagedFile) -> Result<(), ReceiveError> {
        file.discard()?;
        if let Some(want) = self.take_awaited(id) {
            self.await_whole(id, want);
        }
        Ok(())
    }

    /// Verifies a file; gives its digest, nothing if it has to come once more.
    fn close(&mut self, id: u32, file: StagedFile) -> Result<Option<Digest>, ReceiveError> {
        let Some(want) = self.take_awaited(id) else {
            return Ok(None);
        };
        match file.finish(want.mode, want.mtime) {
            Ok(()) => Ok(Some(want.digest)),
            Err(error) => {
                self.take_back(vec![Failed { id, want, error }])?;
                Ok(None)
            }
        }
    }

    /// Awaits what did not verify once more, where that may help.
    fn take_back(&mut self, failed: Vec<Failed>) -> Result<(), ReceiveError> {
        for Failed { id, want, error } in failed {
            match error {
                StageError::Integrity { .. } if want.once_more => self.await_whole(id, want),
                error => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// What is awaited grows to its full size before the first of it comes, and gives its room to what is staged.
    fn take_awaited(&mut self, id: u32) -> Option<Awaited> {
        let awaited = self.awaited.remove(&id);
        if self.awaited.len() < self.awaited.capacity() / SPARSE {
            self.awaited.shrink_to(self.awaited.len() * 2);
        }
        awaited
    }

    fn await_whole(&mut self, id: u32, mut want: Awaited) {
        want.basis = None;
        want.once_more = false;
        self.awaited.insert(id, want);
        self.failed.push(id);
    }
}

fn append(to: &Destination<'_>, file: &mut StagedFile, bytes: &[u8]) -> Result<(), ReceiveError> {
    file.append(bytes)?;
    to.counters.count(bytes.len());
    Ok(())
}

/// Appends a range of the basis, which is opened at its first use. A range that the basis does not have belongs to
/// another version of it.
fn copy(
    to: &Destination<'_>,
    current: &mut Current,
    basis: Option<&Basis>,
    offset: u64,
    len: u64,
) -> Result<(), ReceiveError> {
    let (basis, size) = match &mut current.basis {
        Some(basis) => basis,
        none => {
            let known = basis.ok_or_else(|| misplaced("copy"))?;
            let (file, stat) = to.root.open_file(&known.path)?;
            none.insert((file, stat.size))
        }
    };
    // Read: [copy]. The peer chose both numbers.
    if offset.checked_add(len).is_none_or(|end| end > *size) {
        current.spoiled = true;
        return Ok(());
    }
    let file = &mut current.file;
    match &mut current.keeper {
        None => file.copy_from(basis, offset, len, |_| ())?,
        Some(keeper) => {
            let known = keeper.take_over(offset, len);
            file.copy_from(basis, offset, known, |_| ())?;
            file.copy_from(basis, offset + known, len - known, |bytes| {
                keeper.pass(bytes);
            })?;
        }
    }
    to.counters.matched_bytes.fetch_add(len, Ordering::Relaxed);
    to.counters.staged_bytes.fetch_add(len, Ordering::Relaxed);
    Ok(())
}

fn not_asked_for() -> PeerError {
    misplaced("an item that was not asked for")
}

fn misplaced(what: &'static str) -> PeerError {
    ProtocolError::Unexpected {
        got: what,
        wanted: "something else",
    }
    .into()
}

/// Sends the signature of the file at `path` for the item `id`; `false` if that cannot be read: then the
/// item has to come whole.
///
/// # Errors
/// The connection broke.
pub fn send_signature(
    root: &Root,
    outbox: &Outbox,
    id: u32,
    path: &RelPath,
) -> Result<bool, PeerError> {
    use std::io::Read;
    let Ok((file, stat)) = root.open_file(path) else {
        return Ok(false);
    };
    let mut key = [0; 32];
    if getrandom::fill(&mut key).is_err() {
        return Ok(false);
    }
    let params = Params::for_basis(stat.size, key);
    outbox.send(Control::Signature {
        id,
        basis_bytes: stat.size,
        block_bytes: params.block_bytes,
        strong_bytes: params.strong_bytes,
        key,
    })?;
    let mut signer = Signer::new(&params);
    let (mut buffer, mut encoded) = (vec![0; limits::DATA_BYTES], Vec::new());
    // Exactly as many bytes as announced: one that grows meanwhile is caught by the check of the result.
    let mut file = file.take(stat.size);
    while let Ok(read @ 1..) = read_some(&mut file, &mut buffer) {
        outbox.check()?;
        signer.update(buffer.get(..read).unwrap_or_default(), &mut encoded);
        while encoded.len() >= limits::DATA_BYTES {
            let rest = encoded.split_off(limits::DATA_BYTES);
            outbox.send(Message::SignatureData(std::mem::replace(
                &mut encoded,
                rest,
            )))?;
        }
    }
    signer.finish(&mut encoded);
    for piece in encoded.chunks(limits::DATA_BYTES) {
        outbox.send(Message::SignatureData(piece.to_vec()))?;
    }
    outbox.send(Control::SignatureEnd)?;
    Ok(true)
}
