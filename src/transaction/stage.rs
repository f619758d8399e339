//! [`Staging`]: new content inside the state directory, verified and durable before anything moves.
//!
//! Needs no lock: several processes can stage for one root at the same time. Each claims its
//! directory as long as it lives, so that recovery takes away only what the dead have left.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::disk::{Dir, DiskError, NewFile, Result, Root, lock};
use crate::model::{Digest, Mode, Mtime, Node, RelPath};

use super::area::Area;
use super::carried::{Layout, Spot};
use super::content;
use super::error::StageError;
use super::journal::{NEW, OLD, Staged, TxnId, new_name};
use super::partial;
use super::renamed::Renamed;
use super::staged_file::StagedFile;
use super::stager::Stager;

/// With more objects than this, one sync of the file system is cheaper than one of each.
pub(super) const SYNC_EACH_MAX: usize = 256;
const BEGIN_ATTEMPTS: usize = 16;
/// A longer file is moved by itself: until then its name tells its digest, by which the next attempt finds what a kill has left.
const CARRIED_BYTES: u64 = 64 * 1024;

/// A transaction that has not touched the tree yet. Can be filled from several threads. If it is
/// dropped, its content stays available for the next attempt for some days.
#[derive(Debug)]
pub struct Staging {
    pub(super) inner: Arc<Inner>,
}

/// What a staging and its open files share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) id: TxnId,
    pub(super) area: Area,
    /// `txn/<id>`, claimed.
    pub(super) home: Dir,
    pub(super) new: Arc<Dir>,
    pub(super) old: Dir,
    layout: OnceLock<Layout>,
    objects: Mutex<HashMap<u32, Object>>,
    synced: AtomicBool,
    /// Whether the disk had no room for something.
    full: AtomicBool,
    /// Whether the directory has got another owner: the journal, the snapshots, the trash.
    handed_over: AtomicBool,
}

/// A finished staged object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) node: Node,
    pub(super) staged: Staged,
    /// Whether it waits inside its new directory.
    pub(super) carried: bool,
    /// Set if it is a second name of a file that goes.
    pub(super) renamed: Option<Box<Renamed>>,
}

impl Staging {
    /// Starts a transaction below `root`; makes the state directory if it is missing.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn begin(root: &Root) -> Result<Self> {
        let area = Area::open(root)?;
        let (id, home) = claim_new(&area)?;
        home.make_dir(NEW, 0o700)?;
        home.make_dir(OLD, 0o700)?;
        let (new, old) = (Arc::new(home.open_dir(NEW)?), home.open_dir(OLD)?);
        let inner = Inner {
            id,
            area,
            home,
            new,
            old,
            layout: OnceLock::new(),
            objects: Mutex::default(),
            synced: AtomicBool::new(false),
            full: AtomicBool::new(false),
            handed_over: AtomicBool::new(false),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The transaction.
    #[must_use]
    pub fn id(&self) -> &TxnId {
        &self.inner.id
    }

    /// Says what comes where nothing stands, by slot, before any of it is staged: what comes into a new directory is
    /// staged inside it then, and moved with it. Without this, and of what is staged before its directory, each object is
    /// moved by itself. Only the first call counts.
    pub fn arrange<'a>(
        &self,
        arrivals: impl Iterator<Item = (u32, &'a RelPath, &'a Node)> + Clone,
    ) {
        // Their number is known: a table that grows is there twice for a moment.
        self.inner.objects().reserve(arrivals.clone().count());
        self.inner.layout.get_or_init(|| Layout::of(arrivals));
    }

    /// Opens the empty file of `slot`, which shall get exactly `size` bytes with this digest.
    ///
    /// # Errors
    /// The slot is in use, or the file cannot be made.
    pub fn file(&self, slot: u32, digest: Digest, size: u64) -> Result<StagedFile, StageError> {
        self.inner.check_free(slot)?;
        let at = self.inner.spot_for_file(slot, digest, size)?;
        let file = self.inner.heed_room(at.dir.create_file(&at.name))?;
        let inner = Arc::clone(&self.inner);
        Ok(StagedFile::new(inner, file, at, slot, (digest, size)))
    }

    /// A handle for a thread that stages files whose content is at hand.
    #[must_use]
    pub fn stager(&self) -> Stager {
        Stager::new(Arc::clone(&self.inner))
    }

    /// How many bytes of the content with this digest an earlier attempt has left. They are a hint:
    /// only the digest of the whole proves them.
    ///
    /// # Errors
    /// The failed call.
    pub fn resume_len(&self, digest: Digest) -> Result<Option<u64>> {
        partial::len(&self.inner.area.partial, digest)
    }

    /// Opens the file of `slot` with what an earlier attempt has left of it;
    /// [`StagedFile::position`] says how much. `None` if nothing usable is there.
    ///
    /// # Errors
    /// As [`Staging::file`]. If the content does not verify at the end, the remains are gone and the
    /// next attempt starts afresh.
    pub fn resume(
        &self,
        slot: u32,
        digest: Digest,
        size: u64,
    ) -> Result<Option<StagedFile>, StageError> {
        self.inner.check_free(slot)?;
        let name = file_name(slot, digest);
        let Some(file) = partial::take(
            &self.inner.area.partial,
            digest,
            size,
            &self.inner.new,
            &name,
        )?
        else {
            return Ok(None);
        };
        let at = self.inner.flat_spot(name);
        let inner = Arc::clone(&self.inner);
        let mut staged = StagedFile::new(inner, file, at, slot, (digest, size));
        staged.hash_what_is_there()?;
        Ok(Some(staged))
    }

    /// Stages a file with the content of an open one, from its beginning.
    ///
    /// # Errors
    /// [`StageError::Integrity`] if the content is not that of `node`.
    pub fn copy(&self, slot: u32, source: &File, node: &Node) -> Result<(), StageError> {
        let Node::File {
            size,
            digest,
            mode,
            mtime,
        } = node
        else {
            return Err(StageError::NoObject(slot));
        };
        let mut file = self.file(slot, *digest, *size)?;
        match file.copy_from(source, 0, *size, |_| ()) {
            Ok(()) => file.finish(*mode, *mtime),
            Err(e) => {
                // The content may come another way, and must not find the slot taken.
                file.discard()?;
                Err(e)
            }
        }
    }

    /// Stages the content of the finished file `from` a second time, as a file of its own.
    ///
    /// # Errors
    /// There is no such file, or it cannot be copied.
    pub fn duplicate(
        &self,
        from: u32,
        to: u32,
        mode: Mode,
        mtime: Mtime,
    ) -> Result<(), StageError> {
        let object = self.inner.object(from).ok_or(StageError::NoObject(from))?;
        let spot = self.inner.spot_of(&object)?;
        let (file, _) = spot.dir.open_file(&spot.name)?;
        let Node::File { size, digest, .. } = object.node else {
            return Err(StageError::NoObject(from));
        };
        self.copy(
            to,
            &file,
            &Node::File {
                size,
                digest,
                mode,
                mtime,
            },
        )
    }

    /// Stages a symbolic link. Its target is data and may be anything.
    ///
    /// # Errors
    /// The slot is in use, or the link cannot be made.
    pub fn symlink(&self, slot: u32, target: &[u8], mtime: Mtime) -> Result<(), StageError> {
        self.inner.check_free(slot)?;
        let node = Node::Symlink {
            target: target.into(),
            mtime,
        };
        let (spot, carried) = self.inner.spot_for(slot, &node)?;
        self.inner.heed_room(spot.dir.symlink(&spot.name, target))?;
        spot.dir.set_mtime(&spot.name, mtime)?;
        self.inner.record(slot, node, (spot, carried))
    }

    /// Stages an empty directory. It is open for its owner until it has its children.
    ///
    /// # Errors
    /// The slot is in use, or the directory cannot be made.
    pub fn dir(&self, slot: u32, mode: Mode) -> Result<(), StageError> {
        self.inner.check_free(slot)?;
        let node = Node::Dir { mode };
        let (spot, carried) = self.inner.spot_for(slot, &node)?;
        self.inner.heed_room(spot.dir.make_dir(&spot.name, 0o700))?;
        let working = mode.bits() | 0o700;
        if working != 0o700 {
            // A directory inherits setgid from the one above, and shall keep it.
            let special = staged_bits(&spot)? & 0o7000;
            spot.dir.set_mode(&spot.name, special | working)?;
        }
        self.inner.record(slot, node, (spot, carried))
    }

    /// Stages an object that exists elsewhere on this file system by giving it a second name, so that
    /// the same inode comes into the tree. Where the system refuses that, a copy.
    pub(super) fn adopt(
        &self,
        slot: u32,
        from: &Dir,
        name: &[u8],
        node: &Node,
    ) -> Result<(), StageError> {
        self.inner.check_free(slot)?;
        if from
            .link(name, &self.inner.new, &new_name(slot, node))
            .is_err()
        {
            return self.copy_object(slot, from, name, node);
        }
        if !content::has_content(&self.inner.new, &new_name(slot, node), node)? {
            let (file, _) = self.inner.new.open_file(&new_name(slot, node))?;
            let got = content::hash(&file).map_err(|e| from.error("read", name, e))?;
            let expected = node.digest().unwrap_or(got);
            return Err(StageError::Integrity {
                slot,
                expected,
                got,
            });
        }
        let spot = self.inner.flat_spot(new_name(slot, node));
        self.inner.record(slot, node.clone(), (spot, false))
    }

    fn copy_object(
        &self,
        slot: u32,
        from: &Dir,
        name: &[u8],
        node: &Node,
    ) -> Result<(), StageError> {
        match node {
            Node::File { .. } => self.copy(slot, &from.open_file(name)?.0, node),
            Node::Symlink { target, mtime } => self.symlink(slot, target, *mtime),
            Node::Dir { .. } | Node::Skipped(_) => Err(StageError::NoObject(slot)),
        }
    }

    /// Waits until everything staged so far is on the disk. `commit` does it, too; calling it before
    /// the lock is taken keeps the time under the lock short.
    ///
    /// # Errors
    /// The failed sync: the staged content is not to be trusted, give the transaction up.
    pub fn sync(&self) -> Result<()> {
        self.inner.sync()
    }

    /// Gives the transaction up. Content that was received stays available for some days.
    ///
    /// # Errors
    /// The first failed call; recovery takes the rest away.
    pub fn abort(self) -> Result<()> {
        self.inner.give_up()
    }
}

impl Inner {
    pub(super) fn objects(&self) -> MutexGuard<'_, HashMap<u32, Object>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn object(&self, slot: u32) -> Option<Object> {
        self.objects().get(&slot).cloned()
    }

    pub(super) fn check_free(&self, slot: u32) -> Result<(), StageError> {
        if self.objects().contains_key(&slot) {
            Err(StageError::NoObject(slot))
        } else {
            Ok(())
        }
    }

    pub(super) fn layout(&self) -> Option<&Layout> {
        self.layout.get()
    }

    /// The slots of the objects that wait inside a directory.
    pub(super) fn carried_slots(&self) -> HashSet<u32> {
        let objects = self.objects();
        let carried = objects.iter().filter(|(_, object)| object.carried);
        carried.map(|(slot, _)| *slot).collect()
    }

    /// Where the object of `slot` is made, and whether that is inside a directory.
    fn spot_for(&self, slot: u32, node: &Node) -> Result<(Spot, bool)> {
        Ok(match self.home_of(slot)? {
            Some(home) => (home, true),
            None => (self.flat_spot(new_name(slot, node)), false),
        })
    }

    /// Where the file of `slot` is made.
    pub(super) fn spot_for_file(&self, slot: u32, digest: Digest, size: u64) -> Result<Spot> {
        let home = match size <= CARRIED_BYTES {
            true => self.home_of(slot)?,
            false => None,
        };
        Ok(home.unwrap_or_else(|| self.flat_spot(file_name(slot, digest))))
    }

    /// Gives a file that has its verified content the permission bits and mtime of `node`, all through its handle, before it
    /// has a name that anybody sees, and takes note of it.
    pub(super) fn record_file(
        &self,
        slot: u32,
        node: Node,
        (file, at): (&NewFile, &Spot),
    ) -> Result<(), StageError> {
        let Node::File { mode, mtime, .. } = node else {
            return Err(StageError::NoObject(slot));
        };
        if mode.bits() != 0o600 {
            file.set_mode(mode.bits())?;
        }
        file.set_mtime(mtime)?;
        let staged = Staged {
            slot,
            bits: mode.bits(),
            identity: file.identity()?,
        };
        self.insert(Object {
            node,
            staged,
            carried: self.is_carried(at),
            renamed: None,
        });
        Ok(())
    }

    /// Whether what is there is inside its new directory.
    pub(super) fn is_carried(&self, at: &Spot) -> bool {
        !Arc::ptr_eq(&at.dir, &self.new)
    }

    /// Takes note of an object that was made by name.
    pub(super) fn record(
        &self,
        slot: u32,
        node: Node,
        (spot, carried): (Spot, bool),
    ) -> Result<(), StageError> {
        let identity = spot.dir.identity(&spot.name)?;
        let identity = identity.ok_or(StageError::NoObject(slot))?;
        let bits = staged_bits(&spot)?;
        self.insert(Object {
            node,
            staged: Staged {
                slot,
                bits,
                identity,
            },
            carried,
            renamed: None,
        });
        Ok(())
    }

    /// Takes note that a recorded object is a second name of a file that goes.
    pub(super) fn set_renamed(&self, slot: u32, renamed: Renamed) {
        if let Some(object) = self.objects().get_mut(&slot) {
            object.renamed = Some(Box::new(renamed));
        }
    }

    /// What is staged is to be synced again.
    pub(super) fn note_change(&self) {
        self.synced.store(false, Ordering::Release);
    }

    pub(super) fn insert(&self, object: Object) {
        self.note_change();
        self.objects().insert(object.staged.slot, object);
    }

    /// Takes note if a call failed because the disk has no more room.
    pub(super) fn heed_room<T>(&self, result: Result<T>) -> Result<T> {
        if result.as_ref().is_err_and(DiskError::is_full) {
            self.full.store(true, Ordering::Release);
        }
        result
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.heed_room(self.sync_staged())
    }

    fn sync_staged(&self) -> Result<()> {
        if self.synced.load(Ordering::Acquire) {
            return Ok(());
        }
        let objects: Vec<Object> = self.objects().values().cloned().collect();
        if objects.len() > SYNC_EACH_MAX {
            self.home.sync_filesystem()?;
        } else {
            objects
                .iter()
                .try_for_each(|object| self.sync_object(object))?;
        }
        self.new.sync()?;
        self.synced.store(true, Ordering::Release);
        Ok(())
    }

    fn sync_object(&self, object: &Object) -> Result<()> {
        let Spot { dir, name } = self.spot_of(object)?;
        match &object.node {
            Node::File { .. } => match dir.sync_file(&name) {
                // Its permission bits forbid even its owner to open it.
                Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                    self.home.sync_filesystem()
                }
                other => other,
            },
            Node::Dir { .. } => dir.open_dir(&name)?.sync(),
            // A link lives in its inode and in the directory that holds it, which is synced, too.
            Node::Symlink { .. } | Node::Skipped(_) => Ok(()),
        }
    }

    /// From here on the directory is no longer given up when the staging is dropped.
    pub(super) fn hand_over(&self) {
        self.handed_over.store(true, Ordering::Release);
    }

    /// The directory is ours again: nothing of it is needed by an undo.
    pub(super) fn take_over(&self) {
        self.handed_over.store(false, Ordering::Release);
    }

    /// Keeps what may be of use for the next attempt and discards the rest. On a disk that is full nothing is kept: the
    /// room is needed for the next attempt, which may be a smaller one. The tree must not have been touched, or be as it
    /// was again.
    pub(super) fn give_up(&self) -> Result<()> {
        if self.handed_over.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        match self.full.load(Ordering::Acquire) {
            true => partial::clear(&self.area.partial)?,
            false => partial::salvage(&self.new, &self.area.partial)?,
        }
        self.area.discard(&self.area.txn, self.id.name())?;
        self.area.empty_trash()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Best effort: what stays behind is taken away by the next recovery.
        drop(self.give_up());
    }
}

/// Makes the directory of a new transaction and claims it before recovery can take it for a dead one.
fn claim_new(area: &Area) -> Result<(TxnId, Dir)> {
    for _ in 0..BEGIN_ATTEMPTS {
        let id = TxnId::random()?;
        area.txn.make_dir(id.name(), 0o700)?;
        let Some(home) = super::area::open_if_there(&area.txn, id.name())? else {
            continue;
        };
        let still_there = |stat: crate::disk::Stat| stat.ino == home.ino();
        if lock::claim(&home)? && area.txn.stat(id.name())?.is_some_and(still_there) {
            return Ok((id, home));
        }
    }
    let busy = std::io::Error::from(std::io::ErrorKind::ResourceBusy);
    Err(DiskError::new(
        "begin a transaction in",
        area.txn.path().to_vec(),
        busy,
    ))
}

fn staged_bits(spot: &Spot) -> Result<u16> {
    let stat = spot.dir.stat(&spot.name)?;
    Ok(stat.map_or(0, |stat| super::order::bits(&stat)))
}

fn file_name(slot: u32, digest: Digest) -> Vec<u8> {
    format!("{slot}-{digest}").into_bytes()
}
