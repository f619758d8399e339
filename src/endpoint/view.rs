//! Tells what the hub holds: nothing, changes, or all of it, and proves that both sides mean the same.

use std::collections::{HashMap, HashSet};

use super::connection::{Inbox, Outbox, unexpected};
use super::{PeerError, connection};
use crate::model::{Digest, Entry, Node, RelPath, Tombstones, Tree};
use crate::protocol::bounded::{Budget, Weight, memory_of};
use crate::protocol::handshake::Seen;
use crate::protocol::message::{Control, Message, Problem, ViewKind};
use crate::protocol::{ProtocolError, limits};

/// Entries of one message; 16,384 of them with long names still fit.
const BATCH_ENTRIES: usize = 4096;
/// Bytes of one message, as estimated.
const BATCH_BYTES: usize = limits::CONTROL_BYTES / 2;

/// What the hub holds, as the client knows it now.
#[derive(Debug, Clone, Default)]
pub struct HubView {
    /// Its entries.
    pub tree: Tree,
    /// What was deleted there.
    pub tombstones: Tombstones,
    /// What it left alone.
    pub problems: Vec<Problem>,
    /// What to say next time about what was seen; `None` if there is nothing to be seen yet.
    pub seen: Option<Seen>,
    /// Bytes that it has of contents that an interrupted push began.
    pub remains: HashMap<Digest, u64>,
    /// Contents whose signatures it has kept.
    pub kept: HashSet<Digest>,
}

/// What the hub is about to tell.
pub struct Telling<'a> {
    /// Its tree.
    pub tree: &'a Tree,
    /// Its tombstones.
    pub tombstones: &'a Tombstones,
    /// What it left alone.
    pub problems: &'a [Problem],
    /// Its state in short.
    pub now: Seen,
    /// What the client saw last.
    pub seen: Option<Seen>,
    /// What changed since then, if that is known.
    pub changes: Option<Vec<(RelPath, Option<Node>)>>,
    /// What it has of contents that an interrupted push began.
    pub remains: Vec<(Digest, u64)>,
    /// Contents whose signatures it has kept.
    pub kept: Vec<Digest>,
}

/// Sends a view.
///
/// # Errors
/// The connection broke.
pub fn send(outbox: &Outbox, telling: Telling<'_>) -> Result<(), PeerError> {
    let Telling {
        tree,
        tombstones,
        problems,
        now,
        seen,
        changes,
        remains,
        kept,
    } = telling;
    let same = seen.is_some_and(|s| s.view == now.view);
    let new_tombstones = seen.is_none_or(|s| s.tombstones != now.tombstones);
    match changes {
        _ if same => outbox.send(Control::View {
            kind: ViewKind::Same,
        })?,
        Some(changes) => {
            outbox.send(Control::View {
                kind: ViewKind::Changes,
            })?;
            batches(changes, |batch| outbox.send(Control::Entries(batch)))?;
        }
        None => {
            outbox.send(Control::View {
                kind: ViewKind::Listing,
            })?;
            let entries = tree
                .entries()
                .map(|e| (e.path.clone(), Some(e.node.clone())));
            batches(entries, |batch| outbox.send(Control::Entries(batch)))?;
        }
    }
    if new_tombstones {
        let all = tombstones.iter().map(|(path, t)| (path.clone(), t.clone()));
        batches(all, |batch| outbox.send(Control::Tombstones(batch)))?;
    }
    let told = problems.iter().take(limits::LIST_ITEMS).cloned();
    batches(told, |batch| outbox.send(Control::Problems(batch)))?;
    let remains: Vec<_> = remains.into_iter().take(limits::LIST_ITEMS).collect();
    for batch in remains.chunks(BATCH_ENTRIES) {
        outbox.send(Control::Remains(batch.to_vec()))?;
    }
    // A client that finds nothing new fetches nothing.
    let kept: Vec<_> = kept.into_iter().take(limits::LIST_ITEMS).collect();
    for batch in kept.chunks(BATCH_ENTRIES).filter(|_| !same) {
        outbox.send(Control::Kept(batch.to_vec()))?;
    }
    outbox.send(Control::ViewEnd {
        generation: now.generation,
        view: now.view,
        tombstones: now.tombstones,
        new_tombstones,
    })
}

/// Cuts `items` into lists that fit a message.
pub(super) fn batches<T: Weight>(
    items: impl IntoIterator<Item = T>,
    mut send: impl FnMut(Vec<T>) -> Result<(), PeerError>,
) -> Result<(), PeerError> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for item in items {
        let size = item.text_bytes() + 200;
        if !batch.is_empty() && (batch.len() >= BATCH_ENTRIES || bytes + size > BATCH_BYTES) {
            send(std::mem::take(&mut batch))?;
            bytes = 0;
        }
        bytes += size;
        batch.push(item);
    }
    if batch.is_empty() {
        Ok(())
    } else {
        send(batch)
    }
}

/// Receives a view. `known` is what was seen last: tree and tombstones. A tree may take so many bytes of memory, and twice as
/// many as the known one.
///
/// # Errors
/// The peer sent something else, entries out of order, more than a [`Budget`] of it, or a view whose
/// digest is not the one it claims.
pub fn receive(
    inbox: &Inbox,
    known: (Tree, Tombstones),
    memory_bytes: usize,
) -> Result<HubView, PeerError> {
    match inbox.control("view")? {
        Control::View { kind } => receive_rest(inbox, kind, known, memory_bytes),
        other => Err(unexpected(&other.into(), "view")),
    }
}

/// As [`receive`], after an attempt that was given up: what the peer still had on its way is passed over.
///
/// # Errors
/// As [`receive`].
pub fn receive_again(
    inbox: &Inbox,
    known: (Tree, Tombstones),
    memory_bytes: usize,
) -> Result<HubView, PeerError> {
    loop {
        match inbox.receive()? {
            Message::Control(Control::View { kind }) => {
                return receive_rest(inbox, kind, known, memory_bytes);
            }
            Message::SignatureData(_)
            | Message::Control(
                Control::Signature { .. }
                | Control::SignatureEnd
                | Control::Resend(_)
                | Control::Users(_),
            ) => {}
            other => return Err(unexpected(&other, "view")),
        }
    }
}

fn receive_rest(
    inbox: &Inbox,
    kind: ViewKind,
    known: (Tree, Tombstones),
    memory_bytes: usize,
) -> Result<HubView, PeerError> {
    let (known_tree, known_tombstones) = known;
    let mut told = Told::of(kind);
    let (mut tombstones, mut problems) = (Tombstones::new(), Vec::new());
    let (mut remains, mut kept) = (HashMap::new(), HashSet::new());
    let mut budget = Budget::of_memory(TREE, memory_bytes);
    let mut own = Some(&known_tree);
    let (now, new_tombstones) = loop {
        let message = inbox.control("entries")?;
        let is_too_small = match &message {
            Control::Entries(batch) => budget.is_too_small_for(batch),
            Control::Tombstones(batch) => budget.is_too_small_for(batch),
            Control::Problems(batch) => budget.is_too_small_for(batch),
            _ => false,
        };
        // Weighed only where it comes to that.
        if let Some(own) = own.take_if(|_| is_too_small) {
            budget.grant(2 * memory_of_tree(own));
        }
        match message {
            Control::Entries(batch) => {
                budget.take(&batch)?;
                told.extend(batch)?;
            }
            Control::Tombstones(batch) => {
                budget.take(&batch)?;
                tombstones.extend(batch);
            }
            Control::Problems(batch) => {
                budget.take(&batch)?;
                problems.extend(batch);
            }
            Control::Remains(batch) => remains.extend(batch),
            Control::Kept(batch) => kept.extend(batch),
            Control::ViewEnd {
                generation,
                view,
                tombstones,
                new_tombstones,
            } => {
                break (
                    Seen {
                        generation,
                        view,
                        tombstones,
                    },
                    new_tombstones,
                );
            }
            other => return Err(connection::unexpected(&Message::Control(other), "entries")),
        }
        if problems.len().max(remains.len()).max(kept.len()) > limits::LIST_ITEMS {
            return Err(ProtocolError::Malformed { what: "view" }.into());
        }
    };
    let tree = told.into_tree(&known_tree)?;
    let tombstones = if new_tombstones {
        tombstones
    } else {
        known_tombstones
    };
    let told_right = tree.view_digest() == now.view
        && crate::state::hub::tombstones_digest(&tombstones) == now.tombstones;
    if !told_right {
        return Err(ProtocolError::Malformed {
            what: "view (its digest is another)",
        }
        .into());
    }
    Ok(HubView {
        tree,
        tombstones,
        problems,
        seen: Some(now),
        remains,
        kept,
    })
}

/// What is received, for people.
const TREE: &str = "the list of the hub's files";

/// What a hub tells of its tree.
enum Told {
    /// Its entries.
    All(Vec<Entry>),
    /// Changes of what was known.
    Changes(Vec<(RelPath, Option<Node>)>),
}

impl Told {
    fn of(kind: ViewKind) -> Self {
        match kind {
            ViewKind::Listing => Self::All(Vec::new()),
            ViewKind::Changes | ViewKind::Same => Self::Changes(Vec::new()),
        }
    }

    fn last(&self) -> Option<&RelPath> {
        match self {
            Self::All(entries) => entries.last().map(|entry| &entry.path),
            Self::Changes(changes) => changes.last().map(|(path, _)| path),
        }
    }

    fn extend(&mut self, batch: Vec<(RelPath, Option<Node>)>) -> Result<(), ProtocolError> {
        for (path, node) in batch {
            if self.last().is_some_and(|last| *last >= path) {
                return Err(ProtocolError::Malformed {
                    what: "view (order)",
                });
            }
            match (&mut *self, node) {
                (Self::All(entries), Some(node)) => entries.push(Entry { path, node }),
                // Nothing is missing from nothing.
                (Self::All(_), None) => {}
                (Self::Changes(changes), node) => changes.push((path, node)),
            }
        }
        Ok(())
    }

    fn into_tree(self, known: &Tree) -> Result<Tree, ProtocolError> {
        match self {
            Self::All(mut entries) => {
                entries.shrink_to_fit();
                let malformed = ProtocolError::Malformed { what: "view" };
                Tree::from_sorted(entries).ok_or(malformed)
            }
            Self::Changes(changes) => Ok(known.with_changes(changes)),
        }
    }
}

fn memory_of_tree(tree: &Tree) -> usize {
    let entries = tree.entries();
    entries
        .map(|e| memory_of(std::slice::from_ref(&(&e.path, &e.node))))
        .sum()
}
