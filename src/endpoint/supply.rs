//! The sending end of a transfer: reads files and sends them whole or as a delta.
//!
//! A file is read once, in order, into a bounded buffer. It is compared with the scan before and after: what
//! moved under the reader is named, never passed off as the planned content.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::PeerError;
use super::connection::Outbox;
use super::gathered::Gathered;
use super::kept::Keeper;
use crate::delta::{Differ, Op, Signature};
use crate::disk::{Root, Stat, read_some};
use crate::model::RelPath;
use crate::protocol::message::{Control, Message};
use crate::protocol::{frame, limits};

/// One file to send.
#[derive(Debug)]
pub struct Item {
    /// Number by which the receiver knows it.
    pub id: u32,
    /// Where it is here.
    pub path: RelPath,
    /// Its stat when its digest was taken.
    pub seen: Option<Stat>,
    /// Bytes at its start that the receiver has.
    pub skip_bytes: u64,
}

/// What was sent, for people.
#[derive(Debug, Default)]
pub struct Supplied {
    /// Bytes of content that travelled.
    pub literal_bytes: AtomicU64,
    /// Bytes that the receiver took from its basis.
    pub matched_bytes: AtomicU64,
}

/// Sends files of one root.
pub struct Supplier<'a> {
    root: &'a Root,
    outbox: &'a Outbox,
    counters: &'a Supplied,
    gathered: &'a mut Gathered,
    buffer: Vec<u8>,
}

/// Why a file was not sent as planned.
enum Trouble {
    Peer(PeerError),
    /// It changed, vanished, or cannot be read.
    Changed(String),
}

impl From<PeerError> for Trouble {
    fn from(error: PeerError) -> Self {
        Self::Peer(error)
    }
}

impl<'a> Supplier<'a> {
    /// A supplier from `root` to `outbox`. What it leaves in `gathered` has to be flushed.
    #[must_use]
    pub(super) fn new(
        root: &'a Root,
        outbox: &'a Outbox,
        counters: &'a Supplied,
        gathered: &'a mut Gathered,
    ) -> Self {
        Self {
            root,
            outbox,
            counters,
            gathered,
            buffer: Vec::new(),
        }
    }

    /// Queues what was gathered of small files.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) fn flush(&mut self) -> Result<(), PeerError> {
        self.gathered.flush(self.outbox)
    }

    /// Sends one file, as a delta if there is a signature of the receiver's basis. A keeper sees all of it pass.
    /// Returns whether it was sent as planned; if not, the receiver was told.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) fn send(
        &mut self,
        item: &Item,
        basis: Option<&Signature>,
        keeper: Option<&mut Keeper>,
    ) -> Result<bool, PeerError> {
        match self.try_send(item, basis, keeper) {
            Ok(()) => Ok(true),
            Err(Trouble::Peer(e)) => Err(e),
            Err(Trouble::Changed(why)) => {
                self.flush()?;
                self.outbox.send(Control::Changed { id: item.id, why })?;
                Ok(false)
            }
        }
    }

    fn try_send(
        &mut self,
        item: &Item,
        basis: Option<&Signature>,
        keeper: Option<&mut Keeper>,
    ) -> Result<(), Trouble> {
        let (mut file, before) = self
            .root
            .open_file(&item.path)
            .map_err(|e| Trouble::Changed(e.to_string()))?;
        if item.seen.is_some_and(|seen| !before.untouched_since(&seen)) {
            return Err(Trouble::Changed(
                "it changed since it was scanned".to_owned(),
            ));
        }
        let is_small = before.size <= frame::WHOLE_CONTENT_BYTES as u64 && item.skip_bytes == 0;
        if is_small && basis.is_none() {
            return self.send_small(item, &mut file, &before);
        }
        self.flush()?;
        match basis {
            Some(basis) => self.send_delta(item, &file, basis, keeper)?,
            None => self.send_whole(item, &file, keeper)?,
        }
        self.check_unmoved(item, &before)?;
        self.outbox.send(Control::End)?;
        Ok(())
    }

    fn send_small(&mut self, item: &Item, file: &mut File, before: &Stat) -> Result<(), Trouble> {
        let mut content = Vec::with_capacity(usize::try_from(before.size).unwrap_or(0) + 1);
        let limit = frame::WHOLE_CONTENT_BYTES as u64 + 1;
        file.by_ref()
            .take(limit)
            .read_to_end(&mut content)
            .map_err(|e| Trouble::Changed(e.to_string()))?;
        if content.len() as u64 != before.size {
            return Err(Trouble::Changed("it changed while it was read".to_owned()));
        }
        self.check_unmoved(item, before)?;
        self.counters
            .literal_bytes
            .fetch_add(before.size, Ordering::Relaxed);
        let bytes = content.len();
        let id = item.id;
        let message = Message::Whole { id, content };
        Ok(self.gathered.add(self.outbox, message, bytes)?)
    }

    fn send_whole(
        &mut self,
        item: &Item,
        file: &File,
        mut keeper: Option<&mut Keeper>,
    ) -> Result<(), Trouble> {
        self.outbox.send(Control::Start { id: item.id })?;
        self.show_head(item, file, keeper.as_deref_mut())?;
        let (outbox, counters) = (self.outbox, self.counters);
        self.read(file, item.skip_bytes..u64::MAX, |bytes| {
            counters
                .literal_bytes
                .fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if let Some(keeper) = &mut keeper {
                keeper.pass(bytes);
            }
            outbox.send(Message::Data(bytes.to_vec()))
        })
    }

    fn send_delta(
        &mut self,
        item: &Item,
        file: &File,
        basis: &Signature,
        mut keeper: Option<&mut Keeper>,
    ) -> Result<(), Trouble> {
        self.outbox.send(Control::Start { id: item.id })?;
        self.show_head(item, file, keeper.as_deref_mut())?;
        let (outbox, counters) = (self.outbox, self.counters);
        let mut sink = |op: Op<'_>| match op {
            Op::Copy { offset, len } => {
                counters.matched_bytes.fetch_add(len, Ordering::Relaxed);
                outbox.send(Control::Copy { offset, len })?;
                if let Some(keeper) = &mut keeper {
                    keeper.copied_within(offset, len, file);
                }
                Ok(())
            }
            Op::Literal(bytes) => {
                counters
                    .literal_bytes
                    .fetch_add(bytes.len() as u64, Ordering::Relaxed);
                if let Some(keeper) = &mut keeper {
                    keeper.pass(bytes);
                }
                outbox.send(Message::Data(bytes.to_vec()))
            }
        };
        let mut differ = Differ::new(basis);
        self.read(file, item.skip_bytes..u64::MAX, |bytes| {
            differ.update(bytes, &mut sink)
        })?;
        differ.finish(&mut sink)?;
        Ok(())
    }

    /// Shows a keeper what the receiver has already.
    fn show_head(
        &mut self,
        item: &Item,
        file: &File,
        keeper: Option<&mut Keeper>,
    ) -> Result<(), Trouble> {
        match keeper {
            None => Ok(()),
            Some(keeper) => self.read(file, 0..item.skip_bytes, |bytes| {
                keeper.pass(bytes);
                Ok(())
            }),
        }
    }

    /// Reads a part of a file, or what there is of it, piece by piece.
    fn read(
        &mut self,
        mut file: &File,
        part: Range<u64>,
        mut take: impl FnMut(&[u8]) -> Result<(), PeerError>,
    ) -> Result<(), Trouble> {
        let unreadable = |e: std::io::Error| Trouble::Changed(e.to_string());
        self.buffer.resize(limits::DATA_BYTES, 0);
        file.seek(SeekFrom::Start(part.start)).map_err(unreadable)?;
        let mut rest = file.take(part.end - part.start);
        loop {
            match read_some(&mut rest, &mut self.buffer).map_err(unreadable)? {
                0 => return Ok(()),
                read => take(self.buffer.get(..read).unwrap_or_default())?,
            }
        }
    }

    fn check_unmoved(&self, item: &Item, before: &Stat) -> Result<(), Trouble> {
        match self.root.stat(&item.path) {
            Ok(Some(after)) if after.untouched_since(before) => Ok(()),
            Ok(_) => Err(Trouble::Changed("it changed while it was read".to_owned())),
            Err(e) => Err(Trouble::Changed(e.to_string())),
        }
    }
}
