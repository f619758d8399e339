//! The client's end of a session: what the hub holds, its snapshots, its machines, goodbye. Opening one,
//! fetching and pushing have pages of their own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::PeerError;
use super::connection::{Inbox, Outbox, Traffic, Writer, unexpected};
use super::told_ids;
use super::transfer::{Pushed, TransferError};
use super::view::{self, HubView};
use crate::model::{RelPath, Tombstones, Tree};
use crate::protocol::bounded::Budget;
use crate::protocol::handshake::{AHEAD, PARTS, ServerHello, USERS};
use crate::protocol::message::{Control, Op, Origin, Refusal, RefusalKind, SnapshotLine, Usage};
use crate::transport::Process;

/// A session with a hub.
pub struct Client {
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
    pub(super) writer: Writer,
    pub(super) process: Process,
    /// What the hub told of files in use.
    pub(super) usages: Mutex<Option<Vec<Usage>>>,
    /// The hub's Hello.
    pub hello: ServerHello,
    /// Bytes so far.
    pub traffic: Arc<Traffic>,
}

/// An answer of the hub, and how many paths it does not name for want of room.
pub(super) struct Answer {
    pub(super) control: Control,
    pub(super) unnamed: u64,
    pub(super) notes: Vec<String>,
}

/// What undoing a snapshot of the hub would do.
pub struct RollbackPlan {
    /// The snapshot.
    pub id: String,
    /// Whose sync it undoes; `None` if the hub does not tell.
    pub origin: Option<Origin>,
    /// Directories that stay, because something is inside that is none of the snapshot's.
    pub staying: Vec<RelPath>,
    /// What the hub says for people beside that.
    pub notes: Vec<String>,
}

impl Client {
    /// Whether the hub knows content that comes from a place on, or before it was asked for.
    pub(super) fn sends_ahead(&self) -> bool {
        self.hub_knows(AHEAD)
    }

    fn hub_knows(&self, feature: &str) -> bool {
        self.hello.features.iter().any(|known| known == feature)
    }

    /// Receives the hub's view. `known` is what was seen last.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn view(
        &self,
        known: (Tree, Tombstones),
        memory_bytes: usize,
    ) -> Result<HubView, PeerError> {
        view::receive(&self.inbox, known, memory_bytes)
    }

    /// Has the hub scanned again and receives its view.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn look_again(
        &self,
        known: (Tree, Tombstones),
        memory_bytes: usize,
    ) -> Result<HubView, PeerError> {
        self.outbox.send(Control::Look)?;
        view::receive_again(&self.inbox, known, memory_bytes)
    }

    /// The hub's snapshots, newest first.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn snapshots(&self) -> Result<Vec<SnapshotLine>, PeerError> {
        self.outbox.send(Control::ListSnapshots)?;
        let in_parts = self.hub_knows(PARTS);
        let mut all = Vec::new();
        let mut budget = Budget::of_tree("a list of snapshots");
        loop {
            let lines = match self.inbox.control("snapshots")? {
                Control::Snapshots(lines) => lines,
                other => return Err(unexpected(&other.into(), "snapshots")),
            };
            budget.take(&lines)?;
            told_ids::check_list(&lines)?;
            let is_last = lines.is_empty() || !in_parts;
            all.extend(lines);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Which files of the hub's tree programs use; nothing if the hub cannot tell.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn usages(&self) -> Result<Vec<Usage>, PeerError> {
        if self.knows_users() {
            self.outbox.send(Control::AskUsers)?;
            self.receive_users()?;
        }
        Ok(self.take_usages().unwrap_or_default())
    }

    /// What the hub told when it was asked last, if that was not taken yet.
    pub fn take_usages(&self) -> Option<Vec<Usage>> {
        let mut told = self.usages.lock().unwrap_or_else(PoisonError::into_inner);
        told.take()
    }

    /// Whether the hub can tell which files programs use.
    pub(super) fn knows_users(&self) -> bool {
        self.hub_knows(USERS)
    }

    /// Receives which files they use.
    pub(super) fn receive_users(&self) -> Result<(), PeerError> {
        match self.inbox.control("users")? {
            Control::Users(first) => self.receive_users_after(first),
            other => Err(unexpected(&other.into(), "users")),
        }
    }

    /// The same behind the first message of it.
    pub(super) fn receive_users_after(&self, first: Vec<Usage>) -> Result<(), PeerError> {
        let (mut all, mut next) = (Vec::new(), first);
        let mut budget = Budget::of_tree("a list of files in use");
        while !next.is_empty() {
            budget.take(&next)?;
            all.append(&mut next);
            next = match self.inbox.control("users")? {
                Control::Users(usages) => usages,
                other => return Err(unexpected(&other.into(), "users")),
            };
        }
        let mut told = self.usages.lock().unwrap_or_else(PoisonError::into_inner);
        *told = Some(all);
        Ok(())
    }

    /// The machines that synced with the hub and when.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn machines(&self) -> Result<Vec<(String, i64)>, PeerError> {
        self.outbox.send(Control::ListMachines)?;
        match self.inbox.control("machines")? {
            Control::Machines(machines) => Ok(machines),
            other => Err(unexpected(&other.into(), "machines")),
        }
    }

    /// What undoing a snapshot of the hub (its newest if none is named) would do. Its operations are handed to `take` as they come.
    ///
    /// # Errors
    /// [`PeerError`], also if there is no such snapshot.
    pub fn plan_rollback(
        &self,
        id: Option<String>,
        take: &mut dyn FnMut(Vec<Op>),
    ) -> Result<RollbackPlan, PeerError> {
        self.outbox.send(Control::PlanRollback { id })?;
        let (mut staying, mut notes, mut origin) = (Vec::new(), Vec::new(), None);
        let mut budget = Budget::of_tree("a plan of a rollback");
        loop {
            match self.inbox.control("rollback-plan")? {
                Control::Origin(told) => origin = Some(told),
                Control::Staying(paths) => {
                    budget.take(&paths)?;
                    staying.extend(paths);
                }
                Control::Notes(told) => {
                    budget.take(&told)?;
                    notes.extend(told);
                }
                Control::RollbackPlan { id, ops, more } => {
                    budget.take(&ops)?;
                    take(ops);
                    if !more {
                        told_ids::check_snapshot(&id)?;
                        return Ok(RollbackPlan {
                            id,
                            origin,
                            staying,
                            notes,
                        });
                    }
                }
                other => return Err(unexpected(&other.into(), "rollback-plan")),
            }
        }
    }

    /// Undoes a snapshot of the hub.
    ///
    /// # Errors
    /// [`PeerError`], or paths that changed since.
    pub fn rollback(&self, id: String, label: String) -> Result<Pushed, TransferError> {
        self.outbox.send(Control::Rollback { id, label })?;
        let Answer {
            control,
            unnamed,
            notes,
        } = self.answer()?;
        match control {
            Control::Committed(report) => Ok(Pushed {
                report,
                unnamed,
                notes,
            }),
            Control::Stale(paths) => Err(TransferError::Changed { paths, unnamed }),
            other => Err(unexpected(&other.into(), "committed").into()),
        }
    }

    /// Has the hub settle an interrupted sync, and do nothing else. Gives the words with which it refuses to do more.
    ///
    /// # Errors
    /// [`TransferError`]: it could not be settled, or the answer did not come.
    pub fn settle(&self, label: String) -> Result<Refusal, TransferError> {
        match self.rollback(String::new(), label) {
            Err(TransferError::Unheard(PeerError::Refused(refusal)))
                if refusal.kind == RefusalKind::Busy =>
            {
                Ok(refusal)
            }
            Err(e) => Err(e),
            Ok(done) => Err(unexpected(&Control::Committed(done.report).into(), "refused").into()),
        }
    }

    /// What the hub says to what it was told to do.
    pub(super) fn answer(&self) -> Result<Answer, TransferError> {
        let verdict = || {
            let verdict = self.inbox.verdict("committed");
            verdict.map_err(TransferError::Unheard)
        };
        let (mut unnamed, mut notes) = (0, Vec::new());
        let mut budget = Budget::of_tree("notes");
        let control = loop {
            match verdict()? {
                Control::Unnamed(more) => unnamed = more,
                Control::Notes(told) => {
                    let taken = budget.take(&told).map_err(PeerError::from);
                    taken.map_err(TransferError::Unheard)?;
                    notes.extend(told);
                }
                control => break control,
            }
        };
        let answer = Answer {
            control,
            unnamed,
            notes,
        };
        if let Control::Committed(report) = &answer.control {
            told_ids::check_report(report).map_err(TransferError::Unheard)?;
        }
        Ok(answer)
    }

    /// Says goodbye and waits for the end of the hub's process.
    pub fn close(self) {
        let Self {
            outbox,
            writer,
            mut process,
            ..
        } = self;
        drop(outbox.send(Control::Bye));
        writer.finish(outbox);
        // One that hangs on is killed with `process`.
        process.wait(Duration::from_secs(5));
    }
}
