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
            Some(basis) => self.send_delta(item, (&file, before.size), basis, keeper)?,
            None => self.send_whole(item, (&file, before.size), keeper)?,
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
        (file, bytes): (&File, u64),
        mut keeper: Option<&mut Keeper>,
    ) -> Result<(), Trouble> {
        self.outbox.send(Control::Start { id: item.id })?;
        self.show_head(item, file, keeper.as_deref_mut())?;
        let (outbox, counters) = (self.outbox, self.counters);
        self.read(file, item.skip_bytes..bytes, |bytes| {
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
        (file, bytes): (&File, u64),
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
        self.read(file, item.skip_bytes..bytes, |bytes| {
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

    /// Reads a part of a file, or what there is of it, piece by piece. What a file has grown by since is no part of the plan, and
    /// a receiver would take it for damage before it is told that the file changed.
    fn read(
        &mut self,
        mut file: &File,
        part: Range<u64>,
        mut take: impl FnMut(&[u8]) -> Result<(), PeerError>,
    ) -> Result<(), Trouble> {
        let unreadable = |e: std::io::Error| Trouble::Changed(e.to_string());
        self.buffer.resize(limits::DATA_BYTES, 0);
        file.seek(SeekFrom::Start(part.start)).map_err(unreadable)?;
        let mut rest = file.take(part.end.saturating_sub(part.start));
        loop {
            match read_some(&mut rest, &mut self.buffer).map_err(unreadable)? {
                0 => return Ok(()),
                // Content that the peer has makes no message.
                _ if self.outbox.check().is_err() => return Err(PeerError::Interrupted.into()),
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;
    use crate::delta::{Params, Signer};
    use crate::endpoint::connection::{SendOptions, Terms, start_reader, start_writer};

    /// More than all queues between a sender and a receiver who waits.
    const SIZE: u64 = 24 * 1024 * 1024;

    /// Sends a file that grows once its beginning has arrived; gives the bytes of it that came.
    fn sent_while_it_grows(basis: Option<&Signature>) -> u64 {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let path = RelPath::new(*b"file").unwrap();
        let file = root.top().create_file(b"file").unwrap();
        file.set_len(SIZE).unwrap();

        let terms = Terms::new(Duration::from_secs(60), std::sync::Arc::default());
        let (ours, theirs) = UnixStream::pair().unwrap();
        let hello = &b"\x02\0\0\0{}"[..];
        let (_greeting, inbox) =
            start_reader::<serde_json::Value>(hello.chain(theirs), false, &terms);
        let plain = SendOptions {
            compress: false,
            bytes_per_second: None,
        };
        let (outbox, _writer) = start_writer(ours, plain, &terms);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (counters, mut gathered) = (Supplied::default(), Gathered::default());
                let mut supplier = Supplier::new(&root, &outbox, &counters, &mut gathered);
                let item = Item {
                    id: 7,
                    path,
                    seen: None,
                    skip_bytes: 0,
                };
                assert!(!supplier.send(&item, basis, None).unwrap());
            });
            assert_eq!(inbox.receive().unwrap(), Control::Start { id: 7 }.into());
            file.write_all_at(b"grown", SIZE).unwrap();
            let mut bytes = 0;
            loop {
                match inbox.receive().unwrap() {
                    Message::Data(data) => bytes += data.len() as u64,
                    Message::Control(Control::Copy { len, .. }) => bytes += len,
                    Message::Control(Control::Changed { id: 7, .. }) => return bytes,
                    other => panic!("{other:?}"),
                }
            }
        })
    }

    #[test]
    fn what_a_file_grows_by_while_it_is_read_is_not_sent() {
        assert_eq!(sent_while_it_grows(None), SIZE);
        let params = Params::for_basis(5, [0; 32]);
        let mut signer = Signer::new(&params);
        let mut encoded = Vec::new();
        signer.update(b"other", &mut encoded);
        signer.finish(&mut encoded);
        let other = Signature::parse(params, 5, encoded).unwrap();
        assert_eq!(sent_while_it_grows(Some(&other)), SIZE);
    }
}
