//! Tells what the hub holds: nothing, changes, or all of it, and proves that both sides mean the same.

use std::collections::{HashMap, HashSet};

use super::connection::{Inbox, Outbox, unexpected};
use super::{PeerError, connection};
use crate::model::{Digest, Node, RelPath, Tombstones, Tree};
use crate::protocol::bounded::{Budget, Weight};
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

/// Receives a view. `known` is what was seen last: tree and tombstones.
///
/// # Errors
/// The peer sent something else, entries out of order, more than a [`Budget`] of it, or a view whose
/// digest is not the one it claims.
pub fn receive(inbox: &Inbox, known: (Tree, Tombstones)) -> Result<HubView, PeerError> {
    match inbox.control("view")? {
        Control::View { kind } => receive_rest(inbox, kind, known),
        other => Err(unexpected(&other.into(), "view")),
    }
}

/// As [`receive`], after an attempt that was given up: what the peer still had on its way is passed over.
///
/// # Errors
/// As [`receive`].
pub fn receive_again(inbox: &Inbox, known: (Tree, Tombstones)) -> Result<HubView, PeerError> {
    loop {
        match inbox.receive()? {
            Message::Control(Control::View { kind }) => return receive_rest(inbox, kind, known),
            Message::SignatureData(_)
            | Message::Control(
                Control::Signature { .. } | Control::SignatureEnd | Control::Resend(_),
            ) => {}
            other => return Err(unexpected(&other, "view")),
        }
    }
}

fn receive_rest(
    inbox: &Inbox,
    kind: ViewKind,
    known: (Tree, Tombstones),
) -> Result<HubView, PeerError> {
    let (known_tree, known_tombstones) = known;
    let mut told: Vec<(RelPath, Option<Node>)> = Vec::new();
    let (mut tombstones, mut problems) = (Tombstones::new(), Vec::new());
    let (mut remains, mut kept) = (HashMap::new(), HashSet::new());
    let mut budget = Budget::of_tree("a view");
    let (now, new_tombstones) = loop {
        match inbox.control("entries")? {
            Control::Entries(batch) => {
                budget.take(&batch)?;
                extend_in_order(&mut told, batch)?;
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
    let tree = match kind {
        ViewKind::Listing => Tree::default().with_changes(told),
        ViewKind::Changes | ViewKind::Same => known_tree.with_changes(told),
    };
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

fn extend_in_order(
    told: &mut Vec<(RelPath, Option<Node>)>,
    batch: Vec<(RelPath, Option<Node>)>,
) -> Result<(), PeerError> {
    for entry in batch {
        let in_order = told.last().is_none_or(|(last, _)| *last < entry.0);
        if !in_order {
            return Err(ProtocolError::Malformed {
                what: "view (order)",
            }
            .into());
        }
        told.push(entry);
    }
    Ok(())
}
